//! Everything that nodes share: time, the queue of what will happen, the network, chance, the trace.

use synod_engine::{
    Blob, Class, Engine, Incarnation, Input, Message, NodeId, Record, Sometimes, Violation,
};

use crate::app::{App, Caller};
use crate::blobs::{Blobs, Pieces};
use crate::dice::Streams;
use crate::disk::Disk;
use crate::faults::Faults;
use crate::links::{Links, Route};
use crate::network::Network;
use crate::plan::Transport;
use crate::queue::{Due, Queue};
use crate::report::Counts;
use crate::slab::Slab;
use crate::trace::Trace;
use crate::workload::ClientId;

/// How long a byte of an attachment takes.
const NANOS_PER_BYTE: u64 = 10;

pub(crate) struct World<E: Engine, A: App<E>> {
    pub(crate) now: u64,
    /// How much has happened.
    pub(crate) events: u64,
    pub(crate) queue: Queue,
    pub(crate) ids: Vec<NodeId>,
    pub(crate) transport: Transport,
    pub(crate) faults: Faults,
    pub(crate) dice: Streams,
    pub(crate) network: Network,
    pub(crate) links: Links,
    pub(crate) flights: Slab<Flight<E>>,
    pub(crate) laters: Slab<Later<E, A>>,
    pub(crate) trace: Trace,
    pub(crate) sometimes: Sometimes,
    pub(crate) counts: Counts,
    pub(crate) violation: Option<Violation>,
    calls: u64,
}

/// A message under way.
pub(crate) struct Flight<E: Engine> {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) route: Route,
    /// What the network said of the two when it was sent: see [`Network::generation`].
    pub(crate) generation: u64,
    pub(crate) message: E::Message,
    pub(crate) attachment: Option<Box<(Blob, Pieces)>>,
}

/// Something put off.
pub(crate) enum Later<E: Engine, A: App<E>> {
    Input { node: u32, life: u32, input: Input<E> },
    Alarm { node: u32, life: u32, tag: u64 },
    Written { node: u32, life: u32, blob: Blob, pieces: Pieces },
    Call { node: u32, caller: Caller, call: A::Call },
    Answer { caller: Caller, answer: A::Answer },
}

impl<E: Engine, A: App<E>> World<E, A> {
    pub(crate) fn new(
        ids: Vec<NodeId>,
        transport: Transport,
        faults: Faults,
        dice: Streams,
        trace: Trace,
    ) -> Self {
        let links = match transport {
            Transport::Sessions => Links::between(ids.len() as u32),
            Transport::Datagrams => Links::default(),
        };
        Self {
            now: 0,
            events: 0,
            queue: Queue::default(),
            ids,
            transport,
            faults,
            dice,
            network: Network::default(),
            links,
            flights: Slab::default(),
            laters: Slab::default(),
            trace,
            sometimes: Sometimes::default(),
            counts: Counts::default(),
            violation: None,
            calls: 0,
        }
    }

    /// Counts something that happened and takes it into the trace's hash.
    pub(crate) fn event(&mut self, node: u32, what: u64) {
        self.events += 1;
        self.trace.event(self.now, node, what);
    }

