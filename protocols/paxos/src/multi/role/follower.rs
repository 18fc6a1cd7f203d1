//! Follows a leader, or waits for one: accepts what it proposes in whatever order that comes, and finds
//! out what is chosen (*Paxos Made Simple* §2.2, §2.3, §3).

mod forwarding;
mod reading;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::time::Duration;

use synod_consensus::{Batch, Event, Index, Membership, Refusal, Snapshot};
use synod_engine::{Instant, NodeId, Token};
use synod_log::{Forwards, Questions, Transfer};

use crate::multi::state::{Context, State};
use crate::multi::{Message, Rules, Timer};

/// What a follower knows of its leader.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Follower {
    pub(crate) leader: Option<NodeId>,
    /// When the leader was last heard.
    heard: Option<Instant>,
    /// Up to here it has all values: accepted in the leader's ballot, or known to be chosen.
    prefix: Index,
    /// Bytes of values that it accepted behind a gap.
    gapped_bytes: usize,
    /// Whether the next flush acknowledges the prefix.
    acknowledges: bool,
    /// And these, from the first to the last, behind it.
    beyond: Vec<(Index, Index)>,
    learning: Learning,
    /// Led until now, and waits to hear whether its successor does.
    pub(crate) transfer: Option<Transfer>,
    questions: Questions,
    forwards: Forwards,
}

/// What it lacks, as far as its leader tells.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Learning {
    /// Up to here the leader knows the values to be chosen.
    chosen: Index,
    /// The last instance that had been proposed at the last heartbeat but one: it was time enough to come.
    due: Index,
    /// The last one at the last heartbeat.
    last: Index,
    /// The prefix at the last heartbeat; `None` before the first.
    prefix: Option<Index>,
    /// From where on it asked.
    asked: Option<Index>,
}

impl Follower {
    /// A node before its first input.
    pub(crate) fn idle() -> Self {
        Self {
            leader: None,
            heard: None,
            prefix: Index::ZERO,
            gapped_bytes: 0,
            acknowledges: false,
            beyond: Vec::new(),
            learning: Learning::default(),
            transfer: None,
            questions: Questions::default(),
            forwards: Forwards::default(),
        }
    }

    /// Follows `leader`, if there is one, whose ballot is promised.
    pub(crate) fn new<R: Rules>(
        state: &State<R>,
        context: &mut Context<'_, R>,
        leader: Option<NodeId>,
    ) -> Self {
        context.cancel_timer(Timer::Heartbeat);
        context.cancel_timer(Timer::Transfer);
        let mut follower = Self { leader, prefix: state.commit, ..Self::idle() };
        follower.go_on(state);
        follower
    }

    /// Whether a leader was heard within the shortest election timeout, so that nobody is needed in its
    /// place.
    pub(crate) fn hears_leader<R: Rules>(&self, state: &State<R>, now: Instant) -> bool {
        self.content_for(state, now).is_some_and(|left| !left.is_zero())
    }

    /// For how long the leader counts as heard; `None` if it was not heard since it led, or since
    /// its link broke.
    pub(crate) fn content_for<R: Rules>(&self, state: &State<R>, now: Instant) -> Option<Duration> {
        let (heard, patience) = (self.heard?, state.config.timing.election_timeout_min());
        Some(patience.saturating_sub(now.since(heard)))
    }

    /// Starts the election timeout anew. Who may not lead forgets its leader when it ends, and asks around.
    pub(crate) fn wait<R: Rules>(&self, state: &State<R>, context: &mut Context<'_, R>) {
        let timeout = state.election_timeout(context.random());
        context.set_timer(Timer::Election, timeout);
    }

    /// Whether it has all values up to `last`, and none behind it.
    pub(crate) fn has_exactly<R: Rules>(&self, state: &State<R>, last: Index) -> bool {
        self.prefix == last && state.slots.last() == last
    }

    /// The leader was heard.
    pub(crate) fn hear<R: Rules>(&mut self, state: &State<R>, context: &mut Context<'_, R>) {
        self.heard = Some(context.now());
        self.wait(state, context);
    }

    /// The link to the leader broke, most likely because it died: do not wait long. Acceptors that still
    /// hear it keep it.
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

