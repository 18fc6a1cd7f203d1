//! Was elected, and seeks a quorum that accepts a new epoch of it (phase 1).
//!
//! Elections are an oracle's word: two nodes may both believe that they won. What makes a leader is that
//! a quorum accepts its epoch and nobody in it has a newer history. Who is asked accepts an epoch once, of one
//! leader, so no two of them come to lead the same one.

use alloc::collections::BTreeMap;

use synod_consensus::Epoch;
use synod_engine::NodeId;

use crate::message::Summary;
use crate::role::Becomes;
use crate::state::{Context, State};
use crate::{Message, Rules, Timer};

/// A node that was elected.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Discovery {
    /// The newest epoch that each follower has accepted (CEPOCH).
    infos: BTreeMap<NodeId, Epoch>,
    /// Who accepted the epoch that this node chose, and how its history ends (ACKEPOCH).
    accepted: BTreeMap<NodeId, Summary>,
    /// Who did so but does not count: observers.
    observers: BTreeMap<NodeId, Summary>,
    /// The epoch it chose.
    epoch: Option<Epoch>,
}

impl Discovery {
    /// Begins with those who are known to follow.
    pub(crate) fn new<R: Rules>(
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        mut infos: BTreeMap<NodeId, Epoch>,
    ) -> Self {
        context.set_timer(Timer::Limit, state.config.init_limit());
        infos.insert(state.me(), state.epoch());
        let mut discovery = Self { infos, ..Self::default() };
        discovery.choose_if_quorum(state, context);
        discovery.call(state, context);
        discovery
    }

    /// Calls the voters that do not follow yet: those who vote for this node need not wait for the end of their
    /// polls.
    pub(crate) fn call<R: Rules>(&self, state: &State<R>, context: &mut Context<'_, R>) {
        context.set_timer(Timer::Ping, state.config.heartbeat());
        let (epoch, commit) = (state.epoch(), state.commit);
        let call = Message::Ping { epoch, established: false, commit, round: 0 };
        for voter in state.quorum().iter().filter(|voter| !self.infos.contains_key(voter)) {
            context.send_now(voter, call.clone());
        }
    }

    /// A node follows (step l.1.1).
    pub(crate) fn follower_info<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        from: NodeId,
        accepted: Epoch,
    ) {
        if !state.members.current().contains(from) {
            return;
        }
        self.infos.insert(from, accepted);
        match self.epoch {
            None => self.choose_if_quorum(state, context),
            Some(epoch) if accepted > epoch => self.choose(state, context),
            Some(epoch) => context.send(from, Message::NewEpoch { epoch }),
        }
    }

    fn choose_if_quorum<R: Rules>(&mut self, state: &mut State<R>, context: &mut Context<'_, R>) {
        if state.quorum().is_quorum(|node| self.infos.contains_key(&node)) {
            self.choose(state, context);
        }
    }

    /// Chooses an epoch later than all that was accepted, accepts it itself, and asks all to.
    fn choose<R: Rules>(&mut self, state: &mut State<R>, context: &mut Context<'_, R>) {
        let newest = self.infos.values().max().copied().unwrap_or_default();
        let epoch = newest.max(state.heard).max(state.epoch()).next();
        self.epoch = Some(epoch);
        self.accepted.clear();
        self.observers.clear();
        let me = state.me();
        state.accept(context, epoch, me);
        for node in self.infos.keys().filter(|node| **node != me) {
            context.send(*node, Message::NewEpoch { epoch });
        }
        context.send(me, Message::AckEpoch { epoch, counts: true, summary: state.summary() });
    }

    /// A node accepts the epoch (step l.1.2): leads once a quorum has. Gives up if one of them has a newer
    /// history. Who has accepted this very epoch of another leader is asked to accept a later one.
    pub(crate) fn epoch_acked<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        from: NodeId,
        counts: bool,
        summary: Summary,
    ) -> Becomes {
        let is_voter = state.quorum().contains(from);
        if !is_voter && from != state.me() {
            self.observers.insert(from, summary);
            return Becomes::Same;
        }
        if !counts && state.rules().epoch_is_new() {
            self.choose(state, context);
            return Becomes::Same;
        }
        if summary.age() > state.summary().age() && state.rules().history_newest_leads() {
            return Becomes::Looking;
        }
        self.accepted.insert(from, summary);
        let has = |node: NodeId| self.accepted.contains_key(&node);
        if has(state.me()) && state.quorum().is_quorum(has) {
            Becomes::Leader
        } else {
            Becomes::Same
        }
    }

    /// The epoch it chose.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// Gives up: those who follow look, too.
    pub(crate) fn give_up<R: Rules>(&self, state: &State<R>, context: &mut Context<'_, R>) {
        context.cancel_timer(Timer::Ping);
        for node in self.infos.keys().filter(|node| **node != state.me()) {
            context.send_now(*node, Message::Look { epoch: state.epoch() });
        }
    }

    /// Whom to synchronise, and how their histories end.
    pub(crate) fn answers(self) -> impl Iterator<Item = (NodeId, Summary)> {
        self.accepted.into_iter().chain(self.observers)
    }
}
