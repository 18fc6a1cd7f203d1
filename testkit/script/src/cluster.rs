//! The nodes of a script and the links between them.
//!
//! A node that was given something to take in does so at once, with a flush at the end, and again as
//! long as its own effects give it more; one that is paused does so when it is resumed. What it sends
//! waits in the link.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Display;

use synod_consensus::{Event, Task};
use synod_engine::{
    Context, Effect, Input, Instant, Invariants, LinkState, Message as _, NodeId, Position,
    Sometimes, Stepped, To, When,
};

use crate::Subject;
use crate::error::Trouble;
use crate::node::{Message, Node, User, spelled};

pub(crate) struct Cluster<S: Subject> {
    pub(crate) nodes: BTreeMap<NodeId, Node<S>>,
    pub(crate) links: BTreeMap<Pair, Link<S>>,
    /// Who knows that nothing from whom can reach whom: these links are closed.
    pub(crate) parted: BTreeSet<Pair>,
    /// Links on which everything is lost, and neither end knows.
    pub(crate) cut: BTreeSet<Pair>,
    pub(crate) now: Instant,
    invariants: S::Invariants,
    sometimes: Sometimes,
    pub(crate) said: Vec<Said>,
}

/// From whom to whom.
pub(crate) type Pair = (NodeId, NodeId);

/// One direction between two nodes.
pub(crate) struct Link<S: Subject> {
    pub(crate) is_open: bool,
    pub(crate) flight: VecDeque<InFlight<S>>,
}

/// A message, with the snapshot that travels along.
pub(crate) struct InFlight<S: Subject> {
    pub(crate) message: Message<S>,
    attachment: Option<(u64, User)>,
}

/// A line of output.
pub(crate) struct Said {
    pub(crate) text: String,
    /// Whether a local user was told so.
    pub(crate) to_user: bool,
}

impl<S: Subject> Cluster<S> {
    /// Nobody yet.
    pub(crate) fn new() -> Self {
        Self {
            nodes: BTreeMap::new(),
            links: BTreeMap::new(),
            parted: BTreeSet::new(),
            cut: BTreeSet::new(),
            now: Instant::START,
            invariants: S::Invariants::default(),
            sometimes: Sometimes::default(),
            said: Vec::new(),
        }
    }

    /// One more node, that is down.
    pub(crate) fn add(&mut self, node: Node<S>) {
        let id = node.id;
        let pairs = self.nodes.keys().flat_map(|other| [(*other, id), (id, *other)]);
        let closed = || Link { is_open: false, flight: VecDeque::new() };
        self.links.extend(pairs.map(|pair| (pair, closed())));
        self.nodes.insert(id, node);
    }

    pub(crate) fn node(&mut self, id: NodeId) -> Result<&mut Node<S>, Trouble> {
        self.nodes.get_mut(&id).ok_or_else(|| Trouble::Senseless(format!("there is no {id}")))
    }

    /// The node, if it is up.
    pub(crate) fn living(&mut self, id: NodeId) -> Result<&mut Node<S>, Trouble> {
        let node = self.node(id)?;
        let down = || Trouble::Senseless(format!("{id} is down"));
        if node.engine.is_some() { Ok(node) } else { Err(down()) }
    }

    pub(crate) fn start(&mut self, id: NodeId) -> Result<(), Trouble> {
        let node = self.nodes.get_mut(&id).expect("a node of this cluster");
        let engine = node.start()?;
        self.invariants.recovered(id, engine)?;
        self.pump(id)
    }

    /// Closes these links and no others.
    pub(crate) fn part(&mut self, parted: impl Fn(Pair) -> bool) -> Result<(), Trouble> {
        self.parted = self.links.keys().copied().filter(|pair| parted(*pair)).collect();
        self.relink()
    }

    /// Opens and closes links: both ends must be up, and not parted.
    pub(crate) fn relink(&mut self) -> Result<(), Trouble> {
        let up = |id: NodeId| self.nodes[&id].engine.is_some();
        let hears = |pair: Pair| up(pair.0) && up(pair.1) && !self.parted.contains(&pair);
        let changed: Vec<_> = self
            .links
            .iter()
            .map(|(pair, link)| (*pair, link.is_open, hears(*pair)))
            .filter(|(_, was, is)| was != is)
            .map(|(pair, _, is)| (pair, is))
            .collect();
        for (pair, is_open) in &changed {
            let link = self.links.get_mut(pair).expect("a link of this cluster");
            link.is_open = *is_open;
            link.flight.clear();
        }
        for ((node, peer), is_open) in changed {
            let state = if is_open { LinkState::Opened } else { LinkState::Closed };
            let it = self.nodes.get_mut(&node).expect("a node of this cluster");
            if it.engine.is_some() {
                it.inbox.push_back(Input::Link { peer, state });
                self.pump(node)?;
            }
        }
        Ok(())
    }

