//! What clients ask of a [`Replica`](super::Replica), and what they hear.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use synod_consensus::{Change, Index, Membership, Outcome, Refusal, Role};
use synod_engine::NodeId;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call<Q> {
    /// Replicate and apply this command.
    Write(Bytes),
    /// Answer this from a state that has everything that was committed before.
    Read(Q),
    /// Change who belongs to the group.
    Change(Vec<Change>),
    /// Hand leadership over.
    Transfer(Option<NodeId>),
    /// Answer this from the state as it is, old or not.
    Stale(Q),
    /// Say what you are and who the members are.
    Ask,
}

/// What a client hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<R, A> {
    /// Of a write: what the state machine responded.
    Written(Outcome<R>),
    /// Of a read.
    Read(Outcome<A>),
    /// Of a change of members.
    Changed(Outcome<()>),
    /// Of a transfer of leadership.
    Transferred(Outcome<()>),
    /// Of a question that any state answers.
    Stale {
        /// Which life of the node answers; within one, its state never goes back.
        life: u32,
        /// The last entry in that state.
        applied: Index,
        /// What it says.
        answer: A,
    },
    /// What a node says of itself.
    Told {
        /// Its role.
        role: Role,
        /// Who leads, as far as it knows.
        leader: Option<NodeId>,
        /// The members, as far as it knows.
        members: Arc<Membership>,
    },
}

/// What a request waits for.
pub(super) enum Waits<Q> {
    Write,
    /// What is asked, and since when.
    Read(Q, Duration),
    Change,
    Transfer,
}

impl<Q> Waits<Q> {
    /// What its caller hears when it did not take effect, or may not have.
    pub(super) fn failed<R, A>(&self, how: Failed) -> Answer<R, A> {
        match self {
            Self::Write => Answer::Written(how.outcome()),
            Self::Read(..) => Answer::Read(how.outcome()),
            Self::Change => Answer::Changed(how.outcome()),
            Self::Transfer => Answer::Transferred(how.outcome()),
        }
    }
}

/// How a request ends without an effect that is known.
#[derive(Clone, Copy)]
pub(super) enum Failed {
    Refused(Refusal),
    Unknown,
}

impl Failed {
    pub(super) fn outcome<T>(self) -> Outcome<T> {
        match self {
            Self::Refused(refusal) => Outcome::Refused(refusal),
            Self::Unknown => Outcome::Unknown,
        }
    }
}
