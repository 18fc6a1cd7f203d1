//! The core of a node: turns in which everything that arrived is taken in, the engines that it concerns
//! are stepped, and their effects are given away.
//!
//! It is one task on a current-thread runtime, together with the connections; nothing in it blocks.
//! Control traffic goes first, and each kind of input is bounded per turn. A turn costs what it has
//! input for: a group without any is not looked at. All records of a turn go to the disk together.
//!
//! Next: [`crate::group`], what the core keeps of each group; [`crate::links`], who its peers are;
//! [`crate::outlets`], where effects go.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use synod_consensus::{Output, ReplicatedLog, Request, Role, StateMachine};
use synod_engine::{Input, Instant, Message as _, NodeId, Position, Token};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep_until, timeout};
use tracing::warn;

use crate::apply::Work;
use crate::door::Bell;
use crate::group::{Group, Portion, Taken};
use crate::groups::Place;
use crate::hosted::{HostedLog, HostedState};
use crate::inbox::{Arrivals, Arrived, Control, Inbox, Stop};
use crate::links::Dial;
use crate::metrics::Metrics;
use crate::outlets::{Session, Shared};
use crate::stall::Stall;
use crate::timers::Wheel;
use crate::{Disk, Limits, NodeStatus, PeerStatus, Reply};

/// How often the status of a group is published at most. Also how late the core may learn of what was
/// applied.
const PUBLISH_EVERY: Duration = Duration::from_millis(20);

/// How long a graceful stop waits for the disk, and for the last messages to leave.
const FAREWELL: Duration = Duration::from_secs(5);

/// For a request that the core makes by itself: no answer finds anybody who waits under this name.
const NOBODY: Token = Token(u64::MAX);

/// How long a node sleeps that has no timer set.
const IDLE: Duration = Duration::from_secs(3600);

/// The core.
pub(crate) struct Core<L: ReplicatedLog, S: StateMachine, R> {
    pub(crate) groups: Vec<Group<L, S, R>>,
    pub(crate) shared: Shared<L, S, R>,
    pub(crate) inbox: Arc<Inbox<L>>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) disk: Disk,
    pub(crate) free: Disk,
    pub(crate) log_full: bool,
    pub(crate) clock: Clock,
    pub(crate) taken: Arrivals<L>,
    /// Groups that may have requests at their doors. One may be here twice.
    pub(crate) calling: VecDeque<Place>,
    /// Groups that had input in this turn.
    pub(crate) dirty: Vec<Place>,
    pub(crate) wheel: Wheel,
    pub(crate) stall: Stall,
    /// Once the disk has come so far in the records of all groups, this group has come so far in its own.
    pub(crate) awaited: VecDeque<(Position, Place, Position)>,
    /// How far the disk has come in the records of all groups.
    pub(crate) durable: Position,
    /// Whether anything was being applied when the last turn began, or was applied in it.
    pub(crate) was_applying: bool,
    /// Groups to be published, in the order of when.
    pub(crate) unpublished: VecDeque<(Instant, Place)>,
    /// Peers that are members of no group any more, and when their links go.
    pub(crate) departing: VecDeque<(Instant, NodeId)>,
    pub(crate) dial: Dial,
}

/// Monotonic time of this node; clocks on the wall may jump as they like.
#[derive(Clone, Copy)]
pub(crate) struct Clock(std::time::Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn now(self) -> Instant {
        Instant::START + self.0.elapsed()
    }

    pub(crate) fn at(self, instant: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.0 + instant.since(Instant::START))
    }
}

impl<L: HostedLog, S: HostedState, R: Reply<S>> Core<L, S, R> {
    /// Runs until the node stops; says why.
    pub(crate) async fn run(mut self) -> Stop {
        let mut sleep = std::pin::pin!(sleep_until(self.clock.at(self.clock.now())));
        let now = self.clock.now();
        for place in (0..self.groups.len()).map(Place) {
            self.input(place).host.step(now, Input::Start);
        }
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
        for group in &mut self.groups {
            group.abandon(&mut self.shared);
        }
        self.shared.pool.append(&mut self.shared.works, &self.inbox);
        R::all(self.shared.answers.drain(..));
        stop
    }

    /// Sets the sleep to the next deadline if it would be late; an early one costs one turn.
    fn arm(&self, sleep: Pin<&mut Sleep>) {
        let now = self.clock.now();
        let publish = self.unpublished.front().map(|(when, _)| *when);
        let is_applying = self.was_applying || self.shared.pool.unapplied() > 0;
        let applied = is_applying.then(|| now + PUBLISH_EVERY);
        let deadlines = [self.wheel.next(), self.stall.deadline(), publish, applied];
        let deadline = deadlines.into_iter().flatten().min().unwrap_or(now + IDLE);
        let deadline = self.clock.at(deadline);
        if sleep.is_elapsed() || deadline < sleep.deadline() {
            sleep.reset(deadline);
        }
    }