    /// Takes the first message off a link, or the one at this place, and lets it arrive.
    pub(crate) fn deliver(&mut self, pair: Pair, place: usize) -> Result<(), Trouble> {
        let link = self.links.get_mut(&pair).expect("a link of this cluster");
        let Some(InFlight { message, attachment }) = link.flight.remove(place) else {
            return Ok(());
        };
        let node = self.nodes.get_mut(&pair.1).expect("a node of this cluster");
        node.blobs.extend(attachment);
        node.inbox.push_back(Input::Message { from: pair.0, message });
        self.pump(pair.1)
    }

    /// Lets these messages arrive once more, each after itself.
    pub(crate) fn duplicate(&mut self, pair: Pair, place: usize) {
        let link = self.links.get_mut(&pair).expect("a link of this cluster");
        if let Some(InFlight { message, attachment }) = link.flight.get(place) {
            let twin = InFlight { message: message.clone(), attachment: attachment.clone() };
            link.flight.insert(place + 1, twin);
        }
    }

    /// Lets a node take in its inbox, and whatever comes of that by itself.
    pub(crate) fn pump(&mut self, id: NodeId) -> Result<(), Trouble> {
        if self.node(id)?.is_paused {
            return Ok(());
        }
        loop {
            while let Some(input) = self.node(id)?.inbox.pop_front() {
                self.step(id, input)?;
            }
            self.step(id, Input::Flush)?;
            if !self.node(id)?.disk.is_held {
                self.sync(id)?;
            }
            self.release(id)?;
            if self.node(id)?.inbox.is_empty() {
                return Ok(());
            }
        }
    }

    fn step(&mut self, id: NodeId, input: Input<S::Log>) -> Result<(), Trouble> {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("a node of this cluster");
        let Some(engine) = &mut node.engine else { return Ok(()) };
        let mut effects = Vec::new();
        synod_engine::Engine::step(
            engine,
            &mut Context::new(now, &mut node.random, &mut effects),
            input,
        );
        let stepped = Stepped { node: id, now, effects: &effects, after: engine };
        self.invariants.stepped(&stepped, &mut self.sometimes)?;
        effects.into_iter().try_for_each(|effect| self.take_up(id, effect))
    }

    fn take_up(&mut self, id: NodeId, effect: Effect<S::Log>) -> Result<(), Trouble> {
        let now = self.now;
        let others: Vec<NodeId> = self.nodes.keys().copied().filter(|node| *node != id).collect();
        let node = self.nodes.get_mut(&id).expect("a node of this cluster");
        match effect {
            Effect::Persist(record) => {
                self.said.push(Said { text: format!("{id} writes {record}"), to_user: false });
                node.disk.records.push(record);
            }
            Effect::SetTimer { timer, after } => {
                node.timers.insert(timer, now + after);
            }
            Effect::CancelTimer(timer) => {
                node.timers.remove(&timer);
            }
            Effect::AbortTask(task) => {
                node.snapshot.take_if(|running| *running == task);
                node.held
                    .cancel(|held| matches!(held, Effect::StartTask { id, .. } if *id == task));
            }
            Effect::Send { to: To::Others, message, when } => {
                for to in others {
                    let message = message.clone();
                    self.take_up(id, Effect::Send { to: To::Node(to), message, when })?;
                }
            }
            Effect::Send { to, when: When::Now, .. } if to != To::Node(id) => {
                return self.perform(id, effect);
            }
            Effect::Emit { when: When::Now, .. } | Effect::StartTask { when: When::Now, .. } => {
                return self.perform(id, effect);
            }
            Effect::Send { .. } | Effect::Emit { .. } | Effect::StartTask { .. } => {
                node.held.hold(node.disk.written(), effect);
            }
        }
        Ok(())
    }

