//! What survives a crash. Each role keeps its own part of it in memory.

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
    /// The node knows that this value is chosen.
    Chosen(Value),
}

impl synod_engine::Record for Record {}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Propose(ballot) => write!(f, "Propose {ballot}"),
            Self::Promise(ballot) => write!(f, "Promise {ballot}"),
            Self::Accept(proposal) => write!(f, "Accept {proposal}"),
            Self::Chosen(value) => write!(f, "Chosen {value}"),
        }
    }
}
