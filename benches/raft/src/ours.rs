//! Our side: three `Raft` engines, each in the host that real nodes run it in, on one thread. The
//! network is a function call, the disk is done at once, and every node applies every command.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use synod_consensus::{Event, Output, Payload, Request, Role, Task};
use synod_engine::{Blob, Engine, Input, Instant, NodeId, Position, Random, TaskId, Token};
use synod_raft::{Config, Message, Raft, Record};
use synod_runtime::host::{Host, Outlets};
use tokio::sync::{Notify, oneshot};
use tokio::task::{LocalSet, spawn_local, yield_now};

use crate::load::{Found, Shape, client, measure};
use crate::tally::Tally;

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// A write on its way to the leader.
struct Call {
    command: Bytes,
    reply: oneshot::Sender<()>,
}

/// Where the clients leave their writes.
#[derive(Default)]
struct Door {
    calls: RefCell<Vec<Call>>,
    wake: Notify,
}

impl Door {
    fn enter(&self, call: Call) {
        let mut calls = self.calls.borrow_mut();
        calls.push(call);
        if calls.len() == 1 {
            self.wake.notify_one();
        }
    }
}

/// What the host of one node gives away.
#[derive(Default)]
struct Memory {
    sent: Vec<(NodeId, Message)>,
    tasks: Vec<TaskId>,
    state: Tally,
    applied: u64,
    leads: bool,
    waiting: Waiting,
}

/// Who waits for an answer, by token: a slab.
#[derive(Default)]
struct Waiting {
    places: Vec<Option<oneshot::Sender<()>>>,
    free: Vec<u64>,
}

impl Waiting {
    fn insert(&mut self, reply: oneshot::Sender<()>) -> Token {
        match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = Some(reply);
                Token(place)
            }
            None => {
                self.places.push(Some(reply));
                Token(self.places.len() as u64 - 1)
            }
        }
    }

    fn remove(&mut self, token: Token) -> oneshot::Sender<()> {
        self.free.push(token.0);
        self.places[token.0 as usize].take().expect("every proposal ends once")
    }
}

impl Outlets<Raft> for Memory {
    fn persist(&mut self, _: Position, _: Record) {
        // The log in memory is the engine's own; this disk has written before it was asked.
    }

    fn send(&mut self, to: NodeId, message: Message) {
        self.sent.push((to, message));
    }

    fn start(&mut self, id: TaskId, task: Task) {
        match task {
            Task::Snapshot => self.tasks.push(id),
            Task::ReadLog { .. } => panic!("no follower is late here"),
        }
    }

    fn abort(&mut self, _: TaskId) {}

    fn emit(&mut self, event: Event) {
        match event {
            Event::Committed { batch, own } => {
                for payload in batch.payloads() {
                    if let Payload::Command(command) = payload {
                        self.state.apply(command);
                    }
                }
                self.applied = batch.last().0;
                for (_, token) in own {
                    let reply = self.waiting.remove(token);
                    reply.send(()).expect("clients wait for their answers");
                }
            }
            Event::Leadership { role, .. } => self.leads = role == Role::Leader,
            Event::Refused { .. } | Event::Unknown { .. } => {
                panic!("nothing is refused or lost here: {event}")
            }
            // Reads and installs do not happen here; who the members are is known.
            _ => {}
        }
    }
}

/// A node and what arrived for it.
struct Node {
    host: Host<Raft>,
    memory: Memory,
    inbox: Vec<(NodeId, Message)>,
    told_applied: u64,
}

impl Node {
    fn new(node: NodeId) -> Self {
        let others = NODES.into_iter().filter(|other| *other != node).collect();
        // As openraft's default is: what both keep in memory should fit the same caches.
        let mut config = Config::new(node, NODES);
        config.bounds.snapshot_every = 5_000;
        config.bounds.max_cached_log_bytes = 5_000 * 256;
        let engine = Raft::new(config);
        let host = Host::new(node, others, engine, Random::new(node.0));
        Self { host, memory: Memory::default(), inbox: Vec::new(), told_applied: 0 }
    }

    fn is_idle(&self) -> bool {
        self.inbox.is_empty() && self.memory.tasks.is_empty()
    }

