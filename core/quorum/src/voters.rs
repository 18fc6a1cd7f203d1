//! A set of nodes that decide by majority.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use synod_engine::NodeId;

/// A group of more voters is unusual.
const FEW: usize = 9;

/// The nodes whose majority decides, in order of their ids.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<NodeId>")]
pub struct Voters(Vec<NodeId>);

impl Voters {
    /// These nodes, each once. An empty set has no quorum and decides nothing.
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let mut nodes: Vec<_> = nodes.into_iter().collect();
        nodes.sort_unstable();
        nodes.dedup();
        Self(nodes)
    }

    /// Whether `node` is one of them.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.0.binary_search(&node).is_ok()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.0.iter().copied()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many make a majority.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// Whether the voters that `member` selects are a majority.
    pub fn is_quorum(&self, mut member: impl FnMut(NodeId) -> bool) -> bool {
        self.iter().filter(|node| member(*node)).count() >= self.majority()
    }

    /// The highest position that a majority has reached, where `position` tells what each voter has;
    /// `None` where there are no voters.
    pub fn reached<P: Ord + Copy>(&self, position: impl Fn(NodeId) -> P) -> Option<P> {
        // On the stack for groups of usual size: this is asked at every commit.
        let mut few = [None; FEW];
        let mut many = Vec::new();
        let positions = if self.len() <= FEW {
            &mut few[..self.len()]
        } else {
            many.resize(self.len(), None);
            &mut many[..]
        };
        for (place, node) in positions.iter_mut().zip(self.iter()) {
            *place = Some(position(node));
        }
        positions.sort_unstable();
        // As many as are no majority may be behind it.
        *positions.get(self.len().checked_sub(self.majority())?)?
    }
}

impl From<Vec<NodeId>> for Voters {
    fn from(nodes: Vec<NodeId>) -> Self {
        Self::new(nodes)
    }
}

impl FromIterator<NodeId> for Voters {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        Self::new(nodes)
    }
}

impl fmt::Display for Voters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (place, node) in self.iter().enumerate() {
            write!(f, "{}{node}", if place == 0 { "" } else { "," })?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(count: u64) -> Voters {
        Voters::new((1..=count).map(NodeId))
    }

    #[test]
    fn a_majority_is_more_than_half() {
        assert_eq!([1, 2, 3, 4, 5].map(|n| voters(n).majority()), [1, 2, 2, 3, 3]);
    }

    #[test]
    fn what_a_majority_reached_is_the_median_or_below() {
        let acknowledged = [9, 4, 7, 1, 5];
        let at = |node: NodeId| acknowledged[node.0 as usize - 1];
        assert_eq!(voters(5).reached(at), Some(5));
        assert_eq!(voters(4).reached(at), Some(4));
        assert_eq!(voters(1).reached(at), Some(9));
        assert_eq!(voters(0).reached(at), None);
        assert_eq!(voters(20).reached(|node| node.0), Some(10));
        assert_eq!(voters(21).reached(|node| node.0), Some(11));
    }

    #[test]
    fn no_voters_are_no_quorum() {
        assert!(!voters(0).is_quorum(|_| true));
    }
}
