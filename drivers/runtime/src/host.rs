//! One engine with its held effects and timers: the core of every node, which knows no thread, socket,
//! file or async runtime.
//!
//! Whoever drives a host steps it through a batch of inputs, ends the batch with [`Host::flush`], and
//! tells it with [`Host::durable`] how far the disk has come. Effects go to [`Outlets`].
//!
//! Next: `core`, which drives a host for real.

use std::collections::VecDeque;

use synod_engine::{
    Class, Context, Effect, Engine, HeldQueue, Input, Instant, LinkState, Message as _, NodeId,
    Position, Random, TaskId, To, When,
};

use crate::timers::Timers;

/// Where the effects of an engine go. Calls come in the order in which the effects must take place.
pub trait Outlets<E: Engine> {
    /// Append the record that is the `position`-th of this life to the log.
    fn persist(&mut self, position: Position, record: E::Record);
    /// Send to a peer, never to oneself.
    fn send(&mut self, to: NodeId, message: E::Message);
    /// Start a task.
    fn start(&mut self, id: TaskId, task: E::Task);
    /// Abort a task, if it was started and still runs.
    fn abort(&mut self, id: TaskId);
    /// Tell the local user.
    fn emit(&mut self, event: E::Event);
    /// The engine is about to hear this from itself. Nothing is to be done.
    fn to_self(&mut self, message: &E::Message) {
        let _ = message;
    }
}

/// An engine, what it holds back, and its timers.
pub struct Host<E: Engine> {
    node: NodeId,
    others: Vec<NodeId>,
    engine: E,
    random: Random,
    effects: Vec<Effect<E>>,
    held: HeldQueue<Held<E>>,
    persisted: Position,
    durable: Position,
    timers: Timers<E::Timer>,
    to_self: VecDeque<E::Message>,
}

/// What may have to wait for the disk.
enum Held<E: Engine> {
    Send(NodeId, E::Message),
    Start(TaskId, E::Task),
    Emit(E::Event),
}

impl<E: Engine> Host<E> {
    /// Hosts `engine`, which has replayed its records, on `node`; the group has these `others`.
    pub fn new(node: NodeId, others: Vec<NodeId>, engine: E, random: Random) -> Self {
        Self {
            node,
            others,
            engine,
            random,
            effects: Vec::new(),
            held: HeldQueue::default(),
            persisted: Position::default(),
            durable: Position::default(),
            timers: Timers::default(),
            to_self: VecDeque::new(),
        }
    }

    /// The engine.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// The other members of its group.
    pub fn others(&self) -> &[NodeId] {
        &self.others
    }

    /// The group has these other members from here on; returns those that it had not before.
    pub fn regroup(&mut self, others: Vec<NodeId>) -> Vec<NodeId> {
        let before = std::mem::replace(&mut self.others, others);
        let is_new = |node: &NodeId| !before.contains(node);
        self.others.iter().copied().filter(is_new).collect()
    }

    /// How many records were persisted in this life.
    pub fn persisted(&self) -> Position {
        self.persisted
    }

    /// When the next timer is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// When `timer` is due, if it is set.
    pub fn due(&self, timer: E::Timer) -> Option<Instant> {
        self.timers.deadline(timer)
    }

    /// How many effects wait for the disk.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes one input, anything but a link's. Its effects are performed by the
    /// [`flush`](Self::flush) that ends the batch.
    pub fn step(&mut self, now: Instant, input: Input<E>) {
        let mut context = Context::new(now, &mut self.random, &mut self.effects);
        self.engine.step(&mut context, input);
    }

    /// A link's session began or ended. Ordered messages that were held for it die with it.
    pub fn link(
        &mut self,
        now: Instant,
        peer: NodeId,
        state: LinkState,
        outlets: &mut impl Outlets<E>,
    ) {
        self.perform(now, outlets);
        if state == LinkState::Closed {
            self.held.cancel(|held| match held {
                Held::Send(to, message) => {
                    *to == peer && matches!(message.class(), Class::Ordered { .. })
                }
                Held::Start(..) | Held::Emit(_) => false,
            });
        }
        self.step(now, Input::Link { peer, state });
    }

    /// Fires the timers that are due; returns how many.
    pub fn fire(&mut self, now: Instant, outlets: &mut impl Outlets<E>) -> usize {
        let mut fired = 0;
        while let Some(timer) = self.timers.take_due(now) {
            self.step(now, Input::Timer(timer));
            self.perform(now, outlets);
            fired += 1;
        }
        fired
    }

    /// Everything up to `durable` is: releases what waited for it. A batch continues.
    pub fn durable(&mut self, now: Instant, durable: Position, outlets: &mut impl Outlets<E>) {
        self.durable = self.durable.max(durable);
        self.release(now, outlets);
    }

    /// Ends a batch: the engine sends what it gathered, and all effects are performed.
    pub fn flush(&mut self, now: Instant, outlets: &mut impl Outlets<E>) {
        self.step(now, Input::Flush);
        self.perform(now, outlets);
        self.release(now, outlets);
    }

    /// Performs what is held and no longer waits; what the engine says to itself may lead to more.
    fn release(&mut self, now: Instant, outlets: &mut impl Outlets<E>) {
        loop {
            while let Some(held) = self.held.release(self.durable) {
                match held {
                    Held::Send(to, message) if to == self.node => self.to_self.push_back(message),
                    Held::Send(to, message) => outlets.send(to, message),
                    Held::Start(id, task) => outlets.start(id, task),
                    Held::Emit(event) => outlets.emit(event),
                }
            }
            if self.to_self.is_empty() {
                return;
            }
            while let Some(message) = self.to_self.pop_front() {
                outlets.to_self(&message);
                self.step(now, Input::Message { from: self.node, message });
            }
            self.step(now, Input::Flush);
            self.perform(now, outlets);
        }
    }

    /// The one match on effects.
    fn perform(&mut self, now: Instant, outlets: &mut impl Outlets<E>) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Persist(record) => {
                    self.persisted = self.persisted.next();
                    outlets.persist(self.persisted, record);
                }
                Effect::Send { to: To::Node(to), message, when } => {
                    self.send(to, message, when, outlets);
                }
                Effect::Send { to: To::Others, message, when } => {
                    for other in 0..self.others.len() {
                        self.send(self.others[other], message.clone(), when, outlets);
                    }
                }
                Effect::SetTimer { timer, after } => self.timers.set(timer, now + after),
                Effect::CancelTimer(timer) => self.timers.cancel(timer),
                Effect::StartTask { id, task, when: When::Now } => outlets.start(id, task),
                Effect::StartTask { id, task, when: When::Held } => {
                    self.held.hold(self.persisted, Held::Start(id, task));
                }
                Effect::AbortTask(id) => {
                    self.held.cancel(|held| matches!(held, Held::Start(start, _) if *start == id));
                    outlets.abort(id);
                }
                Effect::Emit { event, when: When::Now } => outlets.emit(event),
                Effect::Emit { event, when: When::Held } => {
                    self.held.hold(self.persisted, Held::Emit(event));
                }
            }
        }
        self.effects = effects;
    }

    /// To oneself is always held.
    fn send(&mut self, to: NodeId, message: E::Message, when: When, outlets: &mut impl Outlets<E>) {
        if when == When::Held || to == self.node {
            self.held.hold(self.persisted, Held::Send(to, message));
        } else {
            outlets.send(to, message);
        }
    }
}
