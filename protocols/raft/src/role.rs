//! The three roles of figure 4, each owning its data; the candidate campaigns twice, first for a
//! pre-vote.

mod candidate;
mod follower;
mod leader;

use synod_consensus::Index;
use synod_engine::{Input, NodeId};

use crate::state::{Context, State};
use crate::{Raft, Rules};

pub(crate) use candidate::{Asks, Campaign, Candidate};
pub(crate) use follower::{Follower, news};
pub(crate) use leader::Leader;

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

    /// Who rests wakes for what its user or a peer asks, and when links come and go.
    pub(crate) fn wake_for<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        input: &Input<Raft<R>>,
    ) {
        let wakes = match input {
            Input::Request { .. } | Input::Link { .. } => true,
            Input::Message { message, .. } => !message.is_reply(),
            Input::Start
            | Input::Timer(_)
            | Input::Cancel(_)
            | Input::TaskDone { .. }
            | Input::Applied(_)
            | Input::Flush => false,
        };
        match self {
            Self::Follower(follower) if wakes => follower.wake(state, context),
            Self::Leader(leader) if wakes => leader.wake(state, context),
            Self::Follower(_) | Self::Candidate(_) | Self::Leader(_) => {}
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
