//! One node on a test bench: what it persists, sends and tells is laid out for the test to look at.
//!
//! Held effects wait in a [`HeldQueue`] until [`Node::sync`], as in a real driver; most tests leave
//! the disk [`Disk::Instant`]. Read on: [`crate::cluster`].

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use synod_consensus::{
    Batch, Change, Contact, Event, Index, LogRecord, Output, Payload, Request, Task,
};
use synod_engine::{
    Blob, Context, Effect, Engine, HeldQueue, Incarnation, Input, Instant, NodeId, Position,
    Random, Record as _, Sound, TaskId, To, Token, When,
};
use synod_paxos::Ballot;
use synod_paxos::multi::{Config, Message, MultiPaxos, Record, Rules, Timer, View};

/// Whether records become durable by themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Disk {
    /// After every input.
    Instant,
    /// At [`Node::sync`] only.
    Manual,
}

/// What the invariants look at.
#[derive(Clone)]
pub(crate) enum Happened<R: Rules> {
    /// A step, by its effects and what the node had become.
    Step(Vec<Effect<MultiPaxos<R>>>, Box<MultiPaxos<R>>),
    /// An effect took place, persisting included.
    Performed(Effect<MultiPaxos<R>>),
}

/// A node and its driver.
#[derive(Clone)]
pub(crate) struct Node<R: Rules = Sound> {
    pub(crate) engine: MultiPaxos<R>,
    pub(crate) disk: Disk,
    pub(crate) now: Instant,
    pub(crate) timers: BTreeMap<Timer, Instant>,
    /// What left the node and was not taken yet.
    pub(crate) sent: Vec<(NodeId, Message)>,
    /// What the local user was told and nobody took yet.
    pub(crate) events: Vec<Event>,
    pub(crate) tasks: Vec<(TaskId, Task)>,
    pub(crate) records: Vec<Record>,
    /// What happened and nobody looked at yet, in its order.
    pub(crate) happened: Vec<Happened<R>>,
    durable: usize,
    /// Where the records are that the node counts, as of its start.
    counted_from: usize,
    /// Whether a read of old log ends at once. Else its task waits among the others.
    pub(crate) reads_at_once: bool,
    held: HeldQueue<Effect<MultiPaxos<R>>>,
    config: Config<R>,
    random: Random,
}

impl<R: Rules> Node<R> {
    /// A node that finds these records, started.
    pub(crate) fn recover(config: Config<R>, records: impl IntoIterator<Item = Record>) -> Self {
        let mut node = Self {
            engine: MultiPaxos::new(config.clone()),
            disk: Disk::Instant,
            now: Instant::START,
            timers: BTreeMap::new(),
            sent: Vec::new(),
            events: Vec::new(),
            tasks: Vec::new(),
            records: records.into_iter().collect(),
            happened: Vec::new(),
            durable: 0,
            counted_from: 0,
            reads_at_once: true,
            held: HeldQueue::default(),
            random: Random::new(config.part.node.0),
            config,
        };
        node.durable = node.records.len();
        node.restart();
        node
    }

    /// Loses what was not durable, and starts again.
    pub(crate) fn crash(&mut self) {
        self.records.truncate(self.durable);
        self.held = HeldQueue::default();
        self.timers.clear();
        self.tasks.clear();
        self.restart();
    }

    fn restart(&mut self) {
        self.engine = self.rebuilt();
        self.counted_from = self.durable - self.kept().len();
        self.input(Input::Start);
        self.input(Input::Flush);
    }

    /// What a restart would make of the records, not started.
    pub(crate) fn rebuilt(&self) -> MultiPaxos<R> {
        let mut engine = MultiPaxos::new(self.config.clone());
        for record in self.kept() {
            engine.replay(record.clone()).expect("a node can read what it wrote");
        }
        engine
    }

