//! Which nodes are in whose hands, and how many more may be broken for good.
//!
//! Nodes may be killed, suspended and cut off in any number: their disks remember. What a disk has lost
//! others must have, so only a minority may be without its data at a time, and a node counts as without
//! until the group has taken it in again and it has caught up.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synod_engine::Random;

/// The nodes, and what is done to them. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Atlas(Arc<Mutex<Nodes>>);

#[derive(Debug)]
struct Nodes {
    /// Those that belong to the group.
    members: BTreeSet<u64>,
    /// Those that a fault has in its hands.
    taken: BTreeSet<u64>,
    /// Those without their data.
    maimed: BTreeSet<u64>,
    /// How many may be without it at a time.
    may_be_maimed: usize,
}

impl Atlas {
    pub(super) fn new(members: impl IntoIterator<Item = u64>) -> Self {
        let members: BTreeSet<u64> = members.into_iter().collect();
        let may_be_maimed = members.len().saturating_sub(1) / 2;
        let (taken, maimed) = (BTreeSet::new(), BTreeSet::new());
        Self(Arc::new(Mutex::new(Nodes { members, taken, maimed, may_be_maimed })))
    }

    /// Those that belong to the group.
    pub(super) fn members(&self) -> Vec<u64> {
        self.lock().members.iter().copied().collect()
    }

    /// A node joined the group.
    pub(super) fn admit(&self, node: u64) {
        self.lock().members.insert(node);
    }

    /// A node left the group.
    pub(super) fn dismiss(&self, node: u64) {
        self.lock().members.remove(&node);
    }

    /// Takes this member, if it is free.
    pub(super) fn take(&self, node: u64) -> Option<Taken> {
        let mut nodes = self.lock();
        let is_free = nodes.members.contains(&node) && nodes.taken.insert(node);
        is_free.then(|| Taken { atlas: self.clone(), node, maimed: false })
    }

    /// Takes any member that is free.
    pub(super) fn take_any(&self, random: &mut Random) -> Option<Taken> {
        let free: Vec<u64> = {
            let nodes = self.lock();
            nodes.members.difference(&nodes.taken).copied().collect()
        };
        let place = (!free.is_empty()).then(|| random.below(free.len() as u64) as usize)?;
        self.take(free[place])
    }

    /// Takes all members that are free.
    pub(super) fn take_all(&self) -> Vec<Taken> {
        self.members().into_iter().filter_map(|node| self.take(node)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A node in somebody's hands; free again, and whole, when this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    atlas: Atlas,
    pub(super) node: u64,
    maimed: bool,
}

impl Taken {
    /// Whether this node may lose its data; then it counts as without until it is given back.
    pub(super) fn maim(&mut self) -> bool {
        let mut nodes = self.atlas.lock();
        self.maimed = nodes.maimed.len() < nodes.may_be_maimed;
        if self.maimed {
            nodes.maimed.insert(self.node);
        }
        self.maimed
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut nodes = self.atlas.lock();
        nodes.taken.remove(&self.node);
        nodes.maimed.remove(&self.node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_in_one_pair_of_hands() {
        let atlas = Atlas::new([1, 2, 3]);
        let one = atlas.take(1).unwrap();
        assert!(atlas.take(1).is_none() && atlas.take(4).is_none());
        assert_eq!(atlas.take_all().iter().map(|taken| taken.node).collect::<Vec<_>>(), [2, 3]);
        drop(one);
        assert_eq!(atlas.take_all().len(), 3);
    }

    #[test]
    fn only_a_minority_loses_its_data_at_a_time() {
        for (count, most) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2)] {
            let atlas = Atlas::new(1..=count);
            let mut all = atlas.take_all();
            assert_eq!(all.iter_mut().filter_map(|taken| taken.maim().then_some(())).count(), most);
            drop(all);
            let mut all = atlas.take_all();
            assert_eq!(all.iter_mut().filter_map(|taken| taken.maim().then_some(())).count(), most);
        }
    }
}
