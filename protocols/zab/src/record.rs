//! What survives a crash.

use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Serialize};
use synod_consensus::{Batch, Epoch, Index, LogRecord, Membership, Snapshot};
use synod_engine::{Blob, NodeId};

/// What a node promised, and what its history is a history of.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Epochs {
    /// The newest epoch that it accepted (`acceptedEpoch`, f.p in the paper): it takes nothing from the
    /// leaders of earlier ones.
    pub accepted: Epoch,
    /// The leader that it accepted it of.
    pub leader: Option<NodeId>,
    /// The epoch whose leader it last took the history of (`currentEpoch`, f.a in the paper).
    pub current: Epoch,
    /// The last entry before those of the current epoch: they are counted from here.
    pub began: Index,
}

/// A durable fact.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Record {
    /// The accepted or the current epoch changed.
    Epochs(Epochs),
    /// These entries are in the history; whatever it held from their first index on is gone.
    Entries(Batch),
    /// The history ends with this index (TRUNC).
    Truncated(Index),
    /// Everything, with the records that it keeps. The first record of every founder is one; who joins
    /// writes its first when it takes or installs a snapshot.
    Checkpoint(Checkpoint),
}

/// The whole durable state but for entries in the records that are kept.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Accepted and current epoch.
    pub epochs: Epochs,
    /// Who belongs to the group, as of the snapshot.
    pub members: Arc<Membership>,
    /// The state machine up to an index; `None` while that index is 0.
    pub snapshot: Option<Snapshot>,
    /// The last entry before those of the epoch of the snapshot's last: they are counted from here.
    pub began: Index,
    /// How many of the records right before it hold entries that are kept: those behind the snapshot, and
    /// some before it, for followers that lack them. If none, then the history is empty behind the
    /// snapshot, whatever it was.
    pub keeps: u64,
}

impl synod_engine::Record for Record {
    fn checkpoint(&self) -> Option<u64> {
        match self {
            Self::Checkpoint(checkpoint) => Some(checkpoint.keeps),
            Self::Epochs(_) | Self::Entries(_) | Self::Truncated(_) => None,
        }
    }

    fn blob(&self) -> Option<Blob> {
        match self {
            Self::Checkpoint(checkpoint) => checkpoint.snapshot.map(|snapshot| snapshot.blob),
            Self::Epochs(_) | Self::Entries(_) | Self::Truncated(_) => None,
        }
    }
}

impl LogRecord for Record {
    fn entries(&self) -> Option<&Batch> {
        match self {
            Self::Entries(batch) => Some(batch),
            Self::Epochs(_) | Self::Truncated(_) | Self::Checkpoint(_) => None,
        }
    }
}

impl fmt::Display for Epochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "accepted {}", self.accepted)?;
        if let Some(leader) = self.leader {
            write!(f, " of {leader}")?;
        }
        write!(f, " current {}", self.current)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epochs(epochs) => write!(f, "{epochs}"),
            Self::Entries(batch) => write!(f, "entries {batch}"),
            Self::Truncated(last) => write!(f, "truncated behind {last}"),
            Self::Checkpoint(Checkpoint { epochs, members, snapshot, keeps, .. }) => {
                write!(f, "checkpoint {epochs} members {members}")?;
                if let Some(snapshot) = snapshot {
                    write!(f, " {snapshot}")?;
                }
                if *keeps > 0 { write!(f, " keeps {keeps}") } else { Ok(()) }
            }
        }
    }
}
