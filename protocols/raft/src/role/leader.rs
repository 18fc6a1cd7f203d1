//! Leads a term: replicates, commits, confirms reads, and makes sure that a majority still follows
//! (§5.3, §5.4, §8).

use alloc::collections::BTreeMap;
use alloc::vec;

use bytes::Bytes;
use synod_consensus::{Batch, Event, Index, Payload, Refusal};
use synod_engine::{NodeId, Token};

use crate::progress::{Mode, Progress};
use crate::proposals::Proposals;
use crate::reads::Reads;
use crate::role::Becomes;
use crate::state::{Context, State};
use crate::{AppendResult, EntryId, Message, Rules, Timer};

/// Heartbeats after which a snapshot that was not acknowledged is sent again; a driver that is still
/// streaming it ignores the second one.
const INSTALL_PATIENCE_HEARTBEATS: u32 = 20;

/// What a leader knows of its followers and of its own disk, and who waits for it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Leader {
    followers: BTreeMap<NodeId, Progress>,
    /// Up to here its own log is durable, so that it may count itself.
    stored: Index,
    /// The no-op of its term: once that is committed, its commit index is current (§8).
    noop: Index,
    /// Whether an acknowledgement came since the commit index was last looked at.
    acknowledged: bool,
    /// Appended and not committed, or not durable here, in bytes.
    open_bytes: usize,
    proposals: Proposals,
    reads: Reads,
}

impl Leader {
    /// Takes over: a no-op of the own term first (§8), since entries of earlier terms are not
    /// committed by counting.
    pub(crate) fn new<R: Rules>(state: &mut State<R>, context: &mut Context<'_, R>) -> Self {
        context.set_timer(Timer::Election, state.config.election_timeout_min());
        context.set_timer(Timer::Heartbeat, state.config.heartbeat());
        let noop = state.log.last().index.next();
        let followers = state.peers().map(|peer| (peer, Progress::new(noop))).collect();
        let mut leader = Self {
            followers,
            stored: Index::ZERO,
            noop,
            acknowledged: false,
            open_bytes: 0,
            proposals: Proposals::default(),
            reads: Reads::default(),
        };
        leader.store(state, context, Batch::new(noop, state.term(), vec![Payload::Noop]));
        leader
    }

