//! Leads an epoch that a quorum accepted: brings everyone's history up to its own (phase 2), and once a quorum
//! has it, decides the order of what is proposed (phase 3).

mod broadcast;
mod forwarded;
mod membership;
mod old_log;
mod reading;
mod synchronisation;
mod transfer;

use alloc::collections::BTreeMap;

use bytes::Bytes;
use synod_consensus::{Batch, Event, Index, Refusal};
use synod_engine::{NodeId, Token};
use synod_log::{Lanes, Owner, Proposals, Reads, Takeover, Transfer};

use crate::message::Summary;
use crate::progress::{Progress, Stage};
use crate::role::Becomes;
use crate::role::leader::broadcast::send_entries;
use crate::state::{Context, State};
use crate::{Message, Rules, Timer};

/// What a leader knows of its followers and of its own disk, and who waits for it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Leader {
    followers: BTreeMap<NodeId, Progress>,
    /// The last entry of the history that it began with: its own entries follow.
    began: Index,
    /// Whether its own disk has that history, as one of this epoch.
    synced: bool,
    /// Up to here its own log is durable, so that it may count itself.
    stored: Index,
    /// Whether a quorum has taken over its history.
    established: bool,
    /// The last entry at the last heartbeat: who has it now is no further behind than that.
    last_at_heartbeat: Index,
    /// Whether an acknowledgement came since the commit index was last looked at.
    acknowledged: bool,
    /// Appended and not committed, or not durable here, in bytes.
    open_bytes: usize,
    proposals: Proposals,
    reads: Reads,
    /// What followers forwarded, and what they are told at the next flush.
    lanes: Lanes,
    transfer: Option<Transfer>,
    takeover: Takeover,
    /// It was removed, and has tried to hand over.
    has_resigned: bool,
    /// It votes, and should never lead: its priority is 0.
    is_caretaker: bool,
}

impl Leader {
    /// Leads, once a quorum has accepted its epoch; `answers` are how the histories end of those who have.
    /// Its own history is what it will have everyone take over.
    pub(crate) fn new<R: Rules>(
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        answers: impl Iterator<Item = (NodeId, Summary)>,
    ) -> Self {
        context.set_timer(Timer::Limit, state.config.sync_limit());
        let began = state.log.last().index;
        state.enter(context, began);
        context.send(state.me(), Message::AckNewLeader { epoch: state.epoch(), last: began });
        let mut leader = Self {
            followers: BTreeMap::new(),
            began,
            synced: false,
            stored: Index::ZERO,
            established: false,
            last_at_heartbeat: began,
            acknowledged: false,
            open_bytes: 0,
            proposals: Proposals::default(),
            reads: Reads::default(),
            lanes: Lanes::default(),
            transfer: None,
            takeover: Takeover::default(),
            has_resigned: false,
            is_caretaker: false,
        };
        leader.follow_members(state);
        for (node, summary) in answers {
            if let Some(progress) = leader.followers.get_mut(&node) {
                progress.presence.hear();
                progress.enter(Stage::Waits(summary));
            }
        }
        leader.heartbeat(state, context);
        leader
    }

    /// Whether a quorum has taken over its history.
    pub(crate) fn is_established(&self) -> bool {
        self.established
    }

    /// Whether it takes requests. A voter of priority 0 leads only as long as nobody else has all that it
    /// has: it may be the only one whom the others can elect.
    pub(crate) fn serves(&self) -> bool {
        self.established && !self.is_caretaker
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
        if !self.serves() {
            return Err(Refusal::NotLeader { leader: None });
        }
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

    /// Appends what was gathered, unless it hands over or the epoch is at its end; commits what was
    /// acknowledged, and sends everyone what they lack.
    pub(crate) fn flush<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
    ) -> Becomes {
        let waits = self.transfer.is_some() || self.has_resigned || self.is_caretaker;
        if !waits && !self.is_over(state) {
            self.append_gathered(state, context);
        }
        self.answer_forwarded(state, context);
        if core::mem::take(&mut self.acknowledged) {
            self.commit(state, context);
        }
        let becomes = self.settle_members(state, context);
        let round = self.open_round(state);
        for (peer, progress) in &mut self.followers {
            let votes = state.quorum().contains(*peer);
            if let Stage::Waits(_) = &progress.stage
                && (votes || self.established)
            {
                synchronisation::begin(state, context, *peer, progress);
            }
            send_entries(state, context, *peer, progress, self.began);
            if self.established {
                broadcast::send_commit(state, context, *peer, progress);
            }
            if let Some(round) = round.filter(|_| votes) {
                context.send_now(*peer, ping(state, self.established, round));
            }
        }
        if round.is_some() {
            self.answer_reads(state, context);
        }
        match becomes {
            Becomes::Same if self.is_over(state) && state.commit == state.log.last().index => {
                Becomes::Looking
            }
            Becomes::Same => self.hand_over(state, context),
            Becomes::Looking | Becomes::Discovery | Becomes::Leader | Becomes::Follower { .. } => {
                becomes
            }
        }
    }

    /// Leads no more: everything that waits ends, as refused or as unknown, but for a transfer, which
    /// may have come to its end. Who follows is told, unless told already whom to follow.
    pub(crate) fn retire<R: Rules>(
        mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        leader: Option<NodeId>,
    ) -> Option<Transfer> {
        self.abort_reads(context);
        context.cancel_timer(Timer::Ping);
        context.cancel_timer(Timer::Transfer);
        if leader.is_none() {
            let followers = self.followers.iter().filter(|(_, it)| it.stage != Stage::Away);
            followers.for_each(|(peer, _)| {
                context.send_now(*peer, Message::Look { epoch: state.epochs.current });
            });
        }
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

    /// Whether the epoch has as many entries as its counter may count.
    fn is_over<R: Rules>(&self, state: &State<R>) -> bool {
        state.log.last().index.0 - self.began.0 >= state.config.max_epoch_entries
    }

    /// Turns what was proposed since the last flush into entries.
    fn append_gathered<R: Rules>(&mut self, state: &mut State<R>, context: &mut Context<'_, R>) {
        let (epoch, max_bytes) = (state.epoch(), state.config.bounds.max_append_bytes);
        while let Some(batch) =
            self.proposals.append(state.log.last().index.next(), epoch, max_bytes)
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
        if state.rules().proposals_are_durable() {
            context.send(state.me(), Message::Ack { epoch: state.epoch(), index: last });
        } else {
            self.stored = last;
            self.acknowledged = true;
        }
    }
}

/// The leader is there.
fn ping<R: Rules>(state: &State<R>, established: bool, round: u64) -> Message {
    Message::Ping { epoch: state.epoch(), established, commit: state.commit, round }
}
