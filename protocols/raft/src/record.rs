//! What survives a crash.

use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Serialize};
use synod_consensus::{Batch, LogRecord, Membership, Snapshot};
use synod_engine::{Blob, NodeId};

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
    /// Everything, with the records that it keeps. The first record of every founder is one; who joins
    /// writes its first when it takes or installs a snapshot.
    Checkpoint(Checkpoint),
}

/// The whole durable state but for entries in the records that are kept.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Term and vote.
    pub hard: HardState,
    /// Who belongs to the group, as of the snapshot.
    pub members: Arc<Membership>,
    /// The state machine up to an index; `None` while that index is 0.
    pub snapshot: Option<Snapshot>,
    /// How many of the records right before it hold entries that are kept: those behind the snapshot, and
    /// some before it, for followers that lack them. If none, then the log is empty behind the snapshot,
    /// whatever it was.
    pub keeps: u64,
}

impl synod_engine::Record for Record {
    fn checkpoint(&self) -> Option<u64> {
        match self {
            Self::Checkpoint(checkpoint) => Some(checkpoint.keeps),
            Self::HardState(_) | Self::Entries(_) => None,
        }
    }

    fn blob(&self) -> Option<Blob> {
        match self {
            Self::Checkpoint(checkpoint) => checkpoint.snapshot.map(|snapshot| snapshot.blob),
            Self::HardState(_) | Self::Entries(_) => None,
        }
    }
}

impl LogRecord for Record {
    fn entries(&self) -> Option<&Batch> {
        match self {
            Self::Entries(batch) => Some(batch),
            Self::HardState(_) | Self::Checkpoint(_) => None,
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
            Self::Checkpoint(Checkpoint { hard, members, snapshot, keeps }) => {
                write!(f, "checkpoint {hard} members {members}")?;
                if let Some(snapshot) = snapshot {
                    write!(f, " {snapshot}")?;
                }
                if *keeps > 0 { write!(f, " keeps {keeps}") } else { Ok(()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::{format, vec};

    use synod_consensus::{Epoch, Index, Payload};

    use super::*;

    /// A trace shows what a node wrote.
    #[test]
    fn a_record_is_told_in_words() {
        let mut hard = HardState { term: Epoch(3), vote: None };
        assert_eq!(Record::HardState(hard).to_string(), "term 3 no vote");
        hard.vote = Some(NodeId(2));
        assert_eq!(Record::HardState(hard).to_string(), "term 3 vote n2");
        let entries = Batch::new(Index(4), Epoch(3), vec![Payload::Noop; 2]);
        assert_eq!(Record::Entries(entries.clone()).to_string(), format!("entries {entries}"));
        let founders = Membership::founded_by(&[1, 2].map(NodeId).into_iter().collect());
        let (members, snapshot) = (Arc::new(founders), None);
        let mut checkpoint = Checkpoint { hard, members, snapshot, keeps: 0 };
        let told = |checkpoint: &Checkpoint| Record::Checkpoint(checkpoint.clone()).to_string();
        assert_eq!(told(&checkpoint), "checkpoint term 3 vote n2 members {n1,n2}");
        checkpoint.keeps = 5;
        assert_eq!(told(&checkpoint), "checkpoint term 3 vote n2 members {n1,n2} keeps 5");
    }
}
