//! A node's disk: what was written, what it says is durable, and what a crash leaves.

use synod_engine::{Blob, Position, Record};

/// Records in the order they were written, from the oldest that the newest safe checkpoint keeps on.
///
/// Positions count all records ever written on this disk that were not lost; they go on where the
/// last life ended.
pub(crate) struct Disk<R> {
    records: Vec<R>,
    /// The position of the first of `records`.
    first: u64,
    /// The position before the first record that the engine of this life counts.
    counted_from: u64,
    /// Up to where the disk has said that all is durable.
    told: u64,
    /// Up to where a crash takes nothing; behind `told` only if the disk lies.
    safe: u64,
    /// Up to where the sync under way reaches; `None` if none is.
    syncing: Option<u64>,
    /// Which sync is under way, or was the last; what ends an earlier one comes too late.
    pub(crate) sync: u32,
    /// Where the checkpoints lie that are not yet safe.
    checkpoints: Vec<u64>,
    /// This node's usual time for a sync, in nanoseconds.
    pub(crate) latency: u64,
    /// A sync does not end before this.
    pub(crate) stalled_until: u64,
    /// It has little space left before this: nothing comes in that would fill it.
    pub(crate) full_until: u64,
    /// A sync never ends.
    pub(crate) never_syncs: bool,
    /// Millionths of syncs that only pretend.
    pub(crate) lie_ppm: u32,
}

/// What a crash did to a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Loss {
    /// Records written and not reported durable.
    pub(crate) unsynced: u64,
    /// Records lost, lied about ones included.
    pub(crate) lost: u64,
}

impl<R: Record> Disk<R> {
    pub(crate) fn new(latency: u64, lie_ppm: u32) -> Self {
        Self {
            records: Vec::new(),
            first: 0,
            counted_from: 0,
            told: 0,
            safe: 0,
            syncing: None,
            sync: 0,
            checkpoints: Vec::new(),
            latency,
            stalled_until: 0,
            full_until: 0,
            never_syncs: false,
            lie_ppm,
        }
    }

    /// Everything from the oldest record on that the newest safe checkpoint keeps.
    pub(crate) fn records(&self) -> &[R] {
        &self.records
    }

    /// A life begins with what there is; its engine counts the records from the first of these on.
    pub(crate) fn count(&mut self) {
        self.counted_from = self.first;
    }

    /// The durable records from `first` to `last`, as the engine of this life counts them; `None` if not
    /// all are here.
    pub(crate) fn counted(&self, first: u64, last: u64) -> Option<&[R]> {
        let from = (self.counted_from + first - 1).checked_sub(self.first)?;
        let to = self.counted_from + last;
        let place = |position: u64| (position - self.first) as usize;
        if to > self.told { None } else { self.records.get(from as usize..place(to)) }
    }

    pub(crate) fn write(&mut self, record: R) {
        if record.checkpoint().is_some() {
            self.checkpoints.push(self.written().0);
        }
        self.records.push(record);
    }

    /// Everything written so far.
    pub(crate) fn written(&self) -> Position {
        Position(self.first + self.records.len() as u64)
    }

    /// Everything reported durable.
    pub(crate) fn durable(&self) -> Position {
        Position(self.told)
    }

    /// Whether everything written has been reported durable.
    pub(crate) fn is_clean(&self) -> bool {
        self.told == self.written().0
    }

    /// Begins a sync of everything written, unless one is under way or nothing is to do.
    pub(crate) fn begin_sync(&mut self) -> bool {
        if self.is_clean() || self.syncing.is_some() {
            return false;
        }
        self.syncing = Some(self.written().0);
        self.sync += 1;
        true
    }

    /// Whether the sync of this number is under way.
    pub(crate) fn is_syncing(&self, sync: u32) -> bool {
        self.syncing.is_some() && self.sync == sync
    }

    /// What becomes durable when the sync under way ends, or when a crash leaves this many records
    /// that were at risk.
    pub(crate) fn to_come(&self, survivors: Option<u64>) -> Vec<R> {
        let upto = match survivors {
            Some(survivors) => (self.safe + survivors).min(self.written().0),
            None => self.syncing.unwrap_or(self.told),
        };
        let place = |position: u64| (position - self.first) as usize;
        self.records.get(place(self.told)..place(upto)).unwrap_or_default().to_vec()
    }

    /// The sync ends: all it covers is reported durable, and is, unless this is a `lie`. Gives the
    /// blobs to which only records refer that a durable checkpoint has made dead.
    pub(crate) fn end_sync(&mut self, lie: bool) -> Vec<Blob> {
        self.told = self.syncing.take().expect("a sync that ends was begun");
        if lie {
            return Vec::new();
        }
        self.safe = self.told;
        self.drop_before_checkpoint()
    }

    fn drop_before_checkpoint(&mut self) -> Vec<Blob> {
        let safe = self.checkpoints.partition_point(|&at| at < self.safe);
        let Some(newest) = self.checkpoints.drain(..safe).next_back() else {
            return Vec::new();
        };
        let keeps = self.records[(newest - self.first) as usize].checkpoint().unwrap_or(0);
        let oldest = newest.saturating_sub(keeps).max(self.first);
        let dead = (oldest - self.first) as usize;
        self.first = oldest;
        let dropped: Vec<Blob> =
            self.records.drain(..dead).filter_map(|record| record.blob()).collect();
        let kept = |blob: &Blob| self.records.iter().any(|record| record.blob() == Some(*blob));
        dropped.into_iter().filter(|blob| !kept(blob)).collect()
    }

    /// Loses what is not safe, but for a prefix of at most `survivors` records. What is left counts
    /// as durable: a log is synced before its node starts.
    pub(crate) fn crash(&mut self, survivors: u64) -> Loss {
        let written = self.written().0;
        let unsynced = written - self.told;
        let kept = (self.safe + survivors).min(written);
        self.records.truncate((kept - self.first) as usize);
        self.checkpoints.retain(|&at| at < kept);
        self.told = kept;
        self.safe = kept;
        self.syncing = None;
        self.drop_before_checkpoint();
        Loss { unsynced, lost: written - kept }
    }

    /// Loses everything. What ends a sync that was begun before comes too late.
    pub(crate) fn lose_all(&mut self) {
        self.records.clear();
        self.checkpoints.clear();
        (self.first, self.told, self.safe, self.full_until) = (0, 0, 0, 0);
        self.counted_from = 0;
        self.syncing = None;
    }

    /// Whether a sync can end at this time.
    pub(crate) fn works(&self, now: u64) -> bool {
        !self.never_syncs && self.stalled_until <= now
    }

    /// Whether only what is needed to go on voting may still be written.
    pub(crate) fn is_full(&self, now: u64) -> bool {
        self.full_until > now
    }

    /// Records that a crash may take.
    pub(crate) fn at_risk(&self) -> u64 {
        self.written().0 - self.safe
    }
}
