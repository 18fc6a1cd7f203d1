//! Ballots: what Paxos turns around.
//!
//! A ballot is ordered by round first and made unique by the proposer's id, so that no two proposers
//! ever use the same (*Paxos Made Simple* §2.5).

use core::fmt;

use serde::{Deserialize, Serialize};
use synod_consensus::Epoch;
use synod_engine::NodeId;

/// The part of an epoch that names the proposer.
const PROPOSER_BITS: u32 = 16;

/// The number of a proposal, unique to one attempt of one proposer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Ballot {
    /// Rises with every attempt, and above every round that the proposer has heard of.
    pub round: u64,
    /// Whose ballot it is.
    pub proposer: NodeId,
}

impl Ballot {
    /// Below every ballot that a proposer uses.
    pub const LOWEST: Self = Self { round: 0, proposer: NodeId(0) };

    /// The highest id of a proposer whose ballots can be epochs.
    pub const LAST_PROPOSER: NodeId = NodeId((1 << PROPOSER_BITS) - 1);

    /// The ballot as the reign of a replicated log: the order is the same.
    #[must_use]
    pub const fn epoch(self) -> Epoch {
        Epoch(self.round << PROPOSER_BITS | self.proposer.0)
    }

    /// The ballot that is this epoch.
    #[must_use]
    pub const fn of(Epoch(epoch): Epoch) -> Self {
        let proposer = NodeId(epoch & Self::LAST_PROPOSER.0);
        Self { round: epoch >> PROPOSER_BITS, proposer }
    }

    /// The first ballot of `proposer` above this one.
    #[must_use]
    pub const fn after(self, proposer: NodeId) -> Self {
        Self { round: self.round + 1, proposer }
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.round, self.proposer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_round_beats_a_higher_node_and_no_two_nodes_share_a_ballot() {
        let ballot = |round, node| Ballot { round, proposer: NodeId(node) };
        assert!(ballot(1, 3) < ballot(2, 1));
        assert!(ballot(2, 1) < ballot(2, 3));
    }

    #[test]
    fn epochs_are_ordered_as_their_ballots_are() {
        let last = Ballot::LAST_PROPOSER;
        let ballots = [(0, NodeId(1)), (1, NodeId(0)), (1, last), (2, NodeId(1)), (1 << 40, last)];
        let ballots = ballots.map(|(round, proposer)| Ballot { round, proposer });
        assert!(ballots.map(Ballot::epoch).is_sorted_by(|low, high| low < high));
        assert_eq!(ballots.map(|ballot| Ballot::of(ballot.epoch())), ballots);
        assert!(Ballot::LOWEST < ballots[0] && ballots[2] < ballots[2].after(NodeId(0)));
    }
}
