//! Phase 1, for all instances from the first that is not known to be chosen (*Paxos Made Simple* §2.2,
//! §3): gets a ballot promised, and finds out what may have been chosen.
//!
//! It promises its own ballot last, once that makes a majority: until then it still follows a leader that
//! it did not hear for a while. What an acceptor accepted comes in pieces that are asked for one by one;
//! what an acceptor knows to be chosen is learned from it first (`serving.rs`).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use synod_consensus::{Batch, Index};
use synod_engine::NodeId;
use synod_quorum::{Outcome, Tally};

use crate::Ballot;
use crate::multi::role::Becomes;
use crate::multi::slots::Slots;
use crate::multi::state::{Context, State};
use crate::multi::{Message, Rules, Timer};

/// What a candidate has heard.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Candidate {
    pub(crate) ballot: Ballot,
    /// The ballot of the leader that wishes it, if one does.
    handover: Option<Ballot>,
    /// The first instance that it asked about.
    from: Index,
    reports: BTreeMap<NodeId, Report>,
    /// What others accepted, of each instance the value of the highest ballot.
    pub(crate) gathered: Slots,
    refusals: Tally,
    /// Whether it promised its own ballot.
    has_promised: bool,
    /// From where on it asked for what is known to be chosen.
    learning: Option<Index>,
}

/// What an acceptor has told.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Report {
    /// The next instance to ask about; `None` once all was told.
    next: Option<Index>,
    /// Up to here it knows what is chosen.
    chosen: Index,
}

/// A piece of what an acceptor has accepted, as `Promise` says.
pub(crate) struct Answer {
    pub(crate) from: Index,
    pub(crate) accepted: Vec<Batch>,
    pub(crate) next: Option<Index>,
    pub(crate) chosen: Index,
}

impl Candidate {
    /// Opens phase 1.
    pub(crate) fn new<R: Rules>(
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        handover: Option<Ballot>,
    ) -> Self {
        let timeout = state.election_timeout(context.random());
        context.set_timer(Timer::Election, timeout);
        context.set_timer(Timer::Heartbeat, state.config.timing.heartbeat());
        let (ballot, from) = (state.next_ballot(), state.commit.next());
        let candidate = Self {
            ballot,
            handover,
            from,
            reports: BTreeMap::new(),
            gathered: Slots::default(),
            refusals: Tally::default(),
            has_promised: false,
            learning: None,
        };
        candidate.ask(state, context);
        candidate
    }

    /// Asks every voter for what it has not told yet.
    fn ask<R: Rules>(&self, state: &State<R>, context: &mut Context<'_, R>) {
        let (ballot, handover) = (self.ballot, self.handover);
        for peer in state.other_voters() {
            let next = self.reports.get(&peer).map_or(Some(self.from), |report| report.next);
            if let Some(from) = next {
                context.send_now(peer, Message::Prepare { ballot, from, handover });
            }
        }
    }

    /// A heartbeat's time is over: what was not answered is asked again.
    pub(crate) fn ask_again<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
    ) {
        context.set_timer(Timer::Heartbeat, state.config.timing.heartbeat());
        self.ask(state, context);
        self.learning = None;
        self.learn(state, context);
    }

    /// An acceptor refuses: it hears a leader, or promised another.
    pub(crate) fn refused<R: Rules>(&mut self, state: &State<R>, from: NodeId) -> Becomes {
        self.refusals.record(from, false);
        match state.quorum().outcome(&self.refusals) {
            Outcome::Lost => Becomes::Follower { leader: None },
            Outcome::Won | Outcome::Open => Becomes::Same,
        }
    }

    /// An acceptor promises (§2.2, phase 1b), and tells a piece of what it has accepted.
    pub(crate) fn promised<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        node: NodeId,
        answer: Answer,
    ) -> Becomes {
        let Answer { from, accepted, next, chosen } = answer;
        if !state.quorum().contains(node) {
            return Becomes::Same;
        }
        let report = Report { next: Some(self.from), chosen: Index::ZERO };
        let report = self.reports.entry(node).or_insert(report);
        if report.next != Some(from) {
            return Becomes::Same;
        }
        *report = Report { next, chosen: report.chosen.max(chosen) };
        for batch in accepted {
            gather(&mut self.gathered, &batch, state.rules().highest_accepted_is_adopted());
        }
        if let Some(from) = next
            && node != state.me()
        {
            let (ballot, handover) = (self.ballot, self.handover);
            context.send_now(node, Message::Prepare { ballot, from, handover });
        }
        self.go_on(state, context)
    }

    /// Does what is next: promises itself, learns what is chosen, or leads.
    pub(crate) fn go_on<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
    ) -> Becomes {
        if !state.may_lead() {
            return Becomes::Follower { leader: None };
        }
        let rules = state.rules();
        let promised = |node| node == state.me() || self.reports.contains_key(&node);
        if !self.has_promised && (state.quorum().is_quorum(promised) || !rules.majority_promises())
        {
            self.has_promised = true;
            self.promise_itself(state, context);
        }
        let has_told = |node| self.reports.get(&node).is_some_and(|report| report.next.is_none());
        let is_told = state.quorum().is_quorum(has_told) || !rules.majority_promises();
        if is_told && has_told(state.me()) && self.known(state).is_none() {
            return Becomes::Leader;
        }
        self.learn(state, context);
        Becomes::Same
    }

    /// Its own promise counts once it is durable, which it learns by a message to itself.
    fn promise_itself<R: Rules>(&self, state: &mut State<R>, context: &mut Context<'_, R>) {
        state.promise(context, self.ballot);
        let (accepted, next, chosen) = (Vec::new(), None, state.commit);
        let (ballot, from) = (self.ballot, self.from);
        context.send(state.me(), Message::Promise { ballot, from, accepted, next, chosen });
    }

    /// Who knows most of what is chosen, if that is more than this node does.
    fn known<R: Rules>(&self, state: &State<R>) -> Option<NodeId> {
        let more = self.reports.iter().filter(|(_, report)| report.chosen > state.commit);
        more.max_by_key(|(_, report)| report.chosen).map(|(node, _)| *node)
    }

    /// Asks for what is known to be chosen, once it has promised its own ballot: what it learns it accepts
    /// in that.
    fn learn<R: Rules>(&mut self, state: &State<R>, context: &mut Context<'_, R>) {
        let from = state.commit.next();
        if state.promised == self.ballot
            && self.learning != Some(from)
            && !state.applying_lags()
            && let Some(node) = self.known(state)
        {
            self.learning = Some(from);
            context.send(node, Message::Learn { ballot: self.ballot, from });
        }
    }

    /// More is known to be chosen, and perhaps other members: asks those that were not asked.
    pub(crate) fn learned<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
    ) -> Becomes {
        if state.members.since() >= self.from {
            self.ask(state, context);
        }
        self.go_on(state, context)
    }
}

/// Takes in what was accepted for each instance, if it was in a higher ballot than what is there; or if
/// nothing is, where that does not matter.
pub(crate) fn gather(gathered: &mut Slots, batch: &Batch, highest: bool) {
    let mut from = batch.first();
    while let Some(part) = gathered.lacking(batch, from) {
        from = part.last().next();
        if highest {
            gathered.put(part);
        } else {
            let missing = (part.first().0..=part.last().0).map(Index);
            for index in
                missing.filter(|index| gathered.epoch_at(*index).is_none()).collect::<Vec<_>>()
            {
                gathered.put(part.slice(index..=index).expect("it lies in it"));
            }
        }
    }
}
