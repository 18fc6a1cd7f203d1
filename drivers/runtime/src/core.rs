//! The core of a node: turns in which everything that arrived is taken in, the engine is stepped, and
//! its effects are given away.
//!
//! It is one task on a current-thread runtime, together with the connections; nothing in it blocks.
//! Control traffic goes first, and each kind of input is bounded per turn.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use synod_consensus::{Refusal, ReplicatedLog, StateMachine};
use synod_engine::{Input, Instant, LinkState, Message as _, NodeId, Position};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep_until, timeout};

use crate::handle::Door;
use crate::host::Host;
use crate::inbox::{Arrivals, Arrived, Control, Inbox, Stop};
use crate::metrics::Metrics;
use crate::outlets::NodeOutlets;
use crate::{Call, Disk, Limits, NodeStatus, PeerStatus, Reply};

/// How often the status is published at most.
const PUBLISH_EVERY: Duration = Duration::from_millis(20);

/// How long a graceful stop waits for the disk, and for the last messages to leave.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long a node sleeps that has no timer set.
const IDLE: Duration = Duration::from_secs(3600);

/// The core.
pub(crate) struct Core<L: ReplicatedLog, S: StateMachine, R> {
    pub(crate) host: Host<L>,
    pub(crate) outlets: NodeOutlets<L, S, R>,
    pub(crate) inbox: Arc<Inbox<L>>,
    pub(crate) door: Arc<Door<S, R>>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) disk: Disk,
    pub(crate) free: Disk,
    pub(crate) log_full: bool,
    pub(crate) status: NodeStatus,
    pub(crate) clock: Clock,
    pub(crate) taken: Arrivals<L>,
    pub(crate) calls: VecDeque<Call<S, R>>,
    pub(crate) sessions: BTreeMap<NodeId, u64>,
    pub(crate) durable: Position,
    pub(crate) applied: u64,
    pub(crate) published: Option<Instant>,
}

/// Monotonic time of this node; clocks on the wall may jump as they like.
#[derive(Clone, Copy)]
pub(crate) struct Clock(std::time::Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    fn now(self) -> Instant {
        Instant::START + self.0.elapsed()
    }

    fn at(self, instant: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.0 + instant.since(Instant::START))
    }
}

