//! Several nodes, and a network that the test moves by hand. Every step of every node is checked against the
//! invariants.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use synod_consensus::{ReplicatedLog, Role};
use synod_engine::{Input, Instant, Invariants, LinkState, NodeId, Sometimes, Stepped, Violation};

use crate::{Happened, Node};

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Envelope<M> {
    /// Who said it.
    pub from: u64,
    /// To whom.
    pub to: u64,
    /// What.
    pub message: M,
}

/// The timers of a protocol that tests set off by hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timers<T> {
    /// Whoever it fires at looks for another leader.
    pub election: T,
    /// Whoever leads says so.
    pub heartbeat: T,
}

/// The nodes 1, 2, … and what is between them.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "engines show themselves by their views")]
pub struct Cluster<E: ReplicatedLog, I> {
    /// By name.
    pub nodes: BTreeMap<u64, Node<E>>,
    /// What is on its way, the oldest first.
    pub network: Vec<Envelope<E::Message>>,
    /// What is sent this way is lost, and nobody knows.
    pub cut: BTreeSet<(u64, u64)>,
    /// Every message arrives twice.
    pub doubles: bool,
    /// What the invariants found first.
    pub violation: Option<Violation>,
    /// What was reached.
    pub sometimes: Sometimes,
    invariants: I,
    by_hand: Timers<E::Timer>,
}

