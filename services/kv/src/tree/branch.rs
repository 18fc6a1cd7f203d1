//! A branch of the tree: which child a key is in.
//!
//! A search by halves among keys that lie side by side still looks at six of them. So a branch has the
//! eight bytes in which its keys first differ in a row: those tell nearly always.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::mem;

use super::{Leaf, Node};
use crate::key::Key;

/// Children of a branch at most.
pub(super) const BRANCH: usize = 64;

/// Children, each with its first key; that of the first child may be any key up to its own, and is never
/// looked at.
#[derive(Clone)]
pub(super) struct Branch<V> {
    pub(super) firsts: Vec<Key>,
    pub(super) children: Vec<Arc<Node<V>>>,
    /// How many bytes all first keys begin with.
    shared: usize,
    /// The eight bytes behind those, of each: a search among them seldom has to look at a key.
    heads: Vec<u64>,
}

impl<V> Branch<V> {
    pub(super) fn new(firsts: Vec<Key>, children: Vec<Arc<Node<V>>>) -> Self {
        let mut branch = Self { firsts, children, shared: 0, heads: Vec::new() };
        branch.index();
        branch
    }

    /// The first keys changed: the heads follow.
    fn index(&mut self) {
        let firsts = self.firsts.get(1..).unwrap_or(&[]);
        // They are in order: what the outer two share, all do.
        self.shared = match firsts {
            [one, .., last] => {
                one.iter().zip(last.iter()).take_while(|(one, last)| one == last).count()
            }
            [] | [_] => 0,
        };
        self.heads.clear();
        self.heads.extend(firsts.iter().map(|first| first.word(self.shared)));
    }

    /// The child in which `key` is, or would be.
    pub(super) fn place(&self, key: &Key) -> usize {
        let Some(first) = self.firsts.get(1) else { return 0 };
        match key.iter().take(self.shared).cmp(first.iter().take(self.shared)) {
            Ordering::Less => return 0,
            Ordering::Greater => return self.heads.len(),
            Ordering::Equal => {}
        }
        let head = key.word(self.shared);
        let place = self.heads.partition_point(|other| *other < head);
        // Keys with the same head, if there are any, have to be looked at.
        let same = self.heads[place..].partition_point(|other| *other == head);
        place + self.firsts[place + 1..][..same].partition_point(|first| first <= key)
    }

    /// Takes in a child; what does not fit any more is returned with its first key.
    pub(super) fn insert(
        &mut self,
        place: usize,
        first: Key,
        child: Arc<Node<V>>,
    ) -> Option<(Key, Arc<Node<V>>)> {
        let split = if self.children.len() < BRANCH {
            self.firsts.insert(place, first);
            self.children.insert(place, child);
            None
        } else {
            let firsts = split_for(&mut self.firsts, place, first);
            let children = split_for(&mut self.children, place, child);
            Some((firsts[0].clone(), Arc::new(Node::Branch(Self::new(firsts, children)))))
        };
        self.index();
        split
    }
}

impl<V: Clone> Branch<V> {
    /// Joins a child that has become small with one beside it, if both fit into one with room to spare;
    /// an empty one goes.
    pub(super) fn mend(&mut self, place: usize) {
        if self.children[place].len() == 0 {
            self.firsts.remove(place);
            self.children.remove(place);
            return self.index();
        }
        let left = place.saturating_sub(1);
        let Some(right) = self.children.get(left + 1) else { return };
        if self.children[left].len() + right.len() > right.full() * 3 / 4 {
            return;
        }
        let first = self.firsts.remove(left + 1);
        let right = Arc::unwrap_or_clone(self.children.remove(left + 1));
        match (Arc::make_mut(&mut self.children[left]), right) {
            (Node::Leaf(left), Node::Leaf(mut right)) => {
                left.entries.append(&mut right.entries);
                *left = Leaf::new(mem::take(&mut left.entries));
            }
            (Node::Branch(left), Node::Branch(mut right)) => {
                right.firsts[0] = first;
                left.firsts.append(&mut right.firsts);
                left.children.append(&mut right.children);
                left.index();
            }
            (Node::Leaf(_), Node::Branch(_)) | (Node::Branch(_), Node::Leaf(_)) => {
                unreachable!("all leaves are at one depth")
            }
        }
        self.index();
    }
}

/// Puts `item` at `place` of `items`, which are full; returns the latter half. What is added at the
/// end stays alone there: keys that come in order leave full nodes behind.
pub(super) fn split_for<T>(items: &mut Vec<T>, place: usize, item: T) -> Vec<T> {
    if place == items.len() {
        return alloc::vec![item];
    }
    let half = items.len() / 2;
    let mut right = items.split_off(half);
    if place <= half {
        items.insert(place, item);
    } else {
        right.insert(place - half, item);
    }
    right
}
