//! What each command does.

use std::time::Duration;

use bytes::Bytes;
use synod_consensus::{Batch, Epoch, Index, Output, Payload, Request};
use synod_engine::{Blob, Input, NodeId, Token};

use crate::Subject;
use crate::cluster::{Cluster, Pair, Said};
use crate::command::{Command, Flight, Line};
use crate::error::Trouble;
use crate::expect::Fact;
use crate::node::{Node, epochs};
use crate::subject::Options;

/// More rounds than any story needs to settle.
const ENDLESS: usize = 1000;

/// A script on its way.
pub(crate) struct Run<S: Subject> {
    cluster: Cluster<S>,
    options: Options,
    requests: u64,
    blobs: u64,
}

impl<S: Subject> Run<S> {
    pub(crate) fn new() -> Self {
        Self { cluster: Cluster::new(), options: Options::new(), requests: 0, blobs: 0 }
    }

    /// Does what a line says; gives the lines of output.
    pub(crate) fn line(&mut self, line: &str) -> Result<Vec<String>, Trouble> {
        let Line { quiet, command } = line.parse().map_err(Trouble::Senseless)?;
        self.command(command)?;
        let said = self.cluster.said.drain(..);
        Ok(said.filter(|said| said.to_user || !quiet).map(|Said { text, .. }| text).collect())
    }

    /// The script is over.
    pub(crate) fn finish(&mut self) -> Result<(), Trouble> {
        self.cluster.checkpoint()
    }

    fn command(&mut self, command: Command) -> Result<(), Trouble> {
        let cluster = &mut self.cluster;
        match command {
            Command::Nodes { count, options } => self.nodes(count, options),
            Command::Join(node) => self.join(node),
            Command::Given { node, epoch, log } => self.given(node, epoch, &log),
            Command::Tick { node, timer } => {
                let (timer, due) = cluster.living(node)?.timer(timer.as_deref())?;
                cluster.now = cluster.now.max(due);
                cluster.living(node)?.timers.remove(&timer);
                self.give(node, [Input::Timer(timer)])
            }
            Command::Wait { millis } => self.wait(Duration::from_millis(millis)),
            Command::Deliver(flight) => self.deliver(&flight),
            Command::Drop(flight) => self.lose(&flight),
            Command::Duplicate(flight) => self.duplicate(&flight),
            Command::Settle(nodes) => self.settle(&nodes),
            Command::Partition(sides) => self.partition(&sides),
            Command::Chain(row) => self.chain(&row),
            Command::Star(hub) => self.star(hub),
            Command::Cut(flight) => self.cut(&flight),
            Command::Heal => {
                cluster.cut.clear();
                cluster.part(|_| false)
            }
            Command::Pause(node) => {
                cluster.living(node)?.is_paused = true;
                Ok(())
            }
            Command::Resume(node) => {
                cluster.living(node)?.is_paused = false;
                cluster.release(node)?;
                cluster.pump(node)
            }
            Command::Crash(node) => {
                cluster.living(node)?.crash();
                cluster.relink()
            }
            Command::Restart(node) => {
                if cluster.node(node)?.engine.is_some() {
                    return Err(Trouble::Senseless(format!("{node} is up")));
                }
                cluster.start(node)?;
                cluster.relink()
            }
            Command::Hold(node) => {
                cluster.node(node)?.disk.is_held = true;
                Ok(())
            }
            Command::Sync(node) => self.sync(node),
            Command::Release(node) => {
                cluster.node(node)?.disk.is_held = false;
                cluster.pump(node)
            }
            Command::Propose { node, commands } => {
                let requests = commands.into_iter().map(|it| Request::Propose(Bytes::from(it)));
                let inputs: Vec<_> = requests.map(|request| self.request(request)).collect();
                self.give(node, inputs)
            }
            Command::Change { node, wishes } => {
                let change = self.request(Request::Change(wishes));
                self.give(node, [change])
            }
            Command::Transfer { node, successor } => {
                let transfer = self.request(Request::Transfer(successor));
                self.give(node, [transfer])
            }
            Command::Read(node) => {
                let read = self.request(Request::Read);
                self.give(node, [read])
            }
            Command::Cancel { node, token } => self.give(node, [Input::Cancel(token)]),
            Command::Snapshot(node) => self.snapshot(node),
            Command::Show(nodes) => self.show(nodes),
            Command::Expect { nodes, facts } => self.expect(&nodes, &facts),
        }
    }

    fn nodes(&mut self, count: u64, options: Options) -> Result<(), Trouble> {
        if !self.cluster.nodes.is_empty() {
            return Err(Trouble::Senseless("there are nodes already".to_owned()));
        }
        let ids: Vec<NodeId> = (1..=count).map(NodeId).collect();
        self.options = options;
        for id in &ids {
            let config = S::config(*id, &ids, &self.options).map_err(Trouble::Senseless)?;
            self.cluster.add(Node::new(*id, config, Vec::new()));
        }
        ids.iter().try_for_each(|id| self.cluster.start(*id))?;
        self.cluster.relink()?;
        self.cluster.said.clear();
        Ok(())
    }

