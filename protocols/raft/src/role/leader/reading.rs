//! A leader confirms that it leads before it answers reads, its own user's and its followers' (§8;
//! thesis §6.4).

use core::time::Duration;

use synod_consensus::Event;
use synod_engine::{NodeId, Token};
use synod_log::{LeaseRules, Promise, ReadAnswer, ReadId};

use crate::role::Leader;
use crate::state::{Context, State};
use crate::{Message, Rules};

impl Leader {
    /// A linearizable read to confirm, in the round that the next flush opens.
    pub(crate) fn read<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        token: Token,
    ) {
        if let Err(refusal) = self.reads.ask(token, state.config.bounds.max_pending_reads) {
            context.emit_now(Event::Refused { token, refusal });
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
        if self.followers.contains_key(&from)
            && let Err(result) = self.reads.ask_for(from, id, state.config.bounds.max_pending_reads)
        {
            context.send_now(from, Message::ReadIndexReply { term: state.term(), id, result });
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
            progress.presence.hear();
            progress.round = progress.round.max(round);
            self.answer_reads(state, context);
        }
    }

    /// A follower promises, in answer to a round, to vote for nobody for this long.
    pub(crate) fn promised<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &Context<'_, R>,
        from: NodeId,
        round: u64,
        promise_ms: u64,
    ) {
        if self.followers.contains_key(&from) {
            let rules = LeaseRules {
                counts_from_send: state.rules().lease_counts_from_send(),
                allows_for_drift: state.rules().lease_allows_for_drift(),
            };
            let lasting = Duration::from_millis(promise_ms);
            self.promises.promised(rules, context.now(), Promise { node: from, round, lasting });
        }
    }

    /// Answers all reads that wait, if it holds a lease and its commit index is current (thesis §6.4.1).
    pub(super) fn read_by_lease<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        if self.reads.has_waiting()
            && self.is_current(state)
            && self.promises.hold(state.me(), state.quorum(), context.now())
        {
            answer(state, context, self.reads.without_round(state.commit));
        }
    }

    /// Opens a read round if reads wait and the commit index is known to be current.
    pub(super) fn open_round<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &Context<'_, R>,
    ) -> Option<u64> {
        if !self.is_current(state) {
            return None;
        }
        let round = self.reads.open_round(state.commit)?;
        self.promises.asked(round, context.now());
        Some(round)
    }

    /// The round that a heartbeat asks to confirm: a new one where leases are used, since promises count
    /// from when their round was sent.
    pub(super) fn heartbeat_round<R: Rules>(&mut self, context: &Context<'_, R>) -> u64 {
        if !self.promises.are_used() {
            return self.reads.newest_round();
        }
        let round = self.reads.open_empty_round();
        self.promises.asked(round, context.now());
        round
    }

    /// Whether everything that was committed before its term is known to be (§8).
    fn is_current<R: Rules>(&self, state: &State<R>) -> bool {
        state.commit >= self.noop || !state.rules().read_after_own_commit()
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
        if let Some(confirmed) = state.quorum().reached(round) {
            answer(state, context, self.reads.confirmed(confirmed));
        }
    }
}

/// Tells who waited.
fn answer<R: Rules>(
    state: &State<R>,
    context: &mut Context<'_, R>,
    answers: impl Iterator<Item = ReadAnswer>,
) {
    let term = state.term();
    answers.for_each(|answer| match answer {
        ReadAnswer::User(event) => context.emit_now(event),
        ReadAnswer::Node { node, id, result } => {
            context.send_now(node, Message::ReadIndexReply { term, id, result });
        }
    });
}