impl<E, I> Cluster<E, I>
where
    E: ReplicatedLog,
    I: Invariants<E> + Default,
{
    /// Of these nodes, which have just started.
    pub fn of(nodes: impl IntoIterator<Item = Node<E>>, by_hand: Timers<E::Timer>) -> Self {
        let mut cluster = Self {
            nodes: nodes.into_iter().map(|node| (node.id().0, node)).collect(),
            network: Vec::new(),
            cut: BTreeSet::new(),
            doubles: false,
            violation: None,
            sometimes: Sometimes::default(),
            invariants: I::default(),
            by_hand,
        };
        let ids: Vec<_> = cluster.nodes.keys().copied().collect();
        ids.iter().for_each(|id| cluster.recovered(*id));
        ids.iter().for_each(|id| cluster.watch(*id));
        cluster
    }

    /// A node comes that has just started.
    pub fn enter(&mut self, mut node: Node<E>) {
        node.now = self.now();
        let id = node.id().0;
        self.nodes.insert(id, node);
        self.recovered(id);
        self.watch(id);
    }

    /// The node of this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn node(&mut self, id: u64) -> &mut Node<E> {
        self.nodes.get_mut(&id).expect("a node of this cluster")
    }

    /// Lets `act` act on a node, checks each step, and puts on the network what it sent. All clocks
    /// show the same time.
    pub fn at<T>(&mut self, id: u64, act: impl FnOnce(&mut Node<E>) -> T) -> T {
        let result = act(self.node(id));
        let now = self.nodes[&id].now;
        self.nodes.values_mut().for_each(|node| node.now = node.now.max(now));
        self.watch(id);
        result
    }

    /// An input at a node, and the flush.
    pub fn input(&mut self, id: u64, input: Input<E>) {
        self.at(id, |node| {
            node.input(input);
            node.input(Input::Flush);
        });
    }

    fn watch(&mut self, id: u64) {
        let Self { nodes, invariants, sometimes, violation, .. } = self;
        let node = nodes.get_mut(&id).expect("a node of this cluster");
        for happened in core::mem::take(&mut node.happened) {
            let result = match happened {
                Happened::Step(effects, after) => {
                    let (node, now) = (NodeId(id), node.now);
                    let step = Stepped { node, now, effects: &effects, after: &*after };
                    invariants.stepped(&step, sometimes)
                }
                Happened::Performed(effect) => invariants.performed(NodeId(id), &effect),
            };
            *violation = violation.take().or(result.err());
        }
        for (NodeId(to), message) in core::mem::take(&mut node.sent) {
            if !self.cut.contains(&(id, to)) {
                let envelope = Envelope { from: id, to, message };
                self.network.extend(self.doubles.then(|| envelope.clone()));
                self.network.push(envelope);
            }
        }
    }

    /// A node comes back with what is durable.
    fn recovered(&mut self, id: u64) {
        let rebuilt = self.nodes[&id].rebuilt();
        let result = self.invariants.recovered(NodeId(id), &rebuilt);
        self.violation = self.violation.take().or(result.err());
    }

    /// What the invariants found first, in words.
    pub fn found(&mut self) -> Option<String> {
        let Self { nodes, invariants, .. } = self;
        let up = nodes.iter().filter(|(_, node)| node.is_up);
        let result = invariants.checkpoint(&mut up.map(|(id, node)| (NodeId(*id), &node.engine)));
        self.violation = self.violation.take().or(result.err());
        self.violation.as_ref().map(ToString::to_string)
    }

    /// Panics unless the invariants held so far.
    ///
    /// # Panics
    /// With what they found.
    pub fn assert_sound(&mut self) {
        assert_eq!(self.found(), None);
    }

    /// Dies, with what it had not made durable and what is under way to it.
    pub fn crash(&mut self, id: u64) {
        self.at(id, Node::crash);
        self.network.retain(|envelope| envelope.to != id);
    }

    /// Starts from what is durable.
    pub fn restart(&mut self, id: u64) {
        self.recovered(id);
        self.at(id, Node::start);
    }

    /// Dies and starts again, before anything that is under way to it arrives.
    pub fn reboot(&mut self, id: u64) {
        self.at(id, Node::crash);
        self.restart(id);
    }

    /// Cuts every link of these nodes to others.
    pub fn isolate(&mut self, ids: &[u64]) {
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

    /// All links work again.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// The session between two nodes ends, with what is under way in it, and a new one begins.
    pub fn reconnect(&mut self, a: u64, b: u64) {
        self.network.retain(|it| ![(a, b), (b, a)].contains(&(it.from, it.to)));
        for state in [LinkState::Closed, LinkState::Opened] {
            for (node, peer) in [(a, b), (b, a)] {
                if self.nodes[&node].is_up {
                    self.at(node, |node| node.link(peer, state));
                }
            }
        }
    }

    /// Delivers the message at this place of the network.
    pub fn deliver(&mut self, place: usize) {
        let Envelope { from, to, message } = self.network.remove(place);
        if self.nodes[&to].is_up {
            self.at(to, |node| node.hear(from, message));
        }
    }

    /// Delivers the oldest message, unless `lost` selects it; whether there was one.
    fn deliver_next(&mut self, mut lost: impl FnMut(&Envelope<E::Message>) -> bool) -> bool {
        let Some(envelope) = self.network.first() else { return false };
        if lost(envelope) {
            self.network.remove(0);
        } else {
            self.deliver(0);
        }
        true
    }

    /// Delivers everything, in order, until nothing is on its way.
    pub fn settle(&mut self) {
        self.settle_but(|_| false);
    }

    /// As [`settle`](Self::settle), losing what `lost` selects.
    ///
    /// # Panics
    /// If that never ends.
    pub fn settle_but(&mut self, mut lost: impl FnMut(&Envelope<E::Message>) -> bool) {
        for _ in 0..100_000 {
            if !self.deliver_next(&mut lost) {
                return;
            }
        }
        let Envelope { from, to, message } = &self.network[0];
        panic!("the network never falls silent: n{from} to n{to} {message}\n{}", self.picture());
    }

    /// Lets so much time pass: timers fire when they are due, messages arrive at once.
    pub fn run(&mut self, time: Duration) {
        self.run_but(time, |_| false);
    }

    /// As [`run`](Self::run), losing what `lost` selects.
    pub fn run_but(&mut self, time: Duration, mut lost: impl FnMut(&Envelope<E::Message>) -> bool) {
        let end = self.now() + time;
        self.settle_but(&mut lost);
        while let Some((_, id, timer)) = self.next_timer().filter(|(due, ..)| *due <= end) {
            self.at(id, |node| node.fire(timer));
            self.settle_but(&mut lost);
        }
        self.nodes.values_mut().for_each(|node| node.now = node.now.max(end));
    }

    /// Lets messages arrive at once and timers fire as they come due, until `done`; whether that came
    /// within 60 seconds. What `lost` selects is lost.
    pub fn run_until_but(
        &mut self,
        mut lost: impl FnMut(&Envelope<E::Message>) -> bool,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let end = self.now() + Duration::from_secs(60);
        loop {
            if done(self) {
                return true;
            }
            if self.deliver_next(&mut lost) {
                continue;
            }
            match self.next_timer() {
                Some((due, id, timer)) if due <= end => self.at(id, |node| node.fire(timer)),
                Some(_) | None => return false,
            }
        }
    }

    /// As [`run_until_but`](Self::run_until_but), losing nothing.
    pub fn run_until(&mut self, done: impl FnMut(&mut Self) -> bool) -> bool {
        self.run_until_but(|_| false, done)
    }

    /// Lets node `id` time out, whatever comes of it.
    pub fn campaign(&mut self, id: u64) {
        self.campaign_but(id, |_| false);
    }

    fn campaign_but(&mut self, id: u64, lost: impl FnMut(&Envelope<E::Message>) -> bool) {
        let (patience, election) = (Duration::from_secs(1), self.by_hand.election);
        self.nodes.values_mut().for_each(|node| node.wait(patience));
        self.at(id, |node| node.fire(election));
        self.settle_but(lost);
    }

    /// Lets node `id` time out and win with what answers.
    pub fn elect(&mut self, id: u64) {
        self.elect_but(id, |_| false);
    }

    /// As [`elect`](Self::elect), losing what `lost` selects.
    ///
    /// # Panics
    /// If it does not win.
    pub fn elect_but(&mut self, id: u64, lost: impl FnMut(&Envelope<E::Message>) -> bool) {
        self.campaign_but(id, lost);
        let node = &self.nodes[&id];
        assert_eq!(node.engine.status().role, Role::Leader, "{}", node.view());
    }

    /// Lets learners catch up: their leader notices at its heartbeats.
    pub fn beat(&mut self, leader: u64) {
        let heartbeat = self.by_hand.heartbeat;
        for _ in 0..2 {
            self.at(leader, |node| node.fire(heartbeat));
            self.settle();
        }
    }

    fn now(&self) -> Instant {
        self.nodes.values().map(|node| node.now).max().unwrap_or(Instant::START)
    }

    fn next_timer(&self) -> Option<(Instant, u64, E::Timer)> {
        let set = self
            .nodes
            .iter()
            .flat_map(|(id, node)| node.timers.iter().map(move |(timer, due)| (*due, *id, *timer)));
        set.min()
    }

    /// The leader of the newest epoch.
    #[must_use]
    pub fn leader(&self) -> Option<u64> {
        let up = self.nodes.iter().filter(|(_, node)| node.is_up);
        let status = up.map(|(id, node)| (node.engine.status(), *id));
        let leaders = status.filter(|(status, _)| status.role == Role::Leader);
        leaders.max_by_key(|(status, _)| status.epoch).map(|(_, id)| id)
    }

    /// The commit index of every node.
    #[must_use]
    pub fn commits(&self) -> Vec<u64> {
        self.nodes.values().map(|node| node.engine.status().commit.0).collect()
    }

    /// The last index of every node.
    #[must_use]
    pub fn lasts(&self) -> Vec<u64> {
        self.nodes.values().map(|node| node.engine.status().last.0).collect()
    }

    /// All nodes, a line each.
    #[must_use]
    pub fn picture(&self) -> String {
        let line = |(id, node): (&u64, &Node<E>)| {
            let down = if node.is_up { "" } else { " (down)" };
            format!("n{id}: {}{down}\n", node.view())
        };
        self.nodes.iter().map(line).collect()
    }
}
