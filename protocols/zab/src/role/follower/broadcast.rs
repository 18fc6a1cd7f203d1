//! A follower takes what its leader proposes, and delivers what that commits (phase 3). The proposals of a
//! synchronisation come in the same form.

use synod_consensus::{Batch, Index};
use synod_log::EntryId;

use super::Follower;
use crate::state::{Context, State};
use crate::{Message, Phase, Rules};

impl Follower {
    /// PROPOSE and INFORM: takes the entries if they follow on what it has. What would replace committed
    /// entries, or let epochs fall, comes from no correct leader and is ignored.
    pub(crate) fn propose<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        previous: EntryId,
        entries: &Batch,
        commit: Index,
    ) {
        let fits = state.log.holds(previous)
            || previous.index < state.log.base().index
            || !state.rules().sync_never_skips();
        if state.applying_lags() || !fits || previous.index > state.log.last().index {
            return self.resync.lacks();
        }
        let end = entries.last();
        if let Some(news) = news(state, entries) {
            let before = news.first().previous().and_then(|index| state.log.epoch_at(index));
            if news.first() <= state.commit || before > Some(news.epoch()) {
                return;
            }
            state.store(context, news);
            self.resync.took_in();
        }
        self.shared = self.shared.max(end);
        self.acknowledge = self.acknowledge.max(Some(end));
        self.commit(state, context, commit);
    }

    /// The leader is there, and asks whether this node still follows.
    pub(crate) fn ping<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        established: bool,
        commit: Index,
        round: u64,
    ) {
        self.resync.pinged(self.phase == Phase::Synchronisation);
        context.send_now(self.leader, Message::Pong { epoch: state.epoch(), round });
        if established && self.phase == Phase::Synchronisation {
            self.established(state, context, commit);
        } else {
            self.commit(state, context, commit);
        }
    }

    /// COMMIT: delivers what it shares with the leader, up to there. What the leader knows to be committed
    /// is, whatever else this node has yet to take over.
    pub(crate) fn commit<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        commit: Index,
    ) {
        let last = state.log.last().index;
        let known = if state.rules().commit_in_order() { self.shared } else { last };
        let forwards = &mut self.forwards;
        state.commit_to(context, commit.min(known).min(last), |last| forwards.committed(last));
        context.emit_all_now(self.questions.ready(state.commit));
    }
}

/// The part of `entries` that the history lacks, from the first difference on.
fn news<R: Rules>(state: &State<R>, entries: &Batch) -> Option<Batch> {
    let mut first = entries.first().max(state.log.base().index.next());
    if !state.rules().trunc_before_diff() {
        first = first.max(state.log.last().index.next());
    }
    while first <= entries.last() && state.log.epoch_at(first) == Some(entries.epoch()) {
        first = first.next();
    }
    entries.slice(first..=entries.last())
}
