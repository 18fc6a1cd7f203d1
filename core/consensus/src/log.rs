//! What a replicated log is asked, what it tells, and how it looks from outside.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use synod_engine::{Blob, Engine, NodeId, Token};

use crate::{BadChange, Batch, Change, Epoch, Index, Membership};

/// An engine that keeps one log the same on a majority of nodes.
///
/// The `Applied` input of such an engine carries the index that the local state machine has reached.
pub trait ReplicatedLog:
    Engine<Request = Request, Event = Event, Task = Task, Output = Output, Record: LogRecord>
{
    /// How it looks from outside.
    fn status(&self) -> Status;
}

/// What a driver that reads old log must know of a record.
pub trait LogRecord: synod_engine::Record {
    /// The entries in it.
    fn entries(&self) -> Option<&Batch>;
}

/// What the local user may ask of a replicated log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Append this command. Ends in [`Event::Committed`], [`Event::Refused`] or [`Event::Unknown`].
    Propose(Bytes),
    /// Name an index that a linearizable read must have reached. Any member may be asked. Ends in
    /// [`Event::ReadReady`] or [`Event::Refused`].
    Read,
    /// Change who belongs to the group; these wishes together are one change. Ends like a proposal.
    Change(Vec<Change>),
    /// Hand leadership to this voter, or to the best one. Ends in [`Event::Transferred`] or
    /// [`Event::Refused`].
    Transfer(Option<NodeId>),
    /// Write a snapshot though none is due, and shorten the log: the disk that all groups of a node share
    /// is short of room. A wish, of any member; no event answers it.
    Compact,
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
    /// This request did not take effect and never will; but a successor that was told to take over may
    /// still do so after its transfer was refused.
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
    /// Leadership was handed over, as this request asked.
    Transferred {
        /// Which request.
        token: Token,
    },
    /// Who belongs to the group, as this node knows it from here on. The change may still be undone
    /// as long as its entry is not committed.
    Members(Arc<Membership>),
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
    /// The disk of the node that was asked is nearly full; what is left is kept for votes.
    DiskFull {
        /// Which node.
        node: NodeId,
        /// Proposals are taken again once more than this is free.
        reserve_bytes: u64,
    },
    /// The user gave up before it was sent on.
    Cancelled,
    /// Another change of members, or a transfer of leadership, is under way, or a new leader has not
    /// committed its first entry; ask again later.
    ChangePending,
    /// This learner lacks so many entries that it would hold up commits; ask again later.
    NotCaughtUp {
        /// Which learner.
        node: NodeId,
        /// How many entries it lacks.
        behind: u64,
    },
    /// So few of those who would vote answer the leader that the change could not be committed, nor
    /// anything after it; ask again when more are up, or remove those who are not first.
    TooFewVoters,
    /// The change makes no sense.
    BadChange(BadChange),
    /// Leadership cannot be handed over: no such voter, or none that is up to date and may lead, or
    /// it did not take it in time.
    NoSuccessor,
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

/// Work that a replicated log gives to its local user and to its driver.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Task {
    /// Write the state, as it is after any index that was committed, to a blob. One at a time.
    Snapshot,
    /// Read what these records hold of the log, in their order. Records are counted from 1, the first
    /// that this engine replayed, or persisted if there was none to replay.
    ReadLog {
        /// The first record.
        first: u64,
        /// The last.
        last: u64,
    },
}

/// What became of a [`Task`].
#[derive(Clone, PartialEq, Eq, Debug)]
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
    /// What those records hold of the log, in their order.
    Log(Vec<Batch>),
    /// Some of those records are gone, or cannot be read.
    LogFailed,
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
    /// Who belongs to the group.
    pub members: Arc<Membership>,
    /// Whether the entry that says so is committed.
    pub members_settled: bool,
    /// What a leader knows of the other members; empty for everyone else.
    pub peers: Vec<Peer>,
}

/// What a leader knows of another member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// Which one.
    pub node: NodeId,
    /// Up to here its log is durable and agrees with the leader's.
    pub matched: Index,
    /// Whether it gets the log from a snapshot, since what it lacks is no longer in the leader's.
    pub installs: bool,
    /// Whether it answered lately.
    pub heard: bool,
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
            Self::Transferred { token } => write!(f, "transferred {token}"),
            Self::Members(members) => write!(f, "members {members}"),
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
            Self::DiskFull { node, reserve_bytes } => write!(
                f,
                "the disk of {node} is full: it keeps a reserve of {reserve_bytes} bytes; free space \
                 there"
            ),
            Self::Cancelled => write!(f, "cancelled"),
            Self::ChangePending => {
                write!(
                    f,
                    "a change of members or leader is under way, or the leader is new; try again"
                )
            }
            Self::NotCaughtUp { node, behind } => {
                write!(f, "{node} still lacks {behind} entries; try again when it has caught up")
            }
            Self::TooFewVoters => {
                write!(f, "too few of those who would vote are up; nothing could be committed")
            }
            Self::BadChange(bad) => write!(f, "{bad}"),
            Self::NoSuccessor => write!(f, "no voter could take over"),
        }
    }
}
