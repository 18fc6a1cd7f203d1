//! Several nodes, and a network that the test moves by hand. Every step of every node is checked against the
//! invariants of the published specification.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use synod_consensus::{ReplicatedLog as _, Role};
use synod_engine::{
    Instant, Invariants as _, LinkState, NodeId, Sometimes, Sound, Stepped, Violation, Without,
};
use synod_zab::{Config, Invariants, Message, Phase, Rules, Timer};

use crate::driver::{Node, config, config_with};
use crate::words::{Past, add, lived};

/// A message on its way.
#[derive(Clone, Debug)]
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
    /// What is sent this way is lost, and nobody knows.
    pub(crate) cut: BTreeSet<(u64, u64)>,
    /// Whose timers do not fire.
    pub(crate) asleep: BTreeSet<u64>,
    /// Every message arrives twice.
    pub(crate) doubles: bool,
    /// What the invariants found first.
    pub(crate) violation: Option<Violation>,
    pub(crate) sometimes: Sometimes,
    invariants: Invariants,
}

impl Cluster<Sound> {
    pub(crate) fn start(nodes: u64) -> Self {
        let pasts = vec![Past::default(); nodes as usize];
        Self::with(&pasts, |id| config(id, nodes))
    }
}

impl Cluster<Without> {
    /// The same with these rules.
    pub(crate) fn keeping(rules: Without, pasts: &[Past<'_>]) -> Self {
        Self::with(pasts, |id| config_with(id, pasts.len() as u64, rules))
    }
}

impl<R: Rules> Cluster<R> {
    /// Nodes that have lived through this.
    pub(crate) fn with(pasts: &[Past<'_>], config: impl Fn(u64) -> Config<R>) -> Self {
        let voters = pasts.len() as u64;
        let nodes = pasts.iter().zip(1..).map(|(past, id)| {
            let records = if past.is_none() { Vec::new() } else { lived(voters, past) };
            (id, Node::recover(config(id), records))
        });
        let mut cluster = Self {
            nodes: nodes.collect(),
            network: Vec::new(),
            cut: BTreeSet::new(),
            asleep: BTreeSet::new(),
            doubles: false,
            violation: None,
            sometimes: Sometimes::default(),
            invariants: Invariants::default(),
        };
        for id in 1..=voters {
            let rebuilt = cluster.nodes[&id].rebuilt();
            let recovered = cluster.invariants.recovered(NodeId(id), &rebuilt);
            cluster.check(recovered);
        }
        (1..=voters).for_each(|id| cluster.watch(id));
        cluster
    }

    /// Starts an empty node that waits to be added to the group, and adds it.
    pub(crate) fn join(&mut self, id: u64, config: Config<R>) {
        let mut node = Node::recover(config, []);
        node.now = self.now();
        self.nodes.insert(id, node);
        let recovered = self.invariants.recovered(NodeId(id), &self.nodes[&id].rebuilt());
        self.check(recovered);
        self.watch(id);
        let leader = self.leader().expect("somebody leads");
        self.at(leader, |node| node.change(id, [add(id)]));
        self.run(Duration::from_secs(1));
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
                let envelope = Envelope { from: id, to, message };
                self.network.extend(self.doubles.then(|| envelope.clone()));
                self.network.push(envelope);
            }
        }
    }

    fn check(&mut self, result: Result<(), Violation>) {
        self.violation = self.violation.take().or(result.err());
    }

    /// What the invariants found first, in words.
    pub(crate) fn found(&mut self) -> Option<String> {
        let Self { nodes, invariants, .. } = self;
        let up = nodes.iter().filter(|(_, node)| node.is_up);
        let result = invariants.checkpoint(&mut up.map(|(id, node)| (NodeId(*id), &node.zab)));
        self.check(result);
        self.violation.as_ref().map(ToString::to_string)
    }

    /// Panics unless the invariants held so far.
    pub(crate) fn assert_sound(&mut self) {
        assert_eq!(self.found(), None);
    }

    /// Dies, with what it had not made durable and what is under way to it.
    pub(crate) fn crash(&mut self, id: u64) {
        self.at(id, Node::crash);
        self.network.retain(|envelope| envelope.to != id);
    }

