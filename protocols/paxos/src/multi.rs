//! Multi-Paxos: a replicated log, each entry of which is an instance of Paxos.
//!
//! **The problem.** A cluster of nodes agrees on one growing log although nodes crash and messages are
//! lost, late, doubled and out of order, and goes on as long as a majority is up and connected. Basic
//! Paxos chooses one value in two phases; here phase 1 is done once for all instances by a leader, which
//! then needs phase 2 only, for many instances at a time (*Paxos Made Simple* §3).
//!
//! **The roles.** Every node is an *acceptor*: it promises ballots and accepts values, instance by
//! instance, in whatever order they come. Besides, it *follows* a leader and learns from it what is chosen;
//! or it is a *candidate* with a ballot of its own, in phase 1; or it *leads* a ballot that a majority has
//! promised, and proposes.
//!
//! | message | from, to | meaning | paper |
//! |---|---|---|---|
//! | `Prepare` | candidate, acceptor | promise me this ballot, for all instances from one on | §2.2 phase 1a, §3 |
//! | `Promise` | acceptor, candidate | promised; this I have accepted, so much I know to be chosen | §2.2 phase 1b |
//! | `Refused` | acceptor, proposer | a higher ballot is promised, or a leader is heard | §2.5 |
//! | `Accept` | leader, follower | accept these values | §2.2 phase 2a |
//! | `Accepted` | follower, leader | accepted | §2.2 phase 2b |
//! | `Heartbeat`, `HeartbeatReply` | leader, follower | the leader is there, so much is chosen; confirms reads, and grants leases | §2.3 |
//! | `Learn`, `Learned` | who lacks values, who knows them | what did I miss? | §2.3 |
//! | `Install` | who knows, who lacks | the snapshot in place of values that are given up | |
//! | `TakeOver` | leader, successor | prepare a ballot in my place | |
//! | `ReadIndex`, `ReadIndexReply` | follower, leader | which index must my reads reach? | |
//! | `Forward`, `Forwarded` | follower, leader | my user's proposals; their places in the log | |
//!
//! # Invariants
//!
//! 1. **Agreement**: no two nodes are told different values for an instance, and none is told one twice.
//! 2. **One value per ballot**: all that is accepted for an instance in one ballot is the same value (§2.2).
//! 3. **Chosen once**: when a majority has accepted a value in a ballot, all that is accepted for that
//!    instance in higher ballots is that value (P2b, §2.2).
//! 4. **Promises are kept**: an acceptor that told of a promise accepts nothing below it, and still knows
//!    it after a crash (P1a, §2.2).
//! 5. **Acceptance stays**: what an acceptor told to have accepted it still has after a crash, or a value of
//!    a higher ballot, or knows what is chosen there.
//! 6. **Only what is chosen is told**: when a user is first told a value, a majority had accepted it in one
//!    ballot.
//! 7. **Ballots are unique**: no two lives of a node lead the same ballot (§2.5).
//! 8. **Forwarded Once**: a proposal that a follower forwarded has one place in its leader's log.
//!
//! # Where it goes beyond the papers
//!
//! * How far values are chosen is noted with each acceptance, so a restart does not propose the log again.
//! * A leader's records become durable while its values are under way; it counts itself when its own disk
//!   acknowledges, like any follower's.
//! * A candidate promises its own ballot last, and acceptors that hear a leader refuse: who lost its link
//!   disturbs nobody. Any node that a majority can hear may lead, whatever it has.
//! * A leader that hears no majority for an election timeout steps down. One that a member refuses, since
//!   that was promised to somebody who could not win, takes a higher ballot at once.
//! * Behind a change of members the window closes: see the private `role::leader::membership`.
//! * Who has no leader and may not lead asks another for what it missed: a change of members may be among it
//!   by which it may.
//! * What was learned is accepted in the ballot that its learner has promised: there is one kind of value
//!   on disk.
//! * Acknowledgements, commits and read rounds are gathered until the flush that ends a batch of inputs:
//!   one message per peer and batch.
//!
//! # What is left out
//!
//! Groups that fall quiet while idle; forwarding of changes and transfers: their refusal names the leader.
//!
//! # Reading order
//!
//! [`Message`], [`Record`], [`Slots`], the private `state` and `acceptor`, then [`MultiPaxos`] with its
//! dispatch table, `ballots` and the roles; [`Rules`] and [`Invariants`] say what must not break.
//!
//! Papers: L. Lamport, *Paxos Made Simple*, 2001 ("§"); *The Part-Time Parliament*, 1998; H. Ng, S. Haridi,
//! P. Carbone, *Omni-Paxos: Breaking the Barriers of Partial Connectivity*, 2023 (the partitions that must
//! not stop it).

mod acceptor;
mod ballots;
mod compaction;
mod config;
mod invariants;
mod learning;
mod message;
mod node;
mod progress;
mod record;
mod role;
mod rules;
mod serving;
mod slots;
mod state;
mod view;
mod written;

pub use config::Config;
pub use invariants::Invariants;
pub use message::Message;
pub use node::{MultiPaxos, Timer};
pub use record::{Checkpoint, Record};
pub use rules::{RULES, Rules};
pub use slots::Slots;
pub use synod_log::ReadResult;
pub use view::View;
