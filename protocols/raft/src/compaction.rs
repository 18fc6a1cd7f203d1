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
    /// After a failure: not again before this much is applied.
    not_before: Index,
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
        let snapshot = self.snapshot_id().index;
        let entries = self.applied.0.saturating_sub(snapshot.0);
        let Config { snapshot_every, snapshot_every_bytes, max_log_bytes, .. } = self.config;
        let (max_entries, max_bytes) = if installs {
            (snapshot_every.saturating_mul(2), snapshot_every_bytes.midpoint(max_log_bytes))
        } else {
            (snapshot_every, snapshot_every_bytes)
        };
        let due = entries >= max_entries || entries > 0 && self.fresh_bytes >= max_bytes;
        if due {
            self.begin_snapshot(context);
        }
    }

    /// The disk is short of room: starts a snapshot that is not due, if it holds more than the last. What
    /// is kept behind it for late followers is given up.
    pub(crate) fn snapshot_asked(&mut self, context: &mut Context<'_, R>) {
        if self.applied > self.snapshot_id().index {
            self.snapshots.is_asked = true;
            self.begin_snapshot(context);
        } else if self.applied > Index::ZERO && self.snapshots.running.is_none() {
            self.write_checkpoint_with(context, 0);
        }
    }

    fn begin_snapshot(&mut self, context: &mut Context<'_, R>) {
        // A node that joined and has not read yet who belongs to the group cannot write it down.
        let is_member = !self.members.at(self.applied).is_empty();
        if is_member
            && self.snapshots.running.is_none()
            && self.applied >= self.snapshots.not_before
        {
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
            let pause = self.config.snapshot_every / 2 + 1;
            self.snapshots.not_before = Index(self.applied.0 + pause);
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