    /// A new node that waits to be added.
    fn join(&mut self, id: NodeId) -> Result<(), Trouble> {
        if self.cluster.nodes.contains_key(&id) {
            return Err(Trouble::Senseless(format!("there is {id} already")));
        }
        let config = S::config(id, &[], &self.options).map_err(Trouble::Senseless)?;
        self.cluster.add(Node::new(id, config, Vec::new()));
        self.cluster.start(id)?;
        self.cluster.relink()
    }

    fn given(&mut self, id: NodeId, epoch: Epoch, log: &[Epoch]) -> Result<(), Trouble> {
        self.cluster.living(id)?;
        let ids: Vec<NodeId> = self.cluster.nodes.keys().copied().collect();
        let config = S::config(id, &ids, &self.options).map_err(Trouble::Senseless)?;
        let node = Node::new(id, config, S::lived(&ids, epoch, batches(log)));
        self.cluster.living(id)?.crash();
        self.cluster.relink()?;
        self.cluster.nodes.insert(id, node);
        self.cluster.start(id)?;
        self.cluster.relink()
    }

    fn give(
        &mut self,
        node: NodeId,
        inputs: impl IntoIterator<Item = Input<S::Log>>,
    ) -> Result<(), Trouble> {
        self.cluster.living(node)?.inbox.extend(inputs);
        self.cluster.pump(node)
    }

    fn request(&mut self, request: Request) -> Input<S::Log> {
        self.requests += 1;
        Input::Request { token: Token(self.requests), request }
    }

    /// The links that are meant, each with how many messages it carries.
    fn links(&self, flight: &Flight) -> Result<Vec<(Pair, usize)>, Trouble> {
        let meant = |(from, to): Pair| {
            flight.from.is_none_or(|it| it == from) && flight.to.is_none_or(|it| it == to)
        };
        let links = self.cluster.links.iter().filter(|(pair, _)| meant(**pair));
        let links = links.map(|(pair, link)| (*pair, link.flight.len()));
        let busy =
            links.filter(|(_, count)| *count > 0 && flight.number.is_none_or(|it| it <= *count));
        let busy: Vec<_> = busy.collect();
        if busy.is_empty() {
            return Err(Trouble::Senseless("nothing like that is in flight".to_owned()));
        }
        Ok(busy)
    }

    fn deliver(&mut self, flight: &Flight) -> Result<(), Trouble> {
        for (pair, count) in self.links(flight)? {
            match flight.number {
                Some(number) => self.cluster.deliver(pair, number - 1)?,
                None => self.deliver_first(pair, count)?,
            }
        }
        Ok(())
    }

    fn lose(&mut self, flight: &Flight) -> Result<(), Trouble> {
        for (pair, count) in self.links(flight)? {
            let link = self.cluster.links.get_mut(&pair).expect("a link of this cluster");
            match flight.number {
                Some(number) => drop(link.flight.remove(number - 1)),
                None => drop(link.flight.drain(..count)),
            }
        }
        Ok(())
    }

    fn duplicate(&mut self, flight: &Flight) -> Result<(), Trouble> {
        for (pair, count) in self.links(flight)? {
            let places = flight.number.map_or(0..count, |number| number - 1..number);
            places.rev().for_each(|place| self.cluster.duplicate(pair, place));
        }
        Ok(())
    }

    /// Nodes of different sides part; nodes on none of them hear everybody.
    fn partition(&mut self, sides: &[Vec<NodeId>]) -> Result<(), Trouble> {
        for node in sides.iter().flatten() {
            self.cluster.node(*node)?;
        }
        let side = |node| sides.iter().position(|side| side.contains(&node));
        self.cluster
            .part(|(from, to)| matches!((side(from), side(to)), (Some(a), Some(b)) if a != b))
    }

    /// Each hears its neighbours in this row; nodes that are not in it hear everybody.
    fn chain(&mut self, row: &[NodeId]) -> Result<(), Trouble> {
        for node in row {
            self.cluster.node(*node)?;
        }
        let place = |node| row.iter().position(|it| *it == node);
        self.cluster.part(|(from, to)| {
            matches!((place(from), place(to)), (Some(a), Some(b)) if a.abs_diff(b) > 1)
        })
    }

    /// All hear this one, and it hears all.
    fn star(&mut self, hub: NodeId) -> Result<(), Trouble> {
        self.cluster.node(hub)?;
        self.cluster.part(|(from, to)| from != hub && to != hub)
    }

