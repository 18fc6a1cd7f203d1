//! What a node is besides an acceptor, which every node is: each role owns its data.

pub(crate) mod candidate;
mod follower;
mod leader;

use synod_consensus::Index;
use synod_engine::NodeId;

use crate::Ballot;
use crate::multi::Rules;
use crate::multi::state::State;

pub(crate) use candidate::{Answer as CandidateAnswer, Candidate};
pub(crate) use follower::Follower;
pub(crate) use leader::Leader;

/// What a node is at a time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Role {
    /// Follows a leader, or waits for one.
    Follower(Follower),
    /// Has a ballot of its own, in phase 1.
    Candidate(Candidate),
    /// Has a ballot of its own, in phase 2.
    Leader(Leader),
}

impl Role {
    /// Up to here values may be evicted from memory.
    pub(crate) fn evictable<R: Rules>(&self, state: &State<R>) -> Index {
        match self {
            Self::Leader(leader) => leader.evictable(state),
            Self::Follower(_) | Self::Candidate(_) => state.applied,
        }
    }

    /// Whether a follower that is heard installs a snapshot of this node.
    pub(crate) fn installs<R: Rules>(&self, state: &State<R>) -> bool {
        match self {
            Self::Leader(leader) => leader.installs(state),
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
    /// A follower, of the leader whose ballot is promised if it is known.
    Follower {
        /// Who that is.
        leader: Option<NodeId>,
    },
    /// A candidate with a new ballot.
    Candidate {
        /// The ballot of the leader that wishes it, if one does.
        handover: Option<Ballot>,
    },
    /// The leader of its ballot.
    Leader,
}
