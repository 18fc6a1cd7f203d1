//! The learner: finds out what a majority of the acceptors has accepted (§2.3).
//!
//! The acceptors tell it, or one of the learners that they tell does. A learner that does not know the
//! outcome asks now and then: messages are lost, distinguished learners die, and a restarted learner has
//! forgotten what it heard.
//!
//! Asking may be in vain for ever: an acceptor tells what it accepted last, and where crashes and lost
//! messages made each accept in another ballot, no majority shows. Then only a further ballot can tell
//! whether a value is chosen (§2.3, last paragraph), and a learner that has asked in vain often enough has
//! a proposer issue one.

use alloc::collections::BTreeMap;

use synod_engine::{Context, NodeId};

use crate::basic::node::Paxos;
use crate::basic::{Config, Message, Proposal, Rules, Timer};

#[derive(Clone, Default, Hash)]
pub(crate) struct Learner {
    /// The highest proposal that each acceptor is known to have accepted.
    accepted: BTreeMap<NodeId, Proposal>,
    /// How often it has asked since it knows of an acceptance.
    vain: u32,
}

impl Learner {
    /// The proposal, if this acceptance completes a majority: its value is chosen.
    pub(crate) fn accepted<R: Rules>(
        &mut self,
        config: &Config<R>,
        from: NodeId,
        proposal: Proposal,
    ) -> Option<Proposal> {
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
        (majority || !config.rules.majority_of_acceptances()).then_some(proposal)
    }

    /// Asks everybody who may know, and again later.
    pub(crate) fn ask<R: Rules>(
        &mut self,
        config: &Config<R>,
        context: &mut Context<'_, Paxos<R>>,
    ) {
        let learners = config.learners.iter().copied();
        let learners = learners.filter(|node| !config.acceptors.contains(*node));
        for node in config.acceptors.iter().chain(learners).filter(|node| *node != config.node) {
            context.send_now(node, Message::Ask);
        }
        self.settle(config, context);
        Self::ask_later(config, context);
    }

    /// Has a proposer issue a ballot, like a client that wants what was accepted: whatever is chosen, or
    /// may yet be, is what comes of it.
    fn settle<R: Rules>(&mut self, config: &Config<R>, context: &mut Context<'_, Paxos<R>>) {
        let last = self.accepted.values().max_by_key(|proposal| proposal.ballot);
        let Some(Proposal { value, .. }) = last else { return };
        self.vain = self.vain.saturating_add(1);
        if self.vain <= config.vain_asks {
            return;
        }
        let any = context.random().below(config.proposers.len() as u64) as usize;
        if let Some(proposer) = config.proposers.iter().nth(any) {
            context.send_now(*proposer, Message::Request { value: value.clone() });
        }
    }

    /// Sets the timer after which it asks.
    pub(crate) fn ask_later<R: Rules>(config: &Config<R>, context: &mut Context<'_, Paxos<R>>) {
        let after = context.random().duration(config.ask(), 2 * config.ask());
        context.set_timer(Timer::Ask, after);
    }
}
