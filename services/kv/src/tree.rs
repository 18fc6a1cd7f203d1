//! An ordered map whose copies take constant time: what keys hold.
//!
//! A B+ tree: leaves of some tens of entries in order, branches above them that know the first key of
//! each child. Every node is behind a reference count and is copied before it is changed if a copy of
//! the map still shares it, so a frozen state costs what changes after it, once, and nothing at
//! the moment.
//!
//! Made for what a store does: one descent finds what a key holds and replaces it. Among a million keys
//! the time goes into waiting for memory, so a leaf has one byte of each key's hash in a row: a key
//! that is there is found by one line of memory and its own, where a search by halves would touch
//! five or six. Keys lie side by side, short ones in place ([`Key`]).
//!
//! Next: `branch`, how a search finds its child.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::{fmt, mem};

use crate::key::Key;
use branch::{BRANCH, Branch, split_for};

mod branch;

/// Entries of a leaf at most: their tags fill a line of memory.
const LEAF: usize = 64;
/// The lowest bit of each byte.
const LOW_BITS: u64 = 0x0101_0101_0101_0101;

/// Keys and what they hold. Equal if they hold the same, however they came about.
pub(crate) struct Tree<V> {
    root: Arc<Node<V>>,
    len: usize,
}

#[derive(Clone)]
enum Node<V> {
    Leaf(Leaf<V>),
    Branch(Branch<V>),
}

/// Entries in order, and the tag of each.
#[derive(Clone)]
struct Leaf<V> {
    tags: [u8; LEAF],
    entries: Vec<(Key, V)>,
}

/// What an insertion did to a node.
struct Inserted<V> {
    old: Option<V>,
    /// What did not fit any more: the node after this one, and its first key.
    split: Option<(Key, Arc<Node<V>>)>,
}

impl<V> Tree<V> {
    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What a key holds.
    pub(crate) fn get(&self, key: &Key) -> Option<&V> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Branch(branch) => node = &branch.children[branch.place(key)],
                Node::Leaf(leaf) => return leaf.find(key).map(|place| &leaf.entries[place].1),
            }
        }
    }

    /// The last key.
    pub(crate) fn last(&self) -> Option<&Key> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Branch(branch) => node = branch.children.last()?,
                Node::Leaf(leaf) => return leaf.entries.last().map(|(key, _)| key),
            }
        }
    }

    /// What the keys hold from `start` on, in order.
    pub(crate) fn from<'a>(&'a self, start: &Key) -> Iter<'a, V> {
        let mut iter = Iter { above: Vec::new(), rest: [].iter() };
        let mut node = &*self.root;
        loop {
            match node {
                Node::Branch(branch) => {
                    let place = branch.place(start);
                    iter.above.push(branch.children[place + 1..].iter());
                    node = &branch.children[place];
                }
                Node::Leaf(leaf) => {
                    iter.rest = leaf.entries[leaf.place(start)..].iter();
                    return iter;
                }
            }
        }
    }

    /// All of it, in order.
    pub(crate) fn iter(&self) -> Iter<'_, V> {
        Iter { above: alloc::vec![core::slice::from_ref(&self.root).iter()], rest: [].iter() }
    }
}

impl<V: Clone> Tree<V> {
    /// Has `key` hold what `make` makes of what it held; returns that.
    pub(crate) fn replace(&mut self, key: Key, make: impl FnOnce(Option<&V>) -> V) -> Option<V> {
        let Inserted { old, split } = Node::replace(&mut self.root, key, make);
        if let Some((first, node)) = split {
            // The first key of the first child is never looked at but when a branch is split.
            let children = alloc::vec![self.root.clone(), node];
            let firsts = alloc::vec![Key::default(), first];
            self.root = Arc::new(Node::Branch(Branch::new(firsts, children)));
        }
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes a key; returns what it held.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<V> {
        // Otherwise a path that a copy shares would be copied for nothing.
        self.get(key)?;
        let old = Node::remove(Arc::make_mut(&mut self.root), key)?;
        self.len -= 1;
        while let Node::Branch(branch) = &*self.root
            && let [only] = &branch.children[..]
        {
            self.root = only.clone();
        }
        Some(old)
    }
}

impl<V: Clone> Node<V> {
    fn replace(node: &mut Arc<Self>, key: Key, make: impl FnOnce(Option<&V>) -> V) -> Inserted<V> {
        match Arc::make_mut(node) {
            Self::Branch(branch) => {
                let place = branch.place(&key);
                let Inserted { old, split } = Self::replace(&mut branch.children[place], key, make);
                let split = split.and_then(|(first, child)| branch.insert(place + 1, first, child));
                Inserted { old, split }
            }
            Self::Leaf(leaf) => match leaf.find(&key) {
                Some(place) => {
                    let held = &mut leaf.entries[place].1;
                    let value = make(Some(held));
                    Inserted { old: Some(mem::replace(held, value)), split: None }
                }
                None => {
                    let value = make(None);
                    Inserted { old: None, split: leaf.insert(key, value) }
                }
            },
        }
    }

