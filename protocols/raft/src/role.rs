//! The three roles of figure 4, each owning its data; the candidate campaigns twice, first for a
//! pre-vote.

mod candidate;
mod follower;
mod leader;

use synod_consensus::Index;
use synod_engine::NodeId;

use crate::Rules;
use crate::state::State;

pub(crate) use candidate::{Asks, Campaign, Candidate};
pub(crate) use follower::{Follower, news};
pub(crate) use leader::{Leader, Transfer};

/// What a node is at a time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Role {
    Follower(Follower),
    Candidate(Candidate),
    Leader(Leader),
}

impl Role {
    /// Up to here the log may be evicted from memory.
    pub(crate) fn evictable<R: Rules>(&self, state: &State<R>) -> Index {
        match self {
            Self::Leader(leader) => leader.evictable(state),
            Self::Follower(_) | Self::Candidate(_) => state.applied,
        }
    }

    /// Whether a follower that is heard installs a snapshot of this node.
    pub(crate) fn installs(&self) -> bool {
        match self {
            Self::Leader(leader) => leader.installs(),
            Self::Follower(_) | Self::Candidate(_) => false,
        }
    }
}

/// What a handler makes of its node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Becomes {
    /// The role stays.
    Same,
    /// A follower in the same term.
    Follower { leader: Option<NodeId> },
    /// A candidate that asks for pre-votes, or for votes in the next term.
    Candidate(Campaign),
    /// The leader of the same term.
    Leader,
}