impl<L, S, R> Core<L, S, R>
where
    L: ReplicatedLog + 'static,
    L::Message: Serialize + Send,
    L::Record: Serialize + Send,
    S: StateMachine,
    R: Reply<S>,
{
    /// Runs until the node stops; says why.
    pub(crate) async fn run(mut self) -> Stop {
        let mut sleep = std::pin::pin!(sleep_until(self.clock.at(self.clock.now())));
        self.host.step(self.clock.now(), Input::Start);
        let stop = loop {
            let more = self.turn();
            match self.taken.stop.take() {
                Some(Stop::Gracefully) => break self.finish().await,
                Some(stop) => break stop,
                None => {}
            }
            if more {
                tokio::task::yield_now().await;
                continue;
            }
            self.arm(sleep.as_mut());
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                () = &mut sleep => {}
            }
        };
        self.door.close();
        self.door.take(&mut self.calls);
        while let Some(call) = self.calls.pop_front() {
            self.outlets.refuse(call, Refusal::NotLeader { leader: None });
        }
        self.outlets.queue.append(&mut self.outlets.works);
        self.outlets.abandon();
        stop
    }

    /// Sets the sleep to the next deadline if it would be late; an early one costs one turn.
    fn arm(&self, sleep: Pin<&mut Sleep>) {
        let publish = self.published.map(|published| published + PUBLISH_EVERY);
        let idle = self.clock.now() + IDLE;
        let deadline = self.host.deadline().into_iter().chain(publish).min().unwrap_or(idle);
        let deadline = self.clock.at(deadline);
        if sleep.is_elapsed() || deadline < sleep.deadline() {
            sleep.reset(deadline);
        }
    }

    /// Takes in what arrived and performs what follows; whether more is at hand.
    fn turn(&mut self) -> bool {
        let is_behind = self.is_behind();
        self.inbox.take(&mut self.taken);
        if self.calls.is_empty() {
            // What waits at the door is counted and bounded there.
            self.door.take(&mut self.calls);
        }
        let now = self.clock.now();
        if self.taken.durable > self.durable {
            self.durable = self.taken.durable;
            self.host.durable(now, self.durable, &mut self.outlets);
            self.outlets.durable(self.durable);
        }
        self.watch_disk();
        self.host.fire(now, &mut self.outlets);
        self.take_control(now);
        if self.taken.control.is_empty() {
            // Else a session that is not yet known to be open would lose its first messages.
            self.take_messages(now);
        }
        self.take_calls(now);
        if self.taken.applied > self.applied {
            self.applied = self.taken.applied;
            self.host.step(now, Input::Applied(self.applied));
        }
        self.host.flush(now, &mut self.outlets);
        self.outlets.hand_over();
        self.publish(now);
        is_behind || self.is_behind()
    }

    /// Whether more was taken than a turn works off; then more may wait where it came from.
    fn is_behind(&self) -> bool {
        !(self.taken.control.is_empty() && self.taken.messages.is_empty() && self.calls.is_empty())
    }

    fn watch_disk(&mut self) {
        let (free, full) = (self.taken.disk.take(), self.taken.log_full.take());
        if free.is_none() && full.is_none() {
            return;
        }
        self.free = free.unwrap_or(self.free);
        self.log_full = full.unwrap_or(self.log_full);
        self.disk = if self.log_full { Disk::Low } else { self.free };
        self.outlets.disk_low(self.disk == Disk::Low);
    }

    fn take_control(&mut self, now: Instant) {
        for _ in 0..self.limits.max_inputs_per_turn {
            match self.taken.control.pop_front() {
                None => return,
                Some(Control::Message(arrived)) => self.take_message(now, arrived),
                Some(Control::TaskDone { id, output, claim }) => {
                    claim.into_iter().for_each(|claim| self.outlets.blobs.learned(claim));
                    self.host.step(now, Input::TaskDone { id, output });
                }
                Some(Control::Link { peer, session, state: LinkState::Opened }) => {
                    self.sessions.insert(peer, session);
                    self.host.link(now, peer, LinkState::Opened, &mut self.outlets);
                }
                Some(Control::Link { peer, session, state: LinkState::Closed }) => {
                    if self.sessions.get(&peer) == Some(&session) {
                        self.sessions.remove(&peer);
                        self.host.link(now, peer, LinkState::Closed, &mut self.outlets);
                    }
                }
            }
        }
    }

    fn take_messages(&mut self, now: Instant) {
        for _ in 0..self.limits.max_inputs_per_turn {
            let Some(arrived) = self.taken.messages.pop_front() else { return };
            self.take_message(now, arrived);
        }
    }

    /// A message of a session that is over is lost, as is one that there is no room for.
    fn take_message(&mut self, now: Instant, arrived: Arrived<L>) {
        let Arrived { from, session, message, claim } = arrived;
        if session.is_some() && self.sessions.get(&from) != session.as_ref() {
            return;
        }
        let flooded = self.outlets.journal.undurable_bytes() > 2 * self.limits.max_undurable_bytes;
        if (self.disk == Disk::Low || flooded) && message.fills_disk() {
            self.metrics.dropped.inc();
            return;
        }
        claim.into_iter().for_each(|claim| self.outlets.blobs.learned(claim));
        self.host.step(now, Input::Message { from, message });
    }

    fn take_calls(&mut self, now: Instant) {
        let busy = self.outlets.queue.unapplied() > self.limits.max_unapplied;
        let (mut proposals, mut reads, mut bytes) = (0, 0, 0);
        for _ in 0..self.limits.max_inputs_per_turn {
            if bytes >= self.limits.max_command_bytes_per_turn {
                break;
            }
            let Some(call) = self.calls.pop_front() else { break };
            let is_proposal = matches!(call, Call::Propose { .. });
            if busy || self.outlets.pending.len() >= self.limits.max_unanswered_requests {
                self.outlets.refuse(call, Refusal::Busy);
            } else if is_proposal && self.disk == Disk::Low {
                self.outlets.refuse(call, Refusal::DiskFull);
            } else if is_proposal
                && self.outlets.journal.undurable_bytes() > self.limits.max_undurable_bytes
            {
                self.outlets.refuse(call, Refusal::Busy);
            } else {
                *(if is_proposal { &mut proposals } else { &mut reads }) += 1;
                bytes += call.size_bytes();
                let (token, request) = self.outlets.admit(call);
                self.host.step(now, Input::Request { token, request });
            }
        }
        if proposals > 0 {
            self.metrics.proposals.inc_by(proposals);
        }
        if reads > 0 {
            self.metrics.reads.inc_by(reads);
        }
    }

    /// Publishes the status if it changed and was not published a moment ago.
    fn publish(&mut self, now: Instant) {
        if self.published.is_some_and(|published| now.since(published) < PUBLISH_EVERY) {
            return;
        }
        let log = self.host.engine().status();
        let peers = self.outlets.net.peers.iter();
        let peers =
            peers.map(|(node, peer)| PeerStatus { node: *node, connected: peer.outbox.is_open() });
        let peers = peers.collect();
        let status = NodeStatus { log, disk: self.disk, peers, ..self.status };
        self.metrics.undurable_bytes.set(self.outlets.journal.undurable_bytes() as i64);
        self.metrics.unapplied.set(self.outlets.queue.unapplied() as i64);
        self.metrics.unanswered.set(self.outlets.pending.len() as i64);
        if status == self.status {
            self.published = None;
            return;
        }
        self.metrics.looks(&status.log);
        self.door.publish(status.clone());
        self.status = status;
        self.published = Some(now);
    }

    /// Takes no more requests, and waits until what was begun is durable and sent.
    async fn finish(&mut self) -> Stop {
        self.door.close();
        let target = self.host.persisted();
        let finish = async {
            loop {
                self.turn();
                match self.taken.stop.take() {
                    None | Some(Stop::Gracefully) => {}
                    Some(stop) => return stop,
                }
                let sent = self.outlets.outboxes.values().all(|(outbox, _)| outbox.is_empty());
                if self.durable >= target && self.calls.is_empty() && sent {
                    return Stop::Gracefully;
                }
                let nap = Duration::from_millis(5);
                // Woken or not, there is another turn.
                drop(timeout(nap, self.wake.notified()).await);
            }
        };
        timeout(FAREWELL, finish).await.unwrap_or(Stop::Gracefully)
    }
}