    fn remove(&mut self, key: &Key) -> Option<V> {
        match self {
            Self::Leaf(leaf) => {
                let place = leaf.find(key)?;
                leaf.tags.copy_within(place + 1.., place);
                Some(leaf.entries.remove(place).1)
            }
            Self::Branch(branch) => {
                let place = branch.place(key);
                let child = Arc::make_mut(&mut branch.children[place]);
                let old = Self::remove(child, key)?;
                if child.len() < child.full() / 4 {
                    branch.mend(place);
                }
                Some(old)
            }
        }
    }
}

impl<V> Node<V> {
    fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.entries.len(),
            Self::Branch(branch) => branch.children.len(),
        }
    }

    fn full(&self) -> usize {
        match self {
            Self::Leaf(_) => LEAF,
            Self::Branch(_) => BRANCH,
        }
    }
}

impl<V> Leaf<V> {
    /// A leaf of these entries, which are in order.
    fn new(entries: Vec<(Key, V)>) -> Self {
        let mut tags = [0; LEAF];
        for (tag, (key, _)) in tags.iter_mut().zip(&entries) {
            *tag = key.tag();
        }
        Self { tags, entries }
    }

    /// Where a key is.
    #[inline]
    fn find(&self, key: &Key) -> Option<usize> {
        let tag = u64::from(key.tag()) * LOW_BITS;
        let (words, _) = self.tags.as_chunks();
        for (first, tags) in words.iter().enumerate() {
            // A byte is zero where the tags are the same. Its top bit, and perhaps that of some byte
            // behind it, is set.
            let differs = u64::from_le_bytes(*tags) ^ tag;
            let mut same = differs.wrapping_sub(LOW_BITS) & !differs & (LOW_BITS << 7);
            while same != 0 {
                let place = first * 8 + same.trailing_zeros() as usize / 8;
                if self.entries.get(place).is_some_and(|(other, _)| other == key) {
                    return Some(place);
                }
                same &= same - 1;
            }
        }
        None
    }

    /// Where a key is, or would be.
    fn place(&self, key: &Key) -> usize {
        self.entries.partition_point(|(other, _)| other < key)
    }

    /// Takes in a key that is not there; what does not fit any more is returned with its first key.
    fn insert(&mut self, key: Key, value: V) -> Option<(Key, Arc<Node<V>>)> {
        let place = self.place(&key);
        if self.entries.len() < LEAF {
            self.tags.copy_within(place..LEAF - 1, place + 1);
            self.tags[place] = key.tag();
            self.entries.insert(place, (key, value));
            return None;
        }
        let right = split_for(&mut self.entries, place, (key, value));
        *self = Self::new(mem::take(&mut self.entries));
        Some((right[0].0.clone(), Arc::new(Node::Leaf(Self::new(right)))))
    }
}

/// Entries in order.
pub(crate) struct Iter<'a, V> {
    above: Vec<core::slice::Iter<'a, Arc<Node<V>>>>,
    rest: core::slice::Iter<'a, (Key, V)>,
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = (&'a Key, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.rest.next() {
                return Some((key, value));
            }
            match self.above.last_mut()?.next().map(|node| &**node) {
                None => drop(self.above.pop()),
                Some(Node::Leaf(leaf)) => self.rest = leaf.entries.iter(),
                Some(Node::Branch(branch)) => self.above.push(branch.children.iter()),
            }
        }
    }
}

