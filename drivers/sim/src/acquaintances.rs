//! Which incarnation of which node is known to whom: what a handshake between peers decides.
//!
//! A node takes a peer for what it met first, unless the members that it knows of say which incarnation
//! is meant. So a node that lost all it had counts for nobody until its new incarnation is admitted, and
//! no longer where that admission is undone.

use std::collections::BTreeMap;

use synod_engine::Incarnation;

/// The incarnation of a node that never lost anything.
const FIRST: u64 = 1;

/// Who is known to whom.
#[derive(Debug, Default)]
pub(crate) struct Acquaintances {
    /// Of nodes that lost all that they had.
    incarnations: BTreeMap<u32, u64>,
    /// By observer and node: what was met first, where that is not the first incarnation.
    met: BTreeMap<(u32, u32), u64>,
    /// By observer and node: what the members say.
    told: BTreeMap<(u32, u32), u64>,
}

impl Acquaintances {
    /// Which incarnation a node is now.
    pub(crate) fn incarnation(&self, node: u32) -> Incarnation {
        Incarnation(self.incarnations.get(&node).copied().unwrap_or(FIRST))
    }

    /// A node lost all that it had: it is new. Others that did so before are no more to it than to anybody:
    /// it shows that they did.
    pub(crate) fn lost_all(&mut self, node: u32) {
        *self.incarnations.entry(node).or_insert(FIRST) += 1;
        self.told.retain(|(observer, _), _| *observer != node);
        self.met.retain(|(observer, _), _| *observer != node);
    }

    /// Everybody takes this node for what it is now, and it takes everybody so.
    pub(crate) fn admit(&mut self, node: u32, nodes: u32) {
        for other in (0..nodes).filter(|other| *other != node) {
            self.met.insert((node, other), self.incarnation(other).0);
            self.met.insert((other, node), self.incarnation(node).0);
        }
    }

    /// Which incarnations the members mean, as far as this observer knows now.
    pub(crate) fn told(
        &mut self,
        observer: u32,
        contacts: impl Iterator<Item = (u32, Incarnation)>,
    ) {
        self.told.retain(|(by, _), _| *by != observer);
        self.told.extend(contacts.map(|(node, incarnation)| ((observer, node), incarnation.0)));
    }

    /// Whether `node` is the incarnation that `observer` counts on.
    pub(crate) fn knows(&self, observer: u32, node: u32) -> bool {
        if self.incarnations.is_empty() {
            return true;
        }
        let pair = (observer, node);
        let meant = self.told.get(&pair).or_else(|| self.met.get(&pair)).copied();
        Incarnation(meant.unwrap_or(FIRST)) == self.incarnation(node)
    }

    /// Changes whenever one of the two loses all that it had.
    pub(crate) fn generation(&self, a: u32, b: u32) -> u64 {
        if self.incarnations.is_empty() {
            return 2 * FIRST;
        }
        self.incarnation(a).0 + self.incarnation(b).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_lost_all_is_unknown_until_it_is_admitted_and_again_where_that_is_undone() {
        let mut all = Acquaintances::default();
        assert!(all.knows(0, 1));
        let before = all.generation(0, 1);
        all.lost_all(1);
        assert!(!all.knows(0, 1) && !all.knows(2, 1));
        assert!(all.knows(1, 0) && all.knows(0, 2), "who lost nothing is known to all");
        assert_ne!(all.generation(0, 1), before);
        all.told(0, [(1, all.incarnation(1))].into_iter());
        assert!(all.knows(0, 1) && !all.knows(2, 1), "0 was told of it, 2 was not");
        all.told(0, std::iter::empty());
        assert!(!all.knows(0, 1), "its admission was undone");
        all.told(0, [(1, Incarnation(1))].into_iter());
        assert!(!all.knows(0, 1), "another life of it is meant");
        all.admit(1, 3);
        assert!(all.knows(2, 1));
        all.lost_all(1);
        assert!(!all.knows(2, 1));
        all.lost_all(2);
        assert!(!all.knows(2, 1), "though it never met another");
    }
}
