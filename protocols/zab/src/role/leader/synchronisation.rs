//! A leader makes its followers' histories like its own (phase 2), each by what it lacks: DIFF, TRUNC or SNAP.
//! Late ones come to it in phase 3, and are treated the same.
//!
//! Where two histories part is found by epochs. The entries of an epoch are all of one leader, in order, and
//! follow what that leader began with; so two histories with entries of the same epoch are the same up to the
//! shorter one's last entry of that epoch. A follower says with which entry each epoch ends in its history; the
//! newest epoch that both have tells where they part. A zxid alone would not: the follower's last may be one
//! that the leader's history never held, between two that it does.

use synod_consensus::{Epoch, Index};
use synod_engine::NodeId;
use synod_log::EntryId;

use crate::message::{MAX_RUNS, Summary};
use crate::progress::{Progress, Stage};
use crate::role::{Becomes, Leader};
use crate::state::{Context, State};
use crate::{Message, Rules};

impl Leader {
    /// A node follows (step l.1.1, for one that is late). If it accepted a later epoch of a leader that came
    /// to nothing, it can take none from this one: the group needs a newer epoch.
    pub(crate) fn follower_info<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        from: NodeId,
        accepted: Epoch,
    ) -> Becomes {
        let Some(progress) = self.followers.get_mut(&from) else { return Becomes::Same };
        let epoch = state.epoch();
        if accepted > epoch {
            return if progress.presence.is_leaving() { Becomes::Same } else { Becomes::Looking };
        }
        progress.enter(Stage::Asked);
        context.send_now(from, Message::NewEpoch { epoch });
        Becomes::Same
    }

    /// A follower accepted the epoch, and says how its history ends. What it said before it acknowledged more
    /// is late.
    pub(crate) fn epoch_acked(&mut self, from: NodeId, summary: Summary) {
        if let Some(progress) = self.followers.get_mut(&from) {
            progress.presence.hear();
            if summary.last().index >= progress.matched {
                progress.enter(Stage::Waits(summary));
            }
        }
    }

    /// A follower, or the own disk, has taken over the history (step l.2.2).
    pub(crate) fn new_leader_acked<R: Rules>(
        &mut self,
        state: &State<R>,
        from: NodeId,
        last: Index,
    ) {
        let last = last.min(state.log.last().index);
        if from == state.me() {
            (self.synced, self.stored) = (true, self.stored.max(last));
            self.acknowledged = true;
        } else if let Some(progress) = self.followers.get_mut(&from) {
            progress.presence.hear();
            self.acknowledged |= progress.syncs(last);
        }
    }

    /// A session of the link to a follower ended: what was under way may be lost. It will say so.
    pub(crate) fn link_closed(&mut self, peer: NodeId) {
        if let Some(progress) = self.followers.get_mut(&peer) {
            progress.enter(Stage::Away);
        }
    }

    /// A new session of the link to a member began: calls it.
    pub(crate) fn link_opened<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        peer: NodeId,
    ) {
        if self.followers.contains_key(&peer) {
            context.send_now(peer, super::ping(state, self.established, self.reads.newest_round()));
        }
    }

    /// Whether a follower that was heard lately installs a snapshot.
    pub(crate) fn installs(&self) -> bool {
        self.followers.values().any(|progress| progress.presence.is_heard() && progress.installs())
    }
}

/// Begins to send a follower what it lacks.
pub(super) fn begin<R: Rules>(
    state: &State<R>,
    context: &mut Context<'_, R>,
    peer: NodeId,
    progress: &mut Progress,
) {
    let Stage::Waits(summary) = core::mem::replace(&mut progress.stage, Stage::Asked) else {
        return;
    };
    let Some(agreement) = agreement(state, &summary) else {
        return send_snapshot(state, context, peer, progress);
    };
    let epoch = state.epoch();
    let after = agreement.entry;
    let last = summary.last();
    if agreement.is_exact && last.index > after.index {
        context.send_now(peer, Message::Trunc { epoch, last, to: after });
    } else {
        context.send_now(peer, Message::Diff { epoch, after });
    }
    let votes = state.quorum().contains(peer);
    let whole = if votes { state.log.last().index } else { state.commit };
    progress.enter(Stage::Syncs(whole));
    progress.next = after.index.next();
}

/// Where two histories part.
struct Agreement {
    /// An entry that both hold.
    entry: EntryId,
    /// Whether it is the last such entry.
    is_exact: bool,
}

/// Where a follower's history parts from the leader's; `None` if that is compacted here.
fn agreement<R: Rules>(state: &State<R>, summary: &Summary) -> Option<Agreement> {
    let shared = |run: &EntryId| {
        let own = state.log.last_of_epoch(run.epoch)?;
        let entry = EntryId { epoch: run.epoch, index: own.index.min(run.index) };
        state.log.holds(entry).then_some(entry)
    };
    if let Some(entry) = summary.runs.iter().find_map(shared) {
        return Some(Agreement { entry, is_exact: true });
    }
    let is_exact = summary.runs.len() < MAX_RUNS;
    let entry = Some(summary.base).filter(|base| state.log.holds(*base))?;
    Some(Agreement { entry, is_exact })
}

/// Sends the newest snapshot; the follower says how its history ends once it has installed it. Where there is
/// none, nothing was compacted: who has nothing in common with this history is of no group of this node's.
pub(super) fn send_snapshot<R: Rules>(
    state: &State<R>,
    context: &mut Context<'_, R>,
    peer: NodeId,
    progress: &mut Progress,
) {
    let Some(snapshot) = state.snapshot else { return progress.enter(Stage::Away) };
    let (epoch, members) = (state.epoch(), state.members.at(snapshot.index).clone());
    context.send(peer, Message::Snap { epoch, snapshot, began: state.snapshot_began, members });
    progress.enter(Stage::Installs { index: snapshot.index, age: 0 });
}
