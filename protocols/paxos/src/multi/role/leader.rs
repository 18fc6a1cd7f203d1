//! Leads a ballot that a majority has promised: proposes values for one instance after the other without
//! asking again, counts who accepted them, confirms reads, and makes sure that a majority still follows
//! (*Paxos Made Simple* §2.2, §3).

mod adoption;
mod forwarded;
mod membership;
mod reading;
mod replication;
mod transfer;

use alloc::collections::BTreeMap;

use bytes::Bytes;
use synod_consensus::{Batch, Event, Index, Membership, Refusal};
use synod_engine::{NodeId, Token};
use synod_log::{Lanes, Owner, Promises, Proposals, Reads, Takeover, Transfer};

use crate::multi::progress::Progress;
use crate::multi::role::Becomes;
use crate::multi::slots::Slots;
use crate::multi::state::{Context, State};
use crate::multi::{Message, Rules, Timer};

/// What a leader knows of its followers and of its own disk, and who waits for it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Leader {
    followers: BTreeMap<NodeId, Progress>,
    /// The last instance for which it has proposed a value.
    last: Index,
    /// Up to here its own acceptances are durable, so that it may count itself.
    stored: Index,
    /// The last instance for which phase 1 found a value: once that is chosen, nothing else was before.
    adopted: Index,
    /// The members to propose once all before is chosen, and who asked for them.
    next: Option<(Membership, Option<Token>)>,
    /// The entry behind which nothing is proposed, since it changes the members.
    closed: Option<Index>,
    /// Whether that is chosen, and the new members are being told.
    is_closed_chosen: bool,
    /// Whether its own disk was asked to note that.
    is_noted: bool,
    /// Whether phase 1 found values behind it.
    is_cut: bool,
    /// Up to here its own disk knows who the members are, once it was asked to note it.
    noted: Index,
    /// The members are known to be so since this entry, or an earlier one.
    since: Index,
    /// The last instance at the last heartbeat: who has it now is no further behind than that.
    last_at_heartbeat: Index,
    /// Whether an acknowledgement came since what is chosen was last looked at.
    acknowledged: bool,
    /// Proposed and not chosen, or not durable here, in bytes.
    open_bytes: usize,
    proposals: Proposals,
    reads: Reads,
    pub(crate) promises: Promises,
    /// What followers forwarded, and what they are told at the next flush.
    lanes: Lanes,
    transfer: Option<Transfer>,
    takeover: Takeover,
    /// It was removed, and has tried to hand over.
    has_resigned: bool,
}

impl Leader {
    /// Takes over, with what phase 1 `gathered`: proposes that again in its own ballot.
    pub(crate) fn new<R: Rules>(
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        gathered: Slots,
    ) -> Self {
        state.led();
        context.set_timer(Timer::Election, state.config.timing.election_timeout_min());
        let mut leader = Self {
            followers: BTreeMap::new(),
            last: state.commit,
            stored: state.commit,
            adopted: state.commit,
            next: None,
            closed: None,
            is_closed_chosen: false,
            is_noted: false,
            is_cut: false,
            noted: Index::ZERO,
            since: state.members.since(),
            last_at_heartbeat: state.commit,
            acknowledged: true,
            open_bytes: 0,
            proposals: Proposals::default(),
            reads: Reads::default(),
            promises: Promises::new(&state.config.timing),
            lanes: Lanes::default(),
            transfer: None,
            takeover: Takeover::default(),
            has_resigned: false,
        };
        leader.follow_members(state);
        leader.adopt(state, context, gathered);
        leader.heartbeat(state, context);
        leader
    }

