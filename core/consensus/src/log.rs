//! What a replicated log is asked, what it tells, and how it looks from outside.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use synod_engine::{Blob, Engine, NodeId, Token};

use crate::{Batch, Epoch, Index};

/// An engine that keeps one log the same on a majority of nodes.
///
/// The `Applied` input of such an engine carries the index that the local state machine has reached.
pub trait ReplicatedLog:
    Engine<Request = Request, Event = Event, Task = Task, Output = Output>
{
    /// How it looks from outside.
    fn status(&self) -> Status;
}

/// What the local user may ask of a replicated log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Append this command. Ends in [`Event::Committed`], [`Event::Refused`] or [`Event::Unknown`].
    Propose(Bytes),
    /// Name an index that a linearizable read must have reached. Ends in [`Event::ReadReady`] or
    /// [`Event::Refused`].
    Read,
}

/// What a replicated log tells its local user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// These entries are committed; each index is told once in a life, in order, without a gap.
    Committed {
        /// The entries.
        batch: Batch,
        /// Which of them were proposed by this node in this life and still waited for, in order.
        own: Vec<(Index, Token)>,
    },
    /// Everything up to the snapshot's index is committed and no longer in the log: replace the
    /// state by the snapshot.
    Install(Snapshot),
    /// These reads are linearizable once everything up to `index` is applied. Follows the events of
    /// all entries up to `index`.
    ReadReady {
        /// What must be applied first.
        index: Index,
        /// Which reads.
        tokens: Vec<Token>,
    },
    /// This request did not take effect and never will.
    Refused {
        /// Which request.
        token: Token,
        /// Why.
        refusal: Refusal,
    },
    /// This proposal may or may not take effect: leadership was lost after it was appended.
    Unknown {
        /// Which proposal.
        token: Token,
    },
    /// This node's role, leader or epoch changed.
    Leadership {
        /// Its role now.
        role: Role,
        /// Who leads, as far as it knows.
        leader: Option<NodeId>,
        /// The epoch it is in.
        epoch: Epoch,
    },
}

/// How a call to a replicated service ends, for whoever made it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome<T> {
    /// It took effect, with this result.
    Done(T),
    /// It did not take effect and never will.
    Refused(Refusal),
    /// It may or may not take effect: leadership was lost, or the node stopped, before it was known.
    Unknown,
}

/// Why a request was refused. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// Ask the leader; this may be it.
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// A bounded queue is full; ask again later.
    Busy,
    /// The command exceeds this many bytes; it will never be accepted.
    TooLarge {
        /// The bound.
        max_bytes: u64,
    },
    /// This node's disk is nearly full; what is left is kept for votes.
    DiskFull,
    /// The user gave up before it was sent on.
    Cancelled,
}

/// The state of a state machine after everything up to an index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// The last entry that it contains.
    pub index: Index,
    /// The epoch of that entry.
    pub epoch: Epoch,
    /// Where the state is.
    pub blob: Blob,
}

/// Work that a replicated log gives to its local user.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Task {
    /// Write the state, as it is after any index that was committed, to a blob. One at a time.
    Snapshot,
}

/// What became of a [`Task`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Output {
    /// The state after everything up to `index` is durable in `blob`.
    Snapshot {
        /// The last entry that it contains.
        index: Index,
        /// Where it is.
        blob: Blob,
    },
    /// No snapshot could be written (the disk is full); nothing changed.
    SnapshotFailed,
}

/// What a node is to its group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Decides the order of entries.
    Leader,
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks for votes.
    Candidate,
}

/// How a replicated log looks from outside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// This node.
    pub node: NodeId,
    /// What it is to its group.
    pub role: Role,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// The epoch it is in.
    pub epoch: Epoch,
    /// The last entry in its log, durable or not.
    pub last: Index,
    /// The last entry it knows to be committed.
    pub commit: Index,
    /// The last entry that its state machine has applied.
    pub applied: Index,
    /// The last entry in its newest snapshot.
    pub snapshot: Index,
    /// The members whose majority decides.
    pub voters: Vec<NodeId>,
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snapshot to {}@{}", self.index, self.epoch)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Committed { batch, own } => write!(f, "committed {batch} (own: {})", own.len()),
            Self::Install(snapshot) => write!(f, "install {snapshot}"),
            Self::ReadReady { index, tokens } => {
                write!(f, "ready at {index}: {} reads", tokens.len())
            }
            Self::Refused { token, refusal } => write!(f, "refused {token}: {refusal}"),
            Self::Unknown { token } => write!(f, "unknown {token}"),
            Self::Leadership { role, leader: Some(leader), epoch } => {
                write!(f, "{role} in epoch {epoch}, led by {leader}")
            }
            Self::Leadership { role, leader: None, epoch } => write!(f, "{role} in epoch {epoch}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader { leader: Some(leader) } => write!(f, "not the leader; {leader} is"),
            Self::NotLeader { leader: None } => write!(f, "no leader is known"),
            Self::Busy => write!(f, "too much is under way; try again"),
            Self::TooLarge { max_bytes } => write!(f, "larger than {max_bytes} bytes"),
            Self::DiskFull => write!(f, "the disk is full"),
            Self::Cancelled => write!(f, "cancelled"),
        }
    }
}