    fn cut(&mut self, Flight { from, to, .. }: &Flight) -> Result<(), Trouble> {
        let meant = |(a, b): &Pair| from.is_none_or(|it| it == *a) && to.is_none_or(|it| it == *b);
        let links: Vec<Pair> = self.cluster.links.keys().copied().filter(meant).collect();
        if links.is_empty() {
            return Err(Trouble::Senseless("there is no such link".to_owned()));
        }
        self.cluster.cut.extend(links);
        Ok(())
    }

    /// The disk syncs, whether or not the node stands still.
    fn sync(&mut self, node: NodeId) -> Result<(), Trouble> {
        let is_paused = self.cluster.living(node)?.is_paused;
        self.cluster.sync(node)?;
        if is_paused {
            return Ok(());
        }
        self.cluster.release(node)?;
        self.cluster.pump(node)
    }

    /// Time passes: messages arrive at once, timers fire as they come due.
    fn wait(&mut self, time: Duration) -> Result<(), Trouble> {
        let end = self.cluster.now + time;
        for _ in 0..ENDLESS * ENDLESS {
            self.settle(&[])?;
            let awake = self.cluster.nodes.iter().filter(|(_, node)| !node.is_paused);
            let set = awake
                .flat_map(|(id, node)| node.timers.iter().map(|(timer, due)| (*due, *id, *timer)));
            let Some((due, id, timer)) = set.min().filter(|(due, ..)| *due <= end) else {
                self.cluster.now = end;
                return Ok(());
            };
            self.cluster.now = self.cluster.now.max(due);
            self.cluster.living(id)?.timers.remove(&timer);
            self.give(id, [Input::Timer(timer)])?;
        }
        Err(Trouble::Broken("timers cause timers, and no time passes".to_owned()))
    }

    fn settle(&mut self, nodes: &[NodeId]) -> Result<(), Trouble> {
        let among = |id: &NodeId| nodes.is_empty() || nodes.contains(id);
        for _ in 0..ENDLESS {
            let links = self.cluster.links.iter();
            let busy = links
                .filter(|((from, to), link)| among(from) && among(to) && !link.flight.is_empty());
            let busy: Vec<_> = busy.map(|(pair, link)| (*pair, link.flight.len())).collect();
            if busy.is_empty() {
                return Ok(());
            }
            for (pair, count) in busy {
                self.deliver_first(pair, count)?;
            }
        }
        Err(Trouble::Broken(format!("messages cause messages after {ENDLESS} rounds")))
    }

    fn deliver_first(&mut self, pair: Pair, count: usize) -> Result<(), Trouble> {
        (0..count).try_for_each(|_| self.cluster.deliver(pair, 0))
    }

    fn snapshot(&mut self, id: NodeId) -> Result<(), Trouble> {
        self.blobs += 1;
        let node = self.cluster.living(id)?;
        let task = node.snapshot.take();
        let task =
            task.ok_or_else(|| Trouble::Senseless(format!("{id} has not asked for a snapshot")))?;
        let index = node.user.applied;
        let size_bytes = node.user.commands.iter().map(|command| command.len() as u64).sum();
        let blob = Blob { id: self.blobs, size_bytes, checksum: 0 };
        node.blobs.insert(blob.id, node.user.clone());
        self.give(id, [Input::TaskDone { id: task, output: Output::Snapshot { index, blob } }])
    }

    fn show(&mut self, nodes: Vec<NodeId>) -> Result<(), Trouble> {
        let all = || self.cluster.nodes.keys().copied().collect();
        for id in if nodes.is_empty() { all() } else { nodes } {
            let text = match &self.cluster.node(id)?.engine {
                None => format!("{id}: down"),
                Some(engine) => {
                    let epochs = epochs(&S::entries(engine));
                    let epochs: Vec<String> = epochs.iter().map(ToString::to_string).collect();
                    let view = synod_engine::Engine::view(engine);
                    format!("{id}: {view} [{}]", epochs.join(" "))
                }
            };
            self.cluster.say(text);
        }
        Ok(())
    }

    fn expect(&mut self, nodes: &[NodeId], facts: &[Fact]) -> Result<(), Trouble> {
        for id in nodes {
            let known = self.cluster.node(*id)?.known();
            for fact in facts {
                let found = fact.found(known.as_ref());
                if found != *fact {
                    let what = format!("{id}: expected {fact}, found {found}");
                    return Err(Trouble::Broken(what));
                }
            }
        }
        Ok(())
    }
}

/// Entries of these epochs from index 1 on. What an entry says tells its index and epoch.
fn batches(log: &[Epoch]) -> Vec<Batch> {
    let mut first = Index(1);
    let mut batches = Vec::new();
    for run in log.chunk_by(|a, b| a == b) {
        let command = |index| Payload::Command(Bytes::from(format!("{index}@{}", run[0])));
        let payloads: Vec<_> = (first.0..).take(run.len()).map(command).collect();
        let batch = Batch::new(first, run[0], payloads);
        first = batch.last().next();
        batches.push(batch);
    }
    batches
}
