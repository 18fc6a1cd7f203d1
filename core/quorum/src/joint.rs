//! Who decides while the voters change: two sets at once.

use core::fmt;

use synod_engine::NodeId;

use crate::{Outcome, Tally, Voters};

/// The voters whose majority decides and, during a joint change, the ones before them, of whom a
/// majority must agree as well (Raft §6, "joint consensus"). So no decision of the old set and none of
/// the new one can miss each other, however far apart the two sets are.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Quorum {
    incoming: Voters,
    outgoing: Voters,
}

impl Quorum {
    /// A majority of `voters` decides.
    #[must_use]
    pub fn of(voters: Voters) -> Self {
        Self { incoming: voters, outgoing: Voters::default() }
    }

    /// A majority of `incoming` and one of `outgoing` decide together; if `outgoing` is empty,
    /// `incoming` alone.
    #[must_use]
    pub fn joint(incoming: Voters, outgoing: Voters) -> Self {
        Self { incoming, outgoing }
    }

    /// The voters from here on.
    #[must_use]
    pub fn incoming(&self) -> &Voters {
        &self.incoming
    }

    /// The voters until now; empty unless a joint change is under way.
    #[must_use]
    pub fn outgoing(&self) -> &Voters {
        &self.outgoing
    }

    /// Whether a joint change is under way.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether there is nobody to decide.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.incoming.is_empty()
    }

    /// Whether `node` votes in either set.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.incoming.contains(node) || self.outgoing.contains(node)
    }

    /// Everyone who votes, those of the incoming set first.
    pub fn iter(&self) -> impl Iterator<Item = NodeId> + '_ {
        let leaving = self.outgoing.iter().filter(|node| !self.incoming.contains(*node));
        self.incoming.iter().chain(leaving)
    }

    /// Whether the nodes that `member` selects decide.
    pub fn is_quorum(&self, member: impl Fn(NodeId) -> bool) -> bool {
        self.incoming.is_quorum(&member)
            && (self.outgoing.is_empty() || self.outgoing.is_quorum(&member))
    }

    /// The highest position that a quorum has reached, where `position` tells what each voter has;
    /// `None` where there are no voters.
    pub fn reached<P: Ord + Copy>(&self, position: impl Fn(NodeId) -> P) -> Option<P> {
        let incoming = self.incoming.reached(&position)?;
        let outgoing = self.outgoing.reached(&position).unwrap_or(incoming);
        Some(incoming.min(outgoing))
    }

    /// What the answers in `tally` amount to: won in both sets, or lost in either.
    #[must_use]
    pub fn outcome(&self, tally: &Tally) -> Outcome {
        let incoming = tally.outcome(&self.incoming);
        if !self.is_joint() {
            return incoming;
        }
        match (incoming, tally.outcome(&self.outgoing)) {
            (Outcome::Won, Outcome::Won) => Outcome::Won,
            (Outcome::Lost, _) | (_, Outcome::Lost) => Outcome::Lost,
            (Outcome::Open, _) | (_, Outcome::Open) => Outcome::Open,
        }
    }
}

impl From<Voters> for Quorum {
    fn from(voters: Voters) -> Self {
        Self::of(voters)
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_joint() {
            write!(f, "{}&{}", self.incoming, self.outgoing)
        } else {
            write!(f, "{}", self.incoming)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters<const N: usize>(ids: [u64; N]) -> Voters {
        Voters::new(ids.map(NodeId))
    }

    #[test]
    fn both_sets_decide_together() {
        let quorum = Quorum::joint(voters([1, 4, 5]), voters([1, 2, 3]));
        let agree = |ids: &'static [u64]| quorum.is_quorum(|node| ids.contains(&node.0));
        assert!(!agree(&[1, 2, 3]) && !agree(&[1, 4, 5]) && !agree(&[4, 5, 2]));
        assert!(agree(&[1, 2, 4]) && agree(&[2, 3, 4, 5]));
        assert_eq!(
            quorum.iter().map(|node| node.0).collect::<alloc::vec::Vec<_>>(),
            [1, 4, 5, 2, 3]
        );
    }

    #[test]
    fn what_is_reached_is_reached_by_both() {
        let quorum = Quorum::joint(voters([1, 4, 5]), voters([1, 2, 3]));
        let positions = [9, 2, 3, 7, 8];
        assert_eq!(quorum.reached(|node| positions[node.0 as usize - 1]), Some(3));
        assert_eq!(
            Quorum::of(voters([1, 4, 5])).reached(|node| positions[node.0 as usize - 1]),
            Some(8)
        );
        assert_eq!(Quorum::default().reached(|_| 1), None);
    }

    #[test]
    fn a_joint_election_is_won_in_both_sets_and_lost_in_either() {
        let quorum = Quorum::joint(voters([1, 4, 5]), voters([1, 2, 3]));
        let mut tally = Tally::default();
        tally.record(NodeId(1), true);
        tally.record(NodeId(4), true);
        assert_eq!(quorum.outcome(&tally), Outcome::Open);
        tally.record(NodeId(2), false);
        assert_eq!(quorum.outcome(&tally), Outcome::Open);
        let mut lost = tally.clone();
        lost.record(NodeId(3), false);
        assert_eq!(quorum.outcome(&lost), Outcome::Lost);
        tally.record(NodeId(3), true);
        assert_eq!(quorum.outcome(&tally), Outcome::Won);
    }
}
