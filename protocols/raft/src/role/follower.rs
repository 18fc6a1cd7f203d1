//! Follows a leader, or waits for one (§5.2, §5.3, §7).

mod forwarding;
mod reading;

use alloc::sync::Arc;
use core::hash::{Hash, Hasher};
use core::time::Duration;

use synod_consensus::{Batch, Event, Index, Membership, Refusal, Snapshot};
use synod_engine::{Instant, NodeId, Token};
use synod_log::{Forwards, Questions, Transfer};

use crate::state::{Context, State};
use crate::{AppendResult, EntryId, Message, Rules, Timer};

/// What a follower knows of its leader.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Follower {
    pub(crate) leader: Option<NodeId>,
    /// When the leader was last heard.
    heard: Option<Instant>,
    /// The leader rests, and so does this node: no timeout is under way.
    pub(crate) asleep: bool,
    /// Up to here the log is known to be the leader's.
    shared: Index,
    /// What the next flush acknowledges.
    acknowledge: Option<Index>,
    /// Led until now, and waits to hear whether its successor does (thesis §3.10).
    pub(crate) transfer: Option<Transfer>,
    questions: Questions,
    forwards: Forwards,
}

impl Follower {
    /// A node before its first input.
    pub(crate) fn idle() -> Self {
        Self {
            leader: None,
            heard: None,
            asleep: false,
            shared: Index::ZERO,
            acknowledge: None,
            transfer: None,
            questions: Questions::default(),
            forwards: Forwards::default(),
        }
    }

    /// Follows `leader`, if there is one.
    pub(crate) fn new<R: Rules>(
        state: &State<R>,
        context: &mut Context<'_, R>,
        leader: Option<NodeId>,
    ) -> Self {
        context.cancel_timer(Timer::Heartbeat);
        context.cancel_timer(Timer::Transfer);
        Self { leader, shared: state.commit, ..Self::idle() }
    }

    /// Whether a leader was heard within the shortest election timeout, so that nobody is needed in
    /// its place (thesis §9.6).
    pub(crate) fn hears_leader<R: Rules>(&self, state: &State<R>, now: Instant) -> bool {
        self.content_for(state, now).is_some_and(|left| !left.is_zero())
    }

    /// For how long the leader counts as heard; `None` if it was not heard since it led, or since
    /// its link broke.
    pub(crate) fn content_for<R: Rules>(&self, state: &State<R>, now: Instant) -> Option<Duration> {
        let (heard, patience) = (self.heard?, state.config.timing.election_timeout_min());
        Some(if self.asleep { patience } else { patience.saturating_sub(now.since(heard)) })
    }

    /// Starts the election timeout anew. Who may not lead only forgets its leader when it ends.
    pub(crate) fn wait<R: Rules>(&self, state: &State<R>, context: &mut Context<'_, R>) {
        if state.may_lead() || self.leader.is_some() || self.transfer.is_some() {
            let config = &state.config;
            let timeout = context.random().duration(
                config.timing.election_timeout_min(),
                config.timing.election_timeout_max(),
            );
            context.set_timer(Timer::Election, timeout);
        }
    }

    /// The leader was heard.
    pub(crate) fn hear<R: Rules>(&mut self, state: &State<R>, context: &mut Context<'_, R>) {
        (self.heard, self.asleep) = (Some(context.now()), false);
        self.wait(state, context);
    }