impl<V> Default for Tree<V> {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(Leaf::new(Vec::new()))), len: 0 }
    }
}

impl<V> Clone for Tree<V> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), len: self.len }
    }
}

impl<V: PartialEq> PartialEq for Tree<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len
            && (Arc::ptr_eq(&self.root, &other.root) || self.iter().eq(other.iter()))
    }
}

impl<V: Eq> Eq for Tree<V> {}

impl<V: fmt::Debug> fmt::Debug for Tree<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::format;

    use bytes::Bytes;
    use synod_engine::Random;

    use super::*;

    type Model = BTreeMap<Key, u64>;

    fn key(number: u64) -> Key {
        Key::from(&Bytes::from(format!("{number:05}")))
    }

    /// The depth of each leaf, and whether every node is as it may be.
    fn check<V>(node: &Node<V>, is_root: bool) -> usize {
        assert!(node.len() <= node.full() && (is_root || node.len() > 0));
        match node {
            Node::Leaf(Leaf { tags, entries }) => {
                assert!(entries.is_sorted_by(|(one, _), (next, _)| one < next));
                assert!(entries.iter().zip(tags).all(|((key, _), tag)| key.tag() == *tag));
                0
            }
            Node::Branch(branch) => {
                assert_eq!(branch.firsts.len(), branch.children.len());
                assert!(branch.firsts[1..].is_sorted_by(|one, next| one < next));
                for (place, first) in branch.firsts.iter().enumerate().skip(1) {
                    assert_eq!(branch.place(first), place, "a child is found by its first key");
                }
                let mut depths = branch.children.iter().map(|child| check(child, false));
                let depth = depths.next().expect("a branch has children");
                assert!(depths.all(|other| other == depth), "all leaves are at one depth");
                depth + 1
            }
        }
    }

    fn assert_same(tree: &Tree<u64>, model: &Model) {
        check(&tree.root, true);
        assert_eq!(tree.len(), model.len());
        assert!(tree.iter().eq(model));
        assert_eq!(tree.last(), model.last_key_value().map(|(key, _)| key));
    }

    #[test]
    fn it_holds_what_a_map_holds_and_its_copies_keep_what_they_held() {
        let mut random = Random::new(3);
        for keys in [10, 300, 20_000] {
            let (mut tree, mut model) = (Tree::default(), Model::new());
            let mut copies = Vec::new();
            for step in 0..60_000u64 {
                // Grows, then shrinks.
                let put = if step < 30_000 { 800_000 } else { 200_000 };
                let key = key(random.below(keys));
                assert_eq!(tree.get(&key), model.get(&key));
                if random.chance(put) {
                    let before = model.get(&key).copied();
                    let old = tree.replace(key.clone(), |old| {
                        assert_eq!(old.copied(), before);
                        step
                    });
                    assert_eq!(old, model.insert(key, step));
                } else {
                    assert_eq!(tree.remove(&key), model.remove(&key));
                }
                if random.chance(200) {
                    copies.push((tree.clone(), model.clone()));
                }
            }
            assert_same(&tree, &model);
            for (tree, model) in &copies {
                assert_same(tree, model);
            }
            for _ in 0..100 {
                let start = key(random.below(keys));
                assert!(tree.from(&start).eq(model.range(start.clone()..)));
            }
        }
    }

    #[test]
    fn keys_that_come_in_order_fill_their_leaves() {
        let mut tree = Tree::default();
        for number in 0..10_000 {
            tree.replace(key(number), |_| number);
        }
        let Node::Branch(root) = &*tree.root else { panic!("there are many") };
        let below = |node: &Arc<Node<u64>>| node.len();
        let nodes: usize = root.children.iter().map(below).sum();
        assert!(nodes <= 10_000 / LEAF + 2, "{nodes} leaves");
    }

    #[test]
    fn a_tree_that_was_emptied_is_like_a_new_one() {
        let mut tree = Tree::default();
        for number in 0..5_000 {
            tree.replace(key(number), |_| number);
        }
        for number in (0..5_000).rev() {
            assert_eq!(tree.remove(&key(number)), Some(number));
        }
        check(&tree.root, true);
        assert!(tree == Tree::default() && tree.len() == 0);
    }
}
