//! Several nodes, and a network that the test moves by hand. Every step of every node is checked
//! against the invariants of figure 3.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use synod_consensus::Role;
use synod_engine::{Input, Instant, Invariants as _, NodeId, Sometimes, Sound, Stepped, Violation};
use synod_raft::{Config, Invariants, Message, Raft, Rules, Timer};

use crate::driver::{Node, config, lived};

/// A message on its way.
#[derive(Clone)]
pub(crate) struct Envelope {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) message: Message,
}

/// The nodes 1, 2, … and what is between them.
#[derive(Clone)]
pub(crate) struct Cluster<R: Rules = Sound> {
    pub(crate) nodes: BTreeMap<u64, Node<R>>,
    pub(crate) network: Vec<Envelope>,
    pub(crate) cut: BTreeSet<(u64, u64)>,
    /// What the invariants found first.
    pub(crate) violation: Option<Violation>,
    pub(crate) sometimes: Sometimes,
    invariants: Invariants,
}

impl Cluster<Sound> {
    pub(crate) fn start(nodes: u64) -> Self {
        Self::with_logs(0, &vec![&[][..]; nodes as usize], |id| config(id, nodes))
    }

    /// Three nodes: 1 leads, and has compacted the 21 entries it committed with 2 while 3 was cut off.
    pub(crate) fn with_one_behind() -> Self {
        let mut cluster = Self::with_logs(0, &[&[], &[], &[]], |id| {
            let mut config = config(id, 3);
            (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (10, 0);
            config
        });
        cluster.elect(1);
        cluster.isolate(&[3]);
        for token in 0..20 {
            cluster.at(1, |node| node.propose(token, "x"));
            cluster.settle();
        }
        cluster.at(1, |node| {
            node.compact(21);
            node.input(Input::Flush);
        });
        cluster
    }
}

impl<R: Rules> Cluster<R> {
    /// Nodes in `term` whose logs hold entries of these terms.
    pub(crate) fn with_logs(term: u64, logs: &[&[u64]], config: impl Fn(u64) -> Config<R>) -> Self {
        let voters = logs.len() as u64;
        let nodes = logs
            .iter()
            .zip(1..)
            .map(|(log, id)| (id, Node::recover(config(id), lived(voters, term, None, log))));
        let mut cluster = Self {
            nodes: nodes.collect(),
            network: Vec::new(),
            cut: BTreeSet::new(),
            violation: None,
            sometimes: Sometimes::default(),
            invariants: Invariants::default(),
        };
        for id in 1..=voters {
            let rebuilt = cluster.nodes[&id].rebuilt();
            let recovered = cluster.invariants.recovered(NodeId(id), &rebuilt);
            cluster.check(recovered);
            cluster.watch(id);
        }
        cluster
    }

    /// Starts an empty node that waits to be added to the group.
    pub(crate) fn join(&mut self, id: u64, mut config: Config<R>) {
        config.part.initial_voters = None;
        let mut node = Node::recover(config, []);
        node.now = self.nodes.values().map(|node| node.now).max().unwrap_or(Instant::START);
        self.nodes.insert(id, node);
        let recovered = self.invariants.recovered(NodeId(id), &self.nodes[&id].rebuilt());
        self.check(recovered);
        self.watch(id);
    }

