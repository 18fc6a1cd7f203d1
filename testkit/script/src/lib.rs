//! Golden scripts: scenarios of a replicated log, written and read by hand.
//!
//! A script is a text file: commands, a line of `----`, and what they did, a blank line between one
//! block and the next. Nothing happens that no command says: messages wait in their link, timers
//! fire when told to, disks that are held sync when told to. So a script is a story that can be
//! followed line by line, and a change of behaviour is a change of its text.
//!
//! ```text
//! # Two of three are enough.
//! nodes 3
//! tick n1 election
//! ----
//! n1 -> n2 PreVote t1 last 0@0
//! n1 -> n3 PreVote t1 last 0@0
//!
//! quiet settle
//! expect n1 leader epoch=1
//! ----
//! n1 leader in epoch 1, led by n1
//! …
//! ```
//!
//! With `SYNOD_REWRITE=1` in the environment, [`check`] writes what it finds into the file instead of
//! comparing; what an `expect` says must hold even then. Invariants of the protocol are checked after
//! every step. Chance is seeded by the node and its life, time moves only by `tick` and `wait`.
//!
//! # Vocabulary
//!
//! Nodes are `n1`, `n2`, …; a link is `n1->n2`, with `*` for any node. `#k` selects the k-th message
//! in flight on each link; without it, all that were in flight before the command are meant.
//!
//! | command | meaning |
//! |---|---|
//! | `nodes 3 [option=5 …]` | a new cluster of n1, n2, n3, all started, all links open |
//! | `join n4` | a new node that waits to be added, started, all its links open |
//! | `given n1 epoch=7 log=1,1,4,4` | n1 has lived: it starts again, with entries of these epochs |
//! | `tick n1 [timer]` | the time of this timer has come; without a name, of the only one set |
//! | `wait 500ms` | time passes: messages arrive at once, timers fire as they come due |
//! | `deliver [n1->n2 [#1]]` | messages arrive, in the order they were sent |
//! | `drop [n1->n2 [#1]]` | messages are lost |
//! | `duplicate [n1->n2 [#1]]` | messages in flight will arrive twice |
//! | `settle [n1 n2 …]` | messages arrive until none is in flight, between all or these nodes |
//! | `partition n1 n2 \| n3` | nodes on different sides no longer hear each other |
//! | `chain n1 n2 n3` | each hears only its neighbours in this row |
//! | `star n1` | all hear n1, and it hears all; the others do not hear each other |
//! | `cut n1->n2` | from here on what n1 sends to n2 is lost, and neither knows |
//! | `heal` | all nodes hear each other again |
//! | `pause n1` | n1 stands still: what arrives waits |
//! | `resume n1` | n1 goes on, and takes in at once what waits |
//! | `crash n1` | the node dies, with its held effects and what its disk had not synced |
//! | `restart n1` | a dead node starts from what was durable |
//! | `hold n1` | from here on the disk of n1 syncs only on command |
//! | `sync n1` | the disk syncs once |
//! | `release n1` | the disk syncs, and from here on by itself |
//! | `propose n1 a b` | the local user proposes commands, in one batch; requests are #1, #2, … |
//! | `read n1` | the local user asks for a linearizable read |
//! | `change n1 add n4 [remove n3 …]` | the local user asks for a change of members; also `promote`, `demote` |
//! | `transfer n1 [n2]` | the local user of n1 asks it to hand leadership to n2, or to the best |
//! | `cancel n1 #1` | the local user no longer waits |
//! | `snapshot n1` | the snapshot that n1 asked for is written |
//! | `show [n1 …]` | what the nodes are, and the epochs of their entries |
//! | `expect n1 … fact …` | each fact holds for each node, or the script fails |
//!
//! Facts are `leader`, `follower`, `candidate`, `down`, and `epoch=2`, `last=5`, `commit=4`,
//! `applied=4`, `snapshot=3`, `log=1,1,2` (epochs from the first entry kept on), `applies=a,b` (commands
//! applied, in order). `quiet` before a command leaves out everything but what local users are told.
//!
//! Read on: [`check`], [`Subject`], `command.rs`, `cluster.rs`, `node.rs`.

/// Each of these scripts, `tests/scripts/NAME.txt`, as a test of this subject.
#[macro_export]
macro_rules! scripts {
    ($Subject:ty: $($(#[$doc:meta])* $name:ident)+) => {
        $(
            $(#[$doc])*
            #[test]
            fn $name() {
                let file = concat!("tests/scripts/", stringify!($name), ".txt");
                let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
                if let Err(error) = $crate::check::<$Subject>(script) {
                    panic!("{error}");
                }
            }
        )+
    };
}

mod book;
mod cluster;
mod command;
mod error;
mod expect;
mod node;
mod run;
mod subject;

pub use book::{check, compare, rewrite};
pub use command::understand;
pub use error::ScriptError;
pub use subject::{Options, Subject};
