//! Counting votes, each voter once.

use alloc::collections::BTreeMap;

use synod_engine::NodeId;

use crate::Voters;

/// The votes received so far. A voter's first answer counts.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Tally(BTreeMap<NodeId, bool>);

/// What a tally says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// A majority granted.
    Won,
    /// So many refused that no majority can grant any more.
    Lost,
    /// Not decided yet.
    Open,
}

impl Tally {
    /// Takes in an answer; a second one of the same node changes nothing.
    pub fn record(&mut self, node: NodeId, granted: bool) {
        self.0.entry(node).or_insert(granted);
    }

    /// What the answers of `voters` amount to; others are not counted.
    #[must_use]
    pub fn outcome(&self, voters: &Voters) -> Outcome {
        let answered = |wanted| move |node| self.0.get(&node) == Some(&wanted);
        if voters.is_quorum(answered(true)) {
            return Outcome::Won;
        }
        let refused = voters.iter().filter(|node| self.0.get(node) == Some(&false)).count();
        if voters.len() - refused < voters.majority() { Outcome::Lost } else { Outcome::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_and_second_answers_do_not_count() {
        let voters = Voters::new([1, 2, 3].map(NodeId));
        let mut tally = Tally::default();
        tally.record(NodeId(1), true);
        tally.record(NodeId(9), true);
        tally.record(NodeId(2), false);
        tally.record(NodeId(2), true);
        assert_eq!(tally.outcome(&voters), Outcome::Open);
        tally.record(NodeId(3), true);
        assert_eq!(tally.outcome(&voters), Outcome::Won);
    }

    #[test]
    fn an_election_is_lost_once_no_majority_can_grant() {
        let voters = Voters::new([1, 2, 3, 4].map(NodeId));
        let mut tally = Tally::default();
        tally.record(NodeId(1), false);
        assert_eq!(tally.outcome(&voters), Outcome::Open);
        tally.record(NodeId(2), false);
        assert_eq!(tally.outcome(&voters), Outcome::Lost);
    }
}
