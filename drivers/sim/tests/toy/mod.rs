//! A toy protocol: every node keeps numbers, and promises the others that it does.
//!
//! A request is persisted, promised to all others in two lanes, and told to oneself and to the local
//! user: all held. Pings go out now. Nothing depends on any of it, so tests see what the driver does.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::Hasher;
use std::time::Duration;

use synod_engine::{
    Blob, Class, Context, Corrupt, Effect, Engine, Input, Instant, Invariants, LinkState, Message,
    NodeId, Record, Sometimes, Sound, Stepped, Violation,
};

/// Keeps numbers.
#[derive(Clone, Debug)]
pub struct Toy {
    pub config: Config,
    pub kept: Vec<u64>,
    /// Which of them it knows to be durable, since it told itself.
    pub durable: Vec<u64>,
    /// The last number promised by each peer in each lane of this session.
    pub heard: BTreeMap<(NodeId, u8), u64>,
    pub promised: BTreeSet<(NodeId, u64)>,
    pub links: BTreeMap<NodeId, (LinkState, u32)>,
    pub pings: u64,
    pub pinged: u64,
    pub carried: Vec<Blob>,
    /// Whether something came after the last flush.
    pub dirty: bool,
    next: u64,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub me: NodeId,
    pub peers: Vec<NodeId>,
    /// How often to ping all others.
    pub beat: Duration,
    /// Keep a number of one's own at every so many beats; 0 for never.
    pub keep_every: u64,
    /// Whether the numbers kept so far are one checkpoint after so many; 0 for never.
    pub checkpoint_every: usize,
}

pub fn configs(nodes: u64) -> Vec<(NodeId, Config)> {
    let config = |me| Config {
        me,
        peers: (1..=nodes).map(NodeId).filter(|peer| *peer != me).collect(),
        beat: Duration::from_millis(20),
        keep_every: 3,
        checkpoint_every: 10,
    };
    (1..=nodes).map(|id| (NodeId(id), config(NodeId(id)))).collect()
}

