//! Log compaction (§7): when a snapshot is due, and what becomes of the log behind one that was built
//! here or came from a leader.

use alloc::sync::Arc;

use synod_consensus::{Event, Index, Membership, Snapshot, Task};
use synod_engine::{Blob, TaskId};

use crate::record::{Checkpoint, Record};
use crate::state::{Context, State};
use crate::{Config, EntryId, Log, Rules};

/// Whether a snapshot is being built.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Snapshotting {
    running: Option<TaskId>,
    /// Whether the driver asked for it: then nothing is kept behind it for late followers.
    is_asked: bool,
    /// After a failure: not again before this much is applied, unless the driver asks or the log is full.
    not_before: Index,
}

/// How many bytes of entries behind the snapshot `last` make the next one due. Its size times
/// `snapshot_growth`, for a snapshot writes the whole state, so that writing it all again and again adds
/// 1/`snapshot_growth` to what the log writes anyhow; but `snapshot_every_bytes` at least, and half of
/// `max_log_bytes` at most, so that there is room for what is written meanwhile.
fn due_bytes<R>(config: &Config<R>, last: Option<Snapshot>) -> usize {
    let size_bytes = last.map_or(0, |snapshot| snapshot.blob.size_bytes);
    let outweighs = size_bytes.saturating_mul(config.snapshot_growth.into());
    let outweighs = usize::try_from(outweighs).unwrap_or(usize::MAX);
    outweighs.min(config.max_log_bytes / 2).max(config.snapshot_every_bytes)
}

impl<R: Rules> State<R> {
    /// Writes down the whole durable state, its log starting a little before the newest snapshot.
    pub(crate) fn write_checkpoint(&mut self, context: &mut Context<'_, R>) {
        self.write_checkpoint_with(context, self.config.keep_log_bytes);
    }

    /// The same, its log starting so many bytes before the snapshot at most.
    fn write_checkpoint_with(&mut self, context: &mut Context<'_, R>, keep_log_bytes: usize) {
        let index = self.snapshot_id().index;
        let (keeps, given_up) = self.written.keep(index, keep_log_bytes);
        self.fresh_bytes = self.written.bytes_beyond(index);
        if let Some(given_up) = given_up {
            self.log.compact(given_up);
        }
        let members = self.members.at(index).clone();
        let checkpoint = Checkpoint { hard: self.hard, members, snapshot: self.snapshot, keeps };
        self.persist(context, Record::Checkpoint(checkpoint));
    }

    /// Starts a snapshot if one is due (§7). While a follower installs the newest one, the next waits
    /// until the log is half again as long as it may become: what the follower has of it would be in
    /// vain.
    pub(crate) fn snapshot_if_due(&mut self, context: &mut Context<'_, R>, installs: bool) {
        let entries = self.applied.0.saturating_sub(self.snapshot_id().index.0);
        let (mut max_entries, mut max_bytes) =
            (self.config.snapshot_every, due_bytes(&self.config, self.snapshot));
        if installs {
            max_entries = max_entries.saturating_mul(2);
            max_bytes = max_bytes.midpoint(self.config.max_log_bytes);
        }
        if entries >= max_entries || entries > 0 && self.fresh_bytes >= max_bytes {
            self.begin_snapshot(context);
        }
    }

    /// The log is as long as it may become, so that nothing more is applied by which a snapshot would come
    /// due: starts one, if it holds more than the last, though the last attempt failed just now.
    pub(crate) fn snapshot_if_full(&mut self, context: &mut Context<'_, R>) {
        if self.is_log_full() && self.applied > self.snapshot_id().index {
            self.begin_snapshot(context);
        }
    }

    /// Whether the bound on what is not in a snapshot is reached.
    pub(crate) fn is_log_full(&self) -> bool {
        self.fresh_bytes > self.config.max_log_bytes
    }

    /// The disk is short of room: starts a snapshot that is not due, if it holds more than the last. What
    /// is kept behind it for late followers is given up.
    pub(crate) fn snapshot_asked(&mut self, context: &mut Context<'_, R>) {
        if self.applied > self.snapshot_id().index {
            self.snapshots.is_asked = true;
            self.snapshots.not_before = Index::ZERO;
            self.begin_snapshot(context);
        } else if self.applied > Index::ZERO && self.snapshots.running.is_none() {
            self.write_checkpoint_with(context, 0);
        }
    }

