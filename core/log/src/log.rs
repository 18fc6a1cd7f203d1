//! The log: where each epoch begins in it, and its newest entries, in batches that are shared with the
//! disk, the peers and the state machine.
//!
//! Entries that are applied may be evicted: then only their epochs are known here, which is all that
//! elections and consistency checks ask for, and who needs the entries reads them from disk, as
//! [`Written`](crate::Written) says where. Epochs never fall from one entry to the next: a leader's entries
//! follow those of earlier leaders.

use alloc::collections::VecDeque;
use alloc::format;
use core::fmt;

use serde::{Deserialize, Serialize};
use synod_consensus::{Batch, Epoch, Index};
use synod_engine::Corrupt;

use crate::Runs;

/// An entry's identity: no two different entries share it, since a leader gives each place one entry
/// (Raft's Log Matching, figure 3; ZAB's zxid).
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize,
)]
pub struct EntryId {
    /// Its epoch; first, since who compares how far two logs have come looks at it first (Raft §5.4.1, ZAB
    /// §IV.A).
    pub epoch: Epoch,
    /// Its place.
    pub index: Index,
}

/// The entries after `base`, without a gap. The first of them may be evicted, the others are in memory.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Log {
    base: EntryId,
    /// The last entry that is not in memory; the base if all are.
    evicted: EntryId,
    /// Where epochs begin among the evicted entries; the first may begin before them.
    epochs: VecDeque<EntryId>,
    runs: Runs,
}

impl Log {
    /// An empty log that goes on after `base`.
    #[must_use]
    pub fn after(base: EntryId) -> Self {
        Self { base, evicted: base, ..Self::default() }
    }

    /// The entry before the first: everything up to it was compacted away.
    #[must_use]
    pub fn base(&self) -> EntryId {
        self.base
    }

    /// Takes in entries that an earlier life wrote, in place of what it had from their first on. Of what was
    /// before the first ones of all nothing is known but where it ended: [`settle_base`](Self::settle_base).
    ///
    /// # Errors
    /// [`Corrupt`], if they leave a gap or their epoch is lower than the one before.
    pub fn replay(&mut self, batch: Batch, is_first: bool) -> Result<(), Corrupt> {
        let before = Index(batch.first().0 - 1);
        if is_first {
            *self = Self::after(EntryId { index: before, epoch: Epoch::default() });
        }
        self.truncate(batch.first());
        let last = self.last();
        if last.index != before || batch.epoch() < last.epoch {
            return Err(Corrupt(format!("entries {batch} after {last}")));
        }
        self.append(batch);
        Ok(())
    }

    /// Of the entry before the first one that was replayed only the index is known. If it is the last that the
    /// snapshot contains, that says its epoch; if not, the first takes its place.
    pub fn settle_base(&mut self, snapshot: EntryId) {
        if self.base.index == snapshot.index {
            if self.evicted.index == snapshot.index {
                self.evicted = snapshot;
            }
            self.base = snapshot;
        } else if self.base.epoch == Epoch::default() && self.base.index > Index::ZERO {
            self.compact(self.base.index.next());
        }
    }

    /// The last entry of which only the epoch is known here; the base if all others are in memory.
    #[must_use]
    pub fn evicted(&self) -> EntryId {
        self.evicted
    }

    /// The last entry, or the base if there is none.
    #[must_use]
    pub fn last(&self) -> EntryId {
        self.runs
            .last()
            .map_or(self.evicted, |batch| EntryId { index: batch.last(), epoch: batch.epoch() })
    }

