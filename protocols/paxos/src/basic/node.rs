//! The node: hands each input to the role that it concerns.
//!
//! Two things are decided here because they concern all roles: what happens when the outcome becomes
//! known ([`Paxos::conclude`]), and that a node which knows it answers everything with it.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::hash::{Hash, Hasher};

use synod_engine::{Context, Corrupt, Engine, Input, Instant, NodeId, Sound, Token};

use crate::basic::role::acceptor::Acceptor;
use crate::basic::role::client::Client;
use crate::basic::role::learner::Learner;
use crate::basic::role::proposer::Proposer;
use crate::basic::{Config, Event, Message, Proposal, Record, Request, Rules, Timer, Value, View};

/// A node that takes part in choosing one value.
#[derive(Clone)]
pub struct Paxos<R = Sound> {
    pub(crate) config: Arc<Config<R>>,
    /// The chosen value, once the node knows it.
    pub(crate) outcome: Option<Value>,
    pub(crate) client: Client,
    pub(crate) proposer: Option<Proposer>,
    pub(crate) acceptor: Option<Acceptor>,
    pub(crate) learner: Option<Learner>,
}

impl<R: Rules> Engine for Paxos<R> {
    type Config = Config<R>;
    type Message = Message;
    type Record = Record;
    type Timer = Timer;
    type Request = Request;
    type Event = Event;
    type Task = Infallible;
    type Output = Infallible;
    type Rules = R;
    type View = View;

    fn new(config: Config<R>) -> Self {
        let node = config.node;
        Self {
            outcome: None,
            client: Client::default(),
            proposer: config.proposers.contains(&node).then(Proposer::default),
            acceptor: config.acceptors.contains(node).then(Acceptor::default),
            learner: config.learners.contains(&node).then(Learner::default),
            config: Arc::new(config),
        }
    }

    fn replay(&mut self, record: Record) -> Result<(), Corrupt> {
        match (&record, &mut self.proposer, &mut self.acceptor) {
            (Record::Propose(ballot), Some(proposer), _) => {
                proposer.round = proposer.round.max(ballot.round);
            }
            (Record::Promise(ballot), _, Some(acceptor)) => acceptor.promised = Some(*ballot),
            (Record::Accept(proposal), _, Some(acceptor)) => {
                acceptor.promised = Some(proposal.ballot);
                acceptor.accepted = Some(proposal.clone());
            }
            (Record::Acknowledge(Proposal { value, .. }), ..) if self.learner.is_some() => {
                self.outcome = Some(value.clone());
            }
            (Record::Commit(value), ..) => self.outcome = Some(value.clone()),
            (
                Record::Propose(_)
                | Record::Promise(_)
                | Record::Accept(_)
                | Record::Acknowledge(_),
                ..,
            ) => {
                return Err(Corrupt(format!("{record}, of a role that this node does not have")));
            }
        }
        Ok(())
    }

    fn step(&mut self, context: &mut Context<'_, Self>, input: Input<Self>) {
        match input {
            Input::Start => self.start(context),
            Input::Message { from, message } => self.receive(context, from, message),
            Input::Timer(timer) => self.fire(context, timer),
            Input::Request { token, request: Request::Propose(value) } => {
                self.request(context, token, value);
            }
            Input::Cancel(token) => self.client.cancel(token),
            Input::TaskDone { output, .. } => match output {},
            Input::Link { .. } | Input::Applied(_) | Input::Flush => {}
        }
    }

    fn fingerprint<H: Hasher>(&self, _now: Instant, hasher: &mut H) {
        self.outcome.hash(hasher);
        self.client.hash(hasher);
        self.proposer.hash(hasher);
        self.acceptor.hash(hasher);
        self.learner.hash(hasher);
    }

    fn view(&self) -> View {
        View::of(self)
    }
}

impl<R: Rules> Paxos<R> {
    fn start(&self, context: &mut Context<'_, Self>) {
        match (&self.outcome, &self.learner) {
            (Some(value), _) => {
                context.emit(Event::Chosen { value: value.clone(), own: Vec::new() });
            }
            (None, Some(_)) => Learner::ask_later(&self.config, context),
            (None, None) => {}
        }
    }

    fn request(&mut self, context: &mut Context<'_, Self>, token: Token, value: Value) {
        match &self.outcome {
            Some(value) => {
                context.emit(Event::Chosen { value: value.clone(), own: Vec::from([token]) });
            }
            None => self.client.request(&self.config, context, token, value),
        }
    }

