//! Which of a node's records hold the values of which instances, so that a checkpoint knows what to keep
//! and old values can be read back.
//!
//! Records come in whatever order of instances, and a later one replaces what it lies over, no more. So
//! this is a list in the order of the records, and of those that hold an instance the last one counts.

use alloc::collections::VecDeque;
use core::hash::{Hash, Hasher};

use synod_consensus::{Batch, Index};

/// The records of a node, by number: those it replayed and those it persisted.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    count: u64,
    /// The records with values, oldest first.
    stretches: VecDeque<Stretch>,
    max_stretch_bytes: usize,
}

/// Consecutive records, with runs that follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Stretch {
    /// The first of the records.
    number: u64,
    first: Index,
    last: Index,
    size_bytes: usize,
}

impl Written {
    /// No record yet. Those that follow each other are counted together up to this size.
    pub(crate) fn new(max_stretch_bytes: usize) -> Self {
        Self { count: 0, stretches: VecDeque::new(), max_stretch_bytes }
    }

    /// Whether there is no record yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many records there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// A record without values was written.
    pub(crate) fn other(&mut self) {
        self.count += 1;
    }

    /// A record with these values was written.
    pub(crate) fn values(&mut self, batch: &Batch) {
        self.count += 1;
        let (first, last, size_bytes) = (batch.first(), batch.last(), batch.size_bytes());
        match self.stretches.back_mut() {
            Some(stretch)
                if stretch.last.next() == first
                    && stretch.size_bytes + size_bytes <= self.max_stretch_bytes =>
            {
                (stretch.last, stretch.size_bytes) = (last, stretch.size_bytes + size_bytes);
            }
            Some(_) | None => {
                self.stretches.push_back(Stretch { number: self.count, first, last, size_bytes });
            }
        }
    }

    /// A snapshot covers everything up to `index`: gives up the oldest records, so that about
    /// `keep_bytes` of values before it are kept. How many of the newest records a checkpoint must keep,
    /// and the last instance that may have been given up, if any is.
    pub(crate) fn keep(&mut self, index: Index, keep_bytes: usize) -> (u64, Option<Index>) {
        let is_covered = |stretch: &Stretch| stretch.last <= index;
        let covered = self.stretches.iter().take_while(|stretch| is_covered(stretch));
        let mut size_bytes: usize = covered.map(|stretch| stretch.size_bytes).sum();
        let mut given_up = None;
        while size_bytes > keep_bytes
            && let Some(stretch) = self.stretches.pop_front_if(|stretch| is_covered(stretch))
        {
            size_bytes -= stretch.size_bytes;
            given_up = given_up.max(Some(stretch.last));
        }
        (self.stretches.front().map_or(0, |stretch| self.count + 1 - stretch.number), given_up)
    }

    /// Bytes of values in records that reach beyond `index`.
    pub(crate) fn bytes_beyond(&self, index: Index) -> usize {
        let beyond = self.stretches.iter().filter(|stretch| stretch.last > index);
        beyond.map(|stretch| stretch.size_bytes).sum()
    }

    /// The first and last of the records to read for the value at `from` and about `max_bytes` behind it.
    /// Some of what they hold may have been replaced.
    pub(crate) fn holding(&self, from: Index, max_bytes: usize) -> Option<(u64, u64)> {
        let holds = |stretch: &Stretch| (stretch.first..=stretch.last).contains(&from);
        let place = self.stretches.iter().rposition(holds)?;
        let (mut size_bytes, mut end) = (0, place);
        while let Some(stretch) = self.stretches.get(end)
            && (end == place || size_bytes + stretch.size_bytes <= max_bytes)
        {
            size_bytes += stretch.size_bytes;
            end += 1;
        }
        let last = self.stretches.get(end).map_or(self.count, |next| next.number - 1);
        Some((self.stretches[place].number, last))
    }

    /// Only the newest `keeps` records are kept.
    pub(crate) fn retain(&mut self, keeps: u64) {
        let oldest = (self.count + 1).saturating_sub(keeps);
        while self.stretches.pop_front_if(|stretch| stretch.number < oldest).is_some() {}
    }
}

/// Seen from the newest record: how many there were before makes no difference.
impl Hash for Written {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for Stretch { number, first, last, size_bytes } in &self.stretches {
            (self.count - number, first, last, size_bytes).hash(hasher);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use synod_consensus::{Epoch, Payload};

    use super::*;

    /// 8 bytes an instance.
    fn batch(first: u64, last: u64) -> Batch {
        let count = (last - first + 1) as usize;
        Batch::new(Index(first), Epoch(1), vec![Payload::Noop; count])
    }

    fn keeps(written: &Written, index: u64, keep_bytes: usize) -> (u64, Option<u64>) {
        let (keeps, given_up) = written.clone().keep(Index(index), keep_bytes);
        (keeps, given_up.map(|index| index.0))
    }

    #[test]
    fn a_checkpoint_keeps_every_record_that_reaches_beyond_it() {
        let mut written = Written::new(0);
        written.other();
        for (first, last) in [(1, 10), (21, 30), (11, 20), (31, 40)] {
            written.values(&batch(first, last));
        }
        written.other();
        assert_eq!(keeps(&written, 10, 0), (4, Some(10)));
        assert_eq!(keeps(&written, 20, 0), (4, Some(10)), "21..30 lies before 11..20");
        assert_eq!(keeps(&written, 30, 0), (2, Some(30)));
        assert_eq!(keeps(&written, 30, 80), (3, Some(30)), "80 bytes before it");
        assert_eq!(keeps(&written, 40, 0), (0, Some(40)));
        assert_eq!(keeps(&written, 40, 1000), (5, None));
        assert_eq!((written.bytes_beyond(Index(10)), written.bytes_beyond(Index(30))), (240, 80));
    }

    #[test]
    fn of_the_records_that_hold_an_instance_the_last_one_counts() {
        let mut written = Written::new(1000);
        (1..=5).for_each(|index| written.values(&batch(2 * index - 1, 2 * index)));
        assert_eq!(written.stretches.len(), 1);
        written.other();
        written.values(&batch(3, 4));
        assert_eq!(written.holding(Index(2), 1), Some((1, 6)));
        assert_eq!(written.holding(Index(2), 96), Some((1, 7)));
        assert_eq!(written.holding(Index(3), 1), Some((7, 7)));
        assert_eq!(written.holding(Index(5), 1), Some((1, 6)));
        assert_eq!(written.holding(Index(11), 1), None);
        written.retain(1);
        assert_eq!(written.holding(Index(2), 1), None);
    }

    #[test]
    fn what_is_retained_is_the_newest_records_and_no_more() {
        let mut written = Written::new(0);
        (1..=4).for_each(|index| written.values(&batch(index, index)));
        assert_eq!(written.count(), 4);
        written.retain(2);
        let held = [1, 2, 3, 4].map(|index| written.holding(Index(index), 1).is_some());
        assert_eq!(held, [false, false, true, true]);
        written.retain(9);
        assert!(written.holding(Index(3), 1).is_some(), "more than there are");
    }
}
