//! Votes, the rounds that they are cast in, and what voters are: what the election turns around.

use core::fmt;

use serde::{Deserialize, Serialize};
use synod_engine::NodeId;

use super::Zxid;

/// A vote for a leader, and why. Votes are ordered by epoch, then zxid, then id; the greatest wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Vote {
    /// The last epoch that the candidate took part in ("peer epoch"): ZAB's current epoch.
    pub epoch: u32,
    /// The last write in the candidate's history.
    pub zxid: Zxid,
    /// The candidate. Breaks ties.
    pub leader: NodeId,
}

impl Vote {
    /// How much the candidate knows, whoever it is.
    #[must_use]
    pub const fn standing(&self) -> (u32, Zxid) {
        (self.epoch, self.zxid)
    }
}

/// A round of an election ("logical clock", "election epoch"). Votes of different rounds have nothing
/// to do with each other. No node remembers it over a crash.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Round(pub u64);

impl Round {
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What a node is to the election.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum State {
    /// Does not know who leads.
    Looking,
    /// A voter that follows a leader.
    Following,
    /// Leads.
    Leading,
    /// Has no vote, and knows who leads.
    Observing,
}

impl fmt::Display for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (epoch {}, zxid {})", self.leader, self.epoch, self.zxid)
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Looking => "looking",
            Self::Following => "following",
            Self::Leading => "leading",
            Self::Observing => "observing",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_decides_then_the_zxid_then_the_id() {
        let vote =
            |epoch, counter, id| Vote { epoch, zxid: Zxid::new(1, counter), leader: NodeId(id) };
        assert!(vote(2, 1, 1) > vote(1, 9, 9));
        assert!(vote(1, 2, 1) > vote(1, 1, 9));
        assert!(vote(1, 1, 2) > vote(1, 1, 1));
    }
}
