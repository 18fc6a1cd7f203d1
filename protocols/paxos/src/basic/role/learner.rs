//! The learner: finds out what a majority of the acceptors has accepted (§2.3).
//!
//! Every acceptor tells every learner. A learner that does not know the outcome asks now and then:
//! messages are lost, and a restarted learner has forgotten what it heard.

use alloc::collections::BTreeMap;

use synod_engine::{Context, NodeId};

use crate::basic::node::Paxos;
use crate::basic::{Config, Message, Proposal, Rules, Timer, Value};

#[derive(Clone, Default, Hash)]
pub(crate) struct Learner {
    /// The highest proposal that each acceptor is known to have accepted.
    accepted: BTreeMap<NodeId, Proposal>,
}

impl Learner {
    /// The chosen value, if this acceptance completes a majority.
    pub(crate) fn accepted<R: Rules>(
        &mut self,
        config: &Config<R>,
        from: NodeId,
        proposal: Proposal,
    ) -> Option<Value> {
        let outdated =
            self.accepted.get(&from).is_some_and(|known| known.ballot >= proposal.ballot);
        if outdated || !config.acceptors.contains(from) {
            return None;
        }
        self.accepted.insert(from, proposal.clone());
        let agrees = |node| {
            self.accepted.get(&node).is_some_and(|other| {
                other.ballot == proposal.ballot
                    || !config.rules.acceptances_match_ballot() && other.value == proposal.value
            })
        };
        let majority = config.acceptors.is_quorum(agrees);
        (majority || !config.rules.majority_of_acceptances()).then_some(proposal.value)
    }

    /// Asks all acceptors, and again later.
    pub(crate) fn ask<R: Rules>(config: &Config<R>, context: &mut Context<'_, Paxos<R>>) {
        for acceptor in config.acceptors.iter().filter(|node| *node != config.node) {
            context.send_now(acceptor, Message::Ask);
        }
        Self::ask_later(config, context);
    }

    /// Sets the timer after which it asks.
    pub(crate) fn ask_later<R: Rules>(config: &Config<R>, context: &mut Context<'_, Paxos<R>>) {
        let after = context.random().duration(config.ask(), 2 * config.ask());
        context.set_timer(Timer::Ask, after);
    }
}