    /// The records that a driver still has at least: what the newest checkpoint keeps, and all since.
    pub(crate) fn kept(&self) -> &[Record] {
        let durable = &self.records[..self.durable];
        let oldest =
            |(place, record): (usize, &Record)| Some(place - record.checkpoint()? as usize);
        let oldest = durable.iter().enumerate().rev().find_map(oldest);
        &durable[oldest.unwrap_or(0)..]
    }

    /// Draws differently from here on.
    pub(crate) fn reseed(&mut self, seed: u64) {
        self.random = Random::new(seed << 8 | self.config.part.node.0);
    }

    pub(crate) fn id(&self) -> NodeId {
        self.config.part.node
    }

    pub(crate) fn view(&self) -> View {
        self.engine.view()
    }

    /// One input, without a flush, and what may be performed now.
    pub(crate) fn input(&mut self, input: Input<MultiPaxos<R>>) {
        self.step(input);
        let durable = if self.disk == Disk::Instant { self.records.len() } else { self.durable };
        self.sync_to(durable);
    }

    fn step(&mut self, input: Input<MultiPaxos<R>>) {
        if let Input::Timer(timer) = &input {
            self.timers.remove(timer);
        }
        let mut effects = Vec::new();
        self.engine.step(&mut Context::new(self.now, &mut self.random, &mut effects), input);
        self.happened.push(Happened::Step(effects.clone(), Box::new(self.engine.clone())));
        for effect in effects {
            self.take_up(effect);
        }
    }

    fn take_up(&mut self, effect: Effect<MultiPaxos<R>>) {
        match effect {
            Effect::Persist(record) => self.records.push(record),
            Effect::SetTimer { timer, after } => {
                self.timers.insert(timer, self.now + after);
            }
            Effect::CancelTimer(timer) => {
                self.timers.remove(&timer);
            }
            Effect::AbortTask(id) => self.tasks.retain(|(task, _)| *task != id),
            Effect::Send { when: When::Now, .. }
            | Effect::Emit { when: When::Now, .. }
            | Effect::StartTask { when: When::Now, .. } => {
                let to_itself = self.perform(effect);
                assert!(to_itself.is_none(), "sends to oneself are held");
            }
            Effect::Send { .. } | Effect::Emit { .. } | Effect::StartTask { .. } => {
                self.held.hold(Position(self.records.len() as u64), effect);
            }
        }
    }

    /// Does what an effect says; returns what the node said to itself.
    fn perform(&mut self, effect: Effect<MultiPaxos<R>>) -> Option<Message> {
        self.happened.push(Happened::Performed(effect.clone()));
        match effect {
            Effect::Send { to: To::Node(to), message, .. } if to == self.id() => {
                return Some(message);
            }
            Effect::Send { to: To::Node(to), message, .. } => self.sent.push((to, message)),
            Effect::Emit { event, .. } => self.events.push(event),
            Effect::StartTask { id, task, .. } => self.tasks.push((id, task)),
            Effect::Send { to: To::Others, .. }
            | Effect::Persist(_)
            | Effect::SetTimer { .. }
            | Effect::CancelTimer(_)
            | Effect::AbortTask(_) => panic!("{effect} is none of its held effects"),
        }
        None
    }

    /// Makes everything durable, and performs what was held for it.
    pub(crate) fn sync(&mut self) {
        while self.durable < self.records.len() {
            self.sync_to(self.records.len());
        }
    }

    /// Makes the records up to `durable` durable, and performs what was held for them. With an
    /// instant disk that goes for the records that come of it, too.
    fn sync_to(&mut self, durable: usize) {
        let newly = core::mem::replace(&mut self.durable, durable)..durable;
        let newly = self.records[newly].iter().cloned().map(Effect::Persist);
        self.happened.extend(newly.map(Happened::Performed));
        while let Some(effect) = self.held.release(Position(durable as u64)) {
            if let Some(message) = self.perform(effect) {
                let from = self.id();
                self.step(Input::Message { from, message });
                self.step(Input::Flush);
            }
        }
        let is_read = |(_, task): &&(TaskId, Task)| matches!(task, Task::ReadLog { .. });
        if self.reads_at_once
            && let Some((id, task)) = self.tasks.iter().find(is_read).copied()
        {
            self.tasks.retain(|(other, _)| *other != id);
            let output = self.read_log(task);
            self.step(Input::TaskDone { id, output });
            self.step(Input::Flush);
            self.sync_to(self.durable);
        }
        if self.disk == Disk::Instant && self.durable < self.records.len() {
            self.sync_to(self.records.len());
        }
    }

