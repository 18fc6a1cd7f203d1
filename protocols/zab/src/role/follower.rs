//! Follows a leader, or observes: accepts its epoch, takes over its history, then takes and acknowledges
//! what it proposes (phases 1 to 3).

mod broadcast;
mod forwarding;
mod reading;
mod resync;
mod synchronisation;

use synod_consensus::{Event, Index, Refusal};
use synod_engine::{NodeId, Token};
use synod_log::{Forwards, Questions, Transfer};

use crate::role::Becomes;
use crate::role::follower::resync::Resync;
use crate::state::{Context, State};
use crate::{Message, Phase, Rules, Timer};

/// What a follower knows of its leader.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Follower {
    pub(crate) leader: NodeId,
    /// Never [`Phase::Election`].
    phase: Phase,
    /// Whether the leader was heard to be established, so that it may be named to others.
    is_known: bool,
    /// Up to here the history is known to be the leader's.
    shared: Index,
    /// Whether the link to the leader broke, and it did not answer since.
    is_cut: bool,
    /// Whether another voter was heard to look since the leader was last heard.
    others_look: bool,
    /// Whether NEWLEADER came, in this session.
    is_synced: bool,
    /// Something is missing between the history and what came, or too much is to be applied: the leader
    /// is told how the history ends, and begins again there.
    resync: Resync,
    /// What the next flush acknowledges.
    acknowledge: Option<Index>,
    /// Led until now, and waits to hear whether its successor does.
    pub(crate) transfer: Option<Transfer>,
    questions: Questions,
    forwards: Forwards,
}

impl Follower {
    /// Follows `leader`, and tells it so.
    pub(crate) fn new<R: Rules>(
        state: &State<R>,
        context: &mut Context<'_, R>,
        leader: NodeId,
    ) -> Self {
        context.set_timer(Timer::Limit, state.config.init_limit());
        let follower = Self {
            leader,
            phase: Phase::Discovery,
            is_known: false,
            shared: state.commit,
            is_cut: false,
            others_look: false,
            is_synced: false,
            resync: Resync::default(),
            acknowledge: None,
            transfer: None,
            questions: Questions::default(),
            forwards: Forwards::default(),
        };
        follower.inform(state, context);
        follower
    }

    /// The leader, if it is known to be established.
    pub(crate) fn known_leader(&self) -> Option<NodeId> {
        Some(self.leader).filter(|_| self.is_known)
    }

    /// Whether it takes part in the leader's epoch.
    pub(crate) fn takes_part(&self) -> bool {
        self.phase != Phase::Discovery
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    fn serves(&self) -> bool {
        self.phase == Phase::Broadcast
    }

    /// Tells the leader that it follows (CEPOCH), until that answers.
    pub(crate) fn inform<R: Rules>(&self, state: &State<R>, context: &mut Context<'_, R>) {
        if self.phase == Phase::Discovery {
            context.send_now(self.leader, Message::FollowerInfo { accepted: state.epoch() });
            context.set_timer(Timer::Inform, state.config.heartbeat());
        }
    }

    /// The leader was heard.
    pub(crate) fn hear<R: Rules>(&mut self, state: &State<R>, context: &mut Context<'_, R>) {
        (self.is_cut, self.others_look) = (false, false);
        context.set_timer(Timer::Limit, state.config.sync_limit());
    }

    /// Another voter looks. So does this node, if it has lost its leader, too.
    pub(crate) fn hear_of_look(&mut self) -> Becomes {
        self.others_look = true;
        if self.is_cut { Becomes::Looking } else { Becomes::Same }
    }

    /// The link to the leader broke. It may only have lost something: begins again with the same leader,
    /// and soon looks for another if it does not answer, at once if another voter looks. No quorum changes by
    /// that: who looks alone finds the leader that the others follow.
    pub(crate) fn link_closed<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        peer: NodeId,
    ) -> Becomes {
        if self.leader != peer {
            return Becomes::Same;
        }
        self.is_cut = true;
        if self.others_look {
            return Becomes::Looking;
        }
        context.emit_all_now(self.questions.refuse(self.known_leader()));
        context.emit_all_now(self.forwards.lose());
        (self.phase, self.is_synced) = (Phase::Discovery, false);
        self.resync.begins();
        self.acknowledge = None;
        let soon = state.config.sync_limit() / 4;
        let patience = context.random().duration(soon / 4, soon);
        context.set_timer(Timer::Limit, patience);
        self.inform(state, context);
        Becomes::Same
    }

    /// A new session of the link to a peer began.
    pub(crate) fn link_opened<R: Rules>(
        &self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        peer: NodeId,
    ) {
        if self.leader == peer {
            self.inform(state, context);
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

    /// Acknowledges what was taken in since the last flush, once it is durable; asks for what is to be
    /// read, and for what is missing.
    pub(crate) fn flush<R: Rules>(&mut self, state: &mut State<R>, context: &mut Context<'_, R>) {
        self.ask_for_reads(state, context);
        self.send_forwards(state, context);
        if let Some(index) = self.acknowledge.take() {
            let ack = Message::Ack { epoch: state.epoch(), index };
            if state.rules().proposals_are_durable() {
                context.send(self.leader, ack);
            } else {
                context.send_now(self.leader, ack);
            }
        }
        if !state.applying_lags() && self.resync.ask() {
            self.ack_epoch(state, context);
        }
    }

    /// Follows no more: everything that waits ends, but for a transfer, which may have come to its end.
    pub(crate) fn retire<R: Rules>(
        mut self,
        context: &mut Context<'_, R>,
        leader: Option<NodeId>,
    ) -> Option<Transfer> {
        context.cancel_timer(Timer::Inform);
        if self.questions.is_timed() {
            context.cancel_timer(Timer::Read);
        }
        self.end_requests(context, leader);
        self.transfer
    }

    /// Everything that the own user waits for ends.
    fn end_requests<R: Rules>(&mut self, context: &mut Context<'_, R>, leader: Option<NodeId>) {
        context.emit_all_now(self.questions.refuse(leader));
        if self.forwards.is_timed() {
            context.cancel_timer(Timer::Forward);
        }
        context.emit_all_now(self.forwards.end(leader));
    }
}
