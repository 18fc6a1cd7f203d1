//! Batches in memory, by index: found from the end, cut to fit, and counted in bytes.

use alloc::collections::VecDeque;

use synod_consensus::{Batch, Index};

/// Batches in the order of their indices; none lies over another, and there may be gaps.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Runs {
    pub(crate) batches: VecDeque<Batch>,
    size_bytes: usize,
}

impl Runs {
    /// Sum of the sizes of the entries.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Batch> {
        self.batches.iter()
    }

    /// The last batch.
    #[must_use]
    pub fn last(&self) -> Option<&Batch> {
        self.batches.back()
    }

    /// The batch that holds `index`.
    #[must_use]
    pub fn at(&self, index: Index) -> Option<&Batch> {
        self.batches.get(self.place(index)).filter(|batch| batch.first() <= index)
    }

    /// The batches that end at `index` or later.
    pub fn reaching(&self, index: Index) -> impl Iterator<Item = &Batch> {
        self.batches.range(self.place(index)..)
    }

    /// The run of entries from `from` to the end of its batch.
    #[must_use]
    pub fn run_from(&self, from: Index) -> Option<Batch> {
        let batch = self.at(from)?;
        batch.slice(from..=batch.last())
    }

    /// The entries from `first` to `last`, in batches.
    pub fn range(&self, first: Index, last: Index) -> impl Iterator<Item = Batch> {
        self.reaching(first).map_while(move |batch| batch.slice(first..=last))
    }

    /// Sum of the sizes of the entries behind `index`.
    #[must_use]
    pub fn size_behind(&self, index: Index) -> usize {
        let from = index.next();
        let size = |batch: &Batch| match batch.first() < from {
            true => batch.slice(from..=batch.last()).map_or(0, |part| part.size_bytes()),
            false => batch.size_bytes(),
        };
        self.reaching(from).map(size).sum()
    }

    /// Puts a batch in place of what is there.
    pub fn put(&mut self, batch: Batch) {
        self.size_bytes += batch.size_bytes();
        if self.last().is_none_or(|last| last.last() < batch.first()) {
            return self.batches.push_back(batch);
        }
        let mut place = self.place(batch.first());
        let mut before = None;
        while let Some(old) = self.batches.get(place).filter(|old| old.first() <= batch.last()) {
            let old = old.clone();
            self.batches.remove(place);
            self.size_bytes -= old.size_bytes();
            let front = batch.first().previous().and_then(|last| old.slice(old.first()..=last));
            let back = old.slice(batch.last().next()..=old.last());
            self.size_bytes +=
                [&front, &back].into_iter().flatten().map(Batch::size_bytes).sum::<usize>();
            before = before.or(front);
            if let Some(back) = back {
                self.batches.insert(place, back);
                break;
            }
        }
        if let Some(front) = before {
            self.batches.insert(place, front);
            place += 1;
        }
        self.batches.insert(place, batch);
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

    /// Removes the entries up to `to`.
    pub fn compact(&mut self, to: Index) {
        while let Some(batch) = self.batches.pop_front_if(|batch| batch.first() <= to) {
            self.size_bytes -= batch.size_bytes();
            if let Some(kept) = batch.slice(to.next()..=batch.last()) {
                self.size_bytes += kept.size_bytes();
                self.batches.push_front(kept);
            }
        }
    }

    /// Takes out the first batch, if it does not reach beyond `to` and more than `max_bytes` are here.
    pub fn evict(&mut self, to: Index, max_bytes: usize) -> Option<Batch> {
        let is_too_much = self.size_bytes > max_bytes;
        let batch = self.batches.pop_front_if(|batch| is_too_much && batch.last() <= to)?;
        self.size_bytes -= batch.size_bytes();
        Some(batch)
    }

    /// The place of the first batch that ends at `index` or later. Nearly every question is about the
    /// end, so the search begins there: one of the whole would touch memory that no cache holds.
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

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use synod_consensus::{Epoch, Payload};

    use super::*;

    fn batch(first: u64, last: u64) -> Batch {
        let count = (last - first + 1) as usize;
        Batch::new(Index(first), Epoch(1), vec![Payload::Noop; count])
    }

    fn runs(batches: &[(u64, u64)]) -> Runs {
        let mut runs = Runs::default();
        batches.iter().for_each(|(first, last)| runs.put(batch(*first, *last)));
        runs
    }

    #[test]
    fn every_place_is_found_from_the_end() {
        let pairs: Vec<_> = (1..=39).step_by(2).map(|first| (first, first + 1)).collect();
        let runs = runs(&pairs);
        for index in 1..=40 {
            assert_eq!(runs.place(Index(index)) as u64, (index - 1) / 2);
            let left = (40 - index) as usize * Payload::Noop.size_bytes();
            assert_eq!(runs.size_behind(Index(index)), left);
        }
        assert_eq!((runs.place(Index(0)), runs.place(Index(41))), (0, 20));
        assert_eq!(Runs::default().place(Index(1)), 0);
    }

    #[test]
    fn what_is_cut_off_and_evicted_is_not_counted() {
        let mut runs = runs(&[(1, 4), (6, 9), (10, 12)]);
        let noop = Payload::Noop.size_bytes();
        assert_eq!((runs.size_bytes(), runs.at(Index(5))), (11 * noop, None));
        runs.truncate(Index(11));
        runs.compact(Index(2));
        let left: Vec<_> = runs.iter().map(|it| (it.first().0, it.last().0)).collect();
        assert_eq!((left, runs.size_bytes()), (vec![(3, 4), (6, 9), (10, 10)], 7 * noop));
        assert_eq!(runs.evict(Index(3), 0), None, "it reaches beyond");
        assert_eq!(runs.evict(Index(9), 7 * noop), None, "it fits");
        let evicted = [5, 5, 0, 0].map(|max| runs.evict(Index(9), max * noop));
        let evicted = evicted.map(|batch| batch.map(|it| it.first().0));
        assert_eq!((evicted, runs.size_bytes()), ([Some(3), None, Some(6), None], noop));
    }
}
