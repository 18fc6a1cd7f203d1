//! What is due in its turn: messages, syncs, links, everything that was put off.

use synod_engine::{Engine, Input, Invariants, LinkState, Message as _};

use crate::app::{App, Caller, Desk};
use crate::links::Route;
use crate::queue::Due;
use crate::sim::Sim;
use crate::workload::{ClientId, Outside, Workload};
use crate::world::{Flight, Later};

/// How long a blob waits for a disk that stands still before it asks again.
const DISK_RETRY_NANOS: u64 = 100_000_000;

/// How many inputs may wait for a node; beyond that, messages are lost.
const MAX_INBOX: usize = 10_000;

impl<E, A, I, W> Sim<E, A, I, W>
where
    E: Engine,
    A: App<E>,
    I: Invariants<E>,
    W: Workload<E, A>,
{
    pub(crate) fn see_to(&mut self, due: Due) {
        match due {
            Due::Deliver(slot) => {
                let flight = self.world.flights.take(slot);
                self.deliver(flight);
            }
            Due::Wake(node) => self.wake(node),
            Due::Synced { node, sync } => self.synced(node, sync),
            Due::Later(slot) => {
                let later = self.world.laters.take(slot);
                self.put_off(later);
            }
            Due::Start(node) => self.start(node),
            Due::Closed { link, end } => self.closed(link, end),
            Due::Reconnect(link) => self.reconnect(link),
            Due::Heal(partition) => self.heal_partition(partition),
            Due::Turn { partition, hub } => self.turn_partition(partition, hub),
            Due::Follow(partition) => self.follow_leaders(partition),
            Due::Wipe(node, wipe) => self.wipe_by_order(node, wipe),
            Due::Mischief(mischief) => self.mischief(mischief),
            Due::Client(client) => {
                self.world.event(u32::MAX, u64::from(client));
                let mut outside = Outside { world: &mut self.world };
                self.workload.woken(&mut outside, ClientId(client));
            }
        }
    }

    fn deliver(&mut self, flight: Flight<E>) {
        let Flight { from, to, route, generation, message, attachment } = flight;
        let node = &mut self.nodes[to as usize];
        let arrives = match route {
            Route::Datagram => node.engine.is_some(),
            Route::Ordered { session, .. } => self.world.links.session(to, from) == Some(session),
        };
        let is_full = node.body.disk.is_full(self.world.now) && message.fills_disk();
        let is_refused = self.world.network.refuses(to, from);
        let is_strange = message.counts() && !self.world.network.knows(to, from);
        let is_late = self.world.network.generation(from, to) != generation;
        if !arrives || is_full || is_refused || is_strange || is_late {
            self.world.counts.lost += 1;
            if is_refused {
                self.world.sometimes.reached("emptied founder refused");
            } else if is_strange {
                self.world.sometimes.reached("promise of a stranger dropped");
            }
            if is_full {
                self.world.sometimes.reached("message dropped by a full disk");
            }
            return;
        }
        if node.body.inbox.len() >= MAX_INBOX {
            return self.turn_away(from, to, route);
        }
        self.world.counts.delivered += 1;
        if let Some((blob, pieces)) = attachment.map(|attachment| *attachment) {
            node.body.blobs.insert(blob, pieces);
        }
        let from = self.world.ids[from as usize];
        self.give(to, Input::Message { from, message });
    }

    /// A message finds a full inbox: it is lost, and with it the session of an ordered one.
    fn turn_away(&mut self, from: u32, to: u32, route: Route) {
        self.world.counts.lost += 1;
        self.world.sometimes.reached("inbox full");
        match route {
            Route::Datagram => {}
            Route::Ordered { .. } => {
                let link = self.world.links.number(from, to);
                self.closed(link, u8::from(to > from));
                self.world.end_session(link);
            }
        }
    }

    /// Lets a node that is up have an input.
    pub(crate) fn give(&mut self, node: u32, input: Input<E>) {
        let it = &mut self.nodes[node as usize];
        if it.engine.is_some() {
            it.body.inbox.push_back(input);
            self.pump(node);
        }
    }

    fn closed(&mut self, link: u32, end: u8) {
        if self.world.links.close(link, end) {
            let ends = self.world.links.get(link).ends;
            let (node, peer) = (ends[usize::from(end)], ends[1 - usize::from(end)]);
            self.tell_link(node, peer, LinkState::Closed);
        }
    }

    fn reconnect(&mut self, link: u32) {
        let [a, b] = self.world.links.get(link).ends;
        let up = |node: u32| self.nodes[node as usize].engine.is_some();
        let network = &self.world.network;
        let possible = up(a)
            && up(b)
            && !network.blocks(a, b)
            && !network.blocks(b, a)
            && !network.refuses(a, b);
        if possible && self.world.links.open(link) {
            self.tell_link(a, b, LinkState::Opened);
            self.tell_link(b, a, LinkState::Opened);
        } else {
            self.world.reconnect_after(link, 0);
        }
    }

    fn tell_link(&mut self, node: u32, peer: u32, state: LinkState) {
        let peer = self.world.ids[peer as usize];
        self.give(node, Input::Link { peer, state });
    }

    /// Sees to something that was put off, once its node is not busy.
    fn put_off(&mut self, later: Later<E, A>) {
        let later = match later {
            Later::Answer { caller, answer } => return self.answered(caller, answer),
            later => later,
        };
        let node = match &later {
            Later::Input { node, life, .. }
            | Later::Alarm { node, life, .. }
            | Later::Written { node, life, .. } => {
                if self.nodes[*node as usize].body.life != *life {
                    return;
                }
                *node
            }
            Later::Call { node, .. } => *node,
            Later::Answer { .. } => return,
        };
        let it = &mut self.nodes[node as usize];
        let Some(app) = &mut it.app else { return };
        if it.body.busy_until > self.world.now {
            let rest = it.body.busy_until - self.world.now;
            return self.world.later(rest, later);
        }
        if matches!(later, Later::Written { .. }) && !it.body.disk.works(self.world.now) {
            return self.world.later(DISK_RETRY_NANOS, later);
        }
        self.world.event(node, 1);
        let mut desk = Desk { index: node, body: &mut it.body, world: &mut self.world };
        match later {
            Later::Input { input, .. } => desk.submit(input),
            Later::Alarm { tag, .. } => app.alarm(&mut desk, tag),
            Later::Written { blob, pieces, .. } => {
                desk.body.blobs.insert(blob, pieces);
                app.written(&mut desk, blob);
            }
            Later::Call { caller, call, .. } => app.call(&mut desk, caller, call),
            Later::Answer { .. } => unreachable!("answers go to clients"),
        }
        self.pump(node);
    }

    fn answered(&mut self, caller: Caller, answer: A::Answer) {
        self.world.event(u32::MAX, caller.call);
        let mut outside = Outside { world: &mut self.world };
        self.workload.answered(&mut outside, caller.client, caller.call, answer);
    }

    /// A node looks at its timers and its inbox.
    fn wake(&mut self, node: u32) {
        let body = &mut self.nodes[node as usize].body;
        if body.armed != self.world.now {
            return;
        }
        body.armed = u64::MAX;
        if body.busy_until > self.world.now {
            return self.arm(node);
        }
        self.release(node);
        self.pump(node);
    }

    /// A sync ends.
    fn synced(&mut self, node: u32, sync: u32) {
        let it = &mut self.nodes[node as usize];
        if !it.body.disk.is_syncing(sync) || it.body.disk.never_syncs {
            return;
        }
        if it.body.disk.stalled_until > self.world.now {
            let at = it.body.disk.stalled_until;
            return self.world.queue.push(at, Due::Synced { node, sync });
        }
        if self.world.dice.disk.chance(self.world.faults.failing_sync_ppm) {
            self.world.counts.failed_syncs += 1;
            self.world.sometimes.reached("failed sync");
            self.crash_now(node, "sync failed");
            return self.restart_later(node);
        }
        self.made_durable(node, None);
        let it = &mut self.nodes[node as usize];
        let lie = self.world.dice.disk.chance(it.body.disk.lie_ppm);
        for blob in it.body.disk.end_sync(lie) {
            it.body.blobs.remove(blob);
        }
        let durable = it.body.disk.durable();
        self.world.counts.syncs += 1;
        self.world.event(node, durable.0);
        let lied = if lie { " (a lie)" } else { "" };
        self.world.trace.say(
            self.world.now,
            Some(it.body.id),
            format_args!("durable up to {}{lied}", durable.0),
        );
        self.begin_sync(node);
        let body = &mut self.nodes[node as usize].body;
        body.durable_news = true;
        if body.busy_until > self.world.now {
            self.arm(node);
        } else {
            self.release(node);
            self.pump(node);
        }
    }

    /// Begins a sync, if there is something to sync.
    pub(crate) fn begin_sync(&mut self, node: u32) {
        let body = &mut self.nodes[node as usize].body;
        if body.disk.begin_sync() {
            let takes = self.world.sync_time(&body.disk);
            let due = Due::Synced { node, sync: body.disk.sync };
            self.world.queue.push(self.world.now + takes, due);
        }
    }

    /// Performs the held effects that need wait no longer.
    fn release(&mut self, node: u32) {
        self.nodes[node as usize].body.durable_news = false;
        while let Some(held) = {
            let body = &mut self.nodes[node as usize].body;
            body.held.release(body.disk.durable())
        } {
            self.perform_held(node, held);
        }
    }
}
