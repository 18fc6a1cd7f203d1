//! The acceptor: the memory of the group (§2.2).
//!
//! It promises ballots and accepts proposals, and forgets neither. All it says is held until its
//! records are durable.

use synod_engine::{Context, NodeId};

use crate::basic::node::Paxos;
use crate::basic::{Ballot, Config, Message, Proposal, Record, Rules};

#[derive(Clone, Default, Hash)]
pub(crate) struct Acceptor {
    /// It accepts nothing below this ballot.
    pub(crate) promised: Option<Ballot>,
    /// What it accepted last.
    pub(crate) accepted: Option<Proposal>,
}

impl Acceptor {
    /// Phase 1b. A ballot that was promised before is promised again: the answer may have been lost.
    pub(crate) fn prepare<R: Rules>(
        &mut self,
        config: &Config<R>,
        context: &mut Context<'_, Paxos<R>>,
        from: NodeId,
        ballot: Ballot,
    ) {
        if let Some(promised) = self.above(config, ballot) {
            return context.send(from, Message::Refused { ballot, promised });
        }
        if self.promised != Some(ballot) {
            self.promised = Some(ballot);
            if config.rules.promise_is_durable() {
                context.persist(Record::Promise(ballot));
            }
        }
        context.send(from, Message::Promise { ballot, accepted: self.accepted.clone() });
    }

    /// Phase 2b. What was accepted before is told again: the news may have been lost.
    pub(crate) fn accept<R: Rules>(
        &mut self,
        config: &Config<R>,
        context: &mut Context<'_, Paxos<R>>,
        from: NodeId,
        proposal: &Proposal,
    ) {
        if let Some(promised) = self.above(config, proposal.ballot) {
            let ballot = proposal.ballot;
            return context.send(from, Message::Refused { ballot, promised });
        }
        if self.accepted.as_ref() != Some(proposal) {
            self.promised = Some(proposal.ballot);
            self.accepted = Some(proposal.clone());
            if config.rules.accept_is_durable() {
                context.persist(Record::Accept(proposal.clone()));
            }
        }
        for learner in config.told() {
            context.send(learner, Message::Accepted { proposal: proposal.clone() });
        }
    }

    /// Tells a learner again what was accepted last (§2.3).
    pub(crate) fn ask<R: Rules>(&self, context: &mut Context<'_, Paxos<R>>, from: NodeId) {
        if let Some(proposal) = self.accepted.clone() {
            context.send(from, Message::Accepted { proposal });
        }
    }

    /// The promised ballot, if it is above `ballot` and must be kept.
    fn above<R: Rules>(&self, config: &Config<R>, ballot: Ballot) -> Option<Ballot> {
        self.promised.filter(|promised| *promised > ballot && config.rules.promises_are_kept())
    }
}
