//! Leads a term: replicates, commits, confirms reads, and makes sure that a majority still follows
//! (§5.3, §5.4, §8).

mod forwarded;
mod membership;
mod old_log;
mod reading;
mod replication;
mod rest;
mod transfer;

use alloc::collections::BTreeMap;
use alloc::vec;

use bytes::Bytes;
use synod_consensus::{Batch, Event, Index, Payload, Refusal};
use synod_engine::{NodeId, Token};
use synod_log::{Lanes, Owner, Promises, Proposals, Reads, Takeover, Transfer};

use crate::progress::Progress;
use crate::role::Becomes;
use crate::role::leader::replication::send_entries;
use crate::role::leader::rest::Rest;
use crate::state::{Context, State};
use crate::{AppendResult, Message, Rules, Timer};

/// What a leader knows of its followers and of its own disk, and who waits for it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Leader {
    followers: BTreeMap<NodeId, Progress>,
    /// Up to here its own log is durable, so that it may count itself.
    stored: Index,
    /// The no-op of its term: once that is committed, its commit index is current (§8).
    noop: Index,
    /// The last entry at the last heartbeat: who has it now is no further behind than that.
    last_at_heartbeat: Index,
    /// Whether an acknowledgement came since the commit index was last looked at.
    acknowledged: bool,
    /// Appended and not committed, or not durable here, in bytes.
    open_bytes: usize,
    proposals: Proposals,
    reads: Reads,
    pub(crate) promises: Promises,
    /// What followers forwarded, and what they are told at the next flush.
    lanes: Lanes,
    transfer: Option<Transfer>,
    takeover: Takeover,
    rest: Rest,
    /// It was removed, and has tried to hand over.
    has_resigned: bool,
}

impl Leader {
    /// Takes over: a no-op of the own term first (§8), since entries of earlier terms are not
    /// committed by counting.
    pub(crate) fn new<R: Rules>(state: &mut State<R>, context: &mut Context<'_, R>) -> Self {
        context.set_timer(Timer::Election, state.config.timing.election_timeout_min());
        context.set_timer(Timer::Heartbeat, state.config.timing.heartbeat());
        let noop = state.log.last().index.next();
        let mut leader = Self {
            followers: BTreeMap::new(),
            stored: Index::ZERO,
            noop,
            last_at_heartbeat: noop,
            acknowledged: false,
            open_bytes: 0,
            proposals: Proposals::default(),
            reads: Reads::default(),
            promises: Promises::new(&state.config.timing),
            lanes: Lanes::default(),
            transfer: None,
            takeover: Takeover::default(),
            rest: Rest::default(),
            has_resigned: false,
        };
        leader.follow_members(state);
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
        match self.takes(state, &command) {
            Ok(()) => self.proposals.gather(Owner::User(token), command),
            Err(refusal) => context.emit_now(Event::Refused { token, refusal }),
        }
    }

    /// Whether this command is taken now.
    fn takes<R: Rules>(&self, state: &State<R>, command: &Bytes) -> Result<(), Refusal> {
        state.config.bounds.admit(command)?;
        let is_busy = state.applying_lags() || self.is_full(state);
        if is_busy { Err(Refusal::Busy) } else { Ok(()) }
    }

    /// The user gave up: what was not sent on never takes effect; the rest ends by itself.
    pub(crate) fn cancel<R: Rules>(&mut self, context: &mut Context<'_, R>, token: Token) {
        if self.cancel_transfer(context, token) {
            return;
        }
        if self.proposals.cancel(token) || self.reads.cancel(token) {
            context.emit_now(Event::Refused { token, refusal: Refusal::Cancelled });
        }
    }

    /// Appends what was gathered, unless it hands over; commits what was acknowledged, and sends
    /// everyone what they lack.
    pub(crate) fn flush<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
    ) -> Becomes {
        if self.transfer.is_none() && !self.has_resigned {
            self.append_gathered(state, context);
        }
        self.answer_forwarded(state, context);
        if core::mem::take(&mut self.acknowledged) {
            self.commit(state, context);
        }
        let becomes = self.settle_members(state, context);
        self.read_by_lease(state, context);
        let asks = self.open_round(state, context);
        for (peer, progress) in &mut self.followers {
            send_entries(state, context, *peer, progress);
            if asks.is_some() || progress.told_commit < state.commit {
                let (term, commit, matched) = (state.term(), state.commit, progress.matched);
                context.send_now(*peer, Message::Heartbeat { term, commit, matched, round: asks });
                progress.told_commit = commit;
            }
        }
        self.call_successor(state, context);
        if asks.is_some() {
            self.answer_reads(state, context);
        }
        becomes
    }

    /// Leads no more: everything that waits ends, as refused or as unknown, but for a transfer, which
    /// may have come to its end.
    pub(crate) fn retire<R: Rules>(
        mut self,
        context: &mut Context<'_, R>,
        leader: Option<NodeId>,
    ) -> Option<Transfer> {
        self.abort_reads(context);
        let leader = leader.or(self.transfer.as_ref().and_then(Transfer::called));
        context.emit_all_now(self.proposals.refuse(leader));
        context.emit_all_now(self.reads.refuse(leader));
        context.emit_all_now(self.proposals.lose());
        self.transfer
    }

    /// Whether the bounds on what is not committed, not durable, or not in a snapshot, are reached.
    fn is_full<R: Rules>(&self, state: &State<R>) -> bool {
        self.open_bytes + self.proposals.gathered_bytes()
            > state.config.bounds.max_uncommitted_bytes
            || state.is_log_full()
    }

    /// Turns what was proposed since the last flush into entries.
    fn append_gathered<R: Rules>(&mut self, state: &mut State<R>, context: &mut Context<'_, R>) {
        let (term, max_bytes) = (state.term(), state.config.bounds.max_append_bytes);
        while let Some(batch) =
            self.proposals.append(state.log.last().index.next(), term, max_bytes)
        {
            self.store(state, context, batch);
        }
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
        let Some(reached) = state.quorum().reached(matched) else { return };
        let is_own = state.log.epoch_at(reached) == Some(state.term());
        if is_own || !state.rules().own_term_commit() {
            let proposals = &mut self.proposals;
            state.commit_to(context, reached, |last| proposals.committed(last));
        }
        let inherited = Index(self.noop.0 - 1);
        let closed = state.commit.min(self.stored.max(inherited));
        self.open_bytes = state.log.size_behind(closed);
    }
}
