//! A few engines on a network of fixed delays, with disks that take no time: what happens is decided by
//! the engines alone, and by the draws that they are lent.

use std::collections::BTreeMap;
use std::time::Duration;

use synod_engine::{Context, Effect, Engine, Input, Instant, NodeId, Random, To, Token};
use synod_paxos::basic::{Config, Event, Message, Paxos, Record, Request, Timer, Value};

pub(crate) struct Net {
    nodes: BTreeMap<NodeId, Paxos>,
    delay: fn(NodeId, NodeId) -> Duration,
    random: Random,
    now: Duration,
    /// What is due, in order; what is due at the same time, in the order in which it came up.
    due: BTreeMap<(Duration, u64), (NodeId, Due)>,
    order: u64,
    timers: BTreeMap<(NodeId, Timer), (Duration, u64)>,
    pub(crate) sent: Vec<Message>,
    pub(crate) outcomes: BTreeMap<NodeId, Value>,
}

enum Due {
    Input(Input<Paxos>),
    Timer(Timer),
}

impl Net {
    /// These nodes, started.
    pub(crate) fn new(
        nodes: impl IntoIterator<Item = u64>,
        config: &Config,
        delay: fn(NodeId, NodeId) -> Duration,
        seed: u64,
    ) -> Self {
        Self::restarted(nodes, config, delay, seed, |_| None)
    }

    /// The same, in a later life; some had made a record durable.
    pub(crate) fn restarted(
        nodes: impl IntoIterator<Item = u64>,
        config: &Config,
        delay: fn(NodeId, NodeId) -> Duration,
        seed: u64,
        record: fn(u64) -> Option<Record>,
    ) -> Self {
        let ids: Vec<_> = nodes.into_iter().map(NodeId).collect();
        let engine = |id: &NodeId| {
            let mut engine = Paxos::new(Config { node: *id, ..config.clone() });
            let replayed = record(id.0).map_or(Ok(()), |record| engine.replay(record));
            replayed.expect("a test's records fit");
            (*id, engine)
        };
        let mut net = Self {
            nodes: ids.iter().map(engine).collect(),
            delay,
            random: Random::new(seed),
            now: Duration::ZERO,
            due: BTreeMap::new(),
            order: 0,
            timers: BTreeMap::new(),
            sent: Vec::new(),
            outcomes: BTreeMap::new(),
        };
        ids.into_iter().for_each(|id| net.step(id, Input::Start));
        net
    }

    /// The client at `node` asks for `value` after this long.
    pub(crate) fn ask(&mut self, after: Duration, node: u64, value: &'static str) {
        let request = Request::Propose(value.into());
        self.later(after, NodeId(node), Due::Input(Input::Request { token: Token(1), request }));
    }

    /// The node is gone, and what is said to it is lost.
    pub(crate) fn lose(&mut self, node: u64) {
        self.nodes.remove(&NodeId(node));
    }

    /// Runs for this long.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(first) = self.due.first_entry()
            && first.key().0 <= end
        {
            let (key, (node, due)) = first.remove_entry();
            self.now = key.0;
            match due {
                Due::Input(input) => self.step(node, input),
                Due::Timer(timer) => {
                    self.timers.remove(&(node, timer));
                    self.step(node, Input::Timer(timer));
                }
            }
        }
        self.now = end;
    }

    /// How many messages were sent that `wanted` selects.
    pub(crate) fn count(&self, wanted: fn(&Message) -> bool) -> usize {
        self.sent.iter().filter(|message| wanted(message)).count()
    }

    fn later(&mut self, after: Duration, node: NodeId, due: Due) -> (Duration, u64) {
        self.order += 1;
        let key = (self.now + after, self.order);
        self.due.insert(key, (node, due));
        key
    }

    fn step(&mut self, node: NodeId, input: Input<Paxos>) {
        let Some(engine) = self.nodes.get_mut(&node) else { return };
        let mut effects = Vec::new();
        let now = Instant::from_nanos(self.now.as_nanos() as u64);
        engine.step(&mut Context::new(now, &mut self.random, &mut effects), input);
        for effect in effects {
            match effect {
                Effect::Send { to: To::Node(to), message, .. } => {
                    let delay = if to == node {
                        Duration::ZERO
                    } else {
                        self.sent.push(message.clone());
                        (self.delay)(node, to)
                    };
                    self.later(delay, to, Due::Input(Input::Message { from: node, message }));
                }
                Effect::SetTimer { timer, after } => {
                    self.cancel(node, timer);
                    let key = self.later(after, node, Due::Timer(timer));
                    self.timers.insert((node, timer), key);
                }
                Effect::CancelTimer(timer) => self.cancel(node, timer),
                Effect::Emit { event: Event::Chosen { value, .. }, .. } => {
                    self.outcomes.insert(node, value);
                }
                Effect::Emit { event: Event::Refused { .. }, .. } | Effect::Persist(_) => {}
                Effect::Send { to: To::Others, .. }
                | Effect::StartTask { .. }
                | Effect::AbortTask(_) => unreachable!("Paxos has no use for it"),
            }
        }
    }

    fn cancel(&mut self, node: NodeId, timer: Timer) {
        if let Some(key) = self.timers.remove(&(node, timer)) {
            self.due.remove(&key);
        }
    }
}