    /// The leader rests, its log ending with `last`: so does this node, if it has all of it and knows
    /// that it is committed, and its user waits for nothing that it forwarded.
    pub(crate) fn rest<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        last: EntryId,
    ) {
        if state.log.last() == last && state.commit == last.index && self.forwards.is_empty() {
            self.asleep = true;
            context.cancel_timer(Timer::Election);
        }
    }

    /// Something happens: waits for the leader again, if it rested.
    pub(crate) fn wake<R: Rules>(&mut self, state: &State<R>, context: &mut Context<'_, R>) {
        if self.asleep {
            self.hear(state, context);
        }
    }

    /// The link to the leader broke, most likely because it died: do not wait long. The pre-vote
    /// keeps a leader that others still hear.
    pub(crate) fn link_closed<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        peer: NodeId,
    ) {
        if self.leader == Some(peer) {
            context.emit_all_now(self.questions.refuse(None));
            context.emit_all_now(self.forwards.lose());
        }
        if self.leader == Some(peer) && self.heard.take().is_some() && state.may_lead() {
            self.asleep = false;
            let soon = state.config.timing.election_timeout_min() / 2;
            let timeout = context.random().duration(soon / 8, soon);
            context.set_timer(Timer::Election, timeout);
        }
    }

    /// The local user no longer waits.
    pub(crate) fn cancel<R: Rules>(&mut self, context: &mut Context<'_, R>, token: Token) {
        if let Some(transfer) = self.transfer.take_if(|transfer| transfer.is_for(token)) {
            context.emit_all_now(transfer.cancel());
        } else if self.questions.cancel(token) || self.forwards.cancel(token) {
            context.emit_now(Event::Refused { token, refusal: Refusal::Cancelled });
        }
    }

    /// AppendEntries, receiver's part (figure 2): takes the entries if the logs agree before them.
    /// What would replace committed entries, or let terms fall, comes from no correct leader and is
    /// ignored.
    pub(crate) fn append<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        leader: NodeId,
        previous: EntryId,
        entries: Option<Batch>,
        commit: Index,
    ) {
        if state.applying_lags() {
            return;
        }
        let (base, last) = (state.log.base(), state.log.last());
        let is_compacted = previous.index < base.index;
        let disagrees = !state.log.holds(previous) && state.rules().consistency_check();
        if previous.index > last.index || disagrees && !is_compacted {
            let place = previous.index.min(last.index);
            let hint = state.log.first_of_epoch_at(place).expect("a place between base and last");
            let result =
                AppendResult::Conflict { previous: previous.index, last: last.index, hint };
            context.send(leader, Message::AppendReply { term: state.term(), result });
            return;
        }
        let end = entries.as_ref().map_or(previous.index, Batch::last);
        if let Some(news) = entries.and_then(|entries| news(state, &entries)) {
            let before = news.first().previous().and_then(|index| state.log.epoch_at(index));
            let fits = news.first() > state.commit && before <= Some(news.epoch());
            if !fits {
                return;
            }
            let has_members = news.members().is_some();
            state.store(context, news);
            if has_members {
                self.wait(state, context);
            }
        }
        self.shares(end);
        self.commit(state, context, commit);
    }

    /// Confirms at once that the sender of a heartbeat leads, claiming nothing about the log; and
    /// promises, where leases are used, to vote for nobody for a while.
    pub(crate) fn confirm<R: Rules>(
        &self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        leader: NodeId,
        round: u64,
    ) {
        let (term, promise_ms) = (state.term(), state.promise(context.now()));
        context.send_now(leader, Message::HeartbeatReply { term, round, promise_ms });
    }

    /// A heartbeat's commit index counts up to where the logs are known to agree, here or by the
    /// leader.
    pub(crate) fn learn_commit<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        commit: Index,
        matched: Index,
    ) {
        self.shared = self.shared.max(matched.min(state.log.last().index));
        self.commit(state, context, commit);
    }

    /// InstallSnapshot, receiver's part (figure 13). Its bytes are durable here already. A snapshot of
    /// an earlier term than what is committed before it comes from no correct leader.
    pub(crate) fn install<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        snapshot: Snapshot,
        members: Arc<Membership>,
    ) {
        if snapshot.index > state.commit {
            if Some(snapshot.epoch) < state.log.epoch_at(state.commit) {
                return;
            }
            state.install(context, snapshot, members);
            context.emit_all_now(self.forwards.passed(state.commit));
            context.emit_all_now(self.questions.ready(state.commit));
            self.wait(state, context);
        }
        self.shares(snapshot.index);
    }

    /// Acknowledges what was taken in since the last flush, once it is durable; asks for what is to be
    /// read.
    pub(crate) fn flush<R: Rules>(&mut self, state: &mut State<R>, context: &mut Context<'_, R>) {
        self.ask_for_reads(state, context);
        self.send_forwards(state, context);
        if let (Some(leader), Some(index)) = (self.leader, self.acknowledge.take()) {
            let result = AppendResult::Matches(index);
            let reply = Message::AppendReply { term: state.term(), result };
            if state.rules().entries_are_durable() {
                context.send(leader, reply);
            } else {
                context.send_now(leader, reply);
            }
        }
    }

    /// The log is the leader's up to `index`.
    fn shares(&mut self, index: Index) {
        self.shared = self.shared.max(index);
        self.acknowledge = self.acknowledge.max(Some(index));
    }

    fn commit<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        commit: Index,
    ) {
        let last = state.log.last().index;
        let forwards = &mut self.forwards;
        let to = commit.min(self.shared).min(last);
        state.commit_to(context, to, |last| forwards.committed(last));
        context.emit_all_now(self.questions.ready(state.commit));
    }

    /// Follows no more: everything that waits ends, but for a transfer, which may have come to its end.
    pub(crate) fn retire<R: Rules>(
        mut self,
        context: &mut Context<'_, R>,
        leader: Option<NodeId>,
    ) -> Option<Transfer> {
        if self.questions.is_timed() {
            context.cancel_timer(Timer::Read);
        }
        context.emit_all_now(self.questions.refuse(leader));
        if self.forwards.is_timed() {
            context.cancel_timer(Timer::Forward);
        }
        context.emit_all_now(self.forwards.end(leader));
        self.transfer
    }
}

/// Without when the leader was heard: the node's fingerprint takes its age in.
impl Hash for Follower {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self { leader, heard: _, asleep, shared, acknowledge, transfer, questions, forwards } =
            self;
        (leader, asleep, shared, acknowledge, transfer, questions, forwards).hash(hasher);
    }
}

/// The part of `entries` that the log lacks, from the first difference on (figure 2: "if an existing
/// entry conflicts with a new one, delete it and all that follow it").
pub(crate) fn news<R: Rules>(state: &State<R>, entries: &Batch) -> Option<Batch> {
    let mut first = entries.first().max(state.log.base().index.next());
    while first <= entries.last() && state.log.epoch_at(first) == Some(entries.epoch()) {
        first = first.next();
    }
    entries.slice(first..=entries.last())
}
