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

use synod_consensus::Event;
use synod_engine::Token;
use synod_raft::Rules;

use crate::driver::Node;

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
