//! Which of a node's records hold the entries of its log, so that a checkpoint knows what to keep.

use alloc::collections::VecDeque;
use core::hash::{Hash, Hasher};

use synod_consensus::{Batch, Index};

/// The records of a node, by number: those it replayed and those it persisted.
#[derive(Clone, Debug)]
pub struct Written {
    count: u64,
    /// The records with entries, oldest first.
    stretches: VecDeque<Stretch>,
    max_stretch_bytes: usize,
}

/// Consecutive records, with entries that follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Stretch {
    /// The first of the records.
    number: u64,
    /// The first entry in it.
    first: Index,
    /// The last entry in them that no later record replaces.
    last: Index,
    size_bytes: usize,
}

impl Written {
    /// No record yet. Those that follow each other are counted together up to this size.
    pub fn new(max_stretch_bytes: usize) -> Self {
        Self { count: 0, stretches: VecDeque::new(), max_stretch_bytes }
    }

    /// Whether there is no record yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A record without entries was written.
    pub fn other(&mut self) {
        self.count += 1;
    }

    /// A record with these entries was written; it replaces what the log had from their first on.
    pub fn entries(&mut self, batch: &Batch) {
        self.count += 1;
        let (before, last, size_bytes) =
            (Index(batch.first().0 - 1), batch.last(), batch.size_bytes());
        for stretch in self.stretches.iter_mut().rev().take_while(|stretch| stretch.last > before) {
            stretch.last = before;
        }
        let max_bytes = self.max_stretch_bytes;
        match self.stretches.back_mut() {
            Some(stretch)
                if (stretch.first..=stretch.last).contains(&before)
                    && stretch.size_bytes + size_bytes <= max_bytes =>
            {
                (stretch.last, stretch.size_bytes) = (last, stretch.size_bytes + size_bytes);
            }
            Some(_) | None => {
                let (number, first) = (self.count, batch.first());
                self.stretches.push_back(Stretch { number, first, last, size_bytes });
            }
        }
    }

    /// A record was written that cuts the log behind `last`.
    pub fn truncated(&mut self, last: Index) {
        self.count += 1;
        for stretch in self.stretches.iter_mut().rev().take_while(|stretch| stretch.last > last) {
            stretch.last = last;
        }
    }

    /// A snapshot covers everything up to `index`: gives up the oldest records, so that about
    /// `keep_bytes` of entries before it are kept. How many of the newest records a checkpoint must keep,
    /// and the last entry that is given up, if any is.
    pub fn keep(&mut self, index: Index, keep_bytes: usize) -> (u64, Option<Index>) {
        let covered = self.stretches.iter().take_while(|stretch| stretch.last <= index);
        let mut size_bytes: usize = covered.map(|stretch| stretch.size_bytes).sum();
        let mut given_up = None;
        while size_bytes > keep_bytes
            && let Some(stretch) = self.stretches.pop_front_if(|stretch| stretch.last <= index)
        {
            size_bytes -= stretch.size_bytes;
            given_up = Some(stretch.last);
        }
        // What was replaced from its beginning on stands before what replaced it: nothing could be
        // replayed from there.
        while self.stretches.pop_front_if(|stretch| stretch.last < stretch.first).is_some() {}
        (self.stretches.front().map_or(0, |stretch| self.count + 1 - stretch.number), given_up)
    }

    /// Bytes of entries in records that reach beyond `index`.
    pub fn bytes_beyond(&self, index: Index) -> usize {
        let beyond = self.stretches.iter().rev().take_while(|stretch| stretch.last > index);
        beyond.map(|stretch| stretch.size_bytes).sum()
    }

    /// The first and last of the records that hold the entries from `from` on, about `max_bytes` of them.
    pub fn holding(&self, from: Index, max_bytes: usize) -> Option<(u64, u64)> {
        let place = self.stretches.partition_point(|stretch| stretch.last < from);
        let (mut size_bytes, mut end) = (0, place);
        while let Some(stretch) = self.stretches.get(end)
            && (end == place || size_bytes + stretch.size_bytes <= max_bytes)
        {
            size_bytes += stretch.size_bytes;
            end += 1;
        }
        let last = self.stretches.get(end).map_or(self.count, |next| next.number - 1);
        self.stretches.get(place).map(|stretch| (stretch.number, last))
    }

