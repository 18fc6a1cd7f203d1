//! One node on a test bench: what it persists, sends and tells is laid out for the test to look at.
//!
//! Held effects wait in a [`HeldQueue`] until [`Node::sync`], as in a real driver; most tests leave
//! the disk [`Disk::Instant`]. Read on: [`crate::words`],
//! [`crate::cluster`].

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_consensus::{
    Change, Epoch, Event, Index, LogRecord, Output, ReplicatedLog as _, Request, Snapshot, Task,
};
use synod_election::fle::{self, Notification, State, Vote};
use synod_engine::{
    Context, Effect, Engine, HeldQueue, Input, Instant, LinkState, NodeId, Position, Random,
    Record as _, Sound, TaskId, To, Token, When,
};
use synod_zab::{Config, Message, Phase, Record, Rules, Timer, View, Zab, Zxid};

use crate::words::{
    Past, ack_epoch, ack_new_leader, follower_info, lived, new_epoch, says, snapshot,
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
pub(crate) type Step<R> = (Vec<Effect<Zab<R>>>, Zab<R>);

/// A node and its driver.
#[derive(Clone)]
pub(crate) struct Node<R: Rules = Sound> {
    pub(crate) zab: Zab<R>,
    pub(crate) disk: Disk,
    pub(crate) is_up: bool,
    pub(crate) now: Instant,
    pub(crate) timers: BTreeMap<Timer, Instant>,
    /// What left the node and was not taken yet.
    pub(crate) sent: Vec<(NodeId, Message)>,
    /// What the local user was told and nobody took yet.
    pub(crate) events: Vec<Event>,
    pub(crate) tasks: Vec<(TaskId, Task)>,
    pub(crate) records: Vec<Record>,
    /// Every effect in the order that it took place, persisting included.
    pub(crate) performed: Vec<Effect<Zab<R>>>,
    /// Every step.
    pub(crate) steps: Vec<Step<R>>,
    durable: usize,
    /// Where the records are that the node counts, as of its start.
    counted_from: usize,
    /// Whether old log can be read.
    pub(crate) can_read: bool,
    held: HeldQueue<Effect<Zab<R>>>,
    config: Config<R>,
    random: Random,
}

impl Node<Sound> {
    /// Node `id` of so many voters, which has lived through this.
    pub(crate) fn lived(id: u64, voters: u64, past: &Past<'_>) -> Self {
        Self::lived_with(id, voters, past, Sound)
    }
}

impl<R: Rules> Node<R> {
    pub(crate) fn lived_with(id: u64, voters: u64, past: &Past<'_>, rules: R) -> Self {
        let records = if past.is_none() { Vec::new() } else { lived(voters, past) };
        Self::recover(config_with(id, voters, rules), records)
    }

    /// A node that finds these records, started.
    pub(crate) fn recover(config: Config<R>, records: impl IntoIterator<Item = Record>) -> Self {
        let mut node = Self {
            zab: Zab::new(config.clone()),
            disk: Disk::Instant,
            is_up: true,
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
            can_read: true,
            held: HeldQueue::default(),
            random: Random::new(config.part.node.0),
            config,
        };
        node.durable = node.records.len();
        node.start();
        node
    }

    /// Dies, with what was not durable.
    pub(crate) fn crash(&mut self) {
        self.records.truncate(self.durable);
        self.held = HeldQueue::default();
        self.timers.clear();
        self.tasks.clear();
        self.sent.clear();
        self.is_up = false;
    }

    /// Starts from what is durable.
    pub(crate) fn start(&mut self) {
        self.zab = self.rebuilt();
        self.is_up = true;
        self.counted_from = self.durable - self.kept().len();
        self.input(Input::Start);
        self.input(Input::Flush);
    }

    /// What a start would make of the durable records.
    pub(crate) fn rebuilt(&self) -> Zab<R> {
        let mut zab = Zab::new(self.config.clone());
        for record in self.kept() {
            zab.replay(record.clone()).expect("a node can read what it wrote");
        }
        zab
    }

    /// The records that a driver still has at least: what the newest checkpoint keeps, and all since.
    pub(crate) fn kept(&self) -> &[Record] {
        let durable = &self.records[..self.durable];
        let oldest =
            |(place, record): (usize, &Record)| Some(place - record.checkpoint()? as usize);
        let oldest = durable.iter().enumerate().rev().find_map(oldest);
        &durable[oldest.unwrap_or(0)..]
    }

    pub(crate) fn durable_records(&self) -> &[Record] {
        &self.records[..self.durable]
    }

    pub(crate) fn id(&self) -> NodeId {
        self.config.part.node
    }

    pub(crate) fn view(&self) -> View {
        self.zab.view()
    }

    /// The epochs of all its entries, from the first that it keeps on.
    pub(crate) fn history(&self) -> Vec<u64> {
        history(&self.zab)
    }

    /// One input, without a flush, and what may be performed now.
    pub(crate) fn input(&mut self, input: Input<Zab<R>>) {
        self.step(input);
        let durable = if self.disk == Disk::Instant { self.records.len() } else { self.durable };
        self.sync_to(durable);
    }

    fn step(&mut self, input: Input<Zab<R>>) {
        if let Input::Timer(timer) = &input {
            self.timers.remove(timer);
        }
        let mut effects = Vec::new();
        self.zab.step(&mut Context::new(self.now, &mut self.random, &mut effects), input);
        self.steps.push((effects.clone(), self.zab.clone()));
        effects.into_iter().for_each(|effect| self.take_up(effect));
    }

    fn take_up(&mut self, effect: Effect<Zab<R>>) {
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
    fn perform(&mut self, effect: Effect<Zab<R>>) -> Option<Message> {
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
            | Effect::AbortTask(_) => panic!("{effect} is none of ZAB's held effects"),
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
        if let Some((id, task)) = self.tasks.iter().find(is_read).copied() {
            self.tasks.retain(|(other, _)| *other != id);
            let output = if self.can_read { self.read_log(task) } else { Output::LogFailed };
            self.step(Input::TaskDone { id, output });
            self.step(Input::Flush);
            self.sync_to(self.durable);
        }
        if self.disk == Disk::Instant && self.durable < self.records.len() {
            self.sync_to(self.records.len());
        }
    }

    /// What the records of a task hold of the history, as far as a driver still has them.
    fn read_log(&self, task: Task) -> Output {
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

    /// The session of the link to a peer ends or begins, and the flush.
    pub(crate) fn link(&mut self, peer: u64, state: LinkState) {
        self.input(Input::Link { peer: NodeId(peer), state });
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

    pub(crate) fn propose(&mut self, token: u64, command: impl Into<Bytes>) {
        let request = Request::Propose(command.into());
        self.input(Input::Request { token: Token(token), request });
        self.input(Input::Flush);
    }

    /// Its state machine has reached `index` and wrote a snapshot.
    pub(crate) fn compact(&mut self, index: u64) {
        self.input(Input::Applied(index));
        let is_snapshot = |(_, task): &(TaskId, Task)| matches!(task, Task::Snapshot);
        let place = self.tasks.iter().position(is_snapshot).expect("a snapshot is due");
        let (id, _) = self.tasks.remove(place);
        let Snapshot { index, blob, .. } = snapshot(index, 0);
        self.input(Input::TaskDone { id, output: Output::Snapshot { index, blob } });
        self.input(Input::Flush);
    }

    /// It looks, and these vote for it.
    pub(crate) fn wins(&mut self, voters: &[u64]) {
        self.fire(Timer::Election(fle::Timer::Notify));
        let vote = self.sent.iter().rev().find_map(|(_, message)| match message {
            Message::Election(notification) => Some(*notification),
            _ => None,
        });
        let vote = vote.expect("it looks");
        for voter in voters {
            self.hear(*voter, Message::Election(Notification { asks: false, ..vote }));
        }
        self.fire(Timer::Election(fle::Timer::Finalize));
    }

    pub(crate) fn change(&mut self, token: u64, wishes: impl Into<Vec<Change>>) {
        let request = Request::Change(wishes.into());
        self.input(Input::Request { token: Token(token), request });
        self.input(Input::Flush);
    }

    pub(crate) fn read(&mut self, token: u64) {
        self.input(Input::Request { token: Token(token), request: Request::Read });
        self.input(Input::Flush);
    }

    /// The index at which this read was declared ready, if it was.
    pub(crate) fn ready_at(&self, token: u64) -> Option<u64> {
        self.events.iter().find_map(|event| match event {
            Event::ReadReady { index, tokens } if tokens.contains(&Token(token)) => Some(index.0),
            _ => None,
        })
    }

    /// Its state machine applies what is committed, and writes the snapshot that is due, if one is.
    pub(crate) fn catch_up(&mut self) {
        let commit = self.view().commit.0;
        self.applied(commit);
        if self.tasks.iter().any(|(_, task)| matches!(task, Task::Snapshot)) {
            self.compact(commit);
        }
    }

    /// Its state machine has reached `index`; and the flush.
    pub(crate) fn applied(&mut self, index: u64) {
        self.input(Input::Applied(index));
        self.input(Input::Flush);
    }

    /// An established leader of `epoch` calls it: it follows that one.
    pub(crate) fn called_by(&mut self, leader: u64, epoch: u64) {
        let (epoch, commit) = (Epoch(epoch), Index::ZERO);
        self.hear(leader, Message::Ping { epoch, established: true, commit, round: 0 });
    }

    /// Its election comes to this leader, whom all others follow.
    pub(crate) fn follow(&mut self, leader: u64) {
        if self.view().phase != Phase::Election {
            self.fire(Timer::Limit);
        }
        let vote = Vote { epoch: 0, zxid: Zxid::ZERO, leader: NodeId(leader) };
        let voters: Vec<_> = self.zab.status().members.quorum().iter().collect();
        let me = self.id();
        for voter in voters.into_iter().filter(|voter| *voter != me) {
            let is_it = voter == NodeId(leader);
            let state = if is_it { State::Leading } else { State::Following };
            self.hear(voter.0, says(state, vote));
        }
        assert_eq!(self.view().leader, Some(NodeId(leader)), "{}", self.view());
    }

    /// Takes out what was sent to `peer`, but for what elections and heartbeats say.
    pub(crate) fn said_to(&mut self, peer: u64) -> Vec<Message> {
        let to_peer = |(to, _): &mut (NodeId, Message)| *to == NodeId(peer);
        let said = self.sent.extract_if(.., to_peer).map(|(_, message)| message);
        said.filter(|message| !is_background(message)).collect()
    }

    /// Takes out the indices that the local user was told to be committed.
    pub(crate) fn committed(&mut self) -> Vec<u64> {
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

/// Node `id` of so many voters, which has lived through this and was elected by the others.
pub(crate) fn elected(id: u64, voters: u64, past: &Past<'_>) -> Node {
    elected_with(id, voters, past, Sound)
}

pub(crate) fn elected_with<R: Rules>(id: u64, voters: u64, past: &Past<'_>, rules: R) -> Node<R> {
    let mut node = Node::lived_with(id, voters, past, rules);
    let others: Vec<_> = (1..=voters).filter(|voter| *voter != id).collect();
    node.wins(&others);
    assert_eq!(node.view().phase, Phase::Discovery, "{}", node.view());
    node.sent.clear();
    node
}

/// Node 1 of three, which has lived through this and was elected, and whose epoch 2 has accepted, with a
/// history of these epochs: it leads the epoch that it has chosen, but is not established.
pub(crate) fn leading(past: &Past<'_>, history: &[u64]) -> Node {
    let mut node = elected(1, 3, past);
    let current = history.last().copied().unwrap_or(0);
    node.hear(2, follower_info(current));
    node.sent.clear();
    node.hear(2, ack_epoch(node.view().accepted.0, current, history));
    assert_eq!(node.view().phase, Phase::Synchronisation, "{}", node.view());
    node
}

/// Node 1 of a new cluster of three, which leads epoch 1 with 2. Node 3 is away.
pub(crate) fn established() -> Node {
    let mut node = leading(&Past::default(), &[]);
    node.hear(2, ack_new_leader(1, 0));
    assert_eq!(node.view().phase, Phase::Broadcast, "{}", node.view());
    node.sent.clear();
    node
}

/// Node 1 of a new cluster of three, which has accepted epoch 2 of node 2, an established leader.
pub(crate) fn called() -> Node {
    let mut node = Node::recover(config(1, 3), []);
    node.called_by(2, 2);
    node.hear(2, new_epoch(2));
    assert_eq!(node.view().phase, Phase::Synchronisation);
    node.sent.clear();
    node
}

/// Elections and heartbeats.
pub(crate) fn is_background(message: &Message) -> bool {
    matches!(message, Message::Election(_) | Message::Ping { .. } | Message::Pong { .. })
}

/// The epochs of all entries that a node keeps.
pub(crate) fn history<R: Rules>(zab: &Zab<R>) -> Vec<u64> {
    let log = zab.log();
    (log.base().index.0 + 1..=log.last().index.0)
        .map(|index| log.epoch_at(Index(index)).expect("a history without gaps").0)
        .collect()
}

pub(crate) fn config(id: u64, voters: u64) -> Config {
    config_with(id, voters, Sound)
}

pub(crate) fn config_with<R: Rules>(id: u64, voters: u64, rules: R) -> Config<R> {
    Config::with_rules(NodeId(id), (1..=voters).map(NodeId), rules)
}
