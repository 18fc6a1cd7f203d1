//! What a node is to the election, each with what it needs.

pub(crate) mod looking;
pub(crate) mod settled;

use self::looking::Looking;
use self::settled::Settled;
use super::Round;

/// A node's role. Changed in `node.rs` only.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Role {
    /// Has never looked for a leader in this life: deaf and mute.
    Idle,
    /// Looks for a leader.
    Looking(Looking),
    /// Has found one.
    Settled(Settled),
}

impl Role {
    /// The round it is in; that of an idle node comes before the first.
    pub(crate) fn round(&self) -> Round {
        match self {
            Self::Idle => Round::default(),
            Self::Looking(looking) => looking.round,
            Self::Settled(settled) => settled.round,
        }
    }
}