    /// The log was given up: no record holds entries.
    pub fn clear(&mut self) {
        self.stretches.clear();
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

    /// 8 bytes an entry.
    fn batch(first: u64, last: u64) -> Batch {
        let count = (last - first + 1) as usize;
        Batch::new(Index(first), Epoch(1), vec![Payload::Noop; count])
    }

    fn keeps(written: &Written, index: u64, keep_bytes: usize) -> (u64, Option<u64>) {
        let (keeps, given_up) = written.clone().keep(Index(index), keep_bytes);
        (keeps, given_up.map(|index| index.0))
    }

    #[test]
    fn a_checkpoint_keeps_what_reaches_beyond_it_and_all_that_follows() {
        let mut written = Written::new(0);
        written.other();
        written.entries(&batch(1, 10));
        written.entries(&batch(11, 20));
        written.other();
        assert_eq!(keeps(&written, 5, 0), (3, None));
        assert_eq!(keeps(&written, 10, 0), (2, Some(10)));
        assert_eq!(keeps(&written, 20, 0), (0, Some(20)));
        assert_eq!(keeps(&written, 20, 80), (2, Some(10)), "80 bytes before it");
        assert_eq!(keeps(&written, 20, 160), (3, None));
        assert_eq!((written.bytes_beyond(Index(10)), written.bytes_beyond(Index(20))), (80, 0));
    }

    #[test]
    fn entries_that_were_replaced_keep_no_record() {
        let mut written = Written::new(0);
        written.entries(&batch(1, 20));
        written.entries(&batch(12, 14));
        written.entries(&batch(15, 15));
        assert_eq!(keeps(&written, 11, 0), (2, Some(11)));
        assert_eq!(keeps(&written, 14, 0), (1, Some(14)));
        assert_eq!(keeps(&written, 15, 0), (0, Some(15)));
    }

    #[test]
    fn what_was_cut_is_not_kept_and_the_record_that_cut_it_is() {
        let mut written = Written::new(0);
        written.entries(&batch(1, 10));
        written.entries(&batch(11, 20));
        written.truncated(Index(12));
        assert_eq!(keeps(&written, 10, 0), (2, Some(10)), "entries 11 and 12, and the cut");
        assert_eq!(keeps(&written, 12, 0), (0, Some(12)));
        written.truncated(Index(10));
        assert_eq!(
            keeps(&written, 9, 0),
            (4, None),
            "what was cut from its beginning on goes with it"
        );
        written.entries(&batch(11, 11));
        assert_eq!(keeps(&written, 10, 0), (1, Some(10)));
    }

    #[test]
    fn records_that_follow_each_other_are_one_stretch() {
        let mut written = Written::new(100);
        (1..=20).for_each(|index| written.entries(&batch(index, index)));
        assert_eq!(written.stretches.len(), 2, "12 and 8");
        assert_eq!(written.holding(Index(3), 1), Some((1, 12)));
        assert_eq!(written.holding(Index(13), 1), Some((13, 20)));
        assert_eq!(written.holding(Index(1), 1000), Some((1, 20)));
        assert_eq!(written.holding(Index(21), 1000), None);
    }

    /// The first record kept must not begin behind one that is kept after it: nothing could be replayed.
    #[test]
    fn a_stretch_that_is_replaced_from_its_beginning_is_not_continued() {
        let mut written = Written::new(1000);
        written.entries(&batch(1, 9));
        written.other();
        written.max_stretch_bytes = 0;
        written.entries(&batch(10, 20));
        written.max_stretch_bytes = 1000;
        written.entries(&batch(8, 9));
        assert_eq!(keeps(&written, 9, 0), (0, Some(9)));
        assert_eq!(keeps(&written, 9, 110), (1, Some(7)), "not from the record with entry 10 on");
        written.entries(&batch(10, 12));
        assert_eq!(keeps(&written, 9, 0), (2, Some(7)), "from the record with entry 8 on");
    }
}
