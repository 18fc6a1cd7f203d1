//! The acceptor's memory: for each instance the value that it accepted in the highest ballot, with that
//! ballot. Instances are accepted in whatever order, so there may be gaps.
//!
//! Values lie in batches, shared with the disk, the peers and the state machine: each is a run of
//! instances accepted in one ballot. What is chosen and applied may be evicted: then only its ballots are
//! known here, and who needs the values reads them from disk (`serving.rs`).

use alloc::collections::VecDeque;
use core::fmt;

use synod_consensus::{Batch, Epoch, Index};
use synod_log::Runs;

/// What an acceptor accepted after `base`. Up to what it knows to be chosen there is no gap.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Slots {
    base: Index,
    /// The last instance that is not in memory; the base if all are.
    evicted: Index,
    /// Where runs of one ballot begin among the evicted instances.
    ballots: VecDeque<(Index, Epoch)>,
    runs: Runs,
}

impl Slots {
    /// Everything up to here was given up.
    #[must_use]
    pub fn base(&self) -> Index {
        self.base
    }

    /// The last instance of which only the ballot is known here; the base if there is none.
    #[must_use]
    pub fn evicted(&self) -> Index {
        self.evicted
    }

    /// The last instance with a value.
    #[must_use]
    pub fn last(&self) -> Index {
        self.runs.last().map_or(self.evicted, Batch::last)
    }