/// Nodes that do nothing unless asked.
pub fn idle(nodes: u64) -> Vec<(NodeId, Config)> {
    let mut configs = configs(nodes);
    configs.iter_mut().for_each(|(_, config)| config.beat = Duration::from_secs(1 << 30));
    configs
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Say {
    Promise(u64),
    Kept(u64),
    Ping,
    Carry(Blob),
}

#[derive(Clone, PartialEq, Debug)]
pub enum Keep {
    One(u64),
    All(Vec<u64>),
}

#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    Kept(u64),
    Heard(NodeId, u64),
    Carried(Blob),
    Disorder(NodeId, u64, u64),
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Ask {
    Keep(u64),
    Carry(NodeId, Blob),
    Panic,
}

impl Message for Say {
    fn class(&self) -> Class {
        match self {
            Self::Promise(number) => Class::Ordered { lane: (number % 2) as u8 },
            Self::Kept(_) | Self::Carry(_) => Class::Ordered { lane: 2 },
            Self::Ping => Class::Datagram,
        }
    }

    fn attachment(&self) -> Option<Blob> {
        match self {
            Self::Carry(blob) => Some(*blob),
            _ => None,
        }
    }

    fn counts(&self) -> bool {
        matches!(self, Self::Promise(_))
    }

    fn fills_disk(&self) -> bool {
        matches!(self, Self::Carry(_))
    }
}

impl Record for Keep {
    fn checkpoint(&self) -> Option<u64> {
        matches!(self, Self::All(_)).then_some(0)
    }
}

impl Engine for Toy {
    type Config = Config;
    type Message = Say;
    type Record = Keep;
    type Timer = ();
    type Request = Ask;
    type Event = Event;
    type Task = ();
    type Output = ();
    type Rules = Sound;
    type View = String;

    fn new(config: Config) -> Self {
        Self {
            config,
            kept: Vec::new(),
            durable: Vec::new(),
            heard: BTreeMap::new(),
            promised: BTreeSet::new(),
            links: BTreeMap::new(),
            pings: 0,
            pinged: 0,
            carried: Vec::new(),
            dirty: false,
            next: 0,
        }
    }

    fn replay(&mut self, record: Keep) -> Result<(), Corrupt> {
        match record {
            Keep::One(number) => self.kept.push(number),
            Keep::All(numbers) => self.kept = numbers,
        }
        self.next = self.kept.iter().copied().max().unwrap_or(0);
        Ok(())
    }

    fn step(&mut self, context: &mut Context<'_, Self>, input: Input<Self>) {
        self.dirty = !matches!(input, Input::Flush);
        match input {
            Input::Start => context.set_timer((), self.config.beat),
            Input::Timer(()) => {
                context.set_timer((), self.config.beat);
                for peer in &self.config.peers {
                    context.send_now(*peer, Say::Ping);
                }
                self.pings += 1;
                if self.config.keep_every > 0 && self.pings.is_multiple_of(self.config.keep_every) {
                    self.keep(context, self.next + 1);
                }
            }
            Input::Request { request: Ask::Keep(number), .. } => self.keep(context, number),
            Input::Request { request: Ask::Panic, .. } => panic!("asked to"),
            Input::Request { request: Ask::Carry(to, blob), .. } => {
                context.send(to, Say::Carry(blob));
            }
            Input::Message { from, message: Say::Promise(number) } => {
                let last = self.heard.entry((from, (number % 2) as u8)).or_default();
                if *last != 0 && number != *last + 2 {
                    context.emit(Event::Disorder(from, *last, number));
                }
                *last = number;
                self.promised.insert((from, number));
                context.emit(Event::Heard(from, number));
            }
            Input::Message { message: Say::Kept(number), .. } => self.durable.push(number),
            Input::Message { message: Say::Ping, .. } => self.pinged += 1,
            Input::Message { message: Say::Carry(blob), .. } => {
                self.carried.push(blob);
                context.emit(Event::Carried(blob));
            }
            Input::Link { peer, state } => {
                let link = self.links.entry(peer).or_insert((LinkState::Closed, 0));
                assert_ne!(link.0, state, "links open and close in turn");
                *link = (state, link.1 + 1);
                self.heard.retain(|(from, _), _| *from != peer);
            }
            Input::Cancel(_) | Input::TaskDone { .. } | Input::Applied(_) | Input::Flush => {}
        }
    }

    fn fingerprint<H: Hasher>(&self, _: Instant, _: &mut H) {}

    fn view(&self) -> String {
        format!("{:?}", self.kept)
    }
}

impl Toy {
    fn keep(&mut self, context: &mut Context<'_, Self>, number: u64) {
        self.next = number;
        self.kept.push(number);
        let every = self.config.checkpoint_every;
        if every > 0 && self.kept.len().is_multiple_of(every) {
            context.persist(Keep::All(self.kept.clone()));
        } else {
            context.persist(Keep::One(number));
        }
        context.send_others(Say::Promise(number));
        context.send(self.config.me, Say::Kept(number));
        context.emit(Event::Kept(number));
    }
}

impl fmt::Display for Say {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What was promised is never lost; in a session it comes in order and without a hole.
#[derive(Default)]
pub struct Promises {
    pub heard: BTreeMap<NodeId, BTreeSet<u64>>,
    /// What took place on each disk.
    pub durable: BTreeMap<NodeId, Vec<u64>>,
    /// Whether messages travel in sessions.
    pub ordered: bool,
}

impl Invariants<Toy> for Promises {
    fn stepped(
        &mut self,
        step: &Stepped<'_, Toy>,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        for effect in step.effects {
            if let Effect::Emit { event, .. } = effect {
                match event {
                    Event::Heard(from, number) => {
                        sometimes.reached("promise heard");
                        self.heard.entry(*from).or_default().insert(*number);
                    }
                    Event::Disorder(..) if self.ordered => {
                        let detail = format!("{}: {event}", step.node);
                        return Err(Violation { invariant: "lanes are in order", detail });
                    }
                    Event::Disorder(..) | Event::Kept(_) | Event::Carried(_) => {}
                }
            }
        }
        Ok(())
    }

    fn performed(&mut self, node: NodeId, effect: &Effect<Toy>) -> Result<(), Violation> {
        let durable = self.durable.entry(node).or_default();
        match effect {
            Effect::Persist(Keep::One(number)) => durable.push(*number),
            Effect::Persist(Keep::All(numbers)) => durable.clone_from(numbers),
            Effect::Send { message: Say::Promise(number) | Say::Kept(number), .. }
            | Effect::Emit { event: Event::Kept(number), .. }
                if !durable.contains(number) =>
            {
                let detail = format!("{node} tells {number}, of {durable:?}");
                return Err(Violation { invariant: "held until durable", detail });
            }
            _ => {}
        }
        Ok(())
    }

    fn recovered(&mut self, node: NodeId, engine: &Toy) -> Result<(), Violation> {
        let durable = self.durable.entry(node).or_default();
        if engine.kept != *durable {
            let detail = format!("{node} keeps {:?} of {durable:?}", engine.kept);
            return Err(Violation { invariant: "what took place on a disk is there", detail });
        }
        let lost = self.heard.get(&node).into_iter().flatten();
        let lost: Vec<_> = lost.filter(|number| !engine.kept.contains(number)).collect();
        if lost.is_empty() {
            return Ok(());
        }
        let detail = format!("{node} lost {lost:?}");
        Err(Violation { invariant: "promises are durable", detail })
    }

    fn wiped(&mut self, node: NodeId) {
        self.heard.remove(&node);
        self.durable.remove(&node);
    }

    fn checkpoint<'a>(
        &mut self,
        _: &mut dyn Iterator<Item = (NodeId, &'a Toy)>,
    ) -> Result<(), Violation>
    where
        Toy: 'a,
    {
        Ok(())
    }
}
