//! What survives a crash.
//!
//! How far values are chosen needs no record of its own: whoever forgets it finds it out again. But that
//! means to propose everything again, so each acceptance notes what was known then, at no cost; and it is
//! made durable where members change, for from there on others decide (`role/leader/membership.rs`).

use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Serialize};
use synod_consensus::{Batch, Index, LogRecord, Membership, Snapshot};
use synod_engine::Blob;

use super::message::InBallot;
use crate::Ballot;

/// A durable fact.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Record {
    /// The acceptor has promised this ballot (*Paxos Made Simple* §2.2, phase 1b). A proposer that promised
    /// its own leads in it, and no later life of it does (§2.5).
    Promise(Ballot),
    /// The acceptor has accepted these values, in the ballot that is their epoch (§2.2, phase 2b). That
    /// implies the promise.
    Accept {
        /// The values, and of which instances.
        batch: Batch,
        /// Up to here it knew the values that it has to be chosen.
        chosen: Index,
    },
    /// Up to here the acceptor knows the values that it has to be chosen.
    Chosen(Index),
    /// Everything, with the records that it keeps. The first record of every founder is one; who joins
    /// writes its first when it takes or installs a snapshot.
    Checkpoint(Checkpoint),
}

/// The whole durable state but for values in the records that are kept.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The highest ballot promised.
    pub promised: Ballot,
    /// Who belongs to the group, as of the snapshot.
    pub members: Arc<Membership>,
    /// The state machine up to an instance; `None` while that is 0.
    pub snapshot: Option<Snapshot>,
    /// From behind here up to the snapshot the records that are kept hold what was chosen.
    pub base: Index,
    /// How many of the records right before it are kept, since they hold values: those behind the
    /// snapshot, and some before it, for nodes that lack them.
    pub keeps: u64,
}

impl synod_engine::Record for Record {
    fn checkpoint(&self) -> Option<u64> {
        match self {
            Self::Checkpoint(checkpoint) => Some(checkpoint.keeps),
            Self::Promise(_) | Self::Accept { .. } | Self::Chosen(_) => None,
        }
    }

    fn blob(&self) -> Option<Blob> {
        match self {
            Self::Checkpoint(checkpoint) => checkpoint.snapshot.map(|snapshot| snapshot.blob),
            Self::Promise(_) | Self::Accept { .. } | Self::Chosen(_) => None,
        }
    }
}

impl LogRecord for Record {
    fn entries(&self) -> Option<&Batch> {
        match self {
            Self::Accept { batch, .. } => Some(batch),
            Self::Promise(_) | Self::Chosen(_) | Self::Checkpoint(_) => None,
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Promise(ballot) => write!(f, "promise {ballot}"),
            Self::Accept { batch, chosen } => {
                write!(f, "accept {}, chosen to {chosen}", InBallot(batch))
            }
            Self::Chosen(index) => write!(f, "chosen to {index}"),
            Self::Checkpoint(Checkpoint { promised, members, snapshot, base, keeps }) => {
                write!(f, "checkpoint promised {promised} members {members}")?;
                if let Some(snapshot) = snapshot {
                    write!(f, " {snapshot}")?;
                }
                if *keeps > 0 { write!(f, " keeps {keeps} from {base}") } else { Ok(()) }
            }
        }
    }
}
