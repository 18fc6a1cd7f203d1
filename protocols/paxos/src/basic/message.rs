//! What Paxos nodes say to each other.
//!
//! Every message is a datagram: losing, doubling or reordering them costs time, never safety.
//!
//! # What is sent now, and why it may be
//!
//! Everything is held until the sender's records are durable, but for these:
//!
//! * **Accept** reveals a ballot, but one that its proposer has long made durable: the ballot's
//!   `Prepare` was held behind it, and the promises that allow the `Accept` are answers to that. It may
//!   overtake what the same node, as an acceptor, is about to promise. If the proposer crashes, it
//!   never uses this ballot again, so nobody can hear of a second value in it.
//! * **Request** and **Ask** reveal nothing.

use core::fmt;

use serde::{Deserialize, Serialize};
use synod_engine::Class;

use crate::basic::{Ballot, Proposal, Value};

/// A message.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Message {
    /// From a client to a proposer: get a value chosen, this one if you may. Sent again, to the next
    /// proposer, until the outcome is known. Also from a learner that asks in vain.
    Request {
        /// What the client would like; of a learner, what it knows to be accepted.
        value: Value,
    },
    /// Phase 1a (§2.2): from a proposer to the acceptors. Answered by `Promise` or `Refused`.
    Prepare {
        /// The ballot that it wants promised.
        ballot: Ballot,
    },
    /// Phase 1b (§2.2): the acceptor will accept nothing below this ballot.
    Promise {
        /// The ballot that was asked about.
        ballot: Ballot,
        /// The highest proposal that the acceptor has accepted.
        accepted: Option<Proposal>,
    },
    /// Phase 2a (§2.2): from a proposer to the acceptors, once a majority has promised the ballot.
    /// Answered by `Refused`, or by `Accepted` to the learners.
    Accept {
        /// What to accept.
        proposal: Proposal,
    },
    /// Phase 2b (§2.3): from an acceptor to the learners that it tells.
    Accepted {
        /// What it has accepted.
        proposal: Proposal,
    },
    /// From an acceptor to a proposer: a `Prepare` or `Accept` came too late (§2.4).
    Refused {
        /// The ballot that is refused.
        ballot: Ballot,
        /// The ballot that was promised to another.
        promised: Ballot,
    },
    /// From a learner to the acceptors and the other learners (§2.3): tell me again what you have
    /// accepted, or what is chosen. From a proposer, if acceptors do not tell it, to the learners.
    Ask,
    /// From a node that knows the outcome to one that does not: to whoever asks, and from a distinguished
    /// learner to all others (§2.3).
    Chosen {
        /// The chosen value.
        value: Value,
    },
}

impl synod_engine::Message for Message {
    fn class(&self) -> Class {
        Class::Datagram
    }

    /// What rests on the sender's memory: of the ballots it used, promised, accepted in. The word of a node
    /// that lost its disk is not taken for that.
    fn counts(&self) -> bool {
        match self {
            Self::Prepare { .. }
            | Self::Promise { .. }
            | Self::Accept { .. }
            | Self::Accepted { .. } => true,
            Self::Request { .. } | Self::Refused { .. } | Self::Ask | Self::Chosen { .. } => false,
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { value } => write!(f, "Request {value}"),
            Self::Prepare { ballot } => write!(f, "Prepare {ballot}"),
            Self::Promise { ballot, accepted: None } => write!(f, "Promise {ballot}"),
            Self::Promise { ballot, accepted: Some(accepted) } => {
                write!(f, "Promise {ballot}, accepted {accepted}")
            }
            Self::Accept { proposal } => write!(f, "Accept {proposal}"),
            Self::Accepted { proposal } => write!(f, "Accepted {proposal}"),
            Self::Refused { ballot, promised } => {
                write!(f, "Refused {ballot}, promised {promised}")
            }
            Self::Ask => write!(f, "Ask"),
            Self::Chosen { value } => write!(f, "Chosen {value}"),
        }
    }
}