    /// Takes in what arrived and performs what follows; whether more is at hand.
    fn turn(&mut self) -> bool {
        let is_behind = self.is_behind();
        self.was_applying = self.shared.pool.unapplied() > 0;
        self.inbox.take(&mut self.taken);
        self.bell.take(&mut self.calling);
        let now = self.clock.now();
        self.take_durable(now);
        self.watch_stall(now);
        self.watch_disk(now);
        self.shorten_log(now);
        self.fire(now);
        self.take_control(now);
        if self.taken.control.is_empty() {
            // Else a session that is not yet known to be open would lose its first messages.
            self.take_messages(now);
        }
        self.take_calls(now);
        for (place, index) in std::mem::take(&mut self.taken.applied) {
            self.input(place).host.step(now, Input::Applied(index));
        }
        self.flush(now);
        self.regroup(now);
        self.was_applying |= self.shared.hand_over();
        self.publish_late(now);
        is_behind || self.is_behind()
    }

    /// Whether more was taken than a turn works off; then more may wait where it came from.
    fn is_behind(&self) -> bool {
        !(self.taken.control.is_empty()
            && self.taken.messages.is_empty()
            && self.calling.is_empty())
    }

    /// The group at `place`, which is about to get input.
    pub(crate) fn input(&mut self, place: Place) -> &mut Group<L, S, R> {
        let group = &mut self.groups[place.0];
        if !std::mem::replace(&mut group.is_dirty, true) {
            self.dirty.push(place);
        }
        group
    }

    fn take_durable(&mut self, now: Instant) {
        self.durable = self.durable.max(self.taken.durable);
        while let Some((_, place, position)) =
            self.awaited.pop_front_if(|(all, _, _)| *all <= self.durable)
        {
            self.input(place);
            self.groups[place.0].durable(now, position, &mut self.shared);
        }
    }

    /// Hands over what this node leads if its disk has stalled for too long.
    fn watch_stall(&mut self, now: Instant) {
        if self.stall.look(now, self.shared.persisted, self.durable) {
            self.hand_over_leadership(now, "stalls");
        }
    }

    /// Whoever leads here hands over, if there is anybody to lead instead: the disk is no good.
    fn hand_over_leadership(&mut self, now: Instant, why: &str) {
        for place in (0..self.groups.len()).map(Place) {
            let group = &self.groups[place.0];
            if group.host.engine().status().role == Role::Leader {
                warn!(group = %group.own.group, "the disk {why}: leadership is to be handed over");
                self.metrics.stall_handovers.inc();
                let request = Request::Transfer(None);
                self.input(place).host.step(now, Input::Request { token: NOBODY, request });
            }
        }
    }

    /// A disk that gets low costs proposals, and leadership once: of several nodes with low disks one leads.
    fn watch_disk(&mut self, now: Instant) {
        let (free, full) = (self.taken.disk.take(), self.taken.log_full.take());
        if free.is_none() && full.is_none() {
            return;
        }
        self.free = free.unwrap_or(self.free);
        self.log_full = full.unwrap_or(self.log_full);
        let was = self.disk;
        self.disk = if self.log_full { Disk::Low } else { self.free };
        self.shared.disk_low(self.disk == Disk::Low);
        if self.disk == Disk::Low && was != Disk::Low {
            self.hand_over_leadership(now, "is low");
        }
        for place in (0..self.groups.len()).map(Place) {
            self.input(place);
        }
    }

    /// Asks the groups that hold most of a log that is too long for snapshots, due or not.
    fn shorten_log(&mut self, now: Instant) {
        for group in std::mem::take(&mut self.taken.crowding) {
            let Some(place) = self.shared.net.groups.place(group) else { continue };
            let request = Request::Compact;
            self.input(place).host.step(now, Input::Request { token: NOBODY, request });
        }
    }

    fn fire(&mut self, now: Instant) {
        while let Some(place) = self.wheel.take_due(now) {
            let deadline = self.groups[place.0].host.deadline();
            if deadline.is_some_and(|deadline| deadline <= now) {
                self.input(place);
                self.groups[place.0].fire(now, &mut self.shared);
            } else {
                self.wheel.arm(place, deadline);
            }
        }
    }