    /// Lets the learners catch up: the leader notices at its heartbeats.
    pub(crate) fn beat(&mut self, leader: u64) {
        for _ in 0..2 {
            self.at(leader, |node| node.fire(Timer::Heartbeat));
            self.settle();
        }
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut Node<R> {
        self.nodes.get_mut(&id).expect("a node of this cluster")
    }

    /// Lets `act` act on a node, checks each step, and puts on the network what it sent. All clocks
    /// show the same time.
    pub(crate) fn at<T>(&mut self, id: u64, act: impl FnOnce(&mut Node<R>) -> T) -> T {
        let result = act(self.node(id));
        let now = self.nodes[&id].now;
        self.nodes.values_mut().for_each(|node| node.now = node.now.max(now));
        self.watch(id);
        result
    }

    fn watch(&mut self, id: u64) {
        let node = self.nodes.get_mut(&id).expect("a node of this cluster");
        let now = node.now;
        for (effects, after) in core::mem::take(&mut node.steps) {
            let step = Stepped { node: NodeId(id), now, effects: &effects, after: &after };
            let result = self.invariants.stepped(&step, &mut self.sometimes);
            self.violation = self.violation.take().or(result.err());
        }
        for effect in core::mem::take(&mut node.performed) {
            let result = self.invariants.performed(NodeId(id), &effect);
            self.violation = self.violation.take().or(result.err());
        }
        for (NodeId(to), message) in core::mem::take(&mut node.sent) {
            if !self.cut.contains(&(id, to)) {
                self.network.push(Envelope { from: id, to, message });
            }
        }
    }

    fn check(&mut self, result: Result<(), Violation>) {
        self.violation = self.violation.take().or(result.err());
    }

    /// Panics unless the invariants held so far.
    pub(crate) fn assert_sound(&mut self) {
        let Self { nodes, invariants, .. } = self;
        let mut all = nodes.iter().map(|(id, node)| (NodeId(*id), &node.raft));
        let result = invariants.checkpoint(&mut all);
        self.check(result);
        assert_eq!(self.violation, None);
    }

    pub(crate) fn crash(&mut self, id: u64) {
        let rebuilt = self.node(id).rebuilt();
        let recovered = self.invariants.recovered(NodeId(id), &rebuilt);
        self.check(recovered);
        self.at(id, Node::crash);
    }

    /// Cuts every link of these nodes to others.
    pub(crate) fn isolate(&mut self, ids: &[u64]) {
        for a in self.nodes.keys() {
            for b in self.nodes.keys() {
                if ids.contains(a) != ids.contains(b) {
                    self.cut.insert((*a, *b));
                }
            }
        }
        let cut = &self.cut;
        self.network.retain(|envelope| !cut.contains(&(envelope.from, envelope.to)));
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// Delivers the message at this place of the network.
    pub(crate) fn deliver(&mut self, place: usize) {
        let Envelope { from, to, message } = self.network.remove(place);
        self.at(to, |node| node.hear(from, message));
    }

    /// Delivers everything, in order, until nothing is on its way.
    pub(crate) fn settle(&mut self) {
        self.settle_but(|_| false);
    }

    /// As [`settle`](Self::settle), losing what `lost` selects.
    pub(crate) fn settle_but(&mut self, mut lost: impl FnMut(&Envelope) -> bool) {
        for _ in 0..100_000 {
            let Some(envelope) = self.network.first() else { return };
            if lost(envelope) {
                self.network.remove(0);
            } else {
                self.deliver(0);
            }
        }
        panic!("the network never falls silent");
    }

    /// Lets node `id` time out and win with what answers.
    pub(crate) fn elect(&mut self, id: u64) {
        self.elect_but(id, |_| false);
    }

    /// Lets node `id` time out, whatever comes of it.
    pub(crate) fn campaign(&mut self, id: u64) {
        let patience = Duration::from_secs(1);
        self.nodes.values_mut().for_each(|node| node.wait(patience));
        self.at(id, |node| node.fire(Timer::Election));
        self.settle();
    }

    /// As [`elect`](Self::elect), losing what `lost` selects.
    pub(crate) fn elect_but(&mut self, id: u64, lost: impl FnMut(&Envelope) -> bool) {
        let patience = Duration::from_secs(1);
        self.nodes.values_mut().for_each(|node| node.wait(patience));
        self.at(id, |node| node.fire(Timer::Election));
        self.settle_but(lost);
        assert_eq!(self.nodes[&id].view().role, Role::Leader, "{}", self.nodes[&id].view());
    }

    /// Lets time pass: timers fire when they are due, messages arrive at once, but for what `lost`
    /// selects.
    pub(crate) fn run(&mut self, duration: Duration, mut lost: impl FnMut(&Envelope) -> bool) {
        let start = self.nodes.values().map(|node| node.now).max().unwrap_or(Instant::START);
        let end = start + duration;
        self.settle_but(&mut lost);
        loop {
            let due = self.nodes.iter().flat_map(|(id, node)| {
                node.timers.iter().map(move |(timer, due)| (*due, *id, *timer))
            });
            let Some((_, id, timer)) = due.min().filter(|(at, ..)| *at <= end) else { break };
            self.at(id, |node| node.fire(timer));
            self.settle_but(&mut lost);
        }
        self.nodes.values_mut().for_each(|node| node.now = end);
    }

    pub(crate) fn leader(&self) -> Option<u64> {
        let leaders = self.nodes.iter().filter(|(_, node)| node.view().role == Role::Leader);
        leaders.max_by_key(|(_, node)| node.view().term).map(|(id, _)| *id)
    }

    /// The commit index of every node.
    pub(crate) fn commits(&self) -> Vec<u64> {
        self.nodes.values().map(|node| node.view().commit.0).collect()
    }

    pub(crate) fn input(&mut self, id: u64, input: Input<Raft<R>>) {
        self.at(id, |node| {
            node.input(input);
            node.input(Input::Flush);
        });
    }
}