    /// A command to propose, at the next flush.
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
        let is_change = self.next.take_if(|(_, owner)| *owner == Some(token)).is_some();
        if is_change || self.proposals.cancel(token) || self.reads.cancel(token) {
            context.emit_now(Event::Refused { token, refusal: Refusal::Cancelled });
        }
    }

    /// Proposes what was gathered, unless it hands over or the window is closed; commits what was
    /// accepted, and sends everyone what they lack.
    pub(crate) fn flush<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
    ) -> Becomes {
        if self.may_propose() {
            self.propose_gathered(state, context);
        }
        self.answer_forwarded(state, context);
        if core::mem::take(&mut self.acknowledged) {
            self.commit(state, context);
        }
        let becomes = self.settle_members(state, context);
        self.read_by_lease(state, context);
        let asks = self.open_round(state, context);
        let (ballot, chosen) = (state.promised, self.told_chosen(state));
        for (peer, progress) in &mut self.followers {
            replication::send_values(state, context, *peer, progress, (chosen, self.last));
            if asks.is_some() || progress.told_chosen < chosen {
                let (prefix, last) = (progress.prefix, None);
                let beat = Message::Heartbeat { ballot, chosen, prefix, last, round: asks };
                context.send_now(*peer, beat);
                progress.told_chosen = chosen;
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
        let leader = leader.or(self.transfer.as_ref().and_then(Transfer::called));
        if let Some((_, Some(token))) = self.next {
            context.emit_now(Event::Refused { token, refusal: Refusal::NotLeader { leader } });
        }
        context.emit_all_now(self.proposals.refuse(leader));
        context.emit_all_now(self.reads.refuse(leader));
        context.emit_all_now(self.proposals.lose());
        self.transfer
    }

    /// Whether new values may follow: not while it hands over, nor where the members change.
    fn may_propose(&self) -> bool {
        let changes = self.closed.is_some() || self.next.is_some();
        !changes && self.transfer.is_none() && !self.has_resigned
    }

    /// Whether the bounds on what is not chosen, not durable, or not in a snapshot, are reached.
    fn is_full<R: Rules>(&self, state: &State<R>) -> bool {
        self.open_bytes + self.proposals.gathered_bytes()
            > state.config.bounds.max_uncommitted_bytes
            || state.is_log_full()
    }

    /// Turns what was proposed since the last flush into values of the next instances.
    fn propose_gathered<R: Rules>(&mut self, state: &mut State<R>, context: &mut Context<'_, R>) {
        let (epoch, max_bytes) = (state.promised.epoch(), state.config.bounds.max_append_bytes);
        while let Some(batch) = self.proposals.append(self.last.next(), epoch, max_bytes) {
            self.store(state, context, &batch);
        }
    }

    /// Accepts its own proposal; its disk acknowledges that by a message to itself.
    fn store<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        batch: &Batch,
    ) {
        let prefix = batch.last();
        self.last = prefix;
        self.open_bytes += batch.size_bytes();
        state.accept(context, batch);
        if state.rules().accept_is_durable() {
            let (ballot, chosen) = (state.promised, Index::ZERO);
            context.send(state.me(), Message::Accepted { ballot, prefix, beyond: None, chosen });
        } else {
            self.stored = prefix;
            self.acknowledged = true;
        }
    }

    /// Commits what a majority has accepted, with it all before it; each run of values is counted by
    /// itself, for followers accept in whatever order (§3).
    fn commit<R: Rules>(&mut self, state: &mut State<R>, context: &mut Context<'_, R>) {
        let chosen = self.chosen(state);
        self.is_closed_chosen = self.closed.is_some_and(|closed| chosen >= closed);
        let told = self.closed.filter(|_| self.is_closed_chosen && !self.is_change_known(state));
        let to = told.map_or(chosen, |closed| Index(closed.0 - 1));
        let proposals = &mut self.proposals;
        let members = state.members.since();
        state.commit_to(context, to, |last| proposals.committed(last));
        if state.members.since() > members {
            self.since = state.members.since();
            self.follow_members(state);
            self.promises.members_changed();
        }
        let done = state.commit.min(self.stored.max(self.adopted));
        self.open_bytes = state.slots.size_behind(done);
    }

    /// Up to here a majority has accepted the values in this ballot, or they were known to be chosen before.
    fn chosen<R: Rules>(&self, state: &State<R>) -> Index {
        if !state.rules().majority_accepts() {
            return self.stored;
        }
        let (me, quorum) = (state.me(), state.quorum());
        let prefix = |node: NodeId| match self.followers.get(&node) {
            Some(progress) => progress.prefix,
            None if node == me => self.stored,
            None => Index::ZERO,
        };
        let mut chosen = state.commit.max(quorum.reached(prefix).unwrap_or_default());
        if self.followers.values().any(Progress::has_gap) {
            for run in state.slots.range(chosen.next(), self.last) {
                let has = |node: NodeId| match self.followers.get(&node) {
                    Some(progress) => progress.has(run.first(), run.last()),
                    None => node == me && run.last() <= self.stored,
                };
                if !quorum.is_quorum(has) {
                    break;
                }
                chosen = run.last();
            }
        }
        chosen
    }

    /// What followers are told to be chosen: also a change of members that this node does not count yet.
    fn told_chosen<R: Rules>(&self, state: &State<R>) -> Index {
        let closed = self.closed.filter(|_| self.is_closed_chosen);
        closed.unwrap_or_default().max(state.commit)
    }

    /// Up to here values may be evicted, as far as its own disk and the state machine go.
    pub(crate) fn evictable<R: Rules>(&self, state: &State<R>) -> Index {
        state.applied.min(self.stored.max(self.adopted))
    }
}
