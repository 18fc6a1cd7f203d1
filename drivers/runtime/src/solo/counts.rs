//! What a node counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many datagrams went which way since the node started.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Heard.
    pub received: u64,
    /// Given to the network.
    pub sent: u64,
    /// Not sent: the socket's buffer was full, or the network refused it.
    pub unsent: u64,
    /// Received and dropped, because too much waits for the disk.
    pub dropped: u64,
    /// Received and refused: no frames, of another cluster, for another node.
    pub garbage: u64,
    /// Received and refused: by or for a node in another life than the one that was met.
    pub strange: u64,
}

/// The counters themselves.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
    pub(crate) unsent: Counter,
    pub(crate) dropped: Counter,
    pub(crate) garbage: Counter,
    pub(crate) strange: Counter,
}

/// One of them.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn now(&self) -> Counts {
        Counts {
            received: self.received.now(),
            sent: self.sent.now(),
            unsent: self.unsent.now(),
            dropped: self.dropped.now(),
            garbage: self.garbage.now(),
            strange: self.strange.now(),
        }
    }
}
