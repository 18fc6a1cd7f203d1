//! A run, and what can be seen of it. Read on in `due.rs`, then `step.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use synod_engine::{Effect, Engine, Incarnation, Input, Invariants, NodeId, Token};

use crate::app::App;
use crate::decisions::Decisions;
use crate::dice::Streams;
use crate::disk::Disk;
use crate::life::Wipe;
use crate::node::{Body, Node};
use crate::plan::{Plan, Transport};
use crate::queue::Due;
use crate::report::{Report, Verdict};
use crate::trace::{Step, Trace};
use crate::workload::{Outside, Workload};
use crate::world::{Later, World};

/// Makes of a node's configuration the one of its next incarnation, which is this one.
pub type Newborn<C> = fn(&C, Wipe, Incarnation) -> C;

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
    /// The configuration of a node that comes back after it lost all that it had.
    pub(crate) newborn: Option<Newborn<E::Config>>,
    next_checkpoint: u64,
    /// How much came due.
    turns: u64,
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
        let world =
            World::new(ids, plan.transport, faults, dice, Trace::new(plan.trace, plan.keep_steps));
        let mut sim = Self {
            seed,
            nodes,
            world,
            invariants,
            workload,
            app,
            verdict: Verdict::Sound,
            effects: Vec::new(),
            newborn: None,
            next_checkpoint: plan.checkpoint_every,
            turns: 0,
            plan,
        };
        sim.begin();
        sim
    }

    /// Nodes may be wiped by the workload, and come back with what `newborn` makes of their
    /// configuration: see [`Wipe`]. Without this, [`Outside::wipe`] does nothing.
    #[must_use]
    pub fn with_wipes(mut self, newborn: Newborn<E::Config>) -> Self {
        self.newborn = Some(newborn);
        self
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
        self.run_events();
        self.judge();
        self.report()
    }

    /// [`finish`](Self::finish), where a panic is a verdict.
    pub fn judge(&mut self) {
        self.guarded(Self::finish);
    }

    /// Runs until the plan's end or the first fault of the code under test; what the clients saw is
    /// not judged yet.
    pub fn run_events(&mut self) {
        let end = self.plan.max_time.as_nanos() as u64;
        self.guarded(|sim| while sim.world.events < sim.plan.max_events && sim.step_before(end) {});
    }

    /// From here on [nothing goes wrong](Self::calm): what the protocol promises to do in the end, it
    /// must do now. Runs until nothing is `missing`; if something still is after this time, the run is
    /// [stuck](Verdict::Stuck).
    pub fn recover(&mut self, within: Duration, missing: impl Fn(&Self) -> Option<String>) {
        self.guarded(Self::calm);
        if let Some(detail) = self.still_missing(within, missing) {
            self.stuck(detail);
        }
    }

    /// Runs until nothing is `missing`, but no longer than this, nor beyond the end of the run; gives what
    /// still is.
    pub fn still_missing(
        &mut self,
        within: Duration,
        missing: impl Fn(&Self) -> Option<String>,
    ) -> Option<String> {
        const LOOK_EVERY: Duration = Duration::from_millis(10);
        let end = self.now() + within;
        let mut still = None;
        self.guarded(|sim| {
            while sim.verdict.is_sound() {
                sim.run_for(LOOK_EVERY);
                still = missing(sim);
                if still.is_none() || sim.now() > end {
                    return;
                }
            }
        });
        still.filter(|_| self.verdict.is_sound())
    }

    /// The run is over: what must come did not.
    pub fn stuck(&mut self, missing: String) {
        self.world.trace.say(self.world.now, None, format_args!("missing: {missing}"));
        self.verdict = Verdict::Stuck(missing);
    }

    /// Counts an interesting point.
    pub fn reached(&mut self, point: &'static str) {
        self.world.sometimes.reached(point);
    }

    /// A panic of the code under test is a verdict.
    fn guarded(&mut self, run: impl FnOnce(&mut Self)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(self))) {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
            self.verdict = Verdict::Panicked(words.unwrap_or("without a word").to_owned());
        }
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
        if self.verdict.is_sound() {
            self.verdict = self.workload.finish();
        }
    }

    /// What the run has come to so far.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            seed: self.seed,
            mix: self.plan.mix.name,
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

    /// Every step so far, if the plan asked to keep them.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        self.world.trace.steps(&self.world.ids)
    }

    /// Every draw so far, if the plan asked to record or to replay them. `config` says what ran.
    #[must_use]
    pub fn decisions(&self, config: &str) -> Option<Decisions> {
        self.world.dice.decisions(config, self.seed, self.verdict.name())
    }

    /// All nodes, in the order of their ids.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.world.ids
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

    /// How many blobs a node has on its disk.
    #[must_use]
    pub fn blobs(&self, node: NodeId) -> usize {
        self.world.index(node).map_or(0, |node| self.nodes[node as usize].body.blobs.len())
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

    /// The clients, to tell them something.
    pub fn workload_mut(&mut self) -> &mut W {
        &mut self.workload
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

    /// Asks the engine of `node` for all of this at one moment, past its local user: so many of them are one
    /// batch as the mix lets a batch have.
    pub fn request_all(
        &mut self,
        node: NodeId,
        requests: impl IntoIterator<Item = (Token, E::Request)>,
    ) {
        if let Some(node) = self.world.index(node)
            && self.nodes[node as usize].engine.is_some()
        {
            let inputs = requests.into_iter();
            let inputs = inputs.map(|(token, request)| Input::Request { token, request });
            self.nodes[node as usize].body.inbox.extend(inputs);
            self.pump(node);
        }
    }

    /// Asks the engine of `node` for something after this long, if it lives that long.
    pub fn request_after(
        &mut self,
        after: Duration,
        node: NodeId,
        token: Token,
        request: E::Request,
    ) {
        if let Some(node) = self.world.index(node) {
            let life = self.nodes[node as usize].body.life.max(1);
            let input = Input::Request { token, request };
            self.world.later(after.as_nanos() as u64, Later::Input { node, life, input });
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
        self.turns += 1;
        if self.turns > self.plan.give_up_after {
            self.verdict =
                Verdict::Undecided(format!("given up after {} events", self.world.events));
        }
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

    fn checkpoint(&mut self) {
        if let Err(violation) = self.invariants.checkpoint(&mut up(&self.nodes)) {
            self.verdict = Verdict::Violated(violation);
        }
    }
}

fn up<E: Engine, A: App<E>>(nodes: &[Node<E, A>]) -> impl Iterator<Item = (NodeId, &E)> {
    nodes.iter().filter_map(|node| Some((node.body.id, node.engine.as_ref()?)))
}
