//! A leader keeps its followers' logs like its own (§5.3, §7; thesis §10.2.1), and makes sure that a
//! majority still follows (thesis §6.2).

use synod_consensus::{Batch, Index};
use synod_engine::NodeId;

use crate::progress::{Mode, Progress};
use crate::role::leader::old_log::read_for;
use crate::role::{Becomes, Leader};
use crate::state::{Context, State};
use crate::{AppendResult, EntryId, Message, Rules, Timer};

/// Heartbeats after which a snapshot that was not acknowledged is sent again; a driver that is still
/// streaming it ignores the second one.
const INSTALL_PATIENCE_HEARTBEATS: u32 = 20;

impl Leader {
    /// A follower, or the own disk, answers how far the logs agree.
    pub(crate) fn append_answered<R: Rules>(
        &mut self,
        state: &State<R>,
        from: NodeId,
        result: AppendResult,
    ) {
        if from == state.me() {
            if let AppendResult::Matches(index) = result {
                self.stored = self.stored.max(index.min(state.log.last().index));
                self.acknowledged = true;
            }
            return;
        }
        let Some(progress) = self.followers.get_mut(&from) else { return };
        progress.presence.hear();
        match result {
            AppendResult::Matches(index) => {
                self.acknowledged |= progress.matches(index.min(state.log.last().index));
            }
            AppendResult::Conflict { previous, last, hint } => {
                let is_stale = previous <= progress.matched
                    || match progress.mode {
                        Mode::Probe { .. } => previous.next() != progress.next,
                        Mode::Replicate => progress.asked != Some(previous),
                        Mode::Install { .. } => true,
                    };
                if !is_stale {
                    progress.probe(agreement_after(state, previous, last, hint));
                }
            }
        }
    }

    /// A session of the link to a follower ended: what was under way may be lost.
    pub(crate) fn link_closed(&mut self, peer: NodeId) {
        if let Some(progress) = self.followers.get_mut(&peer) {
            progress.lost();
        }
    }

    /// A new session of the link to a follower began: nothing of the last one arrives any more.
    pub(crate) fn link_opened(&mut self, peer: NodeId) {
        self.link_closed(peer);
    }

    /// Time for a heartbeat: sends it to all, and again what seems to be lost.
    pub(crate) fn heartbeat<R: Rules>(&mut self, state: &State<R>, context: &mut Context<'_, R>) {
        context.set_timer(Timer::Heartbeat, state.config.timing.heartbeat());
        let (term, commit) = (state.term(), state.commit);
        let round = Some(self.heartbeat_round(context));
        self.followers.retain(|_, progress| !progress.has_left(commit));
        let last_before = core::mem::replace(&mut self.last_at_heartbeat, state.log.last().index);
        for (peer, progress) in &mut self.followers {
            progress.caught_up = progress.matched >= last_before;
            progress.is_unread = false;
            let matched = progress.matched;
            context.send_now(*peer, Message::Heartbeat { term, commit, matched, round });
            progress.told_commit = commit;
            match &mut progress.mode {
                Mode::Probe { asked } => *asked = false,
                Mode::Install { age, .. } if *age >= INSTALL_PATIENCE_HEARTBEATS => {
                    progress.probe(progress.matched.next());
                }
                Mode::Install { age, .. } => *age += 1,
                Mode::Replicate => ask_again(state, context, *peer, progress),
            }
            progress.matched_at_heartbeat = progress.matched;
        }
        self.call_again();
        self.yield_to_priority(state, context);
        self.rest_if_idle(state, context, last_before);
    }

    /// Whether a follower that was heard lately installs a snapshot.
    pub(crate) fn installs(&self) -> bool {
        self.followers.values().any(|progress| {
            progress.presence.is_heard() && matches!(progress.mode, Mode::Install { .. })
        })
    }

    /// Steps down unless a majority was heard since the last check.
    pub(crate) fn check_quorum<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) -> Becomes {
        context.set_timer(Timer::Election, state.config.timing.election_timeout_min());
        let heard = |node| {
            node == state.me()
                || self.followers.get(&node).is_some_and(|it| it.presence.was_heard())
        };
        if !state.quorum().is_quorum(heard) {
            return Becomes::Follower { leader: None };
        }
        self.followers.values_mut().for_each(|progress| progress.presence.checked());
        Becomes::Same
    }
}

