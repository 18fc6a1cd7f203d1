//! What will happen, in the order of virtual time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::life::Wipe;

/// One thing that will happen; small, so that the heap moves little.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// A message in flight arrives.
    Deliver(u32),
    /// A node has timers or waiting inputs to look at.
    Wake(u32),
    /// This sync of a node's disk ends.
    Synced { node: u32, sync: u32 },
    /// Something put off, by its number in the slab.
    Later(u32),
    /// A node starts or comes back.
    Start(u32),
    /// One end of a link sees that its session is over.
    Closed { link: u32, end: u8 },
    /// A link tries to begin a session.
    Reconnect(u32),
    /// A partition ends.
    Heal(u32),
    /// The node that this partition cuts off becomes the only one that all others hear.
    Turn { partition: u32, hub: u32 },
    /// A partition that follows the leaders takes its next shape.
    Follow(u32),
    /// A node loses all that it had.
    Wipe(u32, Wipe),
    /// A fault of this kind is due.
    Mischief(Mischief),
    /// A client wakes.
    Client(u32),
}

/// The faults that come again and again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mischief {
    Crash,
    Pause,
    Partition,
    Clog,
    Swizzle,
    Stall,
    Full,
    Step,
}

/// A heap in the order of time, and of entry where times are equal.
#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Entry>,
    entered: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    key: u128,
    due: Due,
}

impl Queue {
    pub(crate) fn push(&mut self, at: u64, due: Due) {
        self.entered += 1;
        self.heap.push(Entry { key: u128::from(at) << 64 | u128::from(self.entered), due });
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Due)> {
        self.heap.pop().map(|entry| ((entry.key >> 64) as u64, entry.due))
    }

    pub(crate) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|entry| (entry.key >> 64) as u64)
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Entry {}
