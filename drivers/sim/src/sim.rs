//! The run: takes what is due from the queue, and sees to it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use synod_engine::{Effect, Engine, Input, Invariants, LinkState, NodeId, Token};

use crate::app::{App, Caller, Desk};
use crate::decisions::Decisions;
use crate::dice::Streams;
use crate::disk::Disk;
use crate::links::Route;
use crate::node::{Body, Node};
use crate::plan::{Plan, Transport};
use crate::queue::Due;
use crate::report::{Report, Verdict};
use crate::trace::Trace;
use crate::workload::{ClientId, Outside, Workload};
use crate::world::{Flight, Later, World};

/// How long a blob waits for a disk that stands still before it asks again.
const DISK_RETRY_NANOS: u64 = 100_000_000;

/// A cluster of engines in virtual time.
///
/// [`run`](Self::run) does a whole run under the faults of its plan. Tests that tell a story drive
/// it themselves: [`run_for`](Self::run_for), and the faults by hand.
pub struct Sim<E: Engine, A: App<E>, I, W> {
    pub(crate) plan: Plan,
    /// The seed that counts: the plan's, or the one of the log that is replayed.
    pub(crate) seed: u64,
    pub(crate) nodes: Vec<Node<E, A>>,
    pub(crate) world: World<E, A>,
    pub(crate) invariants: I,
    pub(crate) workload: W,
    pub(crate) app: A::Config,
    pub(crate) verdict: Verdict,
    pub(crate) effects: Vec<Effect<E>>,
    next_checkpoint: u64,
}

