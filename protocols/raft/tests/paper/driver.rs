//! One node on a test bench: what it persists, sends and tells is laid out for the test to look at.
//!
//! Held effects wait in a [`HeldQueue`] until [`Node::sync`], as in a real driver; most tests leave
//! the disk [`Disk::Instant`]. Read on: [`crate::cluster`].

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use synod_consensus::{
    Batch, Change, Contact, Epoch, Event, Index, LogRecord, Membership, Output, Payload, Request,
    Role, Snapshot, Task,
};
use synod_engine::{
    Blob, Context, Effect, Engine, HeldQueue, Incarnation, Input, Instant, NodeId, Position,
    Random, Record as _, Sound, TaskId, To, Token, When,
};
use synod_raft::{
    AppendResult, Checkpoint, Config, EntryId, HardState, Message, Raft, Record, Rules, Timer, View,
};

/// Whether records become durable by themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Disk {
    /// After every input.
    Instant,
    /// At [`Node::sync`] only.
    Manual,
}

/// A step's effects, and what the node had become.
pub(crate) type Step<R> = (Vec<Effect<Raft<R>>>, Raft<R>);

/// A node and its driver.
#[derive(Clone)]
pub(crate) struct Node<R: Rules = Sound> {
    pub(crate) raft: Raft<R>,
    pub(crate) disk: Disk,
    pub(crate) now: Instant,
    pub(crate) timers: BTreeMap<Timer, Instant>,
    /// What left the node and was not taken yet.
    pub(crate) sent: Vec<(NodeId, Message)>,
    /// What the local user was told and nobody took yet.
    pub(crate) events: Vec<Event>,
    pub(crate) tasks: Vec<(TaskId, Task)>,
    pub(crate) records: Vec<Record>,
    /// Every effect in the order that it took place, persisting included.
    pub(crate) performed: Vec<Effect<Raft<R>>>,
    /// Every step.
    pub(crate) steps: Vec<Step<R>>,
    durable: usize,
    /// Where the records are that the node counts, as of its start.
    counted_from: usize,
    /// Whether a read of old log ends at once. Else its task waits among the others.
    pub(crate) reads_at_once: bool,
    held: HeldQueue<Effect<Raft<R>>>,
    config: Config<R>,
    random: Random,
}

impl Node<Sound> {
    /// Node `id` of a new cluster of `voters`, started.
    pub(crate) fn start(id: u64, voters: u64) -> Self {
        Self::with_log(id, voters, 0, &[])
    }

    /// Node `id` in `term`, started, with a log of entries of these terms.
    pub(crate) fn with_log(id: u64, voters: u64, term: u64, log: &[u64]) -> Self {
        Self::recover(config(id, voters), lived(voters, term, None, log))
    }
}

