//! What a node is at a time, each role owning its data. A node that is elected leads twice: first to find
//! an epoch that a quorum accepts ([`Discovery`], phase 1), then in that epoch ([`Leader`], phases 2 and 3).

mod discovery;
mod follower;
mod leader;
mod looking;

use synod_consensus::Index;
use synod_engine::NodeId;

use crate::Rules;
use crate::state::State;

pub(crate) use discovery::Discovery;
pub(crate) use follower::Follower;
pub(crate) use leader::Leader;
pub(crate) use looking::Looking;

/// What a node is at a time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Role {
    Looking(Looking),
    Discovery(Discovery),
    Leader(Leader),
    Follower(Follower),
}

impl Role {
    /// Up to here the log may be evicted from memory.
    pub(crate) fn evictable<R: Rules>(&self, state: &State<R>) -> Index {
        match self {
            Self::Leader(leader) => leader.evictable(state),
            Self::Looking(_) | Self::Discovery(_) | Self::Follower(_) => state.applied,
        }
    }

    /// Whether a follower that is heard installs a snapshot of this node.
    pub(crate) fn installs(&self) -> bool {
        match self {
            Self::Leader(leader) => leader.installs(),
            Self::Looking(_) | Self::Discovery(_) | Self::Follower(_) => false,
        }
    }
}

/// What a handler makes of its node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Becomes {
    /// The role stays.
    Same,
    /// Looks for a leader (phase 0).
    Looking,
    /// Was elected, and looks for an epoch (phase 1).
    Discovery,
    /// Leads the epoch that a quorum accepted (phases 2 and 3).
    Leader,
    /// Follows, or observes, from phase 1 on.
    Follower { leader: NodeId },
}
