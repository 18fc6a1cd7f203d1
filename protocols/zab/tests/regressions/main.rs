//! Defects that ZooKeeper had, or that its published specification found in the paper's wording, with their
//! scenarios: none of them may happen here. Each test names the issue that it is about. With them stand those
//! that were found here, by simulation and by reading.
//!
//! One more of them, a snapshot that is taken in the middle of a multi-operation (ZooKeeper pull request 606),
//! is the service's affair: a command is applied whole, and a state machine is frozen between two of them
//! (`synod_consensus::StateMachine`); `services/kv/tests/snapshot.rs`, `txn.rs` and the conformance suite see
//! to it.
//!
//! The test bench is the paper tests': one node by hand in [`driver`], several in [`cluster`].

#[allow(dead_code, reason = "the paper tests use the rest")]
#[path = "../paper/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "the paper tests use the rest")]
#[path = "../paper/driver.rs"]
mod driver;
#[allow(dead_code, reason = "the paper tests use the rest")]
#[path = "../paper/words.rs"]
mod words;

mod broadcast;
mod elections;
mod members;
mod recovery;
mod synchronisation;
