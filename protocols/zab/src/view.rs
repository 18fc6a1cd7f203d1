//! The picture of a node, for traces, scripts and the lab.

use core::fmt;

use synod_consensus::{Epoch, Index};
use synod_engine::NodeId;

use crate::Zxid;

/// What a node does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    /// Looks for a leader (phase 0).
    Election,
    /// Seeks, or waits for, an epoch that a quorum accepts (phase 1).
    Discovery,
    /// Brings its followers' histories up to its own, or has its own brought up (phase 2).
    Synchronisation,
    /// Serves (phase 3).
    Broadcast,
}

/// A node at a moment. Displayed as `broadcast of n1 accepted 3 current 3 zxid 3.7 log 1..7 commit 6 applied
/// 6`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// What it does.
    pub phase: Phase,
    /// Whom it follows; itself, if it leads or was elected to.
    pub leader: Option<NodeId>,
    /// The newest epoch that it accepted.
    pub accepted: Epoch,
    /// The epoch that its history is one of.
    pub current: Epoch,
    /// The name of the last entry of its history.
    pub zxid: Zxid,
    /// The index before the first entry that it keeps.
    pub base: Index,
    /// The index of the last entry.
    pub last: Index,
    /// The last entry known to be committed.
    pub commit: Index,
    /// The last entry applied.
    pub applied: Index,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Election => "election",
            Self::Discovery => "discovery",
            Self::Synchronisation => "synchronisation",
            Self::Broadcast => "broadcast",
        })
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, leader, accepted, current, zxid, base, last, commit, applied } = self;
        write!(f, "{phase}")?;
        if let Some(leader) = leader {
            write!(f, " of {leader}")?;
        }
        write!(f, " accepted {accepted} current {current} zxid {zxid}")?;
        write!(f, " log {}..{last} commit {commit} applied {applied}", base.next())
    }
}
