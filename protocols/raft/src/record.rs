//! What survives a crash.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use synod_consensus::{Batch, Snapshot};
use synod_engine::{Blob, NodeId};
use synod_quorum::Voters;

use crate::Term;

/// The persistent state of figure 2 besides the log.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct HardState {
    /// The latest term seen (`currentTerm`).
    pub term: Term,
    /// Who got this node's vote in that term (`votedFor`).
    pub vote: Option<NodeId>,
}

/// A durable fact.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Record {
    /// The term or the vote changed.
    HardState(HardState),
    /// These entries are in the log; whatever it held from their first index on is gone.
    Entries(Batch),
    /// Everything, in place of all earlier records. The first record of every node is one.
    Checkpoint(Checkpoint),
}

/// The whole durable state.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Term and vote.
    pub hard: HardState,
    /// Who votes.
    pub voters: Voters,
    /// The state machine up to an index; `None` while that index is 0.
    pub snapshot: Option<Snapshot>,
    /// The entries after it.
    pub entries: Vec<Batch>,
}

impl synod_engine::Record for Record {
    fn is_checkpoint(&self) -> bool {
        matches!(self, Self::Checkpoint(_))
    }

    fn blob(&self) -> Option<Blob> {
        match self {
            Self::Checkpoint(checkpoint) => checkpoint.snapshot.map(|snapshot| snapshot.blob),
            Self::HardState(_) | Self::Entries(_) => None,
        }
    }
}

impl fmt::Display for HardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vote {
            Some(vote) => write!(f, "term {} vote {vote}", self.term),
            None => write!(f, "term {} no vote", self.term),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HardState(hard) => write!(f, "{hard}"),
            Self::Entries(batch) => write!(f, "entries {batch}"),
            Self::Checkpoint(Checkpoint { hard, voters, snapshot, entries }) => {
                write!(f, "checkpoint {hard} voters {voters}")?;
                if let Some(snapshot) = snapshot {
                    write!(f, " {snapshot}")?;
                }
                entries.iter().try_for_each(|batch| write!(f, " {batch}"))
            }
        }
    }
}
