//! The proposer: gets a ballot promised by a majority, then a value accepted in it (§2.2).
//!
//! ```text
//!   Request ──▶ Preparing ──majority promised──▶ Accepting ──▶ the learners know
//!                 ▲    │                           │    │
//!                 │    └──refused──▶ Delayed ◀─────┘    │
//!                 └──────Retry──────────┴───────────────┘   with a higher ballot
//! ```

use alloc::collections::BTreeSet;
use core::time::Duration;

use synod_engine::{Context, NodeId};
use synod_quorum::{Outcome, Tally};

use crate::basic::node::Paxos;
use crate::basic::{Ballot, Config, Message, Proposal, Record, Rules, Timer, Value};

#[derive(Clone, Default, Hash)]
pub(crate) struct Proposer {
    /// The highest round that it has used or heard of.
    pub(crate) round: u64,
    /// What it is asked to do; `None` while nobody asks.
    pub(crate) work: Option<Work>,
}

#[derive(Clone, Hash)]
pub(crate) struct Work {
    /// The value that it would like to have chosen.
    pub(crate) value: Value,
    /// Who waits for the outcome. No more than there are nodes.
    clients: BTreeSet<NodeId>,
    /// How many ballots it has given up.
    vain: u32,
    /// The present attempt.
    pub(crate) phase: Phase,
}

#[derive(Clone, Hash)]
pub(crate) enum Phase {
    /// Phase 1: waiting for promises.
    Preparing {
        ballot: Ballot,
        promises: Tally,
        /// Among the promises, the accepted proposal whose value must be adopted.
        accepted: Option<Proposal>,
    },
    /// Phase 2: waiting for the outcome.
    Accepting { proposal: Proposal, refusals: Tally },
    /// Refused: giving way to another proposer for a while.
    Delayed,
}

impl Proposer {
    /// A client asks. The first value is the one to propose; later ones wait for the same outcome.
    pub(crate) fn request<R: Rules>(
        &mut self,
        config: &Config<R>,
        context: &mut Context<'_, Paxos<R>>,
        from: NodeId,
        value: Value,
    ) {
        match &mut self.work {
            Some(work) => {
                work.clients.insert(from);
            }
            None => {
                let clients = BTreeSet::from([from]);
                self.work = Some(Work { value, clients, vain: 0, phase: Phase::Delayed });
                self.prepare(config, context);
            }
        }
    }

    /// Phase 1a: the next higher ballot.
    fn prepare<R: Rules>(&mut self, config: &Config<R>, context: &mut Context<'_, Paxos<R>>) {
        let Some(work) = &mut self.work else { return };
        let Some(round) = self.round.checked_add(1) else { return };
        self.round = round;
        let ballot = Ballot { round, proposer: Self::signature(config) };
        work.phase = Phase::Preparing { ballot, promises: Tally::default(), accepted: None };
        if config.rules.ballot_is_durable() {
            context.persist(Record::Propose(ballot));
        }
        for acceptor in config.acceptors.iter() {
            context.send(acceptor, Message::Prepare { ballot });
        }
        let attempt = config.attempt(work.vain);
        let after = context.random().duration(attempt, 2 * attempt);
        context.set_timer(Timer::Retry, after);
    }

    /// The delay is over, or the attempt took too long: a higher ballot. The value may have been chosen
    /// all the same: a proposer whom acceptors tell nothing asks those who may know.
    pub(crate) fn retry<R: Rules>(
        &mut self,
        config: &Config<R>,
        context: &mut Context<'_, Paxos<R>>,
    ) {
        if let Some(work) = &mut self.work {
            work.vain = work.vain.saturating_add(1);
            if matches!(work.phase, Phase::Accepting { .. }) && !config.is_told(config.node) {
                let learners = config.learners.iter().filter(|node| **node != config.node);
                learners.for_each(|learner| context.send_now(*learner, Message::Ask));
            }
        }
        self.prepare(config, context);
    }

    /// What makes its ballots its own: the node's id.
    fn signature<R: Rules>(config: &Config<R>) -> NodeId {
        match config.proposers.first() {
            Some(first) if !config.rules.one_ballot_per_proposer() => *first,
            _ => config.node,
        }
    }

    /// Phase 1b has an answer: with a majority of them, phase 2a.
    pub(crate) fn promise<R: Rules>(
        &mut self,
        config: &Config<R>,
        context: &mut Context<'_, Paxos<R>>,
        from: NodeId,
        promised: Ballot,
        reported: Option<Proposal>,
    ) {
        let Some(work) = &mut self.work else { return };
        let Phase::Preparing { ballot, promises, accepted } = &mut work.phase else { return };
        let matches = promised == *ballot || !config.rules.promises_match_ballot();
        if !matches || !config.acceptors.contains(from) {
            return;
        }
        promises.record(from, true);
        if let Some(reported) = reported {
            let highest = accepted.as_ref().is_none_or(|known| known.ballot < reported.ballot);
            if highest || !config.rules.adopt_highest_accepted() {
                *accepted = Some(reported);
            }
        }
        let majority = promises.outcome(&config.acceptors) == Outcome::Won;
        if !majority && config.rules.majority_of_promises() {
            return;
        }
        let adopted = accepted.take().filter(|_| config.rules.adopt_accepted());
        let value = adopted.map_or_else(|| work.value.clone(), |proposal| proposal.value);
        let proposal = Proposal { ballot: *ballot, value };
        for acceptor in config.acceptors.iter() {
            context.send_now(acceptor, Message::Accept { proposal: proposal.clone() });
        }
        work.phase = Phase::Accepting { proposal, refusals: Tally::default() };
    }

    /// Gives way once no majority can agree to the present ballot any more (§2.4).
    pub(crate) fn refused<R: Rules>(
        &mut self,
        config: &Config<R>,
        context: &mut Context<'_, Paxos<R>>,
        from: NodeId,
        refused: Ballot,
        promised: Ballot,
    ) {
        self.round = self.round.max(promised.round);
        let Some(work) = &mut self.work else { return };
        let (ballot, tally) = match &mut work.phase {
            Phase::Preparing { ballot, promises, .. } => (*ballot, promises),
            Phase::Accepting { proposal, refusals } => (proposal.ballot, refusals),
            Phase::Delayed => return,
        };
        if refused != ballot {
            return;
        }
        tally.record(from, false);
        if tally.outcome(&config.acceptors) == Outcome::Lost {
            work.phase = Phase::Delayed;
            let after = context.random().duration(Duration::ZERO, config.backoff(work.vain));
            context.set_timer(Timer::Retry, after);
        }
    }

    /// The outcome is known: stops, and says who waits for it.
    pub(crate) fn stop(&mut self) -> BTreeSet<NodeId> {
        self.work.take().map(|work| work.clients).unwrap_or_default()
    }
}
