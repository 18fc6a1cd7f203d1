//! A follower lacks entries that are no longer in memory: they are read from disk, sent, and dropped
//! (decision 0007).

use alloc::vec::Vec;

use synod_consensus::{Batch, Index, Task};
use synod_engine::{NodeId, TaskId};

use crate::Rules;
use crate::progress::{Mode, Progress};
use crate::role::Leader;
use crate::role::leader::replication::{entry_before, has_room, send_append, send_snapshot};
use crate::state::{Context, State};

impl Leader {
    /// Entries that were read for a follower: sends what it lacks of them, as far as its window allows.
    /// What is read may have been replaced since; an entry of the index and term that the log has there
    /// is the one (Log Matching, figure 3). Nothing, if it could not be read.
    pub(crate) fn log_read<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        task: TaskId,
        batches: &[Batch],
    ) {
        let waits = |progress: &Progress| progress.reading.is_some_and(|(id, _)| id == task);
        let Some((peer, progress)) = self.followers.iter_mut().find(|(_, it)| waits(it)) else {
            return;
        };
        let asked = progress.reading.take().map(|(_, next)| next);
        for batch in batches {
            while can_take(state, progress)
                && let Some(run) = shared_run(state, batch, progress.next)
            {
                send_append(state, context, *peer, progress, Some(run));
            }
        }
        if asked == Some(progress.next) && can_take(state, progress) {
            unread(state, context, *peer, progress);
        }
    }

    /// Up to here the log may be evicted, as far as its own disk and the state machine go. What it took
    /// over may not be durable yet; it is before it is read.
    pub(crate) fn evictable<R: Rules>(&self, state: &State<R>) -> Index {
        state.applied.min(self.stored.max(Index(self.noop.0 - 1)))
    }

    /// Gives up what is being read.
    pub(super) fn abort_reads<R: Rules>(&self, context: &mut Context<'_, R>) {
        let reading: Vec<_> = self.followers.values().filter_map(|it| it.reading).collect();
        reading.into_iter().for_each(|(task, _)| context.abort_task(task));
    }
}

/// Reads what a follower needs next, about as much as one append carries; one such read at a time.
pub(super) fn read_for<R: Rules>(
    state: &mut State<R>,
    context: &mut Context<'_, R>,
    peer: NodeId,
    progress: &mut Progress,
) {
    if progress.reading.is_some() || progress.is_unread {
        return;
    }
    let Some((first, last)) =
        state.written.holding(progress.next, state.config.bounds.max_append_bytes)
    else {
        return unread(state, context, peer, progress);
    };
    let task = state.new_task();
    progress.reading = Some((task, progress.next));
    context.start_task(task, Task::ReadLog { first, last });
}

/// What a follower needs next cannot be read now: it gets the snapshot if that reaches as far, and is
/// tried again at the next heartbeat if not.
fn unread<R: Rules>(
    state: &State<R>,
    context: &mut Context<'_, R>,
    peer: NodeId,
    progress: &mut Progress,
) {
    if state.snapshot_id().index >= progress.next {
        send_snapshot(state, context, peer, progress);
    } else {
        progress.is_unread = true;
    }
}

/// Whether entries from its next on may be sent to a follower.
fn can_take<R: Rules>(state: &State<R>, progress: &Progress) -> bool {
    matches!(progress.mode, Mode::Replicate)
        && has_room(state, progress)
        && entry_before(state, progress.next).is_some()
}

/// The entries of a batch from `next` on, as far as they are the log's.
fn shared_run<R: Rules>(state: &State<R>, batch: &Batch, next: Index) -> Option<Batch> {
    let is_shared = batch.first() <= next && state.log.epoch_at(next) == Some(batch.epoch());
    let end = state.log.last_of_epoch(batch.epoch()).filter(|_| is_shared)?;
    batch.slice(next..=end.index)
}
