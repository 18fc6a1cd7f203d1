//! The core of a node: turns in which everything that arrived is taken in, the engine is stepped, and its
//! effects are given away. One task on a thread of its own; nothing in it blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use synod_engine::{
    Class, ClusterId, Engine, GroupId, Incarnation, Input, Instant, Message as _, NodeId, Position,
    TaskId,
};
use tokio::net::UdpSocket;
use tokio::time::{sleep_until, timeout};
use tracing::{debug, warn};

use crate::acquaintances::{Acquaintance, Acquaintances};
use crate::core::Clock;
use crate::host::{Host, Outlets};
use crate::hosted::HostedEngine;
use crate::inbox::Stop;
use crate::solo::counts::Counters;
use crate::solo::datagram::{self, Envelope};
use crate::solo::mail::{Asked, Mail, Waiting};
use crate::solo::{Limits, Sight, User};
use crate::sync::{Journal, Refused};

/// How long a graceful stop waits for the disk.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long a node sleeps that has no timer set.
const IDLE: Duration = Duration::from_secs(3600);

/// The core.
pub(crate) struct Core<E: HostedEngine, U> {
    pub(crate) host: Host<E>,
    pub(crate) out: Out<E, U>,
    pub(crate) acquaintances: Arc<Acquaintances>,
    /// Peers that are being written down.
    pub(crate) meeting: BTreeSet<NodeId>,
    /// Peers that are strange and have been complained about.
    pub(crate) strange: BTreeSet<NodeId>,
    pub(crate) mail: Arc<Mail<E>>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    /// What was taken out of the mail and waits for room.
    pub(crate) waiting: Waiting<E>,
    /// Room for the longest datagram, and one byte to find longer ones by.
    pub(crate) buffer: Vec<u8>,
}

/// Where effects go.
pub(crate) struct Out<E: HostedEngine, U> {
    pub(crate) me: Me,
    pub(crate) user: U,
    pub(crate) journal: Journal,
    pub(crate) socket: UdpSocket,
    pub(crate) peers: BTreeMap<NodeId, Peer>,
    pub(crate) max_datagram_bytes: usize,
    pub(crate) counters: Arc<Counters>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) mail: Arc<Mail<E>>,
}

/// Who this node is.
#[derive(Clone, Copy)]
pub(crate) struct Me {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) life: Incarnation,
}

/// Another member.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The life in which it was met, if it was.
    pub(crate) met: Option<Incarnation>,
}

/// What becomes of a datagram.
enum Judged<M> {
    Heard(NodeId, M),
    /// A peer's first word.
    New(NodeId, Incarnation, M),
    Garbage,
    /// Of or for another life, and what that means.
    Strange(NodeId, &'static str),
}

impl<E: HostedEngine, U: User<E>> Core<E, U> {
    /// Runs until the node stops; says why.
    pub(crate) async fn run(mut self) -> Stop {
        self.host.step(self.clock.now(), Input::Start);
        loop {
            let more = self.turn();
            match self.waiting.stop.take() {
                Some(Stop::Gracefully) => return self.finish().await,
                Some(stop) => return stop,
                None => {}
            }
            if more {
                tokio::task::yield_now().await;
                continue;
            }
            let deadline = self.host.deadline().unwrap_or(self.clock.now() + IDLE);
            tokio::select! {
                biased;
                () = self.mail.wake.notified() => {}
                () = sleep_until(self.clock.at(deadline)) => {}
                readable = self.out.socket.readable(), if !self.is_flooded() => {
                    if let Err(error) = readable {
                        return Stop::Fatal(format!("the socket is gone: {error}"));
                    }
                }
            }
        }
    }

    /// Takes in what arrived and performs what follows; whether more is at hand.
    fn turn(&mut self) -> bool {
        self.mail.take(&mut self.waiting);
        let now = self.clock.now();
        self.host.durable(now, self.waiting.durable, &mut self.out);
        self.host.fire(now, &mut self.out);
        for (from, message) in std::mem::take(&mut self.waiting.met) {
            self.meeting.remove(&from);
            self.out.met(from, self.acquaintances.first(from));
            self.hear(now, from, message);
        }
        let more_requests = self.take_requests(now);
        let more_datagrams = self.take_datagrams(now);
        self.host.flush(now, &mut self.out);
        self.out.journal.hand_over();
        self.out.user.settled(now, &self.host);
        more_requests || more_datagrams
    }

    /// Whether more waits for the disk than may.
    fn is_flooded(&self) -> bool {
        self.out.journal.undurable_bytes() > self.limits.max_undurable_bytes
            || self.host.held() > self.limits.max_held
    }

    fn take_requests(&mut self, now: Instant) -> bool {
        for _ in 0..self.limits.max_inputs_per_turn {
            if self.is_flooded() {
                return false;
            }
            let input = match self.waiting.requests.pop_front() {
                None => return false,
                Some(Asked::Request(token, request)) => Input::Request { token, request },
                Some(Asked::Cancel(token)) => Input::Cancel(token),
            };
            self.host.step(now, input);
        }
        !self.waiting.requests.is_empty()
    }

