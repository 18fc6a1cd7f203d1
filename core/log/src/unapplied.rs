//! What is committed and the state machine has not taken in: it lies in memory until then, so it is
//! bounded by refusing proposals and entries while it is too much.

use alloc::collections::VecDeque;

use synod_consensus::{Batch, Index};

use crate::Bounds;

/// The batches between the commit index and what is applied, by size.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Unapplied {
    batches: VecDeque<(Index, usize)>,
    size_bytes: usize,
}

impl Unapplied {
    /// The user is told that this is committed.
    pub fn committed(&mut self, batch: &Batch) {
        self.batches.push_back((batch.last(), batch.size_bytes()));
        self.size_bytes += batch.size_bytes();
    }

    /// The state machine has taken in everything up to `index`.
    pub fn applied(&mut self, index: Index) {
        while let Some((_, size_bytes)) = self.batches.pop_front_if(|(last, _)| *last <= index) {
            self.size_bytes -= size_bytes;
        }
    }

    /// Whether it is too far behind to be given more, while so many entries are committed and not applied.
    #[must_use]
    pub fn lags(&self, bounds: &Bounds, entries: u64) -> bool {
        entries > bounds.max_unapplied_entries || self.size_bytes > bounds.max_unapplied_bytes
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use synod_consensus::{Epoch, Payload};

    use super::*;

    #[test]
    fn a_batch_counts_until_its_last_entry_is_applied() {
        let mut unapplied = Unapplied::default();
        for first in [1, 4] {
            unapplied.committed(&Batch::new(Index(first), Epoch(1), vec![Payload::Noop; 3]));
        }
        let noop = Payload::Noop.size_bytes();
        let left = [2, 3, 5, 6, 6].map(|index| {
            unapplied.applied(Index(index));
            unapplied.size_bytes
        });
        assert_eq!(left, [6 * noop, 3 * noop, 3 * noop, 0, 0]);
    }

    #[test]
    fn it_lags_beyond_a_bound_of_entries_or_of_bytes() {
        let mut unapplied = Unapplied::default();
        unapplied.committed(&Batch::new(Index(1), Epoch(1), vec![Payload::Noop; 3]));
        let lags = |max_unapplied_bytes, entries| {
            let max_unapplied_entries = 3;
            let bounds = Bounds { max_unapplied_entries, max_unapplied_bytes, ..Bounds::default() };
            unapplied.lags(&bounds, entries)
        };
        let bytes = 3 * Payload::Noop.size_bytes();
        assert_eq!([lags(bytes, 3), lags(bytes, 4), lags(bytes - 1, 3)], [false, true, true]);
    }
}