    /// What the records of a task hold of the log, as far as a driver still has them.
    pub(crate) fn read_log(&self, task: Task) -> Output {
        let Task::ReadLog { first, last } = task else { panic!("{task:?} reads nothing") };
        let place = |number: u64| self.counted_from + number as usize;
        let oldest = self.durable - self.kept().len();
        match self.records[..self.durable].get(place(first) - 1..place(last)) {
            Some(records) if place(first) > oldest => {
                Output::Log(records.iter().filter_map(LogRecord::entries).cloned().collect())
            }
            Some(_) | None => Output::LogFailed,
        }
    }

    /// A message from a peer, and the flush.
    pub(crate) fn hear(&mut self, from: u64, message: Message) {
        self.input(Input::Message { from: NodeId(from), message });
        self.input(Input::Flush);
    }

    /// A timer, as if it fired, and the flush.
    pub(crate) fn fire(&mut self, timer: Timer) {
        if let Some(due) = self.timers.get(&timer) {
            self.now = self.now.max(*due);
        }
        self.input(Input::Timer(timer));
        self.input(Input::Flush);
    }

    pub(crate) fn wait(&mut self, duration: Duration) {
        self.now = self.now + duration;
    }

    pub(crate) fn propose(&mut self, token: u64, command: impl Into<Bytes>) {
        let request = Request::Propose(command.into());
        self.input(Input::Request { token: Token(token), request });
        self.input(Input::Flush);
    }

    /// Its state machine has reached `index` and wrote a snapshot; no flush.
    pub(crate) fn compact(&mut self, index: u64) -> Blob {
        self.input(Input::Applied(index));
        let (id, _) = self.tasks.pop().expect("a snapshot is due");
        let (index, blob) = (Index(index), Blob { id: index, size_bytes: 1, checksum: 0 });
        self.input(Input::TaskDone { id, output: Output::Snapshot { index, blob } });
        blob
    }

    pub(crate) fn change(&mut self, token: u64, wishes: impl Into<Vec<Change>>) {
        let request = Request::Change(wishes.into());
        self.input(Input::Request { token: Token(token), request });
        self.input(Input::Flush);
    }

    /// Asks for another leader: this one, or the best.
    pub(crate) fn transfer(&mut self, token: u64, successor: impl Into<Option<u64>>) {
        let request = Request::Transfer(successor.into().map(NodeId));
        self.input(Input::Request { token: Token(token), request });
        self.input(Input::Flush);
    }

    pub(crate) fn read(&mut self, token: u64) {
        self.input(Input::Request { token: Token(token), request: Request::Read });
        self.input(Input::Flush);
    }
}

/// The wish to add this node as a learner.
pub(crate) fn add(node: u64) -> Change {
    let contact = Contact {
        incarnation: Incarnation(node),
        address: format!("peer{node}"),
        client_address: format!("client{node}"),
    };
    Change::Add { node: NodeId(node), contact }
}

/// The ballot of this round and proposer.
pub(crate) fn ballot(round: u64, proposer: u64) -> Ballot {
    Ballot { round, proposer: NodeId(proposer) }
}

/// Values from instance `first` on, accepted in this ballot.
pub(crate) fn values(first: u64, ballot: Ballot, values: &[&'static str]) -> Batch {
    let payloads: Vec<_> =
        values.iter().map(|it| Payload::Command(Bytes::from_static(it.as_bytes()))).collect();
    Batch::new(Index(first), ballot.epoch(), payloads)
}
