//! A leader proposes, and commits what a quorum has acknowledged (phase 3); it makes sure that a quorum still
//! follows.
//!
//! What a follower gets is one ordered stream: the entries that it lacks, NEWLEADER, what was proposed since.
//! The published specification sends proposals to everyone who was sent NEWLEADER, and commits to everyone who
//! has acknowledged it (its issues 1 and 3); here a commit names how far, so that none is missed.

use synod_consensus::{Batch, Index};
use synod_engine::NodeId;

use crate::progress::{Progress, Stage};
use crate::role::leader::old_log::read_for;
use crate::role::leader::synchronisation::send_snapshot;
use crate::role::{Becomes, Leader};
use crate::state::{Context, State};
use crate::{Message, Rules, Timer};

impl Leader {
    /// A follower, or the own disk, has everything up to `index` (step l.3.2).
    pub(crate) fn acked<R: Rules>(&mut self, state: &State<R>, from: NodeId, index: Index) {
        let index = index.min(state.log.last().index);
        if from == state.me() {
            self.stored = self.stored.max(index);
            self.acknowledged = true;
        } else if let Some(progress) = self.followers.get_mut(&from) {
            progress.presence.hear();
            self.acknowledged |= progress.matches(index);
        }
    }

    /// Commits what a quorum has. Only who acknowledged NEWLEADER counts: what others have may be of an
    /// epoch that is over, and could still lose against another.
    pub(super) fn commit<R: Rules>(&mut self, state: &mut State<R>, context: &mut Context<'_, R>) {
        let counts = |synced: bool| synced || !state.rules().proposals_before_newleader_wait();
        let matched = |node: NodeId| {
            if node == state.me() {
                Some(self.stored).filter(|_| counts(self.synced))
            } else {
                let progress = self.followers.get(&node)?;
                Some(progress.matched).filter(|_| counts(progress.synced))
            }
        };
        let reached = state.quorum().reached(matched).flatten();
        let reached =
            if state.rules().commit_after_quorum() { reached } else { matched(state.me()) };
        let Some(reached) = reached else { return };
        self.established |= reached >= self.began;
        let proposals = &mut self.proposals;
        state.commit_to(context, reached, |last| proposals.committed(last));
        let closed = state.commit.min(self.stored.max(self.began));
        self.open_bytes = state.log.size_behind(closed);
    }

    /// Time for a heartbeat: sends it to all, and asks whoever does not answer where it is.
    pub(crate) fn heartbeat<R: Rules>(&mut self, state: &State<R>, context: &mut Context<'_, R>) {
        context.set_timer(Timer::Ping, state.config.heartbeat());
        let (epoch, commit) = (state.epoch(), state.commit);
        self.followers.retain(|_, progress| !progress.has_left(commit));
        let last_before = core::mem::replace(&mut self.last_at_heartbeat, state.log.last().index);
        let ping = super::ping(state, self.established, self.reads.newest_round());
        for (peer, progress) in &mut self.followers {
            let votes = state.quorum().contains(*peer);
            let whole = if votes { last_before } else { last_before.min(commit) };
            progress.caught_up = progress.synced && progress.matched >= whole;
            progress.is_unread = false;
            context.send_now(*peer, ping.clone());
            if progress.is_stuck() {
                context.send_now(*peer, Message::NewEpoch { epoch });
            }
        }
        self.yield_to_priority(state, context);
    }

    /// Looks again unless a quorum was heard since the last check.
    pub(crate) fn check_quorum<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) -> Becomes {
        context.set_timer(Timer::Limit, state.config.sync_limit());
        let heard = |node| {
            node == state.me()
                || self.followers.get(&node).is_some_and(|it| it.presence.was_heard())
        };
        if !state.quorum().is_quorum(heard) {
            return Becomes::Looking;
        }
        self.followers.values_mut().for_each(|progress| progress.presence.checked());
        Becomes::Same
    }
}

/// Sends a follower the entries that it lacks, as far as its window allows, NEWLEADER where it belongs among
/// them, or the snapshot in their place. Those that are on disk only are read first. An observer gets what is
/// committed.
pub(super) fn send_entries<R: Rules>(
    state: &mut State<R>,
    context: &mut Context<'_, R>,
    peer: NodeId,
    progress: &mut Progress,
    began: Index,
) {
    let votes = state.quorum().contains(peer);
    let end = if votes { state.log.last().index } else { state.commit };
    while progress.is_sent_entries() && has_room(state, progress) {
        let before = progress.next.previous().and_then(|index| state.entry_at(index));
        let Some(last) = before else {
            return send_snapshot(state, context, peer, progress);
        };
        if let Stage::Syncs(whole) = progress.stage
            && progress.next > whole
        {
            let epoch = state.epoch();
            context.send_now(peer, Message::NewLeader { epoch, last, began });
            progress.stage = Stage::Announced;
        }
        if progress.next > end {
            return;
        }
        let Some(run) = state.log.run_from(progress.next) else {
            return read_for(state, context, peer, progress);
        };
        let Some(run) = run.slice(progress.next..=end) else { return };
        send_run(state, context, peer, progress, &run);
    }
}

/// Whether one more message with entries may be sent to a follower.
pub(super) fn has_room<R: Rules>(state: &State<R>, progress: &Progress) -> bool {
    let config = &state.config;
    progress.window.has_room(config.bounds.max_in_flight_appends, config.bounds.max_in_flight_bytes)
}

/// Sends entries from the follower's next on, as many as one message may carry.
pub(super) fn send_run<R: Rules>(
    state: &State<R>,
    context: &mut Context<'_, R>,
    peer: NodeId,
    progress: &mut Progress,
    run: &Batch,
) {
    let previous = progress.next.previous().and_then(|index| state.entry_at(index));
    let previous = previous.expect("the log reaches back to it");
    let entries = run.head(state.config.bounds.max_append_bytes);
    let (epoch, commit) = (state.epoch(), state.commit);
    progress.sent(entries.last(), entries.size_bytes());
    if let Some(told) = &mut progress.told {
        *told = commit;
    }
    let message = if state.quorum().contains(peer) {
        Message::Propose { epoch, previous, entries, commit }
    } else {
        Message::Inform { epoch, previous, entries, commit }
    };
    context.send_now(peer, message);
}

/// Tells a follower that has taken over the history that a quorum has it too, and what is committed since.
pub(super) fn send_commit<R: Rules>(
    state: &State<R>,
    context: &mut Context<'_, R>,
    peer: NodeId,
    progress: &mut Progress,
) {
    if progress.stage != Stage::Follows || progress.told == Some(state.commit) {
        return;
    }
    let (epoch, commit) = (state.epoch(), state.commit);
    context.send_now(
        peer,
        match progress.told.replace(commit) {
            None => Message::UpToDate { epoch, commit },
            Some(_) => Message::Commit { epoch, index: commit },
        },
    );
}
