//! A leader confirms that it leads before it answers reads, its own user's and its followers'.

use core::time::Duration;

use synod_consensus::{Event, Index, Refusal};
use synod_engine::{NodeId, Token};
use synod_log::{LeaseRules, Promise, ReadId, Readers};

use crate::multi::message::ReadResult;
use crate::multi::role::Leader;
use crate::multi::state::{Context, State};
use crate::multi::{Message, Rules};

impl Leader {
    /// A linearizable read to confirm, in the round that the next flush opens.
    pub(crate) fn read<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        token: Token,
    ) {
        if self.reads.count() >= state.config.max_pending_reads {
            context.emit_now(Event::Refused { token, refusal: Refusal::Busy });
        } else {
            self.reads.ask(token);
        }
    }

    /// A follower asks for the reads of its user; they join the same round. What a stranger asks is not
    /// answered.
    pub(crate) fn read_asked<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        from: NodeId,
        id: ReadId,
    ) {
        if !self.followers.contains_key(&from) {
            return;
        }
        if self.reads.count() >= state.config.max_pending_reads {
            let (ballot, result) = (state.promised, ReadResult::Busy);
            context.send_now(from, Message::ReadIndexReply { ballot, id, result });
        } else {
            self.reads.ask_for(from, id);
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
            progress.hear();
            progress.round = progress.round.max(round);
            self.answer_reads(state, context);
        }
    }

    /// A follower promises, in answer to a round, to promise no other ballot for this long.
    pub(crate) fn promised_lease<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &Context<'_, R>,
        from: NodeId,
        round: u64,
        promise_ms: u64,
    ) {
        if let Some(lease) = state.config.lease
            && self.followers.contains_key(&from)
        {
            let promised =
                Duration::from_millis(promise_ms).min(state.config.election_timeout_max());
            let rules = LeaseRules {
                counts_from_send: state.rules().lease_counts_from_send(),
                allows_for_drift: state.rules().lease_allows_for_drift(),
            };
            let promise = Promise { node: from, round, lasting: promised };
            self.promises.promised(rules, lease, context.now(), promise);
        }
    }

    /// Answers all reads that wait, if it holds a lease and its commit index is current.
    pub(super) fn read_by_lease<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        if state.config.lease.is_some()
            && self.reads.has_waiting()
            && self.is_current(state)
            && self.promises.hold(state.me(), state.quorum(), context.now())
        {
            let readers = self.reads.take_waiting();
            answer(state, context, state.commit, readers);
        }
    }

    /// Opens a read round if reads wait and the commit index is known to be current.
    pub(super) fn open_round<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &Context<'_, R>,
    ) -> Option<u64> {
        let is_current = self.is_current(state);
        let round = if is_current { self.reads.open_round(state.commit) } else { None };
        self.ask_for_promises(state, context, round);
        round
    }

    /// The round that a heartbeat asks to confirm: a new one where leases are used, since promises count
    /// from when their round was sent.
    pub(super) fn heartbeat_round<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &Context<'_, R>,
    ) -> u64 {
        if state.config.lease.is_none() {
            return self.reads.newest_round();
        }
        let round = self.reads.open_empty_round();
        self.ask_for_promises(state, context, Some(round));
        round
    }

    fn ask_for_promises<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &Context<'_, R>,
        round: Option<u64>,
    ) {
        if let Some(round) = round.filter(|_| state.config.lease.is_some()) {
            self.promises.asked(round, context.now(), state.config.election_timeout_max());
        }
    }

    /// Whether everything that was chosen before its ballot is known to be: all that it adopted is chosen,
    /// and no other members may know of more.
    fn is_current<R: Rules>(&self, state: &State<R>) -> bool {
        let is_open = self.closed.is_none_or(|closed| state.commit < closed);
        state.commit >= self.adopted && is_open || !state.rules().read_after_adopted_is_chosen()
    }

    /// Answers the reads of every round that a majority confirmed.
    pub(super) fn answer_reads<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        let round = |node: NodeId| {
            if node == state.me() || !state.rules().read_is_confirmed() {
                u64::MAX
            } else {
                self.followers.get(&node).map_or(0, |progress| progress.round)
            }
        };
        let Some(confirmed) = state.quorum().reached(round) else { return };
        while let Some((index, readers)) = self.reads.confirmed(confirmed) {
            answer(state, context, index, readers);
        }
    }
}

/// Tells who waited for `index` that it was current.
fn answer<R: Rules>(
    state: &State<R>,
    context: &mut Context<'_, R>,
    index: Index,
    Readers { tokens, nodes }: Readers,
) {
    if !tokens.is_empty() {
        context.emit_now(Event::ReadReady { index, tokens });
    }
    let (ballot, result) = (state.promised, ReadResult::Index(index));
    for (node, id) in nodes {
        context.send_now(node, Message::ReadIndexReply { ballot, id, result });
    }
}
