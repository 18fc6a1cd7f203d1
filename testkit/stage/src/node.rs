//! One node: what it persists, sends and tells is laid out for the test to look at.
//!
//! Held effects wait in a [`HeldQueue`] until [`Node::sync`], as in a real driver; most tests leave the disk
//! [`Disk::Instant`].

use std::collections::BTreeMap;
use std::time::Duration;

use crate::words::snapshot;
use bytes::Bytes;
use synod_consensus::{Change, Event, LogRecord, Output, ReplicatedLog, Request, Snapshot, Task};
use synod_engine::{
    Blob, Context, Effect, HeldQueue, Input, Instant, LinkState, NodeId, Position, Random,
    Record as _, TaskId, To, Token, When,
};

/// Whether records become durable by themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disk {
    /// After every input.
    Instant,
    /// At [`Node::sync`] only.
    Manual,
}

/// What becomes of a task that reads old log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OldLog {
    /// It ends at once, with what the records hold.
    AtOnce,
    /// It fails at once.
    Unreadable,
    /// It waits among the other tasks; see [`Node::read_log`].
    Waits,
}

/// What the invariants look at, in its order.
#[derive(Clone)]
pub enum Happened<E: ReplicatedLog> {
    /// A step, by its effects and what the node had become.
    Step(Vec<Effect<E>>, Box<E>),
    /// An effect took place, persisting included.
    Performed(Effect<E>),
}

/// A node and its driver.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "an engine shows itself by its view")]
pub struct Node<E: ReplicatedLog> {
    /// As it is now.
    pub engine: E,
    /// Whether records become durable by themselves.
    pub disk: Disk,
    /// What becomes of tasks that read old log.
    pub old_log: OldLog,
    /// What [`said_to`](Self::said_to) leaves out: what is said all the time.
    pub is_background: fn(&E::Message) -> bool,
    /// Whether it runs.
    pub is_up: bool,
    /// Its clock.
    pub now: Instant,
    /// When each timer is due.
    pub timers: BTreeMap<E::Timer, Instant>,
    /// What left the node and was not taken yet.
    pub sent: Vec<(NodeId, E::Message)>,
    /// What the local user was told and nobody took yet.
    pub events: Vec<Event>,
    /// What is under way.
    pub tasks: Vec<(TaskId, Task)>,
    /// All that it ever wrote, durable or not.
    pub records: Vec<E::Record>,
    /// What happened and nobody looked at yet.
    pub happened: Vec<Happened<E>>,
    id: NodeId,
    durable: usize,
    /// Where the records are that the node counts, as of its start.
    counted_from: usize,
    held: HeldQueue<Effect<E>>,
    config: E::Config,
    random: Random,
}

impl<E: ReplicatedLog> Node<E> {
    /// A node that finds these records, started.
    pub fn recover(config: E::Config, records: impl IntoIterator<Item = E::Record>) -> Self {
        let engine = E::new(config.clone());
        let id = engine.status().node;
        let mut node = Self {
            engine,
            disk: Disk::Instant,
            old_log: OldLog::AtOnce,
            is_background: |_| false,
            is_up: true,
            now: Instant::START,
            timers: BTreeMap::new(),
            sent: Vec::new(),
            events: Vec::new(),
            tasks: Vec::new(),
            records: records.into_iter().collect(),
            happened: Vec::new(),
            id,
            durable: 0,
            counted_from: 0,
            held: HeldQueue::default(),
            random: Random::new(id.0),
            config,
        };
        node.durable = node.records.len();
        node.start();
        node
    }

    /// Dies, with what was not durable.
    pub fn crash(&mut self) {
        self.records.truncate(self.durable);
        self.held = HeldQueue::default();
        self.timers.clear();
        self.tasks.clear();
        self.is_up = false;
    }

    /// Starts from what is durable.
    pub fn start(&mut self) {
        self.engine = self.rebuilt();
        self.is_up = true;
        self.counted_from = self.durable - self.kept().len();
        self.input(Input::Start);
        self.input(Input::Flush);
    }

