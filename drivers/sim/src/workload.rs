//! Clients: actors outside the cluster.

use std::time::Duration;

use synod_engine::{Engine, Incarnation, NodeId, Violation};

use crate::life::Wipe;
use crate::queue::Due;
use crate::world::World;
use crate::{App, Dice, Verdict};

/// A client of the cluster, numbered by the workload as it likes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub u32);

/// All clients of a run. They talk to [`App`]s over links that delay and lose; virtual time orders
/// what they see, so histories can be recorded here.
pub trait Workload<E: Engine, A: App<E>> {
    /// The run begins: wake the clients that shall act.
    fn begin(&mut self, outside: &mut Outside<'_, E, A>);

    /// The time for which a client asked by [`Outside::wake`] has come.
    fn woken(&mut self, outside: &mut Outside<'_, E, A>, client: ClientId);

    /// An answer reaches a client. A call may be answered late, twice or never.
    fn answered(
        &mut self,
        outside: &mut Outside<'_, E, A>,
        client: ClientId,
        call: u64,
        answer: A::Answer,
    );

    /// The run is over: judge what the clients saw.
    fn finish(&mut self) -> Verdict {
        Verdict::Sound
    }
}

/// What the world lends a [`Workload`] for the length of one call.
pub struct Outside<'a, E: Engine, A: App<E>> {
    pub(crate) world: &'a mut World<E, A>,
}

impl<E: Engine, A: App<E>> Outside<'_, E, A> {
    /// Virtual time since the run began.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.world.now)
    }

    /// Chance, of the stream that all clients share.
    pub fn dice(&mut self) -> &mut Dice {
        &mut self.world.dice.clients
    }

    /// All nodes, in the order of their ids.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.world.ids
    }

    /// Asks the app of `node` something; the call travels, and may be lost. Its number comes back
    /// with the answer.
    pub fn call(&mut self, client: ClientId, node: NodeId, call: A::Call) -> u64 {
        self.world.call(client, node, call)
    }

    /// Calls [`Workload::woken`] after this time.
    pub fn wake(&mut self, client: ClientId, after: Duration) {
        self.world.wake_client(client, after.as_nanos() as u64);
    }

    /// Has a node lose all that it had, at once: see [`Sim::wipe`](crate::Sim::wipe). It comes back by
    /// itself, as [`Sim::with_wipes`](crate::Sim::with_wipes) says, and counts again for those who are
    /// [told](crate::Desk::contacts) of its new incarnation.
    pub fn wipe(&mut self, node: NodeId, wipe: Wipe) {
        if let Some(node) = self.world.index(node) {
            self.world.queue.push(self.world.now, Due::Wipe(node, wipe));
        }
    }

    /// Which life of its directory a node has now.
    #[must_use]
    pub fn incarnation(&mut self, node: NodeId) -> Option<Incarnation> {
        let node = self.world.index(node)?;
        Some(self.world.network.acquaintances().incarnation(node))
    }

    /// Counts an interesting point.
    pub fn reached(&mut self, point: &'static str) {
        self.world.sometimes.reached(point);
    }

    /// Ends the run: something happened that must never happen.
    pub fn violated(&mut self, violation: Violation) {
        self.world.violated(violation);
    }
}

/// No clients.
impl<E: Engine, A: App<E>> Workload<E, A> for () {
    fn begin(&mut self, _: &mut Outside<'_, E, A>) {}
    fn woken(&mut self, _: &mut Outside<'_, E, A>, _: ClientId) {}
    fn answered(&mut self, _: &mut Outside<'_, E, A>, _: ClientId, _: u64, _: A::Answer) {}
}