    /// Phase 2, acceptor's part (§2.2): takes the values whatever is before them, as long as what lies
    /// behind a gap stays within bounds.
    pub(crate) fn accept<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        batch: &Batch,
        chosen: Index,
    ) {
        let (first, last) = (batch.first(), batch.last());
        let follows = first <= self.prefix.next();
        let is_full = !follows && self.gapped_bytes > state.config.bounds.max_in_flight_bytes;
        if state.applying_lags() || is_full {
            return;
        }
        state.accept(context, batch);
        if follows {
            self.go_on(state);
        } else {
            self.gapped_bytes += batch.size_bytes();
            match self.beyond.last_mut() {
                Some((_, end)) if end.next() == first => *end = last,
                Some(_) | None => self.beyond.push((first, last)),
            }
        }
        self.acknowledges = true;
        self.learn_chosen(state, context, chosen);
    }

    /// A heartbeat: what is chosen; and, at a regular one, how far the leader is.
    pub(crate) fn beat<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        (chosen, prefix): (Index, Index),
        last: Option<Index>,
    ) {
        self.learn_chosen(state, context, chosen);
        let Some(last) = last else { return };
        self.acknowledges |= prefix < self.prefix;
        let learning = &mut self.learning;
        let is_stuck = learning.prefix.is_none_or(|before| before == self.prefix);
        (learning.due, learning.last) = (learning.last, last);
        learning.prefix = Some(self.prefix);
        if is_stuck && self.prefix < learning.chosen.max(learning.due) && !state.applying_lags() {
            self.ask(state, context);
        }
    }

    /// Confirms at once that the sender of a heartbeat leads, claiming nothing about the log; and
    /// binds itself, where leases are used, to hear nobody else for a while.
    pub(crate) fn confirm<R: Rules>(
        &self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        leader: NodeId,
        round: u64,
    ) {
        let (ballot, promise_ms) = (state.promised, state.bind(context.now()));
        context.send_now(leader, Message::HeartbeatReply { ballot, round, promise_ms });
    }

    /// Chosen values that it lacked.
    pub(crate) fn learned<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        values: Vec<Batch>,
        chosen: Index,
    ) {
        if state.applying_lags() {
            return;
        }
        let known = state.learn(context, values);
        self.commit(state, context, known);
        self.go_on(state);
        self.acknowledges = true;
        self.learn_chosen(state, context, chosen);
    }

    /// The snapshot in place of values that it lacks. Its bytes are durable here already.
    pub(crate) fn install<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        snapshot: Snapshot,
        members: Arc<Membership>,
    ) {
        if snapshot.index > state.commit {
            state.install(context, snapshot, members);
            context.emit_all_now(self.forwards.passed(state.commit));
            self.go_on(state);
            self.learn_chosen(state, context, self.learning.chosen);
            self.wait(state, context);
        }
        self.acknowledges = true;
    }

    /// Acknowledges what was taken in since the last flush, once it is durable; asks for what is to be
    /// read, and for more of what it lacks.
    pub(crate) fn flush<R: Rules>(&mut self, state: &mut State<R>, context: &mut Context<'_, R>) {
        self.ask_for_reads(state, context);
        self.send_forwards(state, context);
        let learning = &self.learning;
        if learning.asked.is_some_and(|asked| asked <= self.prefix) {
            self.learning.asked = None;
            if self.prefix < self.learning.chosen.max(self.learning.due) && !state.applying_lags() {
                self.ask(state, context);
            }
        }
        if core::mem::take(&mut self.acknowledges) {
            self.acknowledge(state, context);
        }
    }

    fn acknowledge<R: Rules>(&mut self, state: &State<R>, context: &mut Context<'_, R>) {
        let prefix = self.prefix;
        self.beyond.retain(|(_, last)| *last > prefix);
        let Some(leader) = self.leader else { return };
        let (ballot, chosen) = (state.promised, state.commit);
        let mut send = |beyond| {
            let accepted = Message::Accepted { ballot, prefix, beyond, chosen };
            if state.rules().accept_is_durable() {
                context.send(leader, accepted);
            } else {
                context.send_now(leader, accepted);
            }
        };
        if self.beyond.is_empty() {
            return send(None);
        }
        self.beyond.drain(..).for_each(|beyond| send(Some(beyond)));
    }

    /// Asks the leader for what it lacks.
    fn ask<R: Rules>(&mut self, state: &State<R>, context: &mut Context<'_, R>) {
        if let Some(leader) = self.leader {
            let (ballot, from) = (state.promised, self.prefix.next());
            self.learning.asked = Some(from);
            context.send_now(leader, Message::Learn { ballot, from });
        }
    }

    /// Looks how far the prefix reaches now.
    fn go_on<R: Rules>(&mut self, state: &State<R>) {
        let within = state.rules().chosen_in_own_ballot_only().then(|| state.promised.epoch());
        self.prefix = state.slots.contiguous(self.prefix.max(state.commit), within);
        if self.prefix == state.slots.last() {
            self.gapped_bytes = 0;
        }
    }

    /// The leader says what is chosen. That counts for what was accepted in its own ballot (§2.3): what was
    /// accepted in another may not be what was chosen.
    fn learn_chosen<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        chosen: Index,
    ) {
        self.learning.chosen = self.learning.chosen.max(chosen);
        self.commit(state, context, chosen.min(self.prefix));
    }

    fn commit<R: Rules>(&mut self, state: &mut State<R>, context: &mut Context<'_, R>, to: Index) {
        let members = state.members.since();
        let forwards = &mut self.forwards;
        state.commit_to(context, to, |last| forwards.committed(last));
        context.emit_all_now(self.questions.ready(state.commit));
        if state.members.since() > members {
            self.acknowledges = true;
            self.wait(state, context);
        }
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
        let Self { leader, heard: _, prefix, gapped_bytes, acknowledges, beyond, learning, .. } =
            self;
        (leader, prefix, gapped_bytes, acknowledges, beyond, learning).hash(hasher);
        let Self { transfer, questions, forwards, .. } = self;
        (transfer, questions, forwards).hash(hasher);
    }
}
