//! When a snapshot is due. The engine starts it, writes the checkpoint that names it, and compacts the log
//! behind it.

use synod_consensus::{Index, Snapshot};
use synod_engine::TaskId;

/// How much log may gather behind a snapshot: knobs of the engine's configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SnapshotBounds {
    /// The next one is due when the entries behind the last weigh so many times what it weighs.
    pub growth: u32,
    /// After this many bytes of entries at the earliest.
    pub every_bytes: usize,
    /// And after this many entries in any case.
    pub every: u64,
    /// Nothing more is appended while so many bytes are in no snapshot; half of it is the latest that one
    /// comes due.
    pub max_log_bytes: usize,
}

/// What lies behind the newest snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Behind {
    /// The newest snapshot.
    pub snapshot: Option<Snapshot>,
    /// What the state machine has applied.
    pub applied: Index,
    /// Bytes of entries that were written since the snapshot.
    pub fresh_bytes: usize,
}

/// Whether a snapshot is being built, and when the next is due.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Snapshotting {
    bounds: SnapshotBounds,
    running: Option<TaskId>,
    /// Whether the driver asked for it: then nothing is kept behind it for late followers.
    is_asked: bool,
    /// After a failure: not again before this much is applied, unless the driver asks or the log is full.
    not_before: Index,
}

impl SnapshotBounds {
    /// How many bytes of entries behind the snapshot `last` make the next one due. Its size times
    /// `growth`, for a snapshot writes the whole state, so that writing it all again and again adds
    /// 1/`growth` to what the log writes anyhow; but `every_bytes` at least, and half of `max_log_bytes`
    /// at most, so that there is room for what is written meanwhile.
    fn due_bytes(&self, last: Option<Snapshot>) -> usize {
        let size_bytes = last.map_or(0, |snapshot| snapshot.blob.size_bytes);
        let outweighs = size_bytes.saturating_mul(self.growth.into());
        let outweighs = usize::try_from(outweighs).unwrap_or(usize::MAX);
        outweighs.min(self.max_log_bytes / 2).max(self.every_bytes)
    }
}

impl Behind {
    /// Entries that a snapshot would hold and the newest does not.
    fn entries(&self) -> u64 {
        let covered = self.snapshot.map_or(Index::ZERO, |snapshot| snapshot.index);
        self.applied.0.saturating_sub(covered.0)
    }
}

impl Snapshotting {
    /// None is being built.
    #[must_use]
    pub fn new(bounds: SnapshotBounds) -> Self {
        Self { bounds, running: None, is_asked: false, not_before: Index::ZERO }
    }

    /// Whether one is due. While a follower installs the newest one, the next waits until the log is half
    /// again as long as it may become: what the follower has of it would be in vain.
    #[must_use]
    pub fn is_due(&self, behind: Behind, installs: bool) -> bool {
        let mut max_entries = self.bounds.every;
        let mut max_bytes = self.bounds.due_bytes(behind.snapshot);
        if installs {
            max_entries = max_entries.saturating_mul(2);
            max_bytes = max_bytes.midpoint(self.bounds.max_log_bytes);
        }
        let entries = behind.entries();
        entries >= max_entries || entries > 0 && behind.fresh_bytes >= max_bytes
    }

    /// Whether the log is as long as it may become. Then one is due if it holds more than the last, though
    /// the last attempt failed just now: nothing more is applied by which it would come due.
    #[must_use]
    pub fn is_full(&self, behind: Behind) -> bool {
        behind.fresh_bytes > self.bounds.max_log_bytes
    }

    /// The driver asks for one, though none is due.
    pub fn ask(&mut self) {
        self.is_asked = true;
        self.not_before = Index::ZERO;
    }

    /// Whether one is being built.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether one may begin: none is being built, and the last did not fail just now.
    #[must_use]
    pub fn may_begin(&self, behind: Behind) -> bool {
        let is_time = behind.applied >= self.not_before || self.is_full(behind);
        !self.is_running() && is_time
    }

    /// This task builds one.
    pub fn begin(&mut self, task: TaskId) {
        self.running = Some(task);
    }

