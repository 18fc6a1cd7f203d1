//! What is committed and the state machine has not taken in: it lies in memory until then, so it is
//! bounded by refusing proposals and entries while it is too much.

use alloc::collections::VecDeque;

use synod_consensus::{Batch, Index};

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

    /// Bytes of entries that it has not taken in.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
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
            unapplied.size_bytes()
        });
        assert_eq!(left, [6 * noop, 3 * noop, 3 * noop, 0, 0]);
    }
}
