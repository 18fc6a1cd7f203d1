//! Which of a node's records hold the entries of its log, so that a checkpoint knows what to keep.

use alloc::collections::VecDeque;
use core::hash::{Hash, Hasher};

use synod_consensus::{Batch, Index};

/// The records of a node, by number: those it replayed and those it persisted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    count: u64,
    /// The records with entries, each with the last of them that no later record replaces.
    entries: VecDeque<(u64, Index)>,
}

impl Written {
    /// Whether there is no record yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A record without entries was written.
    pub(crate) fn other(&mut self) {
        self.count += 1;
    }

    /// A record with these entries was written; it replaces what the log had from their first on.
    pub(crate) fn entries(&mut self, batch: &Batch) {
        self.count += 1;
        let before = Index(batch.first().0 - 1);
        for (_, last) in self.entries.iter_mut().rev().take_while(|(_, last)| *last > before) {
            *last = before;
        }
        self.entries.push_back((self.count, batch.last()));
    }

    /// How many of the newest records a checkpoint must keep that covers everything up to `index`.
    pub(crate) fn behind(&mut self, index: Index) -> u64 {
        while self.entries.pop_front_if(|(_, last)| *last <= index).is_some() {}
        self.entries.front().map_or(0, |(number, _)| self.count + 1 - number)
    }

    /// The log was given up: no record holds entries.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

/// Seen from the newest record: how many there were before makes no difference.
impl Hash for Written {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for (number, last) in &self.entries {
            (self.count - number, last).hash(hasher);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use synod_consensus::{Epoch, Payload};

    use super::*;

    fn batch(first: u64, last: u64) -> Batch {
        let count = (last - first + 1) as usize;
        Batch::new(Index(first), Epoch(1), vec![Payload::Noop; count])
    }

    #[test]
    fn a_checkpoint_keeps_what_reaches_beyond_it_and_all_that_follows() {
        let mut written = Written::default();
        written.other();
        written.entries(&batch(1, 10));
        written.entries(&batch(11, 20));
        written.other();
        assert_eq!(written.behind(Index(5)), 3);
        assert_eq!(written.behind(Index(10)), 2);
        assert_eq!(written.behind(Index(20)), 0);
    }

    #[test]
    fn entries_that_were_replaced_keep_no_record() {
        let mut written = Written::default();
        written.entries(&batch(1, 20));
        written.entries(&batch(12, 14));
        written.entries(&batch(15, 15));
        assert_eq!(written.behind(Index(11)), 2);
        assert_eq!(written.behind(Index(14)), 1);
        assert_eq!(written.behind(Index(15)), 0);
    }
}
