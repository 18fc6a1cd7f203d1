//! A node at one moment, for traces, scripts and the lab.

use core::fmt;

use crate::basic::node::Paxos;
use crate::basic::role::proposer::Phase;
use crate::basic::{Ballot, Proposal, Rules, Value};

/// What a node knows and is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// The chosen value, once known.
    pub chosen: Option<Value>,
    /// What the proposer is doing; `None` while nobody asks, or without that role.
    pub attempt: Option<Attempt>,
    /// The ballot below which the acceptor accepts nothing.
    pub promised: Option<Ballot>,
    /// What the acceptor accepted last.
    pub accepted: Option<Proposal>,
    /// How many local requests wait for the outcome.
    pub waiting: usize,
}

/// How far a proposer has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Attempt {
    /// Waiting for promises of this ballot.
    Preparing(Ballot),
    /// Waiting for this to be accepted.
    Accepting(Proposal),
    /// Giving way to another proposer.
    Delayed,
}

impl View {
    pub(crate) fn of<R: Rules>(node: &Paxos<R>) -> Self {
        let work = node.proposer.as_ref().and_then(|proposer| proposer.work.as_ref());
        let attempt = work.map(|work| match &work.phase {
            Phase::Preparing { ballot, .. } => Attempt::Preparing(*ballot),
            Phase::Accepting { proposal, .. } => Attempt::Accepting(proposal.clone()),
            Phase::Delayed => Attempt::Delayed,
        });
        let acceptor = node.acceptor.as_ref();
        Self {
            chosen: node.outcome.clone(),
            attempt,
            promised: acceptor.and_then(|acceptor| acceptor.promised),
            accepted: acceptor.and_then(|acceptor| acceptor.accepted.clone()),
            waiting: node.client.waiting(),
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.chosen {
            Some(value) => write!(f, "chosen {value}")?,
            None => write!(f, "open")?,
        }
        match &self.attempt {
            Some(Attempt::Preparing(ballot)) => write!(f, ", preparing {ballot}")?,
            Some(Attempt::Accepting(proposal)) => write!(f, ", proposing {proposal}")?,
            Some(Attempt::Delayed) => write!(f, ", giving way")?,
            None => {}
        }
        if let Some(promised) = self.promised {
            write!(f, ", promised {promised}")?;
        }
        if let Some(accepted) = &self.accepted {
            write!(f, ", accepted {accepted}")?;
        }
        if self.waiting > 0 {
            write!(f, ", {} waiting", self.waiting)?;
        }
        Ok(())
    }
}