impl<R: Rules> Node<R> {
    /// A node that finds these records, started.
    pub(crate) fn recover(config: Config<R>, records: impl IntoIterator<Item = Record>) -> Self {
        let mut node = Self {
            raft: Raft::new(config.clone()),
            disk: Disk::Instant,
            now: Instant::START,
            timers: BTreeMap::new(),
            sent: Vec::new(),
            events: Vec::new(),
            tasks: Vec::new(),
            records: records.into_iter().collect(),
            performed: Vec::new(),
            steps: Vec::new(),
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
        self.raft = self.rebuilt();
        self.counted_from = self.durable - self.kept().len();
        self.input(Input::Start);
        self.input(Input::Flush);
    }

    /// What a restart would make of the records, not started.
    pub(crate) fn rebuilt(&self) -> Raft<R> {
        let mut raft = Raft::new(self.config.clone());
        for record in self.kept() {
            raft.replay(record.clone()).expect("a node can read what it wrote");
        }
        raft
    }

    /// The records that a driver still has at least: what the newest checkpoint keeps, and all since.
    pub(crate) fn kept(&self) -> &[Record] {
        let durable = &self.records[..self.durable];
        let oldest =
            |(place, record): (usize, &Record)| Some(place - record.checkpoint()? as usize);
        let oldest = durable.iter().enumerate().rev().find_map(oldest);
        &durable[oldest.unwrap_or(0)..]
    }

    pub(crate) fn id(&self) -> NodeId {
        self.config.part.node
    }

    pub(crate) fn view(&self) -> View {
        self.raft.view()
    }

    /// The terms of all its entries, from index 1 on where nothing is compacted.
    pub(crate) fn terms(&self) -> Vec<u64> {
        let log = self.raft.log();
        (log.base().index.0 + 1..=log.last().index.0)
            .map(|index| log.epoch_at(Index(index)).expect("a log without gaps").0)
            .collect()
    }

    /// One input, without a flush, and what may be performed now.
    pub(crate) fn input(&mut self, input: Input<Raft<R>>) {
        self.step(input);
        let durable = if self.disk == Disk::Instant { self.records.len() } else { self.durable };
        self.sync_to(durable);
    }

    fn step(&mut self, input: Input<Raft<R>>) {
        if let Input::Timer(timer) = &input {
            self.timers.remove(timer);
        }
        let mut effects = Vec::new();
        self.raft.step(&mut Context::new(self.now, &mut self.random, &mut effects), input);
        self.steps.push((effects.clone(), self.raft.clone()));
        for effect in effects {
            self.take_up(effect);
        }
    }

    fn take_up(&mut self, effect: Effect<Raft<R>>) {
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
    fn perform(&mut self, effect: Effect<Raft<R>>) -> Option<Message> {
        self.performed.push(effect.clone());
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
            | Effect::AbortTask(_) => panic!("{effect} is none of Raft's held effects"),
        }
        None
    }

    /// Makes everything durable, and performs what was held for it.
    pub(crate) fn sync(&mut self) {
        while self.durable < self.records.len() {
            self.sync_to(self.records.len());
        }
    }

    /// Makes the next record durable, if there is one, and performs what was held for it.
    pub(crate) fn sync_one(&mut self) {
        self.sync_to(self.records.len().min(self.durable + 1));
    }

    /// Makes the records up to `durable` durable, and performs what was held for them. With an
    /// instant disk that goes for the records that come of it, too.
    fn sync_to(&mut self, durable: usize) {
        let newly = core::mem::replace(&mut self.durable, durable)..durable;
        self.performed.extend(self.records[newly].iter().cloned().map(Effect::Persist));
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

    /// As [`hear`](Self::hear); what left the node for the sender because of it.
    pub(crate) fn answer(&mut self, from: u64, message: Message) -> Vec<Message> {
        self.sent.clear();
        self.hear(from, message);
        self.said_to(from)
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
        let Snapshot { index, blob, .. } = snapshot(index, 0);
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

    /// Wins pre-vote and election with the help of `peers`.
    pub(crate) fn win(&mut self, peers: &[u64]) {
        self.fire(Timer::Election);
        let term = self.view().term.next();
        for peer in peers {
            self.hear(*peer, Message::PreVoteReply { term, granted: true, better: None });
        }
        for peer in peers {
            self.hear(*peer, Message::VoteReply { term, granted: true });
        }
        assert_eq!(self.view().role, Role::Leader, "{}", self.view());
    }

    /// Takes out what was sent to `peer`.
    pub(crate) fn said_to(&mut self, peer: u64) -> Vec<Message> {
        let to_peer = |(to, _): &mut (NodeId, Message)| *to == NodeId(peer);
        self.sent.extract_if(.., to_peer).map(|(_, message)| message).collect()
    }

    /// Takes out the indices that the local user was told to be committed.
    pub(crate) fn committed(&mut self) -> Vec<u64> {
        let indices = |event: Event| match event {
            Event::Committed { batch, .. } => batch.iter().map(|(index, _)| index.0).collect(),
            _ => Vec::new(),
        };
        self.events.drain(..).flat_map(indices).collect()
    }
}

pub(crate) fn config(id: u64, voters: u64) -> Config {
    config_with(id, voters, Sound)
}

pub(crate) fn config_with<R: Rules>(id: u64, voters: u64, rules: R) -> Config<R> {
    Config::with_rules(NodeId(id), (1..=voters).map(NodeId), rules)
}

pub(crate) fn entry(index: u64, term: u64) -> EntryId {
    EntryId { index: Index(index), epoch: Epoch(term) }
}

/// Entries of these terms from index `first` on. What an entry says tells its index and term.
pub(crate) fn batches(first: u64, terms: &[u64]) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut next = first;
    for run in terms.chunk_by(|a, b| a == b) {
        let payloads: Vec<_> = (next..next + run.len() as u64)
            .map(|index| Payload::Command(Bytes::from(format!("{index}@{}", run[0]))))
            .collect();
        batches.push(Batch::new(Index(next), Epoch(run[0]), payloads));
        next += run.len() as u64;
    }
    batches
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

/// The members of a new group.
pub(crate) fn founders(nodes: impl IntoIterator<Item = u64>) -> Arc<Membership> {
    Arc::new(Membership::founded_by(&nodes.into_iter().map(NodeId).collect()))
}

/// The records of a node that has lived.
pub(crate) fn lived(
    voters: u64,
    term: u64,
    snapshot: Option<Snapshot>,
    log: &[u64],
) -> Vec<Record> {
    let first = snapshot.map_or(1, |snapshot| snapshot.index.0 + 1);
    let checkpoint = Record::Checkpoint(Checkpoint {
        hard: HardState { term: Epoch(term), vote: None },
        members: founders(1..=voters),
        snapshot,
        keeps: 0,
    });
    iter::once(checkpoint).chain(batches(first, log).into_iter().map(Record::Entries)).collect()
}

pub(crate) fn snapshot(index: u64, term: u64) -> Snapshot {
    let blob = Blob { id: index, size_bytes: 1, checksum: 0 };
    Snapshot { index: Index(index), epoch: Epoch(term), blob }
}

/// AppendEntries with entries of these terms after `previous`.
pub(crate) fn append(term: u64, previous: EntryId, terms: &[u64], commit: u64) -> Message {
    let mut entries = batches(previous.index.0 + 1, terms);
    assert!(entries.len() <= 1, "one append carries entries of one term");
    Message::Append { term: Epoch(term), previous, entries: entries.pop(), commit: Index(commit) }
}

pub(crate) fn pre_vote(term: u64, last: EntryId) -> Message {
    Message::PreVote { term: Epoch(term), last }
}

pub(crate) fn pre_vote_reply(term: u64, granted: bool) -> Message {
    Message::PreVoteReply { term: Epoch(term), granted, better: None }
}

pub(crate) fn vote(term: u64, last: EntryId) -> Message {
    Message::Vote { term: Epoch(term), last, transfer: false }
}

/// RequestVote of whom its leader wishes in its place.
pub(crate) fn wished_vote(term: u64, last: EntryId) -> Message {
    Message::Vote { term: Epoch(term), last, transfer: true }
}

pub(crate) fn vote_reply(term: u64, granted: bool) -> Message {
    Message::VoteReply { term: Epoch(term), granted }
}

pub(crate) fn matches(term: u64, index: u64) -> Message {
    let result = AppendResult::Matches(Index(index));
    Message::AppendReply { term: Epoch(term), result }
}

pub(crate) fn heartbeat(term: u64, commit: u64) -> Message {
    let (commit, matched) = (Index(commit), Index::ZERO);
    Message::Heartbeat { term: Epoch(term), commit, matched, round: Some(0) }
}