    /// Sum of the sizes of the values in memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.runs.size_bytes()
    }

    /// The ballot in which the value at `index` was accepted, as an epoch.
    #[must_use]
    pub fn epoch_at(&self, index: Index) -> Option<Epoch> {
        if index > self.evicted {
            return self.runs.at(index).map(Batch::epoch);
        }
        let after = self.ballots.partition_point(|(begin, _)| *begin <= index);
        self.ballots.get(after.checked_sub(1)?).filter(|_| index > self.base).map(|(_, it)| *it)
    }

    /// The next part of `batch`, at `from` or later, that is not accepted in its ballot or a higher one.
    #[must_use]
    pub fn lacking(&self, batch: &Batch, from: Index) -> Option<Batch> {
        let mut first = from.max(batch.first()).max(self.evicted.next());
        let mut runs = self.runs.reaching(first).peekable();
        while let Some(run) =
            runs.next_if(|run| run.first() <= first && run.epoch() >= batch.epoch())
        {
            first = run.last().next();
        }
        let is_held = |run: &&Batch| run.first() > first && run.epoch() >= batch.epoch();
        let held = runs.take_while(|run| run.first() <= batch.last()).find(is_held);
        let last = held.map_or(batch.last(), |run| Index(run.first().0 - 1));
        batch.slice(first..=last)
    }

    /// Accepts a batch, in place of what is there.
    ///
    /// # Panics
    /// If it reaches back to what is not in memory.
    pub fn put(&mut self, batch: Batch) {
        assert!(batch.first() > self.evicted, "what is evicted is chosen, and does not change");
        self.runs.put(batch);
    }

    /// How far the values go on after `from` without a gap, only those that were accepted `within` this
    /// epoch, if one is named.
    #[must_use]
    pub fn contiguous(&self, from: Index, within: Option<Epoch>) -> Index {
        let mut last = from.max(self.evicted);
        for run in self.runs.reaching(last.next()) {
            if run.first() > last.next() || within.is_some_and(|epoch| run.epoch() != epoch) {
                break;
            }
            last = run.last();
        }
        last
    }

    /// The run of values from `from` to the end of its batch; `None` if there is none in memory.
    #[must_use]
    pub fn run_from(&self, from: Index) -> Option<Batch> {
        self.runs.run_from(from)
    }

    /// The values from `first` to `last` that are in memory, in batches; there may be gaps between them.
    pub fn range(&self, first: Index, last: Index) -> impl Iterator<Item = Batch> {
        self.runs.range(first, last)
    }

    /// Sum of the sizes of the values behind `index`, in bytes.
    #[must_use]
    pub fn size_behind(&self, index: Index) -> usize {
        self.runs.size_behind(index)
    }

    /// Forgets what there is up to `to`.
    pub fn compact(&mut self, to: Index) {
        if to <= self.base {
            return;
        }
        self.base = to;
        while self.ballots.get(1).is_some_and(|(begin, _)| *begin <= to.next()) {
            self.ballots.pop_front();
        }
        if to < self.evicted {
            return;
        }
        self.evicted = to;
        self.ballots.clear();
        self.runs.compact(to);
    }

    /// Evicts whole batches from the front, none that reaches beyond `to`, until at most `max_bytes` are
    /// in memory.
    pub fn evict(&mut self, to: Index, max_bytes: usize) {
        while let Some(run) = self.runs.evict(to, max_bytes) {
            if self.ballots.back().is_none_or(|(_, epoch)| *epoch != run.epoch()) {
                self.ballots.push_back((run.first(), run.epoch()));
            }
            self.evicted = run.last();
        }
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({})", self.base)?;
        if self.evicted != self.base {
            write!(f, " ..{}", self.evicted)?;
        }
        self.runs.iter().try_for_each(|run| write!(f, " {run}"))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;
    use alloc::vec::Vec;

    use synod_consensus::Payload;

    use super::*;

    fn batch(first: u64, last: u64, epoch: u64) -> Batch {
        let count = (last - first + 1) as usize;
        Batch::new(Index(first), Epoch(epoch), vec![Payload::Noop; count])
    }

    fn slots(batches: &[(u64, u64, u64)]) -> Slots {
        let mut slots = Slots::default();
        for (first, last, epoch) in batches {
            slots.put(batch(*first, *last, *epoch));
        }
        slots
    }

    /// Whatever is put in whatever order: each instance has what was put there last.
    #[test]
    fn what_is_put_last_is_there_and_nothing_else_changes() {
        let runs: Vec<_> = (1..=5).flat_map(|a| (a..=6).map(move |b| (a, b))).collect();
        for one in &runs {
            for two in &runs {
                for three in &runs {
                    let mut model = [0; 8];
                    let mut slots = Slots::default();
                    for (epoch, (first, last)) in (1..).zip([one, two, three]) {
                        slots.put(batch(*first, *last, epoch));
                        model[*first as usize..=*last as usize].fill(epoch);
                    }
                    let there = (0..8).map(|index| slots.epoch_at(Index(index)));
                    assert!(there.eq(model.map(|epoch| (epoch > 0).then_some(Epoch(epoch)))));
                    let count = model.iter().filter(|epoch| **epoch > 0).count();
                    assert_eq!(slots.size_bytes(), count * Payload::Noop.size_bytes(), "{slots}");
                }
            }
        }
    }

    #[test]
    fn only_what_is_not_accepted_in_the_ballot_or_a_higher_one_is_lacking() {
        let slots = slots(&[(1, 2, 1), (4, 4, 3), (6, 7, 2)]);
        let parts = |epoch| {
            let (batch, mut from, mut parts) = (batch(1, 9, epoch), Index(1), Vec::new());
            while let Some(part) = slots.lacking(&batch, from) {
                from = part.last().next();
                parts.push((part.first().0, part.last().0));
            }
            parts
        };
        assert_eq!(parts(1), [(3, 3), (5, 5), (8, 9)]);
        assert_eq!(parts(2), [(1, 3), (5, 5), (8, 9)]);
        assert_eq!(parts(3), [(1, 3), (5, 9)]);
        assert_eq!(parts(4), [(1, 9)]);
    }

    #[test]
    fn a_gap_or_another_ballot_ends_what_is_contiguous() {
        let slots = slots(&[(1, 2, 1), (3, 4, 2), (6, 7, 2)]);
        let ends = [0, 2, 3, 4, 5].map(|from| {
            let any = slots.contiguous(Index(from), None).0;
            (any, slots.contiguous(Index(from), Some(Epoch(2))).0)
        });
        assert_eq!(ends, [(4, 0), (4, 4), (4, 4), (4, 4), (7, 7)]);
    }

    #[test]
    fn evicted_values_still_have_their_ballots_and_compacted_ones_have_none() {
        let mut slots = slots(&[(1, 2, 1), (3, 4, 2), (5, 6, 1), (8, 9, 3)]);
        slots.evict(Index(6), 0);
        assert_eq!((slots.evicted(), slots.last()), (Index(6), Index(9)));
        assert_eq!(slots.contiguous(Index(2), None), Index(6));
        slots.compact(Index(2));
        let there = |slots: &Slots| {
            (1..=9)
                .map(|index| slots.epoch_at(Index(index)).map_or(0, |it| it.0))
                .collect::<Vec<_>>()
        };
        assert_eq!(there(&slots), [0, 0, 2, 2, 1, 1, 0, 3, 3]);
        assert_eq!(slots.to_string(), "(2) ..6 8..9@3");
        slots.compact(Index(8));
        assert_eq!(there(&slots), [0, 0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!((slots.base(), slots.evicted(), slots.size_bytes()), (Index(8), Index(8), 8));
    }

    /// Half of a run is given up: its ballot is known from there on, not before.
    #[test]
    fn what_is_given_up_in_the_middle_of_a_run_has_no_ballot() {
        let mut slots = slots(&[(1, 4, 1)]);
        slots.evict(Index(4), 0);
        slots.compact(Index(2));
        let there = [1, 2, 3, 4, 5].map(|index| slots.epoch_at(Index(index)).is_some());
        assert_eq!(there, [false, false, true, true, false]);
    }
}