    pub(crate) fn restart(&mut self, id: u64) {
        let rebuilt = self.node(id).rebuilt();
        let recovered = self.invariants.recovered(NodeId(id), &rebuilt);
        self.check(recovered);
        self.at(id, Node::start);
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

    /// The session between two nodes ends, with what is under way in it, and a new one begins.
    pub(crate) fn reconnect(&mut self, a: u64, b: u64) {
        let between =
            |envelope: &Envelope| [(a, b), (b, a)].contains(&(envelope.from, envelope.to));
        self.network.retain(|envelope| !between(envelope));
        for state in [LinkState::Closed, LinkState::Opened] {
            for (node, peer) in [(a, b), (b, a)] {
                if self.nodes[&node].is_up {
                    self.at(node, |node| node.link(peer, state));
                }
            }
        }
    }

    /// Delivers the message at this place of the network.
    pub(crate) fn deliver(&mut self, place: usize) {
        let Envelope { from, to, message } = self.network.remove(place);
        if self.nodes[&to].is_up {
            self.at(to, |node| node.hear(from, message));
        }
    }

    /// Delivers everything, in order, until nothing is on its way, but for what `lost` selects.
    pub(crate) fn settle_but(&mut self, mut lost: impl FnMut(&Envelope) -> bool) {
        for _ in 0..100_000 {
            let Some(envelope) = self.network.first() else { return };
            if lost(envelope) {
                self.network.remove(0);
            } else {
                self.deliver(0);
            }
        }
        let Envelope { from, to, message } = &self.network[0];
        panic!("the network never falls silent: n{from} to n{to} {message}\n{}", self.picture());
    }

    pub(crate) fn settle(&mut self) {
        self.settle_but(|_| false);
    }

    /// Lets messages arrive at once and timers fire as they come due, until `done`; whether that came
    /// within 60 seconds. What `lost` selects is lost.
    pub(crate) fn run_until_but(
        &mut self,
        mut lost: impl FnMut(&Envelope) -> bool,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let end = self.now() + Duration::from_secs(60);
        loop {
            if done(self) {
                return true;
            }
            if let Some(envelope) = self.network.first() {
                if lost(envelope) {
                    self.network.remove(0);
                } else {
                    self.deliver(0);
                }
                continue;
            }
            match self.next_timer() {
                Some((due, id, timer)) if due <= end => self.at(id, |node| node.fire(timer)),
                Some(_) | None => return false,
            }
        }
    }

    pub(crate) fn run_until(&mut self, done: impl FnMut(&mut Self) -> bool) -> bool {
        self.run_until_but(|_| false, done)
    }

    /// Lets so much time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        self.run_but(time, |_| false);
    }

    pub(crate) fn run_but(&mut self, time: Duration, mut lost: impl FnMut(&Envelope) -> bool) {
        let end = self.now() + time;
        self.settle_but(&mut lost);
        while let Some((due, id, timer)) = self.next_timer().filter(|(due, ..)| *due <= end) {
            self.nodes.values_mut().for_each(|node| node.now = node.now.max(due));
            self.at(id, |node| node.fire(timer));
            self.settle_but(&mut lost);
        }
        self.nodes.values_mut().for_each(|node| node.now = node.now.max(end));
    }

    fn now(&self) -> Instant {
        self.nodes.values().map(|node| node.now).max().unwrap_or(Instant::START)
    }

    fn next_timer(&self) -> Option<(Instant, u64, Timer)> {
        let set = self
            .nodes
            .iter()
            .flat_map(|(id, node)| node.timers.iter().map(move |(timer, due)| (*due, *id, *timer)));
        set.min()
    }

    /// The established leader of the newest epoch.
    pub(crate) fn leader(&self) -> Option<u64> {
        let up = self.nodes.iter().filter(|(_, node)| node.is_up);
        let leaders = up.filter(|(_, node)| node.zab.status().role == Role::Leader);
        leaders.max_by_key(|(_, node)| node.view().accepted).map(|(id, _)| *id)
    }

    /// Runs until there is an established leader whom all that are up and not cut off serve.
    pub(crate) fn establish(&mut self) -> u64 {
        let established = self.run_until(|cluster| {
            let Some(leader) = cluster.leader() else { return false };
            let epoch = cluster.nodes[&leader].view().accepted;
            cluster.nodes.iter().all(|(id, node)| {
                let is_reached = node.is_up && !cluster.cut.contains(&(leader, *id));
                let view = node.view();
                !is_reached || (view.phase, view.current) == (Phase::Broadcast, epoch)
            })
        });
        assert!(established, "nobody leads them all:\n{}", self.picture());
        self.leader().expect("somebody leads")
    }

    /// Proposes this at the leader and lets a second pass.
    pub(crate) fn write(&mut self, token: u64, command: &'static str) {
        let leader = self.leader().expect("somebody leads");
        self.at(leader, |node| node.propose(token, command));
        self.run(Duration::from_secs(1));
    }

    /// The commit index of every node.
    pub(crate) fn commits(&self) -> Vec<u64> {
        self.nodes.values().map(|node| node.view().commit.0).collect()
    }

    /// The last index of every node.
    pub(crate) fn lasts(&self) -> Vec<u64> {
        self.nodes.values().map(|node| node.view().last.0).collect()
    }

    /// All nodes, a line each.
    pub(crate) fn picture(&self) -> String {
        let line = |(id, node): (&u64, &Node<R>)| {
            let down = if node.is_up { "" } else { " (down)" };
            format!("n{id}: {}{down}\n", node.view())
        };
        self.nodes.iter().map(line).collect()
    }
}