    pub(crate) fn violated(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    /// Puts something off.
    pub(crate) fn later(&mut self, after: u64, later: Later<E, A>) {
        let slot = self.laters.insert(later);
        self.queue.push(self.now.saturating_add(after), Due::Later(slot));
    }

    /// How long a sync of this disk takes that begins now, if the disk works.
    pub(crate) fn sync_time<R: Record>(&mut self, disk: &Disk<R>) -> u64 {
        1 + disk.latency + self.dice.disk.below(disk.latency / 2 + 1)
    }

    /// The number of the node with this id.
    pub(crate) fn index(&self, id: NodeId) -> Option<u32> {
        let guess = id.0.wrapping_sub(self.ids[0].0);
        if self.ids.get(guess as usize) == Some(&id) {
            return Some(guess as u32);
        }
        self.ids.binary_search(&id).ok().map(|index| index as u32)
    }

    /// The way a message takes that is sent, or held to be sent, at this moment; `None` if it is
    /// ordered and there is no session for it to travel in.
    pub(crate) fn route(&self, from: u32, to: u32, message: &E::Message) -> Option<Route> {
        match (self.transport, message.class()) {
            (Transport::Sessions, Class::Ordered { lane }) => {
                self.links.session(from, to).map(|session| Route::Ordered { lane, session })
            }
            (Transport::Sessions, Class::Datagram) | (Transport::Datagrams, _) => {
                Some(Route::Datagram)
            }
        }
    }

    /// Sends a message on its way, unless that way is gone.
    pub(crate) fn send(
        &mut self,
        from: u32,
        to: u32,
        route: Route,
        message: E::Message,
        blobs: &Blobs,
    ) {
        let attachment = match message.attachment() {
            None => None,
            Some(blob) => match blobs.get(blob) {
                Some(pieces) => Some(Box::new((blob, pieces.clone()))),
                None => return self.lose(from, to, route, &message),
            },
        };
        let lost_ppm = match route {
            Route::Datagram => self.faults.loss_ppm,
            Route::Ordered { session, .. } => {
                if self.links.session(from, to) != Some(session) || self.links.is_broken(from, to) {
                    self.counts.lost += 1;
                    return;
                }
                self.faults.session_loss_ppm
            }
        };
        if self.network.blocks(from, to) || self.dice.network.chance(lost_ppm) {
            return self.lose(from, to, route, &message);
        }
        let mut at = self.arrival(from, to);
        if let Some(attachment) = &attachment {
            at = at.saturating_add(attachment.0.size_bytes.saturating_mul(NANOS_PER_BYTE));
        }
        let generation = self.network.generation(from, to);
        match route {
            Route::Ordered { lane, .. } => at = self.links.arrival(from, to, lane, at),
            Route::Datagram => {
                if self.dice.network.chance(self.faults.duplicate_ppm) {
                    self.counts.duplicated += 1;
                    self.sometimes.reached("duplicate delivered");
                    let twin = self.arrival(from, to);
                    let (message, attachment) = (message.clone(), attachment.clone());
                    let twin_flight = Flight { from, to, route, generation, message, attachment };
                    self.fly(twin, twin_flight);
                }
            }
        }
        self.fly(at, Flight { from, to, route, generation, message, attachment });
    }

    fn arrival(&mut self, from: u32, to: u32) -> u64 {
        self.network.arrival(self.now, from, to, &self.faults, &mut self.dice.network)
    }

    fn fly(&mut self, at: u64, flight: Flight<E>) {
        let slot = self.flights.insert(flight);
        self.queue.push(at, Due::Deliver(slot));
    }

    fn lose(&mut self, from: u32, to: u32, route: Route, message: &E::Message) {
        self.counts.lost += 1;
        let (sender, receiver) = (self.ids[from as usize], self.ids[to as usize]);
        self.trace.say(
            self.now,
            Some(sender),
            format_args!("lost on its way to {receiver}: {message}"),
        );
        match route {
            Route::Datagram => {}
            Route::Ordered { .. } => {
                self.sometimes.reached("link session lost");
                self.end_session(self.links.number(from, to));
            }
        }
    }

    /// A node was told which incarnations of its peers are meant.
    pub(crate) fn told_contacts(
        &mut self,
        node: u32,
        contacts: impl Iterator<Item = (NodeId, Incarnation)>,
    ) {
        let contacts: Vec<_> =
            contacts.filter_map(|(id, incarnation)| Some((self.index(id)?, incarnation))).collect();
        self.network.acquaintances().told(node, contacts.into_iter());
    }

    /// Ends a session: both ends will see it, and later a new one.
    pub(crate) fn end_session(&mut self, link: u32) {
        let Some(open) = self.links.end(link) else { return };
        self.counts.sessions_lost += 1;
        let mut both_know = 0;
        for end in 0..2u8 {
            if open[usize::from(end)] {
                let notices = self.faults.notice.draw(&mut self.dice.network);
                both_know = both_know.max(notices);
                self.queue.push(self.now + notices, Due::Closed { link, end });
            }
        }
        self.reconnect_after(link, both_know);
    }

    /// Tries to begin a session some time after `nanos` have passed.
    pub(crate) fn reconnect_after(&mut self, link: u32, nanos: u64) {
        let attempt = self.faults.reconnect.draw(&mut self.dice.network);
        self.queue.push(self.now + nanos + attempt, Due::Reconnect(link));
    }

    pub(crate) fn call(&mut self, client: ClientId, node: NodeId, call: A::Call) -> u64 {
        self.calls += 1;
        let caller = Caller { client, call: self.calls };
        if let Some(node) = self.index(node) {
            self.travel(Later::Call { node, caller, call });
        }
        caller.call
    }

    pub(crate) fn answer(&mut self, caller: Caller, answer: A::Answer) {
        self.travel(Later::Answer { caller, answer });
    }

    pub(crate) fn wake_client(&mut self, client: ClientId, after: u64) {
        self.queue.push(self.now.saturating_add(after), Due::Client(client.0));
    }

    /// What clients say and hear is delayed and lost like a datagram.
    fn travel(&mut self, words: Later<E, A>) {
        if self.dice.clients.chance(self.faults.loss_ppm) {
            self.counts.lost += 1;
            return;
        }
        let usual = self.faults.delay.draw(&mut self.dice.clients);
        let mut takes = usual + self.dice.clients.below(self.faults.jitter + 1);
        if self.dice.clients.chance(self.faults.late_ppm) {
            takes += self.dice.clients.below(self.faults.late_by + 1);
        }
        self.later(takes, words);
    }
}
