//! A follower accepts its leader's epoch (phase 1) and makes the leader's history its own (phase 2).
//!
//! # Why a crash in between is harmless
//!
//! A node's claim is its current epoch *c* and its history *h*; the newest claim of a quorum leads next. While
//! it synchronises with the leader of a later epoch *e*, whose history is *H*, it keeps *c* and changes *h*:
//! first it cuts *h* where that departs from *H*, then it puts parts of *H* behind, or a snapshot, which is
//! a beginning of *H* too. So *h* is a beginning of *H* at every moment, and never shorter than what both
//! had in common. Let an entry be committed in epoch *g*.
//!
//! * If *g* >= *e*, then a quorum holds it with a current epoch of at least *g* > *c*; one of them is in every
//!   quorum, and this node is not the newest.
//! * If *g* < *e*, the entry is in *H*. Before, *h* held all that was committed in epochs before *c*, and that
//!   part is common to *h* and *H*: it stays. If *g* = *c*, then everyone who acknowledged it claims *c*, and
//!   a history that ends with the entry or later. This node is only newer if its *h* ends later still; but *h*
//!   is a beginning of *H*, in which entries come in the order of their zxids: so it holds the entry.
//!
//! The current epoch comes last, behind the whole of *H* as it was when the leader began
//! ([`Rules::current_epoch_after_history`]): from then on the claim is that of the leader.

use alloc::sync::Arc;

use synod_consensus::{Epoch, Index, Membership, Snapshot};
use synod_engine::NodeId;
use synod_log::EntryId;

use super::Follower;
use crate::role::Becomes;
use crate::state::{Context, State};
use crate::{Message, Phase, Rules, Timer};

impl Follower {
    /// NEWEPOCH: accepts it, unless a later one was accepted (step f.1.1). It may come again: then the
    /// leader misses an answer.
    pub(crate) fn new_epoch<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        from: NodeId,
        epoch: Epoch,
    ) -> Becomes {
        if self.leader != from {
            return Becomes::Same;
        }
        if epoch < state.epoch() {
            return if self.takes_part() { Becomes::Same } else { Becomes::Looking };
        }
        if epoch > state.epoch() {
            state.accept(context, epoch, from);
            (self.phase, self.is_known) = (Phase::Discovery, false);
            (self.is_synced, self.acknowledge) = (false, None);
            self.end_requests(context, None);
        }
        if self.phase == Phase::Discovery {
            (self.phase, self.shared) = (Phase::Synchronisation, state.commit);
            context.cancel_timer(Timer::Inform);
        }
        self.resync.begins();
        self.is_cut = false;
        context.set_timer(Timer::Limit, state.config.init_limit());
        self.ack_epoch(state, context);
        Becomes::Same
    }

    /// Tells the leader how the history ends, once that is durable.
    pub(super) fn ack_epoch<R: Rules>(&self, state: &State<R>, context: &mut Context<'_, R>) {
        let counts = state.epochs.leader == Some(self.leader);
        let (epoch, summary) = (state.epoch(), state.summary());
        context.send(self.leader, Message::AckEpoch { epoch, counts, summary });
    }

    /// DIFF: the history is a part of the leader's.
    pub(crate) fn diff<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        after: EntryId,
    ) {
        self.begin(state, context, after);
    }

    /// TRUNC: cuts what departs from the leader's history, if the history still ends so. What would cut
    /// committed entries comes from no correct leader.
    pub(crate) fn trunc<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        last: EntryId,
        to: EntryId,
    ) {
        let is_meant = state.log.last() == last && state.log.holds(to) && to.index >= state.commit;
        if is_meant && state.rules().trunc_before_diff() {
            state.truncate(context, to.index);
        }
        self.begin(state, context, to);
    }

    /// The leader sends what comes behind `after`, which both have.
    fn begin<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        after: EntryId,
    ) {
        self.is_synced = false;
        self.resync.begins();
        if state.log.holds(after) {
            self.shared = self.shared.max(after.index);
        }
        if !state.rules().current_epoch_after_history() {
            state.enter(context, after.index);
        }
    }

    /// SNAP: takes over the leader's snapshot, whose bytes are durable here already, and says so. What it
    /// holds is committed. A snapshot of an earlier epoch than what is committed before it comes from no
    /// correct leader.
    pub(crate) fn snap<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        (snapshot, began): (Snapshot, Index),
        members: Arc<Membership>,
    ) {
        if snapshot.index > state.commit {
            if Some(snapshot.epoch) < state.log.epoch_at(state.commit) {
                return;
            }
            state.install(context, (snapshot, began), members);
            context.emit_all_now(self.forwards.passed(state.commit));
            context.emit_all_now(self.questions.ready(state.commit));
        }
        self.resync.asked();
        self.ack_epoch(state, context);
    }

    /// NEWLEADER: with what came before, the history is the leader's. Makes that so and durable, in this
    /// order: the history, the current epoch, the acknowledgement (step f.2.1). What lies behind in the
    /// history is of this leader, or departs from its history.
    pub(crate) fn new_leader<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        last: EntryId,
        began: Index,
    ) {
        let is_whole = state.log.holds(last) || !state.rules().sync_never_skips();
        if !is_whole || last.index < state.commit {
            return self.resync.lacks();
        }
        let behind = state.log.epoch_at(last.index.next());
        if behind.is_some_and(|epoch| epoch < state.epoch()) && state.rules().trunc_before_diff() {
            state.truncate(context, last.index);
        }
        (self.is_synced, self.shared) = (true, self.shared.max(last.index));
        state.enter(context, began);
        let ack = Message::AckNewLeader { epoch: state.epoch(), last: last.index };
        if state.rules().newleader_ack_after_sync_durable() {
            context.send(self.leader, ack);
        } else {
            context.send_now(self.leader, ack);
        }
    }

    /// UPTODATE: serves. Where NEWLEADER did not come before, it was lost.
    pub(crate) fn up_to_date<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        commit: Index,
    ) {
        if !self.is_synced {
            self.resync.lacks();
        }
        self.established(state, context, commit);
    }

    /// The leader is established: serves, once its own history is the leader's.
    pub(super) fn established<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        commit: Index,
    ) {
        self.is_known = true;
        if self.is_synced {
            self.phase = Phase::Broadcast;
        }
        self.commit(state, context, commit);
    }
}
