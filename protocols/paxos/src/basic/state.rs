//! What survives a crash. Each role keeps its own part of it in memory.
//!
//! Each of the five records is durable before it counts for anybody, the node itself included:
//!
//! | record | of | counts when |
//! |---|---|---|
//! | `Propose` | proposer | a `Prepare` of the ballot is sent |
//! | `Promise` | acceptor | the `Promise` is sent |
//! | `Accept` | acceptor | the `Accepted` is sent |
//! | `Acknowledge` | learner that counted | the outcome is told, to its user or to anybody |
//! | `Commit` | node that was told | the outcome is told on |
//!
//! Why an acknowledgement is a record. What is chosen stays chosen, whatever a learner forgets; what a
//! learner has *said* does not. One that counts a majority is, with distinguished learners, the only node
//! that knows, and all others act on its word. If it forgot after a crash, it would call open what it has
//! called chosen, and could be unable to count again: by then the acceptors may have accepted the value in
//! different ballots. So it writes down what was acknowledged, with the ballot, before it speaks. Who only
//! hears of the outcome has no ballot to write down, and commits to the value.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::basic::{Ballot, Proposal, Value};

/// A durable fact. There are at most a few per ballot, so none is a checkpoint.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Record {
    /// The proposer has used this ballot.
    Propose(Ballot),
    /// The acceptor has promised this ballot.
    Promise(Ballot),
    /// The acceptor has accepted this proposal, which implies the promise.
    Accept(Proposal),
    /// The learner has heard that a majority of the acceptors has accepted this proposal, which chooses
    /// its value: by its own count.
    Acknowledge(Proposal),
    /// The node has heard that this value is chosen: by the word of one that knows.
    Commit(Value),
}

impl synod_engine::Record for Record {}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Propose(ballot) => write!(f, "Propose {ballot}"),
            Self::Promise(ballot) => write!(f, "Promise {ballot}"),
            Self::Accept(proposal) => write!(f, "Accept {proposal}"),
            Self::Acknowledge(proposal) => write!(f, "Acknowledge {proposal}"),
            Self::Commit(value) => write!(f, "Commit {value}"),
        }
    }
}