    /// One batch of inputs, its flush, and the disk's report.
    fn batch(&mut self, now: Instant) {
        for (from, message) in self.inbox.drain(..) {
            self.host.step(now, Input::Message { from, message });
        }
        for id in std::mem::take(&mut self.memory.tasks) {
            let index = synod_consensus::Index(self.memory.applied);
            let blob = Blob { id: index.0, size_bytes: 16, checksum: 0 };
            let output = Output::Snapshot { index, blob };
            self.host.step(now, Input::TaskDone { id, output });
        }
        if self.memory.applied > self.told_applied {
            self.told_applied = self.memory.applied;
            self.host.step(now, Input::Applied(self.told_applied));
        }
        self.host.flush(now, &mut self.memory);
        self.host.durable(now, self.host.persisted(), &mut self.memory);
    }
}

/// The three nodes.
struct Cluster {
    nodes: [Node; 3],
    clock: std::time::Instant,
}

impl Cluster {
    fn start() -> Self {
        let mut cluster = Self { nodes: NODES.map(Node::new), clock: std::time::Instant::now() };
        let now = cluster.now();
        for node in &mut cluster.nodes {
            node.host.step(now, Input::Start);
            node.batch(now);
        }
        while cluster.leader().is_none() {
            std::thread::sleep(Duration::from_millis(1));
            cluster.turn(&mut Vec::new());
        }
        cluster
    }

    fn now(&self) -> Instant {
        Instant::START + self.clock.elapsed()
    }

    fn leader(&self) -> Option<usize> {
        self.nodes.iter().position(|node| node.memory.leads)
    }

    /// Proposes these calls as one batch, and lets the nodes talk until they have nothing to say.
    fn turn(&mut self, calls: &mut Vec<Call>) {
        let now = self.now();
        for node in &mut self.nodes {
            if node.host.fire(now, &mut node.memory) > 0 {
                node.batch(now);
            }
        }
        if let Some(leader) = self.leader()
            && !calls.is_empty()
        {
            let node = &mut self.nodes[leader];
            for Call { command, reply } in calls.drain(..) {
                let token = node.memory.waiting.insert(reply);
                node.host.step(now, Input::Request { token, request: Request::Propose(command) });
            }
            node.batch(now);
        }
        while self.deliver() {
            for node in self.nodes.iter_mut().filter(|node| !node.is_idle()) {
                node.batch(now);
            }
        }
    }

    /// Carries what was sent to where it goes; whether any node has something to do.
    fn deliver(&mut self) -> bool {
        for (place, from) in NODES.into_iter().enumerate() {
            let mut sent = std::mem::take(&mut self.nodes[place].memory.sent);
            for (to, message) in sent.drain(..) {
                self.nodes[to.0 as usize - 1].inbox.push((from, message));
            }
            self.nodes[place].memory.sent = sent;
        }
        !self.nodes.iter().all(Node::is_idle)
    }
}

/// One run.
pub(crate) fn run(shape: Shape) -> Found {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime of one thread");
    let cluster = Rc::new(RefCell::new(Cluster::start()));
    let door = Rc::new(Door::default());
    LocalSet::new().block_on(&runtime, async {
        let core = spawn_local(serve(cluster.clone(), door.clone()));
        let (per_second, answered) = measure(shape, |number, clock| {
            let door = door.clone();
            let write = move |command| {
                let door = door.clone();
                let (reply, answer) = oneshot::channel();
                async move {
                    door.enter(Call { command, reply });
                    answer.await.expect("the leader answers");
                }
            };
            let task = spawn_local(client(number, shape.value_bytes, clock, write));
            async { task.await.expect("a client does not fail") }
        })
        .await;
        core.abort();
        yield_now().await;
        // A heartbeat tells the followers of the last commit.
        while cluster.borrow().nodes.iter().any(|node| node.memory.state.applied < answered) {
            std::thread::sleep(Duration::from_millis(1));
            cluster.borrow_mut().turn(&mut Vec::new());
        }
        let states = cluster.borrow().nodes.iter().map(|node| node.memory.state).collect();
        Found { per_second, answered, states }
    })
}

/// The task that owns the engines: takes all calls that are at hand, as one batch.
async fn serve(cluster: Rc<RefCell<Cluster>>, door: Rc<Door>) {
    let mut calls = Vec::new();
    loop {
        door.wake.notified().await;
        std::mem::swap(&mut calls, &mut *door.calls.borrow_mut());
        cluster.borrow_mut().turn(&mut calls);
    }
}