    fn take_datagrams(&mut self, now: Instant) -> bool {
        for _ in 0..self.limits.max_inputs_per_turn {
            let Ok((length, _)) = self.out.socket.try_recv_from(&mut self.buffer) else {
                // Nothing is there; or a peer is not there and the system says so.
                return false;
            };
            if self.is_flooded() {
                self.out.counters.dropped.add();
                continue;
            }
            match self.judge(&self.buffer[..length]) {
                Judged::Heard(from, message) => self.hear(now, from, message),
                Judged::New(from, life, message) => self.meet(from, life, message),
                Judged::Garbage => self.out.counters.garbage.add(),
                Judged::Strange(from, why) => {
                    self.out.counters.strange.add();
                    if self.strange.insert(from) {
                        warn!(%from, "{why}");
                    }
                }
            }
        }
        true
    }

    fn judge(&self, bytes: &[u8]) -> Judged<E::Message> {
        if bytes.len() > self.limits.max_datagram_bytes {
            return Judged::Garbage;
        }
        let Some((envelope, message)) = datagram::read::<E::Message>(bytes) else {
            return Judged::Garbage;
        };
        let Envelope { cluster, from, life, to, met } = envelope;
        let me = &self.out.me;
        let Some(peer) = self.out.peers.get(&from) else { return Judged::Garbage };
        if cluster != me.cluster || to != me.node {
            return Judged::Garbage;
        }
        if met.is_some_and(|met| met != me.life) {
            let why = "it has met this node with another directory, and does not count this one";
            return Judged::Strange(from, why);
        }
        match peer.met {
            None => Judged::New(from, life, message),
            Some(met) if met == life => Judged::Heard(from, message),
            Some(_) => {
                Judged::Strange(from, "its directory was emptied or replaced: it is not heard")
            }
        }
    }

    fn hear(&mut self, now: Instant, from: NodeId, message: E::Message) {
        self.out.counters.received.add();
        self.out.user.saw(Sight::Heard { from, message: &message });
        self.host.step(now, Input::Message { from, message });
    }

    /// Writes down who this is, off this thread, and hears it then. What else it says meanwhile is lost.
    fn meet(&mut self, from: NodeId, life: Incarnation, message: E::Message) {
        if !self.meeting.insert(from) {
            return self.out.counters.dropped.add();
        }
        let (acquaintances, mail) = (self.acquaintances.clone(), self.mail.clone());
        tokio::task::spawn_blocking(move || match acquaintances.meet(from, life) {
            Ok(Acquaintance::Known) => mail.put(|waiting| waiting.met.push((from, message))),
            Ok(Acquaintance::Replaced { .. }) => {}
            Err(error) => {
                let why = format!("{from} could not be written down: {error}");
                mail.stop(Stop::Fatal(why));
            }
        });
    }

    /// Takes no more input but that of the disk, until what was begun is durable and said.
    async fn finish(&mut self) -> Stop {
        let target = self.host.persisted();
        let finish = async {
            loop {
                self.mail.take(&mut self.waiting);
                let now = self.clock.now();
                self.host.durable(now, self.waiting.durable, &mut self.out);
                self.host.flush(now, &mut self.out);
                self.out.journal.hand_over();
                match self.waiting.stop.take() {
                    None | Some(Stop::Gracefully) => {}
                    Some(stop) => return stop,
                }
                if self.waiting.durable >= target {
                    return Stop::Gracefully;
                }
                self.mail.wake.notified().await;
            }
        };
        timeout(FAREWELL, finish).await.unwrap_or(Stop::Gracefully)
    }
}

impl<E: HostedEngine, U> Out<E, U> {
    fn met(&mut self, peer: NodeId, life: Option<Incarnation>) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.met = life;
        }
    }

    fn fail(&self, why: String) {
        self.mail.stop(Stop::Fatal(why));
    }
}

impl<E: HostedEngine, U: User<E>> Outlets<E> for Out<E, U> {
    fn persist(&mut self, position: Position, record: E::Record) {
        self.user.saw(Sight::Persisted(&record));
        match self.journal.append(GroupId(0), position, &record) {
            Ok(()) | Err(Refused::Before) => {}
            Err(Refused::TooLarge(why)) => {
                self.fail(format!("the log cannot take a record: {why}; the node must stop"));
            }
        }
    }

    fn send(&mut self, to: NodeId, message: E::Message) {
        if message.class() != Class::Datagram || message.attachment().is_some() {
            return self.fail(format!("{message} is no datagram: this engine cannot run here"));
        }
        let Some(peer) = self.peers.get(&to) else {
            return debug!(%to, "nobody knows where that is");
        };
        let Me { cluster, node, life } = self.me;
        let envelope = Envelope { cluster, from: node, life, to, met: peer.met };
        let max_bytes = self.max_datagram_bytes;
        if !datagram::write(&envelope, &message, max_bytes, &mut self.bytes) {
            warn!(%to, "a message is longer than {max_bytes} bytes and cannot be sent");
            return self.counters.unsent.add();
        }
        // Whether it arrives is not known anyhow.
        match self.socket.try_send_to(&self.bytes, peer.address) {
            Ok(_) => {
                self.counters.sent.add();
                self.user.saw(Sight::Said { to, message: &message });
            }
            Err(_) => self.counters.unsent.add(),
        }
    }

    fn start(&mut self, _: TaskId, task: Infallible) {
        match task {}
    }

    fn abort(&mut self, _: TaskId) {}

    fn emit(&mut self, event: <E as Engine>::Event) {
        self.user.told(event);
    }

    fn to_self(&mut self, message: &E::Message) {
        self.user.saw(Sight::Heard { from: self.me.node, message });
    }
}
