//! A node: its engine, its local user, and everything a crash takes or leaves.

use std::collections::VecDeque;

use synod_engine::{Effect, Engine, HeldQueue, Input, NodeId, Random, TaskId, To, When};

use crate::App;
use crate::blobs::Blobs;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::links::Route;
use crate::timers::Timers;

/// One node. `engine` and `app` are there while it is up.
pub(crate) struct Node<E: Engine, A: App<E>> {
    pub(crate) engine: Option<E>,
    pub(crate) app: Option<A>,
    pub(crate) body: Body<E>,
    pub(crate) config: E::Config,
}

/// What a node has beside its engine and its local user.
pub(crate) struct Body<E: Engine> {
    pub(crate) id: NodeId,
    /// Which life this is; what an earlier one began finds nobody.
    pub(crate) life: u32,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) timers: Timers<E::Timer>,
    /// Inputs that arrived and wait for a step.
    pub(crate) inbox: VecDeque<Input<E>>,
    pub(crate) held: HeldQueue<Held<E>>,
    pub(crate) disk: Disk<E::Record>,
    pub(crate) blobs: Blobs,
    /// The disk has reported something that was not acted on.
    pub(crate) durable_news: bool,
    /// It takes no step before this virtual time.
    pub(crate) busy_until: u64,
    /// It stays down, whoever starts it.
    pub(crate) is_gone: bool,
    /// The earliest wake in the queue that counts.
    pub(crate) armed: u64,
}

/// An effect that waits for the disk.
pub(crate) enum Held<E: Engine> {
    Send { to: u32, route: Route, message: E::Message },
    SendSelf(E::Message),
    StartTask { id: TaskId, task: E::Task },
    Emit(E::Event),
}

impl<E: Engine> Held<E> {
    /// The effect as the engine `own` asked for it, where nodes are numbered as in `ids`.
    pub(crate) fn as_asked(&self, own: NodeId, ids: &[NodeId]) -> Effect<E> {
        let send = |to: NodeId, message: &E::Message| Effect::Send {
            to: To::Node(to),
            message: message.clone(),
            when: When::Held,
        };
        match self {
            Self::Send { to, message, .. } => send(ids[*to as usize], message),
            Self::SendSelf(message) => send(own, message),
            Self::StartTask { id, task } => {
                Effect::StartTask { id: *id, task: task.clone(), when: When::Held }
            }
            Self::Emit(event) => Effect::Emit { event: event.clone(), when: When::Held },
        }
    }
}

impl<E: Engine> Body<E> {
    pub(crate) fn new(id: NodeId, disk: Disk<E::Record>) -> Self {
        Self {
            id,
            life: 0,
            clock: Clock::default(),
            random: Random::new(0),
            timers: Timers::default(),
            inbox: VecDeque::new(),
            held: HeldQueue::default(),
            disk,
            blobs: Blobs::default(),
            durable_news: false,
            busy_until: 0,
            is_gone: false,
            armed: u64::MAX,
        }
    }

    /// Forgets what was only in memory.
    pub(crate) fn forget(&mut self) {
        self.timers.clear();
        self.inbox.clear();
        self.held = HeldQueue::default();
        self.durable_news = false;
        self.busy_until = 0;
        self.armed = u64::MAX;
    }

    /// Loses even what was durable. The node is down.
    pub(crate) fn lose_all(&mut self) {
        self.disk.lose_all();
        self.blobs = Blobs::default();
    }

    /// Whether a held effect must wait.
    pub(crate) fn must_hold(&self) -> bool {
        !self.disk.is_clean() || !self.held.is_empty()
    }

    /// When it has something to do, as far as it knows.
    pub(crate) fn wants_wake(&self) -> u64 {
        let idle = self.inbox.is_empty() && !self.durable_news;
        let work = if idle { self.timers.soonest() } else { 0 };
        work.max(self.busy_until)
    }
}
