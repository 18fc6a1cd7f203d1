//! Batches, steps, and what becomes of their effects.

use synod_engine::{Context, Effect, Engine, Input, Invariants, Stepped, To, Violation, When};

use crate::app::{App, Desk};
use crate::node::Held;
use crate::queue::Due;
use crate::report::Verdict;
use crate::sim::Sim;
use crate::workload::Workload;

/// More batches than any engine needs at one moment of virtual time.
const ENDLESS: u32 = 100_000;

impl<E, A, I, W> Sim<E, A, I, W>
where
    E: Engine,
    A: App<E>,
    I: Invariants<E>,
    W: Workload<E, A>,
{
    /// Lets a node take in what waits for it, batch after batch, until it is busy or has no more.
    pub(crate) fn pump(&mut self, node: u32) {
        for _ in 0..ENDLESS {
            if !self.batch(node) {
                return self.arm(node);
            }
        }
        let detail =
            format!("{} takes input after input at one moment", self.world.ids[node as usize]);
        self.world.violated(Violation { invariant: "time passes", detail });
    }

    /// One batch: some inputs, then the flush, then the disk.
    fn batch(&mut self, node: u32) -> bool {
        let Some(first) = self.next_input(node) else { return false };
        self.step(node, first);
        let body = &self.nodes[node as usize].body;
        if !body.inbox.is_empty() || body.timers.soonest() <= self.world.now {
            for _ in 0..self.world.dice.process.below(u64::from(self.world.faults.batch)) {
                let Some(next) = self.next_input(node) else { break };
                self.step(node, next);
            }
        }
        self.step(node, Input::Flush);
        self.begin_sync(node);
        if self.world.faults.busy > 0 {
            let busy = self.world.dice.process.below(self.world.faults.busy);
            self.nodes[node as usize].body.busy_until = self.world.now + busy;
        }
        true
    }

    /// What the node takes in next: a timer that is due or the first of its inbox.
    fn next_input(&mut self, node: u32) -> Option<Input<E>> {
        let it = &mut self.nodes[node as usize];
        if it.engine.is_none()
            || it.body.busy_until > self.world.now
            || self.world.violation.is_some()
            || !self.verdict.is_sound()
        {
            return None;
        }
        let body = &mut it.body;
        if body.timers.soonest() <= self.world.now
            && (body.inbox.is_empty() || self.world.dice.process.chance(500_000))
            && let Some(timer) = body.timers.take_due(self.world.now)
        {
            return Some(Input::Timer(timer));
        }
        body.inbox.pop_front()
    }

    /// Makes sure that the node is woken when it has something to do.
    pub(crate) fn arm(&mut self, node: u32) {
        let it = &mut self.nodes[node as usize];
        if it.engine.is_none() {
            return;
        }
        let at = it.body.wants_wake();
        if at < it.body.armed && at != u64::MAX {
            it.body.armed = at;
            self.world.queue.push(at, Due::Wake(node));
        }
    }

    fn step(&mut self, node: u32, input: Input<E>) {
        let it = &mut self.nodes[node as usize];
        let Some(engine) = &mut it.engine else { return };
        let id = it.body.id;
        let world = &mut self.world;
        if world.trace.has_text() && !matches!(input, Input::Flush) {
            world.trace.say(world.now, Some(id), format_args!("{input}"));
        }
        let kind = kind(&input);
        let now = it.body.clock.shows(world.now);
        let mut effects = std::mem::take(&mut self.effects);
        engine.step(&mut Context::new(now, &mut it.body.random, &mut effects), input);
        if kind == FLUSH {
            world.trace.event(world.now, node, kind | (effects.len() as u64) << 8);
        } else {
            world.event(node, kind | (effects.len() as u64) << 8);
        }
        if world.trace.has_text() {
            for effect in &effects {
                world.trace.say(world.now, Some(id), format_args!("    {effect}"));
            }
        }
        let stepped = Stepped { node: id, now, effects: &effects, after: engine };
        if let Err(violation) = self.invariants.stepped(&stepped, &mut world.sometimes) {
            self.verdict = Verdict::Violated(violation);
        }
        for effect in effects.drain(..) {
            self.perform(node, effect);
        }
        self.effects = effects;
    }

    /// The one place where effects are told apart.
    fn perform(&mut self, node: u32, effect: Effect<E>) {
        let it = &mut self.nodes[node as usize];
        let body = &mut it.body;
        match effect {
            Effect::Persist(record) => body.disk.write(record),
            Effect::Send { to: To::Node(to), message, .. } if to == body.id => {
                self.hold(node, When::Held, Held::SendSelf(message));
            }
            Effect::Send { to: To::Node(to), message, when } => {
                if let Some(to) = self.world.index(to) {
                    self.send(node, to, message, when);
                }
            }
            Effect::Send { to: To::Others, message, when } => {
                for to in (0..self.nodes.len() as u32).filter(|to| *to != node) {
                    self.send(node, to, message.clone(), when);
                }
            }
            Effect::SetTimer { timer, after } => {
                body.timers.set(timer, body.clock.after(self.world.now, after));
            }
            Effect::CancelTimer(timer) => body.timers.cancel(timer),
            Effect::StartTask { id, task, when } => {
                self.hold(node, when, Held::StartTask { id, task });
            }
            Effect::AbortTask(id) => {
                body.held
                    .cancel(|held| matches!(held, Held::StartTask { id: it, .. } if *it == id));
                if let Some(app) = &mut it.app {
                    app.abort(&mut Desk { index: node, body, world: &mut self.world }, id);
                }
            }
            Effect::Emit { event, when } => self.hold(node, when, Held::Emit(event)),
        }
    }

    fn send(&mut self, from: u32, to: u32, message: E::Message, when: When) {
        match self.world.route(from, to, &message) {
            Some(route) => self.hold(from, when, Held::Send { to, route, message }),
            None => self.world.counts.lost += 1,
        }
    }

    /// Performs an effect now, or once what was persisted before it is durable.
    fn hold(&mut self, node: u32, when: When, effect: Held<E>) {
        let body = &mut self.nodes[node as usize].body;
        if when == When::Held && body.must_hold() {
            body.held.hold(body.disk.written(), effect);
        } else {
            self.perform_held(node, effect);
        }
    }

    /// Performs an effect that waits no longer.
    pub(crate) fn perform_held(&mut self, node: u32, effect: Held<E>) {
        let id = self.nodes[node as usize].body.id;
        self.took_place(node, &effect.as_asked(id, &self.world.ids));
        let it = &mut self.nodes[node as usize];
        let (body, world) = (&mut it.body, &mut self.world);
        match effect {
            Held::Send { to, route, message } => world.send(node, to, route, message, &body.blobs),
            Held::SendSelf(message) => {
                body.inbox.push_back(Input::Message { from: body.id, message });
            }
            Held::StartTask { id, task } => {
                if let Some(app) = &mut it.app {
                    app.task(&mut Desk { index: node, body, world }, id, task);
                }
            }
            Held::Emit(event) => {
                if let Some(app) = &mut it.app {
                    app.event(&mut Desk { index: node, body, world }, event);
                }
            }
        }
    }

    /// Tells the invariants what becomes durable when the sync under way ends, or when a crash
    /// leaves this many records that were at risk.
    pub(crate) fn made_durable(&mut self, node: u32, survivors: Option<u64>) {
        for record in self.nodes[node as usize].body.disk.to_come(survivors) {
            self.took_place(node, &Effect::Persist(record));
        }
    }

    fn took_place(&mut self, node: u32, effect: &Effect<E>) {
        let id = self.nodes[node as usize].body.id;
        if let Err(violation) = self.invariants.performed(id, effect) {
            self.world.violated(violation);
        }
    }
}

const FLUSH: u64 = 8;

/// The kind of an input, for the hash.
fn kind<E: Engine>(input: &Input<E>) -> u64 {
    match input {
        Input::Start => 0,
        Input::Message { from, .. } => 1 | from.0 << 32,
        Input::Timer(_) => 2,
        Input::Request { token, .. } => 3 | token.0 << 32,
        Input::Cancel(token) => 4 | token.0 << 32,
        Input::Link { peer, .. } => 5 | peer.0 << 32,
        Input::TaskDone { id, .. } => 6 | id.0 << 32,
        Input::Applied(position) => 7 | position << 32,
        Input::Flush => FLUSH,
    }
}