    fn fire(&mut self, context: &mut Context<'_, Self>, timer: Timer) {
        if self.outcome.is_some() {
            return;
        }
        match (timer, &mut self.proposer, &mut self.learner) {
            (Timer::Retry, Some(proposer), _) => proposer.retry(&self.config, context),
            (Timer::Ask, _, Some(learner)) => learner.ask(&self.config, context),
            (Timer::Retry, None, _) | (Timer::Ask, _, None) => {}
            (Timer::Resend, ..) => self.client.send(&self.config, context),
        }
    }

    /// The dispatch table. What concerns a role that this node does not have is ignored.
    fn receive(&mut self, context: &mut Context<'_, Self>, from: NodeId, message: Message) {
        if let Some(value) = &self.outcome {
            return Self::answer(&self.config, context, from, &message, value);
        }
        let config = &*self.config;
        match message {
            Message::Request { value } => {
                if let Some(proposer) = &mut self.proposer {
                    proposer.request(config, context, from, value);
                }
            }
            Message::Prepare { ballot } => {
                if let Some(acceptor) = &mut self.acceptor {
                    acceptor.prepare(config, context, from, ballot);
                }
            }
            Message::Promise { ballot, accepted } => {
                if let Some(proposer) = &mut self.proposer {
                    proposer.promise(config, context, from, ballot, accepted);
                }
            }
            Message::Accept { proposal } => {
                if let Some(acceptor) = &mut self.acceptor {
                    acceptor.accept(config, context, from, &proposal);
                }
            }
            Message::Accepted { proposal } => {
                let learned = match &mut self.learner {
                    Some(learner) => learner.accepted(config, from, proposal),
                    None => None,
                };
                if let Some(proposal) = learned {
                    self.acknowledged(context, proposal);
                }
            }
            Message::Refused { ballot, promised } => {
                if let Some(proposer) = &mut self.proposer {
                    proposer.refused(config, context, from, ballot, promised);
                }
            }
            Message::Ask => {
                if let Some(acceptor) = &mut self.acceptor {
                    acceptor.ask(context, from);
                }
            }
            Message::Chosen { value } => self.told(context, value),
        }
    }

    /// This node has counted a majority: whoever rests on its word is told.
    fn acknowledged(&mut self, context: &mut Context<'_, Self>, proposal: Proposal) {
        if self.config.rules.acknowledgement_is_durable() {
            context.persist(Record::Acknowledge(proposal.clone()));
        }
        let Proposal { ballot, value } = proposal;
        self.conclude(context, value.clone());
        let config = &*self.config;
        if config.is_told(config.node) {
            for learner in config.untold() {
                context.send(learner, Message::Chosen { value: value.clone() });
            }
        }
        Self::tell_proposer(config, context, ballot.proposer, &value);
    }

    /// This node has the word of another that the value is chosen.
    fn told(&mut self, context: &mut Context<'_, Self>, value: Value) {
        if self.config.rules.commit_is_durable() {
            context.persist(Record::Commit(value.clone()));
        }
        self.conclude(context, value);
    }

    /// The outcome is known: everybody who waits here is told once it is durable.
    fn conclude(&mut self, context: &mut Context<'_, Self>, value: Value) {
        context.cancel_timer(Timer::Resend);
        context.cancel_timer(Timer::Ask);
        context.cancel_timer(Timer::Retry);
        let clients = self.proposer.as_mut().map(Proposer::stop).unwrap_or_default();
        for client in clients.into_iter().filter(|client| *client != self.config.node) {
            context.send(client, Message::Chosen { value: value.clone() });
        }
        context.emit(Event::Chosen { value: value.clone(), own: self.client.answer() });
        self.learner = self.learner.take().map(|_| Learner::default());
        self.outcome = Some(value);
    }

    /// What a node that knows the outcome says to everything.
    fn answer(
        config: &Config<R>,
        context: &mut Context<'_, Self>,
        from: NodeId,
        message: &Message,
        value: &Value,
    ) {
        match message {
            Message::Request { .. }
            | Message::Prepare { .. }
            | Message::Accept { .. }
            | Message::Ask => {
                if from != config.node {
                    context.send(from, Message::Chosen { value: value.clone() });
                }
            }
            Message::Accepted { proposal } => {
                Self::tell_proposer(config, context, proposal.ballot.proposer, value);
            }
            Message::Promise { .. } | Message::Refused { .. } | Message::Chosen { .. } => {}
        }
    }

    /// Tells the outcome to a proposer that does not hear of acceptances.
    fn tell_proposer(
        config: &Config<R>,
        context: &mut Context<'_, Self>,
        proposer: NodeId,
        value: &Value,
    ) {
        if !config.is_told(proposer) && proposer != config.node {
            context.send(proposer, Message::Chosen { value: value.clone() });
        }
    }
}
