//! When a snapshot is due. The engine starts it, writes the checkpoint that names it, and compacts the log
//! behind it.

use synod_consensus::{Index, Snapshot};
use synod_engine::{Blob, TaskId};

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

/// Why one may be wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Entries were applied: perhaps one is due.
    Applied {
        /// Whether a follower installs the newest.
        installs: bool,
    },
    /// Time passes: perhaps the log is as long as it may become.
    Passing,
    /// The driver asks, though none is due: the disk is short of room.
    Asked,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// Nothing.
    Nothing,
    /// A task that builds a snapshot; [`Snapshotting::begin`] is told which.
    Snapshot,
    /// The newest holds all that there is: a checkpoint that keeps nothing before it for late followers.
    Checkpoint,
}

/// A snapshot that was built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Built {
    /// The last entry in it.
    pub index: Index,
    /// Its bytes.
    pub blob: Blob,
    /// Whether the driver had asked for it: then nothing is kept behind it for late followers.
    pub was_asked: bool,
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
    /// The last entry that the newest snapshot contains.
    fn covered(&self) -> Index {
        self.snapshot.map_or(Index::ZERO, |snapshot| snapshot.index)
    }

    /// Entries that a snapshot would hold and the newest does not.
    fn entries(&self) -> u64 {
        self.applied.0.saturating_sub(self.covered().0)
    }
}

impl Snapshotting {
    /// None is being built.
    #[must_use]
    pub fn new(bounds: SnapshotBounds) -> Self {
        Self { bounds, running: None, is_asked: false, not_before: Index::ZERO }
    }

    /// What is to be done for this cause. Who `is_member` knows who belongs to the group at what is applied: a
    /// node that joined and has not read that yet cannot write it down.
    pub fn wanted(&mut self, cause: Cause, behind: Behind, is_member: bool) -> Wanted {
        let holds_more = behind.entries() > 0;
        let is_time = match cause {
            Cause::Applied { installs } => self.is_due(behind, installs),
            Cause::Passing => holds_more && self.is_full(behind),
            Cause::Asked if holds_more => {
                self.ask();
                true
            }
            Cause::Asked if behind.applied > Index::ZERO && self.running.is_none() => {
                return Wanted::Checkpoint;
            }
            Cause::Asked => false,
        };
        if is_time && is_member && self.may_begin(behind) {
            Wanted::Snapshot
        } else {
            Wanted::Nothing
        }
    }

    /// Whether one is due. While a follower installs the newest one, the next waits until the log is half
    /// again as long as it may become: what the follower has of it would be in vain.
    fn is_due(&self, behind: Behind, installs: bool) -> bool {
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

    fn ask(&mut self) {
        self.is_asked = true;
        self.not_before = Index::ZERO;
    }

    /// Whether one may begin: none is being built, and the last did not fail just now.
    fn may_begin(&self, behind: Behind) -> bool {
        let is_time = behind.applied >= self.not_before || self.is_full(behind);
        self.running.is_none() && is_time
    }

    /// This task builds one.
    pub fn begin(&mut self, task: TaskId) {
        self.running = Some(task);
    }

    /// A task has ended, with what it built if it could. The snapshot that takes the place of the newest, if it
    /// was this task that built one and it holds more. If it could not, the next attempt waits for half as much
    /// again.
    pub fn ended(
        &mut self,
        task: TaskId,
        built: Option<(Index, Blob)>,
        behind: Behind,
    ) -> Option<Built> {
        self.running.take_if(|running| *running == task)?;
        let was_asked = core::mem::take(&mut self.is_asked);
        if built.is_none() {
            self.not_before = Index(behind.applied.0 + behind.entries() / 2 + 1);
        }
        let (index, blob) = built?;
        (index > behind.covered()).then_some(Built { index, blob, was_asked })
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

    const BLOB: Blob = Blob { id: 2, size_bytes: 1, checksum: 0 };

    #[test]
    fn after_a_failure_it_waits_for_half_as_much_again_unless_asked_or_full() {
        let mut snapshots = Snapshotting::new(BOUNDS);
        snapshots.begin(TaskId(1));
        assert!(!snapshots.may_begin(behind(110, 0)), "one is being built");
        assert_eq!(snapshots.ended(TaskId(2), None, behind(110, 0)), None);
        assert!(!snapshots.may_begin(behind(110, 0)), "that was another task");
        assert_eq!(snapshots.ended(TaskId(1), None, behind(110, 0)), None);
        let may = |applied, bytes| snapshots.may_begin(behind(applied, bytes));
        assert_eq!(
            [may(160, 0), may(161, 0), may(110, 1024), may(110, 1025)],
            [false, true, false, true]
        );
        snapshots.ask();
        assert!(snapshots.may_begin(behind(110, 0)));
    }

    #[test]
    fn what_was_built_counts_once_if_it_holds_more_and_what_was_asked_for_was_given() {
        let mut snapshots = Snapshotting::new(BOUNDS);
        let mut built = |task, asks, index| {
            if asks {
                snapshots.ask();
            }
            snapshots.begin(TaskId(task));
            let mut end =
                || snapshots.ended(TaskId(task), Some((Index(index), BLOB)), behind(20, 0));
            let (first, again) = (end(), end());
            assert_eq!(again, None);
            first.map(|built| (built.index.0, built.was_asked))
        };
        assert_eq!(built(1, true, 11), Some((11, true)));
        assert_eq!(built(2, false, 11), Some((11, false)));
        assert_eq!(built(3, true, 10), None, "the newest reaches as far");
        assert_eq!(built(4, false, 11), Some((11, false)));
    }

    #[test]
    fn each_cause_wants_what_it_can_have() {
        let applied = Cause::Applied { installs: false };
        let wanted = |cause, behind| Snapshotting::new(BOUNDS).wanted(cause, behind, true);
        assert_eq!(wanted(applied, behind(109, 0)), Wanted::Nothing, "not due");
        assert_eq!(wanted(applied, behind(110, 0)), Wanted::Snapshot);
        assert_eq!(wanted(Cause::Passing, behind(110, 1024)), Wanted::Nothing, "not full");
        assert_eq!(wanted(Cause::Passing, behind(11, 1025)), Wanted::Snapshot);
        assert_eq!(wanted(Cause::Passing, behind(10, 1025)), Wanted::Nothing, "it holds no more");
        assert_eq!(wanted(Cause::Asked, behind(11, 0)), Wanted::Snapshot);
        assert_eq!(wanted(Cause::Asked, behind(10, 0)), Wanted::Checkpoint);
        let nothing = Behind { snapshot: None, ..behind(0, 0) };
        assert_eq!(wanted(Cause::Asked, nothing), Wanted::Nothing, "nothing is applied");
        let mut busy = Snapshotting::new(BOUNDS);
        assert_eq!(busy.wanted(applied, behind(110, 0), false), Wanted::Nothing, "no member yet");
        busy.begin(TaskId(1));
        for (cause, applied) in [(applied, 110), (Cause::Asked, 110), (Cause::Asked, 10)] {
            assert_eq!(busy.wanted(cause, behind(applied, 0), true), Wanted::Nothing);
        }
    }
}
