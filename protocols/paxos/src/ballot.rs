//! Ballots: what Paxos turns around.
//!
//! A ballot is ordered by round first and made unique by the proposer's id, so that no two proposers
//! ever use the same (*Paxos Made Simple* §2.5).

use core::fmt;

use serde::{Deserialize, Serialize};
use synod_engine::NodeId;

/// The number of a proposal, unique to one attempt of one proposer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Ballot {
    /// Rises with every attempt, and above every round that the proposer has heard of.
    pub round: u64,
    /// Whose ballot it is.
    pub proposer: NodeId,
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
}
