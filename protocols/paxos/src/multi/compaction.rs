//! What becomes of the log behind a snapshot that was built here or came from a peer.

use alloc::sync::Arc;

use synod_consensus::{Event, Index, Membership, Snapshot, Task};
use synod_engine::{Blob, TaskId};
use synod_log::{Behind, Built, Cause, Wanted};

use crate::multi::Rules;
use crate::multi::record::{Checkpoint, Record};
use crate::multi::state::{Context, State};

impl<R: Rules> State<R> {
    /// Writes down the whole durable state, its log starting a little before the newest snapshot.
    pub(crate) fn write_checkpoint(&mut self, context: &mut Context<'_, R>) {
        self.write_checkpoint_with(context, self.config.bounds.keep_log_bytes);
    }

    /// The same, its log starting so many bytes before the snapshot at most.
    fn write_checkpoint_with(&mut self, context: &mut Context<'_, R>, keep_log_bytes: usize) {
        let index = self.snapshot_index();
        let (keeps, given_up) = self.written.keep(index, keep_log_bytes);
        self.fresh_bytes = self.written.bytes_beyond(index);
        if let Some(given_up) = given_up {
            self.slots.compact(given_up);
        }
        let checkpoint = Checkpoint {
            promised: self.promised,
            members: self.members.at(index).clone(),
            snapshot: self.snapshot,
            base: self.slots.base(),
            keeps,
        };
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

    fn behind(&self) -> Behind {
        let Self { snapshot, applied, fresh_bytes, .. } = *self;
        Behind { snapshot, applied, fresh_bytes }
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
        let epoch = self.slots.epoch_at(index).expect("what is applied was accepted");
        self.snapshot = Some(Snapshot { index, epoch, blob });
        self.members.rebase(index, self.members.at(index).clone());
        let keep_log_bytes = if was_asked { 0 } else { self.config.bounds.keep_log_bytes };
        self.write_checkpoint_with(context, keep_log_bytes);
    }

    /// Takes over the state of a peer's snapshot. What was accepted behind it stays.
    pub(crate) fn install(
        &mut self,
        context: &mut Context<'_, R>,
        snapshot: Snapshot,
        members: Arc<Membership>,
    ) {
        self.members.rebase(snapshot.index, members);
        self.slots.compact(snapshot.index);
        self.snapshot = Some(snapshot);
        self.write_checkpoint_with(context, 0);
        self.tell_members(context);
        self.commit = snapshot.index;
        context.emit_now(Event::Install(snapshot));
    }
}