    /// Dies, and starts again.
    pub fn reboot(&mut self) {
        self.crash();
        self.start();
    }

    /// What a start would make of the durable records.
    #[must_use]
    pub fn rebuilt(&self) -> E {
        let mut engine = E::new(self.config.clone());
        for record in self.kept() {
            engine.replay(record.clone()).expect("a node can read what it wrote");
        }
        engine
    }

    /// The records that a driver still has at least: what the newest checkpoint keeps, and all since.
    #[must_use]
    pub fn kept(&self) -> &[E::Record] {
        let durable = self.durable_records();
        let oldest =
            |(place, record): (usize, &E::Record)| Some(place - record.checkpoint()? as usize);
        let oldest = durable.iter().enumerate().rev().find_map(oldest);
        &durable[oldest.unwrap_or(0)..]
    }

    /// All records that are durable.
    #[must_use]
    pub fn durable_records(&self) -> &[E::Record] {
        &self.records[..self.durable]
    }

    /// Draws differently from here on.
    pub fn reseed(&mut self, seed: u64) {
        self.random = Random::new(seed << 8 | self.id().0);
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// How it looks.
    #[must_use]
    pub fn view(&self) -> E::View {
        self.engine.view()
    }

    /// The effects of each step that nobody looked at yet.
    pub fn steps(&self) -> impl Iterator<Item = &[Effect<E>]> {
        self.happened.iter().filter_map(|happened| match happened {
            Happened::Step(effects, _) => Some(effects.as_slice()),
            Happened::Performed(_) => None,
        })
    }

    /// Every effect that took place and nobody looked at yet, persisting included.
    pub fn performed(&self) -> impl Iterator<Item = &Effect<E>> {
        self.happened.iter().filter_map(|happened| match happened {
            Happened::Step(..) => None,
            Happened::Performed(effect) => Some(effect),
        })
    }

    /// One input, without a flush, and what may be performed now.
    pub fn input(&mut self, input: Input<E>) {
        self.step(input);
        let durable = if self.disk == Disk::Instant { self.records.len() } else { self.durable };
        self.sync_to(durable);
    }

    fn flushed(&mut self, input: Input<E>) {
        self.input(input);
        self.input(Input::Flush);
    }

    fn step(&mut self, input: Input<E>) {
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

    fn take_up(&mut self, effect: Effect<E>) {
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
    fn perform(&mut self, effect: Effect<E>) -> Option<E::Message> {
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
            | Effect::AbortTask(_) => panic!("{effect} is none of a log's held effects"),
        }
        None
    }

    /// Makes everything durable, and performs what was held for it.
    pub fn sync(&mut self) {
        while self.durable < self.records.len() {
            self.sync_to(self.records.len());
        }
    }

    /// Makes the next record durable, if there is one, and performs what was held for it.
    pub fn sync_one(&mut self) {
        self.sync_to(self.records.len().min(self.durable + 1));
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
        self.end_reads();
        if self.disk == Disk::Instant && self.durable < self.records.len() {
            self.sync_to(self.records.len());
        }
    }

    /// Reads of old log end, unless they wait.
    fn end_reads(&mut self) {
        let is_read = |(_, task): &&(TaskId, Task)| matches!(task, Task::ReadLog { .. });
        let Some((id, task)) = self.tasks.iter().find(is_read).copied() else { return };
        let output = match self.old_log {
            OldLog::AtOnce => self.read_log(task),
            OldLog::Unreadable => Output::LogFailed,
            OldLog::Waits => return,
        };
        self.tasks.retain(|(other, _)| *other != id);
        self.step(Input::TaskDone { id, output });
        self.step(Input::Flush);
        self.sync_to(self.durable);
    }

    /// What the records of a task hold of the log, as far as a driver still has them.
    ///
    /// # Panics
    /// If the task reads nothing.
    #[must_use]
    pub fn read_log(&self, task: Task) -> Output {
        let Task::ReadLog { first, last } = task else { panic!("{task:?} reads nothing") };
        let place = |number: u64| self.counted_from + number as usize;
        let oldest = self.durable - self.kept().len();
        match self.durable_records().get(place(first) - 1..place(last)) {
            Some(records) if place(first) > oldest => {
                Output::Log(records.iter().filter_map(LogRecord::entries).cloned().collect())
            }
            Some(_) | None => Output::LogFailed,
        }
    }

    /// A message from a peer, and the flush.
    pub fn hear(&mut self, from: u64, message: E::Message) {
        self.flushed(Input::Message { from: NodeId(from), message });
    }

    /// As [`hear`](Self::hear); what left the node for the sender because of it.
    pub fn answer(&mut self, from: u64, message: E::Message) -> Vec<E::Message> {
        self.sent.clear();
        self.hear(from, message);
        self.said_to(from)
    }

    /// Takes out what was sent to `peer`, but for what is said all the time.
    pub fn said_to(&mut self, peer: u64) -> Vec<E::Message> {
        let to_peer = |(to, _): &mut (NodeId, E::Message)| *to == NodeId(peer);
        let said = self.sent.extract_if(.., to_peer).map(|(_, message)| message);
        said.filter(|message| !(self.is_background)(message)).collect()
    }

    /// The session of the link to a peer ends or begins, and the flush.
    pub fn link(&mut self, peer: u64, state: LinkState) {
        self.flushed(Input::Link { peer: NodeId(peer), state });
    }

    /// A timer, as if it fired, and the flush.
    pub fn fire(&mut self, timer: E::Timer) {
        if let Some(due) = self.timers.get(&timer) {
            self.now = self.now.max(*due);
        }
        self.flushed(Input::Timer(timer));
    }

    /// Time passes, and no timer fires.
    pub fn wait(&mut self, duration: Duration) {
        self.now = self.now + duration;
    }

    fn request(&mut self, token: u64, request: Request) {
        self.flushed(Input::Request { token: Token(token), request });
    }

    /// The user proposes a command.
    pub fn propose(&mut self, token: u64, command: impl Into<Bytes>) {
        self.request(token, Request::Propose(command.into()));
    }

    /// The user asks for a read.
    pub fn read(&mut self, token: u64) {
        self.request(token, Request::Read);
    }

    /// The user wishes for other members.
    pub fn change(&mut self, token: u64, wishes: impl Into<Vec<Change>>) {
        self.request(token, Request::Change(wishes.into()));
    }

    /// The user asks for another leader: this one, or the best.
    pub fn transfer(&mut self, token: u64, successor: impl Into<Option<u64>>) {
        self.request(token, Request::Transfer(successor.into().map(NodeId)));
    }

    /// Its state machine has reached `index`; and the flush.
    pub fn applied(&mut self, index: u64) {
        self.flushed(Input::Applied(index));
    }

    /// Its state machine has reached `index` and wrote the snapshot that was due; no flush.
    ///
    /// # Panics
    /// If none is due.
    pub fn compact(&mut self, index: u64) -> Blob {
        self.input(Input::Applied(index));
        let is_snapshot = |(_, task): &(TaskId, Task)| matches!(task, Task::Snapshot);
        let place = self.tasks.iter().position(is_snapshot).expect("a snapshot is due");
        let (id, _) = self.tasks.remove(place);
        let Snapshot { index, blob, .. } = snapshot(index, 0);
        self.input(Input::TaskDone { id, output: Output::Snapshot { index, blob } });
        blob
    }

    /// Takes out the indices that the local user was told to be committed, and whatever else it was told.
    pub fn committed(&mut self) -> Vec<u64> {
        let indices = |event: Event| match event {
            Event::Committed { batch, .. } => batch.iter().map(|(index, _)| index.0).collect(),
            Event::Install(_)
            | Event::ReadReady { .. }
            | Event::Refused { .. }
            | Event::Unknown { .. }
            | Event::Transferred { .. }
            | Event::Members(_)
            | Event::Leadership { .. } => Vec::new(),
        };
        self.events.drain(..).flat_map(indices).collect()
    }
}