    /// Makes durable what was written.
    pub(crate) fn sync(&mut self, id: NodeId) -> Result<(), Trouble> {
        let node = self.nodes.get_mut(&id).expect("a node of this cluster");
        let newly = node.disk.durable..node.disk.records.len();
        node.disk.durable = newly.end;
        for record in &node.disk.records[newly] {
            let effect = Effect::Persist(record.clone());
            self.invariants.performed(id, &effect)?;
        }
        Ok(())
    }

    /// Performs what waits for nothing any more.
    pub(crate) fn release(&mut self, id: NodeId) -> Result<(), Trouble> {
        loop {
            let node = self.nodes.get_mut(&id).expect("a node of this cluster");
            let durable = Position(node.disk.durable as u64);
            let Some(effect) = node.held.release(durable) else { return Ok(()) };
            self.perform(id, effect)?;
        }
    }

    fn perform(&mut self, id: NodeId, effect: Effect<S::Log>) -> Result<(), Trouble> {
        self.invariants.performed(id, &effect)?;
        let node = self.nodes.get_mut(&id).expect("a node of this cluster");
        match effect {
            Effect::Send { to: To::Node(to), message, .. } if to == id => {
                node.inbox.push_back(Input::Message { from: id, message });
            }
            Effect::Send { to: To::Node(to), message, .. } => self.send(id, to, message),
            Effect::StartTask { id: task, task: Task::Snapshot, .. } => {
                node.snapshot = Some(task);
                self.say(format!("{id} begins snapshot"));
            }
            Effect::StartTask { id: task, task: Task::ReadLog { first, last }, .. } => {
                let output = node.read_log(first, last);
                node.inbox.push_back(Input::TaskDone { id: task, output });
                self.say(format!("{id} reads old log"));
            }
            Effect::Emit { event, .. } => {
                let applied = node.user.take(&event, &node.blobs);
                node.inbox.extend(applied.map(|index| Input::Applied(index.0)));
                self.said.push(Said { text: format!("{id} {}", told(&event)), to_user: true });
            }
            Effect::Send { to: To::Others, .. }
            | Effect::Persist(_)
            | Effect::SetTimer { .. }
            | Effect::CancelTimer(_)
            | Effect::AbortTask(_) => unreachable!("taken up at once"),
        }
        Ok(())
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: Message<S>) {
        let attachment = match message.attachment() {
            None => None,
            Some(blob) => {
                let snapshot = self.nodes[&from].blobs.get(&blob.id).cloned();
                snapshot.map(|snapshot| (blob.id, snapshot))
            }
        };
        let reaches = !self.cut.contains(&(from, to));
        match self.links.get_mut(&(from, to)).filter(|link| link.is_open && reaches) {
            None => self.say(format!("{from} -> {to} {message} (lost)")),
            Some(link) => {
                let text = format!("{from} -> {to} {message}");
                link.flight.push_back(InFlight { message, attachment });
                self.say(text);
            }
        }
    }

    pub(crate) fn say(&mut self, text: impl Display) {
        self.said.push(Said { text: text.to_string(), to_user: false });
    }

    /// Checks everything at once.
    pub(crate) fn checkpoint(&mut self) -> Result<(), Trouble> {
        let mut up = self.nodes.iter().filter_map(|(id, node)| Some((*id, node.engine.as_ref()?)));
        Ok(self.invariants.checkpoint(&mut up)?)
    }
}

/// What a local user is told, in words.
fn told(event: &Event) -> String {
    match event {
        Event::Committed { batch, own } => {
            let entry = |(index, payload)| {
                let command = spelled(payload).unwrap_or_else(|| "no-op".to_owned());
                match own.iter().find(|(at, _)| *at == index) {
                    Some((_, token)) => format!("{command} ({token})"),
                    None => command,
                }
            };
            let entries: Vec<String> = batch.iter().map(entry).collect();
            format!("committed {batch}: {}", entries.join(", "))
        }
        Event::ReadReady { index, tokens } => {
            let tokens: Vec<String> = tokens.iter().map(ToString::to_string).collect();
            format!("ready at {index}: {}", tokens.join(", "))
        }
        Event::Install(_)
        | Event::Refused { .. }
        | Event::Unknown { .. }
        | Event::Transferred { .. }
        | Event::Members(_) => event.to_string(),
        Event::Leadership { .. } => format!("is {event}"),
    }
}
