//! What nodes that elect say to each other.
//!
//! There is one message. Each tells all that its sender stands for, so a later one makes an earlier one
//! void, and a lost one is repeated. Nothing is sent *now*: a vote tells the last zxid of a history, and
//! an outer engine may have written that history in this very step.

use core::fmt;

use serde::{Deserialize, Serialize};
use synod_engine::Class;

use super::{Round, State, Vote};

/// From a node that looks to all voters, when it begins to look and whenever its vote changes, and again
/// while nothing happens; from a voter to a node that looks, as an answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Notification {
    /// What the sender is.
    pub state: State,
    /// The round that it votes in or, once it no longer looks, in which its leader was elected.
    pub round: Round,
    /// Its vote; once it no longer looks, its leader. `None`: it looks and has no vote, it only asks.
    pub vote: Option<Vote>,
    /// Whether it may be answered. An answer is not: two nodes that take each other for strangers, since
    /// the members change, would never come to an end.
    pub asks: bool,
}

impl synod_engine::Message for Notification {
    /// In order, so that a later vote is not overtaken by an earlier one; if it is all the same, the
    /// next repetition mends it.
    fn class(&self) -> Class {
        Class::Ordered { lane: 0 }
    }

    /// A vote rests on no promise: what an election comes to is a suggestion.
    fn counts(&self) -> bool {
        false
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, round, vote, .. } = self;
        match (state, vote) {
            (State::Looking, None) => write!(f, "looking, who leads?"),
            (State::Looking, Some(vote)) => write!(f, "looking, round {round}: {vote}"),
            (State::Leading, _) | (_, None) => write!(f, "{state}, round {round}"),
            (State::Following | State::Observing, Some(vote)) => {
                write!(f, "{state} {vote}, round {round}")
            }
        }
    }
}