impl<E, A, I, W> Sim<E, A, I, W>
where
    E: Engine,
    A: App<E>,
    I: Invariants<E>,
    W: Workload<E, A>,
{
    /// A cluster of these engines, each with a local user made from `app`. Nothing has started.
    ///
    /// # Panics
    /// If there is no node, or two of the same id.
    pub fn new(
        plan: Plan,
        engines: impl IntoIterator<Item = (NodeId, E::Config)>,
        app: A::Config,
        invariants: I,
        workload: W,
    ) -> Self {
        let mut engines: Vec<_> = engines.into_iter().collect();
        engines.sort_by_key(|(id, _)| *id);
        assert!(!engines.is_empty(), "a cluster has nodes");
        assert!(engines.windows(2).all(|pair| pair[0].0 < pair[1].0), "ids are unique");
        let ids: Vec<NodeId> = engines.iter().map(|(id, _)| *id).collect();
        let (mut dice, seed) = Streams::of(&plan.chance, plan.seed);
        let faults = plan.mix.draw(&mut dice.setup);
        let nodes = engines.into_iter().map(|(id, config)| {
            let disk = Disk::new(faults.sync.draw(&mut dice.disk), faults.lie_ppm);
            Node { engine: None, app: None, body: Body::new(id, disk), config }
        });
        let nodes = nodes.collect();
        let world = World::new(ids, plan.transport, faults, dice, Trace::new(plan.trace));
        let mut sim = Self {
            seed,
            nodes,
            world,
            invariants,
            workload,
            app,
            verdict: Verdict::Sound,
            effects: Vec::new(),
            next_checkpoint: plan.checkpoint_every,
            plan,
        };
        sim.begin();
        sim
    }

    fn begin(&mut self) {
        for node in 0..self.nodes.len() as u32 {
            let at = self.world.dice.process.below(10_000_000);
            self.world.queue.push(at, Due::Start(node));
        }
        if self.plan.transport == Transport::Sessions {
            (0..self.world.links.len()).for_each(|link| self.world.reconnect_after(link, 0));
        }
        self.plot_mischief();
        self.workload.begin(&mut Outside { world: &mut self.world });
    }

    /// Runs until the plan's end or the first fault of the code under test, and reports.
    pub fn run(&mut self) -> Report {
        let end = self.plan.max_time.as_nanos() as u64;
        let ran = catch_unwind(AssertUnwindSafe(|| {
            while self.world.events < self.plan.max_events && self.step_before(end) {}
            self.finish();
        }));
        if let Err(panic) = ran {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
            self.verdict = Verdict::Panicked(words.unwrap_or("without a word").to_owned());
        }
        self.report()
    }

    /// Runs for this long in virtual time, whatever the plan's end.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.world.now + time.as_nanos() as u64;
        while self.step_before(end) {}
        self.world.now = end;
    }

    /// Runs until `done`, but no longer than `time`; whether it was done.
    pub fn run_until(&mut self, time: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.world.now + time.as_nanos() as u64;
        while !done(self) {
            if !self.step_before(end) {
                return false;
            }
        }
        true
    }

    /// Checks everything now, and what the clients saw. The run should not go on.
    pub fn finish(&mut self) {
        if self.verdict.is_sound() {
            self.checkpoint();
        }
        if self.verdict.is_sound()
            && let Err(violation) = self.workload.finish()
        {
            self.verdict = Verdict::Violated(violation);
        }
    }

    /// What the run has come to so far.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            seed: self.seed,
            verdict: self.verdict.clone(),
            events: self.world.events,
            elapsed: self.now(),
            trace_hash: self.world.trace.hash(),
            sometimes: self.world.sometimes.clone(),
            counts: self.world.counts,
        }
    }

    /// Virtual time since the run began.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.world.now)
    }

    /// The trace as text, if the plan asked for it.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.world.trace.text()
    }

    /// Every draw so far, if the plan asked to record them. `config` says what ran.
    #[must_use]
    pub fn decisions(&self, config: &str) -> Option<Decisions> {
        self.world.dice.decisions(config, self.seed)
    }

    /// The engine of a node that is up.
    #[must_use]
    pub fn engine(&self, node: NodeId) -> Option<&E> {
        self.nodes[self.world.index(node)? as usize].engine.as_ref()
    }

    /// The local user of a node that is up.
    #[must_use]
    pub fn app(&self, node: NodeId) -> Option<&A> {
        self.nodes[self.world.index(node)? as usize].app.as_ref()
    }

    /// The records on a node's disk from its newest checkpoint on, durable or not.
    #[must_use]
    pub fn records(&self, node: NodeId) -> &[E::Record] {
        self.world.index(node).map_or(&[], |node| self.nodes[node as usize].body.disk.records())
    }

    /// All engines that are up.
    pub fn engines(&self) -> impl Iterator<Item = (NodeId, &E)> {
        up(&self.nodes)
    }

    /// The clients.
    #[must_use]
    pub fn workload(&self) -> &W {
        &self.workload
    }

    /// The invariants, with what they have seen.
    #[must_use]
    pub fn invariants(&self) -> &I {
        &self.invariants
    }

    /// Asks the engine of `node` for something, past its local user. Nothing happens if it is down.
    pub fn request(&mut self, node: NodeId, token: Token, request: E::Request) {
        if let Some(node) = self.world.index(node) {
            self.give(node, Input::Request { token, request });
        }
    }

    /// Does the next thing that is due, if it is due by `end`; false if nothing is, or the run is
    /// over.
    fn step_before(&mut self, end: u64) -> bool {
        if !self.verdict.is_sound() || self.world.queue.next_at().is_none_or(|at| at > end) {
            return false;
        }
        let Some((at, due)) = self.world.queue.pop() else { return false };
        self.world.now = at;
        self.see_to(due);
        if let Some(violation) = self.world.violation.take() {
            self.verdict = Verdict::Violated(violation);
        }
        if self.world.events >= self.next_checkpoint {
            self.next_checkpoint = self.world.events + self.plan.checkpoint_every;
            self.checkpoint();
        }
        true
    }

    fn see_to(&mut self, due: Due) {
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
            Due::Mischief(mischief) => self.mischief(mischief),
            Due::Client(client) => {
                self.world.event(u32::MAX, u64::from(client));
                let mut outside = Outside { world: &mut self.world };
                self.workload.woken(&mut outside, ClientId(client));
            }
        }
    }

    fn checkpoint(&mut self) {
        if let Err(violation) = self.invariants.checkpoint(&mut up(&self.nodes)) {
            self.verdict = Verdict::Violated(violation);
        }
    }

    fn deliver(&mut self, flight: Flight<E>) {
        let Flight { from, to, route, message, attachment } = flight;
        let node = &mut self.nodes[to as usize];
        let arrives = match route {
            Route::Datagram => node.engine.is_some(),
            Route::Ordered { session, .. } => self.world.links.session(to, from) == Some(session),
        };
        if !arrives {
            self.world.counts.lost += 1;
            return;
        }
        self.world.counts.delivered += 1;
        if let Some((blob, pieces)) = attachment.map(|attachment| *attachment) {
            node.body.blobs.insert(blob, pieces);
        }
        let from = self.world.ids[from as usize];
        self.give(to, Input::Message { from, message });
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
        let possible = up(a) && up(b) && !network.blocks(a, b) && !network.blocks(b, a);
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

fn up<E: Engine, A: App<E>>(nodes: &[Node<E, A>]) -> impl Iterator<Item = (NodeId, &E)> {
    nodes.iter().filter_map(|node| Some((node.body.id, node.engine.as_ref()?)))
}
