//! The log in memory: batches that are shared with the disk, the peers and the state machine.

use alloc::collections::VecDeque;
use core::fmt;

use serde::{Deserialize, Serialize};
use synod_consensus::{Batch, Index};

use crate::Term;

/// An entry's identity: no two different entries share it (Log Matching, figure 3).
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize,
)]
pub struct EntryId {
    /// Its term; first, since the up-to-date comparison of §5.4.1 looks at it first.
    pub term: Term,
    /// Its place.
    pub index: Index,
}

/// The entries after `base`, without a gap.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Log {
    base: EntryId,
    batches: VecDeque<Batch>,
    size_bytes: usize,
}

impl Log {
    /// An empty log that goes on after `base`.
    #[must_use]
    pub fn after(base: EntryId) -> Self {
        Self { base, batches: VecDeque::new(), size_bytes: 0 }
    }

    /// The entry before the first: everything up to it was compacted away.
    #[must_use]
    pub fn base(&self) -> EntryId {
        self.base
    }

    /// The last entry, or the base if there is none.
    #[must_use]
    pub fn last(&self) -> EntryId {
        self.batches
            .back()
            .map_or(self.base, |batch| EntryId { index: batch.last(), term: batch.epoch() })
    }

    /// Sum of the entries' sizes in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// The term of the entry at `index`; `None` if it is compacted or beyond the last. The base
    /// still has its term.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.batch_at(index).map(Batch::epoch)
    }

    /// Whether the log holds `entry`, or is known to by having compacted it.
    #[must_use]
    pub fn holds(&self, entry: EntryId) -> bool {
        self.term_at(entry.index) == Some(entry.term)
    }

    /// Adds a batch to the end.
    ///
    /// # Panics
    /// If it does not follow the last entry.
    pub fn append(&mut self, batch: Batch) {
        assert_eq!(batch.first(), self.last().index.next(), "the log has no gaps");
        self.size_bytes += batch.size_bytes();
        self.batches.push_back(batch);
    }

    /// Removes the entries from `from` on.
    pub fn truncate(&mut self, from: Index) {
        while let Some(batch) = self.batches.pop_back_if(|batch| batch.last() >= from) {
            self.size_bytes -= batch.size_bytes();
            if let Some(kept) = from.previous().and_then(|last| batch.slice(batch.first()..=last)) {
                self.size_bytes += kept.size_bytes();
                self.batches.push_back(kept);
            }
        }
    }

    /// Forgets the entries up to `to`; those of a batch that reaches further stay in memory with it.
    pub fn compact(&mut self, to: Index) {
        while let Some(batch) = self.batches.pop_front_if(|batch| batch.last() <= to) {
            self.size_bytes -= batch.size_bytes();
            self.base = EntryId { index: batch.last(), term: batch.epoch() };
        }
    }

    /// Forgets whole batches from the front, none beyond `to`, until at most `max_bytes` are left.
    pub fn shrink(&mut self, to: Index, max_bytes: usize) {
        while self.size_bytes > max_bytes
            && let Some(front) = self.batches.front().map(Batch::last)
            && front <= to
        {
            self.compact(front);
        }
    }

    /// The run of entries from `from` to the end of its batch; `None` if there is no such entry.
    #[must_use]
    pub fn run_from(&self, from: Index) -> Option<Batch> {
        let batch = self.batch_at(from)?;
        batch.slice(from..=batch.last())
    }

    /// The entries from `first` to `last`, in batches.
    pub fn range(&self, first: Index, last: Index) -> impl Iterator<Item = Batch> {
        self.batches.range(self.place(first)..).map_while(move |batch| batch.slice(first..=last))
    }

    /// Sum of the sizes of the entries behind `index`, in bytes.
    #[must_use]
    pub fn size_behind(&self, index: Index) -> usize {
        let from = index.next();
        let size = |batch: &Batch| match batch.first() < from {
            true => batch.slice(from..=batch.last()).map_or(0, |part| part.size_bytes()),
            false => batch.size_bytes(),
        };
        self.batches.range(self.place(from)..).map(size).sum()
    }

    /// The first entry of the run of the same term that the entry at `index` is in, as far as the
    /// log reaches back.
    #[must_use]
    pub fn first_of_term_at(&self, index: Index) -> Option<EntryId> {
        let term = self.term_at(index)?;
        let place = self.batches.partition_point(|batch| batch.epoch() < term);
        let index = self.batches.get(place).map_or(index, |batch| batch.first().min(index));
        Some(EntryId { term, index })
    }

    /// The last entry of term `term`, if the log has one.
    #[must_use]
    pub fn last_of_term(&self, term: Term) -> Option<EntryId> {
        let after = self.batches.partition_point(|batch| batch.epoch() <= term);
        let last = match after.checked_sub(1) {
            Some(place) => {
                EntryId { term: self.batches[place].epoch(), index: self.batches[place].last() }
            }
            None => self.base,
        };
        (last.term == term).then_some(last)
    }

    fn batch_at(&self, index: Index) -> Option<&Batch> {
        self.batches.get(self.place(index)).filter(|batch| batch.first() <= index)
    }

    /// The place of the first batch that ends at `index` or later. Nearly every question is about the
    /// end of the log, so the search begins there: one of the whole would touch memory that no cache
    /// holds.
    fn place(&self, index: Index) -> usize {
        let count = self.batches.len();
        let (mut low, mut high, mut step) = (0, count, 1);
        while step <= count {
            if self.batches[count - step].last() < index {
                low = count - step + 1;
                break;
            }
            high = count - step;
            step *= 2;
        }
        while low < high {
            let middle = low.midpoint(high);
            if self.batches[middle].last() < index {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({})", self.base)?;
        self.batches.iter().try_for_each(|batch| write!(f, " {batch}"))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use synod_consensus::{Epoch, Payload};

    use super::*;

    fn id(index: u64, term: u64) -> EntryId {
        EntryId { index: Index(index), term: Epoch(term) }
    }

    /// Entries 1..=9: terms 1 1 1 4 4 5 5 6 6 (the leader's log of figure 7, cut short).
    fn figure_7() -> Log {
        let mut log = Log::default();
        for (first, term, count) in [(1, 1, 3), (4, 4, 2), (6, 5, 2), (8, 6, 2)] {
            log.append(Batch::new(Index(first), Epoch(term), vec![Payload::Noop; count]));
        }
        log
    }

    #[test]
    fn every_entry_has_its_term() {
        let log = figure_7();
        let terms: vec::Vec<_> = (0..=10).map(|i| log.term_at(Index(i))).collect();
        let expected = [0, 1, 1, 1, 4, 4, 5, 5, 6, 6].map(|term| Some(Epoch(term)));
        assert_eq!(terms[..10], expected);
        assert_eq!(terms[10], None);
    }

    #[test]
    fn truncation_cuts_inside_a_batch() {
        let mut log = figure_7();
        log.truncate(Index(5));
        assert_eq!(log.last(), id(4, 4));
        assert_eq!(log.size_bytes(), 4 * Payload::Noop.size_bytes());
        log.truncate(Index(1));
        assert_eq!(log, Log::default());
    }

    #[test]
    fn compaction_keeps_the_identity_of_the_last_compacted_entry() {
        let mut log = figure_7();
        log.compact(Index(6));
        assert_eq!((log.base(), log.last()), (id(5, 4), id(9, 6)));
        assert_eq!(log.first_of_term_at(Index(5)), Some(id(5, 4)));
        assert!(log.holds(id(5, 4)) && !log.holds(id(4, 4)));
        log.compact(Index(9));
        assert_eq!((log.base(), log.last(), log.size_bytes()), (id(9, 6), id(9, 6), 0));
    }

    #[test]
    fn conflict_hints_name_whole_terms() {
        let log = figure_7();
        assert_eq!(log.first_of_term_at(Index(7)), Some(id(6, 5)));
        assert_eq!(log.last_of_term(Epoch(4)), Some(id(5, 4)));
        assert_eq!(log.last_of_term(Epoch(3)), None);
        assert_eq!(log.last_of_term(Epoch(9)), None);
        assert_eq!(log.last_of_term(Epoch(0)), Some(id(0, 0)));
    }

    #[test]
    fn every_place_is_found_from_the_end() {
        let mut log = Log::default();
        for first in (1..=39).step_by(2) {
            log.append(Batch::new(Index(first), Epoch(1), vec![Payload::Noop; 2]));
        }
        for index in 1..=40 {
            assert_eq!(log.place(Index(index)) as u64, (index - 1) / 2);
            let left = (40 - index) as usize * Payload::Noop.size_bytes();
            assert_eq!(log.size_behind(Index(index)), left);
        }
        assert_eq!((log.place(Index(0)), log.place(Index(41))), (0, 20));
        assert_eq!(Log::default().place(Index(1)), 0);
    }

    #[test]
    fn a_range_is_cut_to_fit() {
        let log = figure_7();
        let runs: vec::Vec<_> =
            log.range(Index(3), Index(6)).map(|b| (b.first().0, b.last().0)).collect();
        assert_eq!(runs, [(3, 3), (4, 5), (6, 6)]);
        assert_eq!(log.run_from(Index(7)).unwrap().first(), Index(7));
        assert_eq!(log.run_from(Index(10)), None);
    }
}