    fn begin_snapshot(&mut self, context: &mut Context<'_, R>) {
        // A node that joined and has not read yet who belongs to the group cannot write it down.
        let is_member = !self.members.at(self.applied).is_empty();
        let is_time = self.applied >= self.snapshots.not_before || self.is_log_full();
        if is_member && self.snapshots.running.is_none() && is_time {
            let id = self.new_task();
            self.snapshots.running = Some(id);
            context.start_task(id, Task::Snapshot);
        }
    }

    /// A snapshot was built, or could not be: checkpoints, and compacts the log behind it.
    pub(crate) fn snapshot_done(
        &mut self,
        context: &mut Context<'_, R>,
        id: TaskId,
        built: Option<(Index, Blob)>,
    ) {
        if self.snapshots.running != Some(id) {
            return;
        }
        self.snapshots.running = None;
        let is_asked = core::mem::take(&mut self.snapshots.is_asked);
        let Some((index, blob)) = built else {
            let entries = self.applied.0.saturating_sub(self.snapshot_id().index.0);
            self.snapshots.not_before = Index(self.applied.0 + entries / 2 + 1);
            return;
        };
        if index > self.snapshot_id().index {
            let epoch = self.log.term_at(index).expect("applied entries are in the log");
            self.snapshot = Some(Snapshot { index, epoch, blob });
            self.members.rebase(index, self.members.at(index).clone());
            let keep_log_bytes = if is_asked { 0 } else { self.config.keep_log_bytes };
            self.write_checkpoint_with(context, keep_log_bytes);
        }
    }

    /// Takes over the state of a leader's snapshot; keeps the entries behind it if the logs agree
    /// there (§7).
    pub(crate) fn install(
        &mut self,
        context: &mut Context<'_, R>,
        snapshot: Snapshot,
        members: Arc<Membership>,
    ) {
        let id = EntryId { index: snapshot.index, term: snapshot.epoch };
        self.members.rebase(id.index, members);
        if !self.log.holds(id) {
            self.log = Log::after(id);
            self.written.clear();
            self.members.truncate(id.index.next());
        }
        self.snapshot = Some(snapshot);
        self.write_checkpoint(context);
        self.tell_members(context);
        self.commit = id.index;
        context.emit_now(Event::Install(snapshot));
    }
}

#[cfg(test)]
mod tests {
    use synod_consensus::Epoch;
    use synod_engine::NodeId;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn due(snapshot_bytes: Option<u64>, max_log_bytes: u64) -> u64 {
        let mut config = Config::new(NodeId(1), [NodeId(1)]);
        config.snapshot_every_bytes = (64 * MIB) as usize;
        (config.snapshot_growth, config.max_log_bytes) = (4, max_log_bytes as usize);
        let last = snapshot_bytes.map(|size_bytes| {
            let blob = Blob { id: 1, size_bytes, checksum: 0 };
            Snapshot { index: Index(1), epoch: Epoch(1), blob }
        });
        due_bytes(&config, last) as u64
    }

    #[test]
    fn a_snapshot_is_due_once_the_log_outweighs_the_last_one_by_far() {
        assert_eq!(due(None, 1024 * MIB), 64 * MIB);
        assert_eq!(
            due(Some(MIB), 1024 * MIB),
            64 * MIB,
            "a small state is not written all the time"
        );
        assert_eq!(due(Some(80 * MIB), 1024 * MIB), 320 * MIB);
    }

    #[test]
    fn a_large_state_leaves_room_in_the_log_for_what_comes_while_it_is_written() {
        assert_eq!(due(Some(300 * MIB), 1024 * MIB), 512 * MIB);
        assert_eq!(due(Some(u64::MAX), 1024 * MIB), 512 * MIB);
        assert_eq!(due(Some(300 * MIB), 65 * MIB), 64 * MIB, "below max_log_bytes in any case");
    }
}