    /// A command to append, at the next flush.
    pub(crate) fn propose<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        token: Token,
        command: Bytes,
    ) {
        let config = &state.config;
        let refusal = if command.len() > config.max_command_bytes {
            Refusal::TooLarge { max_bytes: config.max_command_bytes as u64 }
        } else if state.applying_lags() || self.is_full(state) {
            Refusal::Busy
        } else {
            return self.proposals.gather(token, command);
        };
        context.emit_now(Event::Refused { token, refusal });
    }

    /// A linearizable read to confirm, in the round that the next flush opens.
    pub(crate) fn read<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        token: Token,
    ) {
        if self.reads.len() >= state.config.max_pending_reads {
            context.emit_now(Event::Refused { token, refusal: Refusal::Busy });
        } else {
            self.reads.ask(token);
        }
    }

    /// The user gave up: what was not sent on never takes effect; the rest ends by itself.
    pub(crate) fn cancel<R: Rules>(&mut self, context: &mut Context<'_, R>, token: Token) {
        if self.proposals.cancel(token) || self.reads.cancel(token) {
            context.emit_now(Event::Refused { token, refusal: Refusal::Cancelled });
        }
    }

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
        progress.heard = true;
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

    /// A follower confirms a read round.
    pub(crate) fn round_confirmed<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        from: NodeId,
        round: u64,
    ) {
        if let Some(progress) = self.followers.get_mut(&from)
            && round <= self.reads.newest_round()
        {
            progress.heard = true;
            progress.round = progress.round.max(round);
            self.answer_reads(state, context);
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
        context.set_timer(Timer::Heartbeat, state.config.heartbeat());
        let (term, commit) = (state.term(), state.commit);
        let round = Some(self.reads.newest_round());
        for (peer, progress) in &mut self.followers {
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
    }

    /// Steps down unless a majority was heard since the last check.
    pub(crate) fn check_quorum<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) -> Becomes {
        context.set_timer(Timer::Election, state.config.election_timeout_min());
        let heard = |node| {
            node == state.me() || self.followers.get(&node).is_some_and(|progress| progress.heard)
        };
        if !state.voters.is_quorum(heard) {
            return Becomes::Follower { leader: None };
        }
        self.followers.values_mut().for_each(|progress| progress.heard = false);
        Becomes::Same
    }

    /// Appends what was gathered, commits what was acknowledged, and sends everyone what they lack.
    pub(crate) fn flush<R: Rules>(&mut self, state: &mut State<R>, context: &mut Context<'_, R>) {
        let first = state.log.last().index.next();
        for batch in self.proposals.append(first, state.term(), state.config.max_append_bytes) {
            self.store(state, context, batch);
        }
        if core::mem::take(&mut self.acknowledged) {
            self.commit(state, context);
        }
        let asks = self.open_round(state);
        for (peer, progress) in &mut self.followers {
            send_entries(state, context, *peer, progress);
            if asks.is_some() || progress.told_commit < state.commit {
                let (term, commit, matched) = (state.term(), state.commit, progress.matched);
                context.send_now(*peer, Message::Heartbeat { term, commit, matched, round: asks });
                progress.told_commit = commit;
            }
        }
        if asks.is_some() {
            self.answer_reads(state, context);
        }
    }

    /// Leads no more: everything that waits ends, as refused or as unknown.
    pub(crate) fn retire<R: Rules>(mut self, context: &mut Context<'_, R>, leader: Option<NodeId>) {
        let refusal = Refusal::NotLeader { leader };
        let (never_appended, appended) = self.proposals.drain();
        for token in never_appended.chain(self.reads.drain()) {
            context.emit_now(Event::Refused { token, refusal });
        }
        for token in appended {
            context.emit_now(Event::Unknown { token });
        }
    }

    /// Whether the bounds on what is not committed, not durable, or kept in memory, are reached.
    fn is_full<R: Rules>(&self, state: &State<R>) -> bool {
        self.open_bytes + self.proposals.gathered_bytes() > state.config.max_uncommitted_bytes
            || state.log.size_bytes() > state.config.max_log_bytes
    }

    /// Appends a batch to the log; its own disk acknowledges it by a message to itself.
    fn store<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        batch: Batch,
    ) {
        let last = batch.last();
        self.open_bytes += batch.size_bytes();
        state.store(context, batch);
        if state.rules().entries_are_durable() {
            let result = AppendResult::Matches(last);
            context.send(state.me(), Message::AppendReply { term: state.term(), result });
        } else {
            self.stored = last;
            self.acknowledged = true;
        }
    }

    /// Commits what a majority has, if it is of this term (§5.4.2); with it all before it.
    fn commit<R: Rules>(&mut self, state: &mut State<R>, context: &mut Context<'_, R>) {
        let matched = |node: NodeId| {
            if node == state.me() {
                self.stored
            } else {
                self.followers.get(&node).map_or(Index::ZERO, |progress| progress.matched)
            }
        };
        let Some(reached) = state.voters.reached(matched) else { return };
        let is_own = state.log.term_at(reached) == Some(state.term());
        if is_own || !state.rules().own_term_commit() {
            let proposals = &mut self.proposals;
            state.commit_to(context, reached, |last| proposals.committed(last));
        }
        let inherited = Index(self.noop.0 - 1);
        let closed = state.commit.min(self.stored.max(inherited));
        let open = state.log.range(closed.next(), state.log.last().index);
        self.open_bytes = open.map(|batch| batch.size_bytes()).sum();
    }

    /// Opens a read round if reads wait and the commit index is known to be current.
    fn open_round<R: Rules>(&mut self, state: &State<R>) -> Option<u64> {
        let is_current = state.commit >= self.noop || !state.rules().read_after_own_commit();
        if is_current { self.reads.open_round(state.commit) } else { None }
    }

    /// Answers the reads of every round that a majority confirmed.
    fn answer_reads<R: Rules>(&mut self, state: &State<R>, context: &mut Context<'_, R>) {
        let round = |node: NodeId| {
            if node == state.me() || !state.rules().read_is_confirmed() {
                u64::MAX
            } else {
                self.followers.get(&node).map_or(0, |progress| progress.round)
            }
        };
        let Some(confirmed) = state.voters.reached(round) else { return };
        while let Some((index, tokens)) = self.reads.confirmed(confirmed) {
            context.emit_now(Event::ReadReady { index, tokens });
        }
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
    let next = state.log.last_of_term(hint.term).map_or(hint.index, |own| own.index.next());
    next.min(bound).max(Index(1))
}

/// Sends a follower the entries that it lacks, as far as its window allows, or the snapshot in their
/// place.
fn send_entries<R: Rules>(
    state: &State<R>,
    context: &mut Context<'_, R>,
    peer: NodeId,
    progress: &mut Progress,
) {
    let config = &state.config;
    while progress.has_room(config.max_in_flight_appends, config.max_in_flight_bytes) {
        let is_probe = matches!(progress.mode, Mode::Probe { .. });
        if !is_probe && progress.next > state.log.last().index {
            return;
        }
        let Some(previous) = entry_before(state, progress.next) else {
            return send_snapshot(state, context, peer, progress);
        };
        let entries =
            state.log.run_from(progress.next).map(|run| run.head(config.max_append_bytes));
        let (end, size_bytes) = entries
            .as_ref()
            .map_or((previous.index, 0), |entries| (entries.last(), entries.size_bytes()));
        let (term, commit) = (state.term(), state.commit);
        context.send_now(peer, Message::Append { term, previous, entries, commit });
        progress.told_commit = commit;
        progress.sent(end, size_bytes);
    }
}

fn send_snapshot<R: Rules>(
    state: &State<R>,
    context: &mut Context<'_, R>,
    peer: NodeId,
    progress: &mut Progress,
) {
    let snapshot = state.snapshot.expect("a log is compacted behind a snapshot only");
    let (term, voters) = (state.term(), state.voters.clone());
    context.send(peer, Message::Install { term, snapshot, voters });
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
fn entry_before<R: Rules>(state: &State<R>, next: Index) -> Option<EntryId> {
    let index = next.previous()?;
    state.log.term_at(index).map(|term| EntryId { term, index })
}