    /// A task has ended. `None` if it was not the one that built a snapshot; else whether the driver had
    /// asked for it, and nothing should be kept behind it.
    pub fn end(&mut self, task: TaskId) -> Option<bool> {
        self.running.take_if(|running| *running == task)?;
        Some(core::mem::take(&mut self.is_asked))
    }

    /// None could be built: the next attempt waits for half as much again.
    pub fn failed(&mut self, behind: Behind) {
        self.not_before = Index(behind.applied.0 + behind.entries() / 2 + 1);
    }
}

#[cfg(test)]
mod tests {
    use synod_consensus::Epoch;
    use synod_engine::Blob;

    use super::*;

    const MIB: usize = 1 << 20;
    const BOUNDS: SnapshotBounds =
        SnapshotBounds { growth: 4, every_bytes: 64, every: 100, max_log_bytes: 1024 };

    fn snapshot(index: u64, size_bytes: u64) -> Snapshot {
        let blob = Blob { id: 1, size_bytes, checksum: 0 };
        Snapshot { index: Index(index), epoch: Epoch(1), blob }
    }

    fn behind(applied: u64, fresh_bytes: usize) -> Behind {
        Behind { snapshot: Some(snapshot(10, 1)), applied: Index(applied), fresh_bytes }
    }

    fn due(snapshot_mib: Option<u64>, max_log_mib: usize) -> usize {
        let max_log_bytes = max_log_mib * MIB;
        let bounds = SnapshotBounds { every_bytes: 64 * MIB, max_log_bytes, ..BOUNDS };
        let last = snapshot_mib.map(|mib| snapshot(1, mib.saturating_mul(MIB as u64)));
        bounds.due_bytes(last) / MIB
    }

    #[test]
    fn a_snapshot_is_due_once_the_log_outweighs_the_last_one_by_far() {
        assert_eq!(due(None, 1024), 64);
        assert_eq!(due(Some(1), 1024), 64, "a small state is not written all the time");
        assert_eq!(due(Some(80), 1024), 320);
    }

    #[test]
    fn a_large_state_leaves_room_in_the_log_for_what_comes_while_it_is_written() {
        assert_eq!(due(Some(300), 1024), 512);
        assert_eq!(due(Some(u64::MAX), 1024), 512);
        assert_eq!(due(Some(300), 65), 64, "below max_log_bytes in any case");
    }

    #[test]
    fn a_snapshot_is_due_by_entries_or_by_bytes_and_later_while_a_follower_installs_one() {
        let snapshots = Snapshotting::new(BOUNDS);
        let due = |applied, bytes| {
            [false, true].map(|installs| snapshots.is_due(behind(applied, bytes), installs))
        };
        assert_eq!([due(109, 63), due(110, 63)], [[false, false], [true, false]]);
        assert_eq!([due(209, 63), due(210, 63)], [[true, false], [true, true]]);
        assert_eq!([due(11, 64), due(11, 543), due(11, 544)].map(|it| it[1]), [false, false, true]);
        assert_eq!(due(10, 5000), [false, false], "it would hold nothing new");
    }

    #[test]
    fn after_a_failure_it_waits_for_half_as_much_again_unless_asked_or_full() {
        let mut snapshots = Snapshotting::new(BOUNDS);
        snapshots.begin(TaskId(1));
        assert!(snapshots.is_running() && !snapshots.may_begin(behind(110, 0)));
        assert_eq!([snapshots.end(TaskId(2)), snapshots.end(TaskId(1))], [None, Some(false)]);
        snapshots.failed(behind(110, 0));
        let may = |applied, bytes| snapshots.may_begin(behind(applied, bytes));
        assert_eq!(
            [may(160, 0), may(161, 0), may(110, 1024), may(110, 1025)],
            [false, true, false, true]
        );
        snapshots.ask();
        assert!(snapshots.may_begin(behind(110, 0)));
        snapshots.begin(TaskId(3));
        assert_eq!([snapshots.end(TaskId(3)), snapshots.end(TaskId(3))], [Some(true), None]);
        snapshots.begin(TaskId(4));
        assert_eq!(snapshots.end(TaskId(4)), Some(false), "what was asked for was given");
    }
}