/// The next entry to try after a conflict: no further than the last entry of the hinted term in the
/// leader's log, or, if it has none, the first of that term in the follower's (end of §5.3).
fn agreement_after<R: Rules>(
    state: &State<R>,
    previous: Index,
    last: Index,
    hint: EntryId,
) -> Index {
    let bound = previous.min(last.next());
    let next = state.log.last_of_epoch(hint.epoch).map_or(hint.index, |own| own.index.next());
    next.min(bound).max(Index(1))
}

/// Sends a follower the entries that it lacks, as far as its window allows, or the snapshot in their
/// place. Those that are on disk only are read first.
pub(super) fn send_entries<R: Rules>(
    state: &mut State<R>,
    context: &mut Context<'_, R>,
    peer: NodeId,
    progress: &mut Progress,
) {
    while has_room(state, progress) {
        let is_probe = matches!(progress.mode, Mode::Probe { .. });
        if !is_probe && progress.next > state.log.last().index {
            return;
        }
        if entry_before(state, progress.next).is_none() {
            return send_snapshot(state, context, peer, progress);
        }
        let entries = state.log.run_from(progress.next);
        if !is_probe && entries.is_none() {
            return read_for(state, context, peer, progress);
        }
        send_append(state, context, peer, progress, entries);
    }
}

/// Whether one more append may be sent to a follower.
pub(super) fn has_room<R: Rules>(state: &State<R>, progress: &Progress) -> bool {
    let config = &state.config;
    progress.has_room(config.bounds.max_in_flight_appends, config.bounds.max_in_flight_bytes)
}

/// Sends entries from the follower's next on, as many as one append may carry.
pub(super) fn send_append<R: Rules>(
    state: &State<R>,
    context: &mut Context<'_, R>,
    peer: NodeId,
    progress: &mut Progress,
    entries: Option<Batch>,
) {
    let previous = entry_before(state, progress.next).expect("the log reaches back to it");
    let entries = entries.map(|run| run.head(state.config.bounds.max_append_bytes));
    let (end, size_bytes) = entries
        .as_ref()
        .map_or((previous.index, 0), |entries| (entries.last(), entries.size_bytes()));
    let (term, commit) = (state.term(), state.commit);
    context.send_now(peer, Message::Append { term, previous, entries, commit });
    progress.told_commit = commit;
    progress.sent(end, size_bytes);
}

pub(super) fn send_snapshot<R: Rules>(
    state: &State<R>,
    context: &mut Context<'_, R>,
    peer: NodeId,
    progress: &mut Progress,
) {
    let snapshot = state.snapshot.expect("a log is compacted behind a snapshot only");
    let (term, members) = (state.term(), state.members.at(snapshot.index).clone());
    context.send(peer, Message::Install { term, snapshot, members });
    progress.installing(snapshot.index);
}

/// Asks a follower that did not get on since the last heartbeat how far it is: if something was lost
/// the answer is a conflict, and if an answer was lost it comes again. If what was sent is compacted
/// by now, the question would be too, and the window may be full: it starts over.
fn ask_again<R: Rules>(
    state: &State<R>,
    context: &mut Context<'_, R>,
    peer: NodeId,
    progress: &mut Progress,
) {
    let waits = progress.matched.next() < progress.next;
    if !waits || progress.matched != progress.matched_at_heartbeat {
        return;
    }
    match entry_before(state, progress.next) {
        Some(previous) => {
            let (term, commit) = (state.term(), state.commit);
            context.send_now(peer, Message::Append { term, previous, entries: None, commit });
            progress.asked = Some(previous.index);
        }
        None => progress.probe(progress.matched.next()),
    }
}

/// The entry before `next`; `None` if it is compacted.
pub(super) fn entry_before<R: Rules>(state: &State<R>, next: Index) -> Option<EntryId> {
    let index = next.previous()?;
    state.log.epoch_at(index).map(|epoch| EntryId { epoch, index })
}
