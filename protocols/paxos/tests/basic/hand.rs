//! One engine, stepped by hand.

use std::hash::{DefaultHasher, Hasher};

use synod_engine::{Context, Effect, Engine, Input, Instant, NodeId, Random, To, Token, When};
use synod_paxos::Ballot;
use synod_paxos::basic::{
    Config, Event, Message, Paxos, Proposal, Record, Request, Timer, Value, View,
};

pub(crate) struct Hand {
    engine: Paxos,
    random: Random,
}

impl Hand {
    pub(crate) fn new(config: Config) -> Self {
        config.check().expect("a test's configuration fits");
        Self { engine: Paxos::new(config), random: Random::new(1) }
    }

    /// A later life of a node that had made these records durable.
    pub(crate) fn restarted(config: Config, records: impl IntoIterator<Item = Record>) -> Self {
        let mut hand = Self::new(config);
        records
            .into_iter()
            .for_each(|record| hand.engine.replay(record).expect("a test's records fit"));
        hand
    }

    pub(crate) fn step(&mut self, input: Input<Paxos>) -> Did {
        let mut effects = Vec::new();
        let mut context = Context::new(Instant::START, &mut self.random, &mut effects);
        self.engine.step(&mut context, input);
        Did(effects)
    }

    pub(crate) fn hears(&mut self, from: u64, message: Message) -> Did {
        self.step(Input::Message { from: NodeId(from), message })
    }

    pub(crate) fn asked(&mut self, token: u64, value: &'static str) -> Did {
        let request = Request::Propose(value.into());
        self.step(Input::Request { token: Token(token), request })
    }

    pub(crate) fn fires(&mut self, timer: Timer) -> Did {
        self.step(Input::Timer(timer))
    }

    /// What an explorer tells states apart by.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.engine.fingerprint(Instant::START, &mut hasher);
        hasher.finish()
    }

    pub(crate) fn view(&self) -> View {
        self.engine.view()
    }
}

/// The effects of one step, in order.
pub(crate) struct Did(Vec<Effect<Paxos>>);

impl Did {
    /// To whom it sent what and when.
    pub(crate) fn sent(&self) -> Vec<(u64, Message, When)> {
        let sent = self.0.iter().filter_map(|effect| match effect {
            Effect::Send { to: To::Node(to), message, when } => {
                Some((to.0, message.clone(), *when))
            }
            _ => None,
        });
        sent.collect()
    }

    /// The message that it sent, the same to all of these, at that time, and nothing else.
    pub(crate) fn sent_all(&self, receivers: &[u64], when: When) -> Message {
        let sent = self.sent();
        let (_, message, _) = sent.first().expect("something was sent").clone();
        let all: Vec<_> = receivers.iter().map(|to| (*to, message.clone(), when)).collect();
        assert_eq!(sent, all);
        message
    }

    /// The records, all of them before the first send and the first event.
    pub(crate) fn records_first(&self) -> Vec<Record> {
        let is_record = |effect: &&Effect<_>| matches!(effect, Effect::Persist(_));
        let behind = self
            .0
            .iter()
            .skip_while(|effect| !matches!(effect, Effect::Send { .. } | Effect::Emit { .. }));
        assert_eq!(behind.filter(is_record).count(), 0, "a record behind what rests on it");
        let records = self.0.iter().filter_map(|effect| match effect {
            Effect::Persist(record) => Some(record.clone()),
            _ => None,
        });
        records.collect()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        let events = self.0.iter().filter_map(|effect| match effect {
            Effect::Emit { event, .. } => Some(event.clone()),
            _ => None,
        });
        events.collect()
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.sent().is_empty() && self.events().is_empty()
    }
}

pub(crate) fn ballot(round: u64, proposer: u64) -> Ballot {
    Ballot { round, proposer: NodeId(proposer) }
}

pub(crate) fn proposal(value: &'static str, round: u64, proposer: u64) -> Proposal {
    Proposal { ballot: ballot(round, proposer), value: Value::from(value) }
}

pub(crate) fn prepare(round: u64, proposer: u64) -> Message {
    Message::Prepare { ballot: ballot(round, proposer) }
}

pub(crate) fn promise(round: u64, proposer: u64, accepted: Option<Proposal>) -> Message {
    Message::Promise { ballot: ballot(round, proposer), accepted }
}

pub(crate) fn accept(value: &'static str, round: u64, proposer: u64) -> Message {
    Message::Accept { proposal: proposal(value, round, proposer) }
}

pub(crate) fn accepted(value: &'static str, round: u64, proposer: u64) -> Message {
    Message::Accepted { proposal: proposal(value, round, proposer) }
}
