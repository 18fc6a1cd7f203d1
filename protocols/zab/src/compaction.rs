//! What becomes of the history behind a snapshot that was built here or came from a
//! leader. When one is due is said by core's [`Snapshotting`](synod_log::Snapshotting).

use alloc::sync::Arc;

use synod_consensus::{Event, Index, Membership, Snapshot, Task};
use synod_engine::{Blob, TaskId};
use synod_log::{Built, Cause, EntryId, Log, Wanted};

use crate::Rules;
use crate::record::{Checkpoint, Record};
use crate::state::{Context, State};

impl<R: Rules> State<R> {
    /// Writes down the whole durable state, its log starting a little before the newest snapshot.
    pub(crate) fn write_checkpoint(&mut self, context: &mut Context<'_, R>) {
        self.write_checkpoint_with(context, self.config.bounds.keep_log_bytes);
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
        let (epochs, snapshot, began) = (self.epochs, self.snapshot, self.snapshot_began);
        let checkpoint = Checkpoint { epochs, members, snapshot, began, keeps };
        self.persist(context, Record::Checkpoint(checkpoint));
    }

    /// Starts a snapshot, or gives up what is kept behind the newest, if there is cause to.
    pub(crate) fn snapshot_for(&mut self, context: &mut Context<'_, R>, cause: Cause) {
        let is_member = !self.members.at(self.applied).is_empty();
        match self.snapshots.wanted(cause, self.behind(), is_member) {
            Wanted::Nothing => {}
            Wanted::Checkpoint => self.write_checkpoint_with(context, 0),
            Wanted::Snapshot => {
                let id = self.new_task();
                self.snapshots.begin(id);
                context.start_task(id, Task::Snapshot);
            }
        }
    }

    /// Whether the bound on what is not in a snapshot is reached.
    pub(crate) fn is_log_full(&self) -> bool {
        self.snapshots.is_full(self.behind())
    }

    /// A snapshot was built, or could not be: checkpoints, and compacts the log behind it.
    pub(crate) fn snapshot_done(
        &mut self,
        context: &mut Context<'_, R>,
        id: TaskId,
        built: Option<(Index, Blob)>,
    ) {
        let Some(built) = self.snapshots.ended(id, built, self.behind()) else { return };
        let Built { index, blob, was_asked } = built;
        let epoch = self.log.epoch_at(index).expect("applied entries are in the log");
        self.snapshot_began = self.began(EntryId { epoch, index });
        self.snapshot = Some(Snapshot { index, epoch, blob });
        self.members.rebase(index, self.members.at(index).clone());
        let keep_log_bytes = if was_asked { 0 } else { self.config.bounds.keep_log_bytes };
        self.write_checkpoint_with(context, keep_log_bytes);
    }

    /// Takes over the state of a leader's snapshot; keeps the entries behind it if the logs agree
    /// there.
    pub(crate) fn install(
        &mut self,
        context: &mut Context<'_, R>,
        (snapshot, began): (Snapshot, Index),
        members: Arc<Membership>,
    ) {
        let id = EntryId { index: snapshot.index, epoch: snapshot.epoch };
        self.members.rebase(id.index, members);
        if !self.log.holds(id) {
            self.log = Log::after(id);
            self.written.clear();
            self.members.truncate(id.index.next());
        }
        (self.snapshot, self.snapshot_began) = (Some(snapshot), began);
        self.write_checkpoint(context);
        self.tell_members(context);
        self.commit = id.index;
        context.emit_now(Event::Install(snapshot));
    }
}