    /// Sum of the sizes of the entries in memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.runs.size_bytes()
    }

    /// The epoch of the entry at `index`; `None` if it is compacted or beyond the last. The base
    /// still has its epoch.
    #[must_use]
    pub fn epoch_at(&self, index: Index) -> Option<Epoch> {
        if index == self.base.index {
            return Some(self.base.epoch);
        }
        if index < self.base.index || index > self.evicted.index {
            return self.runs.at(index).map(Batch::epoch);
        }
        let after = self.epochs.partition_point(|begin| begin.index <= index);
        Some(self.epochs[after - 1].epoch)
    }

    /// Whether the log holds `entry`, or is known to by having compacted it.
    #[must_use]
    pub fn holds(&self, entry: EntryId) -> bool {
        self.epoch_at(entry.index) == Some(entry.epoch)
    }

    /// Adds a batch to the end.
    ///
    /// # Panics
    /// If it does not follow the last entry.
    pub fn append(&mut self, batch: Batch) {
        assert_eq!(batch.first(), self.last().index.next(), "the log has no gaps");
        self.runs.put(batch);
    }

    /// Removes the entries from `from` on.
    pub fn truncate(&mut self, from: Index) {
        self.runs.truncate(from);
        if let Some(index) = from.previous()
            && (self.base.index..self.evicted.index).contains(&index)
        {
            let epoch = self.epoch_at(index).expect("a place in the log");
            self.evicted = EntryId { epoch, index };
            while self.epochs.pop_back_if(|begin| begin.index > index).is_some() {}
        }
    }

    /// Forgets the entries up to `to`.
    pub fn compact(&mut self, to: Index) {
        let Some(epoch) = self.epoch_at(to) else { return };
        self.base = EntryId { epoch, index: to };
        if to < self.evicted.index {
            while self.epochs.get(1).is_some_and(|begin| begin.index <= to) {
                self.epochs.pop_front();
            }
            return;
        }
        self.evicted = self.base;
        self.epochs.clear();
        self.runs.compact(to);
    }

    /// Evicts whole batches from the front, none that reaches beyond `to`, until at most `max_bytes` are
    /// in memory.
    pub fn evict(&mut self, to: Index, max_bytes: usize) {
        while let Some(batch) = self.runs.evict(to, max_bytes) {
            let epoch = batch.epoch();
            if self.epochs.back().is_none_or(|begin| begin.epoch != epoch) {
                self.epochs.push_back(EntryId { epoch, index: batch.first() });
            }
            self.evicted = EntryId { epoch, index: batch.last() };
        }
    }

    /// The run of entries from `from` to the end of its batch; `None` if it is not in memory.
    #[must_use]
    pub fn run_from(&self, from: Index) -> Option<Batch> {
        self.runs.run_from(from)
    }

    /// The entries from `first` to `last` that are in memory, in batches.
    pub fn range(&self, first: Index, last: Index) -> impl Iterator<Item = Batch> {
        self.runs.range(first, last)
    }

    /// Sum of the sizes of the entries behind `index`, in bytes.
    #[must_use]
    pub fn size_behind(&self, index: Index) -> usize {
        self.runs.size_behind(index)
    }

    /// The first entry of the run of the same epoch that the entry at `index` is in, as far as the
    /// log reaches back.
    #[must_use]
    pub fn first_of_epoch_at(&self, index: Index) -> Option<EntryId> {
        let epoch = self.epoch_at(index)?;
        let begins = |place: usize| self.epochs.get(place).filter(|begin| begin.epoch == epoch);
        let place = self.epochs.partition_point(|begin| begin.epoch < epoch);
        let first = match begins(place) {
            Some(begin) => Some(begin.index.max(self.base.index.next())),
            None => {
                let place = self.runs.batches.partition_point(|batch| batch.epoch() < epoch);
                self.runs.batches.get(place).map(Batch::first)
            }
        };
        let index = first.map_or(index, |first| first.min(index));
        Some(EntryId { epoch, index })
    }

    /// The last entry of epoch `epoch`, if the log has one.
    #[must_use]
    pub fn last_of_epoch(&self, epoch: Epoch) -> Option<EntryId> {
        let after = self.runs.batches.partition_point(|batch| batch.epoch() <= epoch);
        let last = match after.checked_sub(1) {
            Some(place) => EntryId {
                epoch: self.runs.batches[place].epoch(),
                index: self.runs.batches[place].last(),
            },
            None => self.last_evicted_of(epoch).unwrap_or(self.base),
        };
        (last.epoch == epoch).then_some(last)
    }

    /// The last evicted entry of no later epoch than `epoch`.
    fn last_evicted_of(&self, epoch: Epoch) -> Option<EntryId> {
        let after = self.epochs.partition_point(|begin| begin.epoch <= epoch);
        let begin = self.epochs.get(after.checked_sub(1)?)?;
        let end = self.epochs.get(after).map_or(self.evicted.index, |next| Index(next.index.0 - 1));
        Some(EntryId { epoch: begin.epoch, index: end })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.epoch)
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({})", self.base)?;
        if self.evicted != self.base {
            write!(f, " ..{}", self.evicted)?;
        }
        self.runs.iter().try_for_each(|batch| write!(f, " {batch}"))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use synod_consensus::{Epoch, Payload};

    use super::*;

    fn id(index: u64, epoch: u64) -> EntryId {
        EntryId { index: Index(index), epoch: Epoch(epoch) }
    }

    /// Entries 1..=9: epochs 1 1 1 4 4 5 5 6 6 (the leader's log of Raft's figure 7, cut short).
    fn figure_7() -> Log {
        let mut log = Log::default();
        for (first, epoch, count) in [(1, 1, 3), (4, 4, 2), (6, 5, 2), (8, 6, 2)] {
            log.append(Batch::new(Index(first), Epoch(epoch), vec![Payload::Noop; count]));
        }
        log
    }

    #[test]
    fn every_entry_has_its_term() {
        let log = figure_7();
        let epochs: vec::Vec<_> = (0..=10).map(|i| log.epoch_at(Index(i))).collect();
        let expected = [0, 1, 1, 1, 4, 4, 5, 5, 6, 6].map(|epoch| Some(Epoch(epoch)));
        assert_eq!(epochs[..10], expected);
        assert_eq!(epochs[10], None);
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
        assert_eq!((log.base(), log.last()), (id(6, 5), id(9, 6)));
        assert_eq!(log.size_bytes(), 3 * Payload::Noop.size_bytes());
        assert_eq!(log.first_of_epoch_at(Index(6)), Some(id(6, 5)));
        assert!(log.holds(id(6, 5)) && log.holds(id(7, 5)) && !log.holds(id(5, 4)));
        log.compact(Index(9));
        assert_eq!((log.base(), log.last(), log.size_bytes()), (id(9, 6), id(9, 6), 0));
    }

    #[test]
    fn what_is_replayed_has_no_gap_and_what_was_before_it_is_settled_by_a_snapshot() {
        let batch = |first, epoch| Batch::new(Index(first), Epoch(epoch), vec![Payload::Noop; 2]);
        let mut log = Log::default();
        log.replay(batch(5, 3), true).unwrap();
        log.replay(batch(6, 4), false).unwrap();
        assert_eq!(
            (log.base(), log.last()),
            (id(4, 0), id(7, 4)),
            "6 took the place of what was there"
        );
        assert!(log.clone().replay(batch(9, 4), false).is_err(), "a gap");
        assert!(log.clone().replay(batch(8, 3), false).is_err(), "epochs do not fall");
        let settled = |snapshot| {
            let mut log = log.clone();
            log.settle_base(snapshot);
            (log.base(), log.evicted())
        };
        assert_eq!(settled(id(4, 2)), (id(4, 2), id(4, 2)));
        assert_eq!(settled(id(6, 4)), (id(5, 3), id(5, 3)), "the epoch of 4 stays unknown");
        let mut log = figure_7();
        log.settle_base(id(6, 5));
        assert_eq!(log, figure_7(), "nothing is before the first entry");
    }

    #[test]
    fn conflict_hints_name_whole_terms() {
        let log = figure_7();
        assert_eq!(log.first_of_epoch_at(Index(7)), Some(id(6, 5)));
        assert_eq!(log.last_of_epoch(Epoch(4)), Some(id(5, 4)));
        assert_eq!(log.last_of_epoch(Epoch(3)), None);
        assert_eq!(log.last_of_epoch(Epoch(9)), None);
        assert_eq!(log.last_of_epoch(Epoch(0)), Some(id(0, 0)));
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

    /// Whatever is asked of the epochs has the same answer, whether the entries are in memory or not.
    #[test]
    fn evicted_entries_still_have_their_terms() {
        for (evicted, compacted) in (0..=9).flat_map(|to| (0..=9).map(move |base| (to, base))) {
            let (mut log, mut whole) = (figure_7(), figure_7());
            log.evict(Index(evicted), 0);
            assert!(log.evicted().index <= Index(evicted));
            log.compact(Index(compacted));
            whole.compact(Index(compacted));
            assert_eq!((log.base(), log.last()), (whole.base(), whole.last()));
            for index in (0..=10).map(Index) {
                assert_eq!(log.epoch_at(index), whole.epoch_at(index), "{index} of {log}");
                let first = |log: &Log| log.first_of_epoch_at(index);
                assert_eq!(first(&log), first(&whole), "{index} of {log}");
            }
            for epoch in (0..=7).map(Epoch) {
                assert_eq!(
                    log.last_of_epoch(epoch),
                    whole.last_of_epoch(epoch),
                    "{epoch} of {log}"
                );
            }
            for from in compacted + 1..=10 {
                let (mut log, mut whole) = (log.clone(), whole.clone());
                log.truncate(Index(from));
                whole.truncate(Index(from));
                assert_eq!(log.last(), whole.last(), "from {from} of {log}");
                log.append(Batch::new(Index(from), Epoch(9), vec![Payload::Noop]));
                assert!((0..=10).all(|i| log.holds(id(i, 9)) == (i == from)), "{log}");
            }
        }
    }

    #[test]
    fn no_more_is_evicted_than_must_be_and_may_be() {
        let mut log = figure_7();
        log.evict(Index(6), 5 * Payload::Noop.size_bytes());
        assert_eq!((log.evicted(), log.size_bytes()), (id(5, 4), 4 * Payload::Noop.size_bytes()));
        log.evict(Index(6), 0);
        assert_eq!(log.evicted(), id(5, 4), "the next batch reaches further");
        assert_eq!(log.range(Index(1), Index(9)).next().unwrap().first(), Index(6));
        assert_eq!(log.run_from(Index(5)), None);
    }
}
