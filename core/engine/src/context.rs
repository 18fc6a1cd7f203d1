//! What a driver lends an engine for one step.

use alloc::vec::Vec;
use core::time::Duration;

use crate::{Effect, Engine, Instant, NodeId, Random, TaskId, To, When};

/// The time, a random source, and the list that effects are left in.
pub struct Context<'a, E: Engine> {
    now: Instant,
    random: &'a mut Random,
    pub(crate) effects: &'a mut Vec<Effect<E>>,
}

impl<'a, E: Engine> Context<'a, E> {
    /// Lends these to one step. Effects are appended; the driver takes them out after the step.
    pub fn new(now: Instant, random: &'a mut Random, effects: &'a mut Vec<Effect<E>>) -> Self {
        Self { now, random, effects }
    }

    /// Monotonic time of this step.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The random source. It is the driver's: no state of the engine.
    pub fn random(&mut self) -> &mut Random {
        self.random
    }

    /// The same moment and the same chance for an engine inside this one, whose effects go elsewhere.
    pub(crate) fn within<'b, I: Engine>(
        &'b mut self,
        effects: &'b mut Vec<Effect<I>>,
    ) -> Context<'b, I> {
        Context { now: self.now, random: self.random, effects }
    }

    /// Makes `record` durable; every held effect from here on waits for it.
    pub fn persist(&mut self, record: E::Record) {
        self.effects.push(Effect::Persist(record));
    }

    /// Sends once everything persisted so far is durable.
    pub fn send(&mut self, to: NodeId, message: E::Message) {
        self.effects.push(Effect::Send { to: To::Node(to), message, when: When::Held });
    }

    /// Sends at once. Only messages that reveal no identity and no promise: see `message.rs` of the
    /// protocol for the reason why each may.
    pub fn send_now(&mut self, to: NodeId, message: E::Message) {
        self.effects.push(Effect::Send { to: To::Node(to), message, when: When::Now });
    }

    /// Sends to every other member once everything persisted so far is durable.
    pub fn send_others(&mut self, message: E::Message) {
        self.effects.push(Effect::Send { to: To::Others, message, when: When::Held });
    }

    /// Sets `timer` to fire `after` from now, replacing an earlier setting. Cheap.
    pub fn set_timer(&mut self, timer: E::Timer, after: Duration) {
        self.effects.push(Effect::SetTimer { timer, after });
    }

    /// Cancels `timer`, if it is set.
    pub fn cancel_timer(&mut self, timer: E::Timer) {
        self.effects.push(Effect::CancelTimer(timer));
    }

    /// Starts a task once everything persisted so far is durable.
    pub fn start_task(&mut self, id: TaskId, task: E::Task) {
        self.effects.push(Effect::StartTask { id, task, when: When::Held });
    }

    /// Aborts a task, started or still held.
    pub fn abort_task(&mut self, id: TaskId) {
        self.effects.push(Effect::AbortTask(id));
    }

    /// Tells the local user once everything persisted so far is durable.
    pub fn emit(&mut self, event: E::Event) {
        self.effects.push(Effect::Emit { event, when: When::Held });
    }

    /// Tells the local user at once.
    pub fn emit_now(&mut self, event: E::Event) {
        self.effects.push(Effect::Emit { event, when: When::Now });
    }

    /// Tells the local user at once of each of these, in their order.
    pub fn emit_all_now(&mut self, events: impl IntoIterator<Item = E::Event>) {
        events.into_iter().for_each(|event| self.emit_now(event));
    }
}
