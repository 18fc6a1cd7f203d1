//! Defects that other implementations of Raft had, published with their scenarios: none of them may
//! happen here. By project; each test names the issue that it is about.
//!
//! The test bench is the paper tests': one node by hand in [`driver`], several in [`cluster`].

#[allow(dead_code, reason = "the paper tests use the rest")]
#[path = "../paper/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "the paper tests use the rest")]
#[path = "../paper/driver.rs"]
mod driver;

mod etcd_raft;
mod openraft;

use synod_consensus::{Event, Index, Output};
use synod_engine::{Input, Token};
use synod_raft::Rules;

use crate::driver::{Node, snapshot};

/// Tells a node that its state machine has reached `index` and wrote a snapshot of it, `term` being the
/// entry's.
fn compact<R: Rules>(node: &mut Node<R>, index: u64, term: u64) {
    node.input(Input::Applied(index));
    let (id, _) = node.tasks.pop().expect("a snapshot is due");
    let blob = snapshot(index, term).blob;
    node.input(Input::TaskDone { id, output: Output::Snapshot { index: Index(index), blob } });
    node.input(Input::Flush);
}

/// How often this request ended, in whatever way.
fn endings<R: Rules>(node: &Node<R>, token: u64) -> usize {
    let ends = |event: &&Event| match event {
        Event::Committed { own, .. } => own.iter().any(|(_, own)| *own == Token(token)),
        Event::ReadReady { tokens, .. } => tokens.contains(&Token(token)),
        Event::Refused { token: ended, .. }
        | Event::Unknown { token: ended }
        | Event::Transferred { token: ended } => *ended == Token(token),
        Event::Install(_) | Event::Members(_) | Event::Leadership { .. } => false,
    };
    node.events.iter().filter(ends).count()
}