    fn take_control(&mut self, now: Instant) {
        for _ in 0..self.limits.max_inputs_per_turn {
            match self.taken.control.pop_front() {
                None => return,
                Some(Control::Message(arrived)) => self.take_message(now, arrived),
                Some(Control::TaskDone { place, id, output, claim }) => {
                    if matches!(output, Output::Snapshot { .. } | Output::SnapshotFailed) {
                        let next = self.shared.snapshots.done();
                        let next = next.map(|(place, id)| (place, Work::Snapshot(id)));
                        self.shared.works.extend(next);
                    }
                    let group = self.input(place);
                    claim.into_iter().for_each(|claim| group.own.blobs.learned(claim));
                    group.host.step(now, Input::TaskDone { id, output });
                }
                Some(Control::Opened { peer, session, life }) => {
                    self.link_opened(now, peer, Session { number: session, life });
                }
                Some(Control::Closed { peer, session }) => self.link_closed(now, peer, session),
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
        let Arrived { place, from, session, message, claim } = arrived;
        let current = self.shared.links.get(&from).and_then(|link| link.session);
        if session.is_some() && session != current.map(|current| current.number) {
            return;
        }
        if message.counts() && self.groups[place.0].own.strange.contains(&from) {
            self.metrics.dropped.inc();
            return;
        }
        let flooded = self.shared.journal.undurable_bytes() > 2 * self.limits.max_undurable_bytes;
        if (self.disk == Disk::Low || flooded) && message.fills_disk() {
            self.metrics.dropped.inc();
            return;
        }
        let group = self.input(place);
        claim.into_iter().for_each(|claim| group.own.blobs.learned(claim));
        group.host.step(now, Input::Message { from, message });
    }

    /// Every group that has callers takes in its share of what a turn takes in.
    fn take_calls(&mut self, now: Instant) {
        let calling = self.calling.len();
        let portion = Portion {
            requests: (self.limits.max_inputs_per_turn / calling.max(1)).max(1),
            bytes: (self.limits.max_command_bytes_per_turn / calling.max(1)).max(1),
        };
        let mut taken = Taken::default();
        for _ in 0..calling.min(self.limits.max_inputs_per_turn) {
            let Some(place) = self.calling.pop_front() else { break };
            let group = &mut self.groups[place.0];
            if group.calls.is_empty() {
                group.own.door.take(&mut group.calls);
            }
            if group.calls.is_empty() {
                continue;
            }
            self.input(place);
            let room = (self.disk, &self.limits);
            let Taken { proposals, reads } =
                self.groups[place.0].take_calls(now, portion, room, &mut self.shared);
            taken.proposals += proposals;
            taken.reads += reads;
            if !self.groups[place.0].calls.is_empty() {
                self.calling.push_back(place);
            }
        }
        if taken.proposals > 0 {
            self.metrics.proposals.inc_by(taken.proposals);
        }
        if taken.reads > 0 {
            self.metrics.reads.inc_by(taken.reads);
        }
    }

    /// Ends the turn of every group that had input.
    pub(crate) fn flush(&mut self, now: Instant) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for place in dirty.drain(..) {
            let group = &mut self.groups[place.0];
            if group.flush(now, &mut self.shared) {
                self.awaited.push_back((self.shared.persisted, place, group.host.persisted()));
            }
            self.wheel.arm(place, group.host.deadline());
            self.publish(now, place);
        }
        self.dirty = dirty;
    }

    /// Publishes the status of a group, unless that was done a moment ago: then a moment later. Who
    /// leads is told at once.
    fn publish(&mut self, now: Instant, place: Place) {
        let group = &mut self.groups[place.0];
        let is_urgent = std::mem::take(&mut group.own.is_urgent);
        let since = group.published.map(|published| now.since(published));
        if !is_urgent && since.is_some_and(|since| since < PUBLISH_EVERY) {
            if !std::mem::replace(&mut group.is_unpublished, true) {
                self.unpublished.push_back((now + PUBLISH_EVERY, place));
            }
            return;
        }
        let log = group.host.engine().status();
        let peers = group.host.others().iter().filter_map(|node| {
            let version = self.shared.links.get(node)?.outbox.version();
            Some(PeerStatus { node: *node, version })
        });
        let peers = peers.collect();
        let status = NodeStatus { log, disk: self.disk, peers, ..group.status };
        if status == group.status {
            return;
        }
        self.metrics.looks(place, &group.status.log, &status.log);
        group.own.door.publish(status.clone());
        group.status = status;
        group.published = Some(now);
    }

    /// Publishes what has waited for it, and how much there is to do.
    fn publish_late(&mut self, now: Instant) {
        while let Some((_, place)) = self.unpublished.pop_front_if(|(when, _)| *when <= now) {
            self.groups[place.0].is_unpublished = false;
            self.publish(now, place);
        }
        self.metrics.undurable_bytes.set(self.shared.journal.undurable_bytes() as i64);
        self.metrics.unapplied.set(self.shared.pool.unapplied() as i64);
        self.metrics.unanswered.set(self.shared.unanswered.used() as i64);
    }

    /// Takes no more requests, and waits until what was begun is durable and sent.
    async fn finish(&mut self) -> Stop {
        self.groups.iter().for_each(|group| group.own.door.close());
        let target = self.shared.persisted;
        let finish = async {
            loop {
                self.turn();
                match self.taken.stop.take() {
                    None | Some(Stop::Gracefully) => {}
                    Some(stop) => return stop,
                }
                let is_done = self.durable >= target && self.calling.is_empty();
                if is_done && self.shared.is_sent() {
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
