//! Which incarnation of which node is known to whom: what a handshake between peers decides.
//!
//! A node takes a peer for what it met first, unless the members that it knows of say which incarnation
//! is meant. So a node that lost all it had counts for nobody until its new incarnation is admitted, and
//! no longer where that admission is undone.

use std::collections::BTreeMap;

use synod_engine::Incarnation;

use crate::life::Wipe;

/// The incarnation of a node that never lost anything.
const FIRST: Incarnation = Incarnation::founder(0);

/// Who is known to whom.
#[derive(Debug, Default)]
pub(crate) struct Acquaintances {
    /// Of nodes that lost all that they had.
    reborn: BTreeMap<u32, Reborn>,
    /// By observer and node: what was met first, where that is not the first incarnation.
    met: BTreeMap<(u32, u32), Incarnation>,
    /// By observer and node: what the members say.
    told: BTreeMap<(u32, u32), Incarnation>,
}

#[derive(Clone, Copy, Debug)]
struct Reborn {
    /// How often it lost all.
    times: u64,
    incarnation: Incarnation,
}

impl Acquaintances {
    /// Which incarnation a node is now.
    pub(crate) fn incarnation(&self, node: u32) -> Incarnation {
        self.reborn.get(&node).map_or(FIRST, |reborn| reborn.incarnation)
    }

    /// A node lost all that it had: it is new. Others that did so before are no more to it than to anybody:
    /// it shows that they did.
    pub(crate) fn lost_all(&mut self, node: u32, wipe: Wipe) {
        let incarnation = self.next(node, wipe);
        let times = self.times(node) + 1;
        self.reborn.insert(node, Reborn { times, incarnation });
        self.told.retain(|(observer, _), _| *observer != node);
        self.met.retain(|(observer, _), _| *observer != node);
    }

    /// Which incarnation a node will be that loses all that it has now.
    pub(crate) fn next(&self, node: u32, wipe: Wipe) -> Incarnation {
        let name = 2 * (self.times(node) + 1);
        match wipe {
            Wipe::Repaired => Incarnation::newcomer(name),
            Wipe::Emptied => Incarnation::founder(name),
        }
    }

    fn times(&self, node: u32) -> u64 {
        self.reborn.get(&node).map_or(0, |reborn| reborn.times)
    }

    /// Everybody takes this node for what it is now, and it takes everybody so.
    pub(crate) fn admit(&mut self, node: u32, nodes: u32) {
        for other in (0..nodes).filter(|other| *other != node) {
            self.met.insert((node, other), self.incarnation(other));
            self.met.insert((other, node), self.incarnation(node));
        }
    }

    /// Which incarnations the members mean, as far as this observer knows now.
    pub(crate) fn told(
        &mut self,
        observer: u32,
        contacts: impl Iterator<Item = (u32, Incarnation)>,
    ) {
        self.told.retain(|(by, _), _| *by != observer);
        self.told.extend(contacts.map(|(node, incarnation)| ((observer, node), incarnation)));
    }

    /// Whether `node` is the incarnation that `observer` counts on.
    pub(crate) fn knows(&self, observer: u32, node: u32) -> bool {
        if self.reborn.is_empty() {
            return true;
        }
        let pair = (observer, node);
        let meant = self.told.get(&pair).or_else(|| self.met.get(&pair)).copied();
        meant.unwrap_or(FIRST) == self.incarnation(node)
    }

    /// Whether `observer` lets `node` not speak at all: its directory was emptied, and it does not show.
    pub(crate) fn refuses(&self, observer: u32, node: u32) -> bool {
        let is_emptied =
            self.reborn.get(&node).is_some_and(|reborn| !reborn.incarnation.is_newcomer());
        is_emptied && !self.knows(observer, node)
    }

    /// Changes whenever one of the two loses all that it had.
    pub(crate) fn generation(&self, a: u32, b: u32) -> u64 {
        self.times(a) + self.times(b)
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
        all.lost_all(1, Wipe::Repaired);
        assert!(!all.knows(0, 1) && !all.knows(2, 1));
        assert!(all.knows(1, 0) && all.knows(0, 2), "who lost nothing is known to all");
        assert_ne!(all.generation(0, 1), before);
        assert!(all.incarnation(1).is_newcomer(), "a repaired directory shows");
        all.told(0, [(1, all.incarnation(1))].into_iter());
        assert!(all.knows(0, 1) && !all.knows(2, 1), "0 was told of it, 2 was not");
        all.told(0, std::iter::empty());
        assert!(!all.knows(0, 1), "its admission was undone");
        all.told(0, [(1, FIRST)].into_iter());
        assert!(!all.knows(0, 1), "another life of it is meant");
        all.admit(1, 3);
        assert!(all.knows(2, 1));
        all.lost_all(1, Wipe::Repaired);
        assert!(!all.knows(2, 1));
        all.lost_all(2, Wipe::Emptied);
        assert!(!all.knows(2, 1), "though it never met another");
        assert!(all.refuses(0, 2) && !all.refuses(0, 1), "only who takes itself for a founder");
    }
}
