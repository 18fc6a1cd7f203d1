//! The local user of an engine, and what a node lends it.

use std::time::Duration;

use bytes::Bytes;
use synod_engine::{Blob, Engine, Incarnation, Input, NodeId, TaskId, Token, Violation};

use crate::blobs::{self, Pieces};
use crate::node::Body;
use crate::world::{Later, World};
use crate::{ClientId, Dice};

/// What stands above an engine on its node: hears its events, does its tasks, answers clients.
///
/// It dies with its node; [`start`](Self::start) makes a new one for each life. What must survive
/// goes into blobs.
pub trait App<E: Engine>: Sized {
    /// What it is made from.
    type Config;
    /// What a client asks of it.
    type Call;
    /// What it answers.
    type Answer;

    /// A new life begins: the engine was rebuilt and starts next.
    fn start(config: &Self::Config, desk: &mut Desk<'_, E, Self>) -> Self;

    /// The engine tells something.
    fn event(&mut self, desk: &mut Desk<'_, E, Self>, event: E::Event);

    /// The engine starts a task: submit [`Input::TaskDone`] when it is done.
    fn task(&mut self, desk: &mut Desk<'_, E, Self>, id: TaskId, task: E::Task);

    /// The engine no longer wants a task.
    fn abort(&mut self, desk: &mut Desk<'_, E, Self>, id: TaskId) {
        let _ = (desk, id);
    }

    /// A client asks something.
    fn call(&mut self, desk: &mut Desk<'_, E, Self>, caller: Caller, call: Self::Call);

    /// An alarm set by [`Desk::alarm`] goes off.
    fn alarm(&mut self, desk: &mut Desk<'_, E, Self>, tag: u64) {
        let _ = (desk, tag);
    }

    /// A blob given to [`Desk::write_blob`] is durable.
    fn written(&mut self, desk: &mut Desk<'_, E, Self>, blob: Blob) {
        let _ = (desk, blob);
    }

    /// Whether this node leads, so that faults can be aimed and counted.
    fn leads(&self) -> bool {
        false
    }
}

/// Who asked, and which of its calls it was.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Caller {
    /// Who.
    pub client: ClientId,
    /// Which of its calls.
    pub call: u64,
}

/// What a node lends its [`App`] for the length of one call.
pub struct Desk<'a, E: Engine, A: App<E>> {
    pub(crate) index: u32,
    pub(crate) body: &'a mut Body<E>,
    pub(crate) world: &'a mut World<E, A>,
}

impl<E: Engine, A: App<E>> Desk<'_, E, A> {
    /// This node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.body.id
    }

    /// Which life of this node this is; later ones have higher numbers.
    #[must_use]
    pub fn life(&self) -> u32 {
        self.body.life
    }

    /// Virtual time since the run began.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.world.now)
    }

    /// Chance, of the stream that all apps share.
    pub fn dice(&mut self) -> &mut Dice {
        &mut self.world.dice.apps
    }

    /// Gives the engine an input, after what already waits for it.
    pub fn submit(&mut self, input: Input<E>) {
        self.body.inbox.push_back(input);
    }

    /// Gives the engine an input later, if this life lasts.
    pub fn submit_after(&mut self, after: Duration, input: Input<E>) {
        let life = self.body.life;
        self.world.later(after.as_nanos() as u64, Later::Input { node: self.index, life, input });
    }

    /// Asks the engine for something.
    pub fn request(&mut self, token: Token, request: E::Request) {
        self.submit(Input::Request { token, request });
    }

    /// Calls [`App::alarm`] later, if this life lasts.
    pub fn alarm(&mut self, after: Duration, tag: u64) {
        let life = self.body.life;
        self.world.later(after.as_nanos() as u64, Later::Alarm { node: self.index, life, tag });
    }

    /// Answers a client; the answer travels, and may be lost.
    pub fn answer(&mut self, caller: Caller, answer: A::Answer) {
        self.world.answer(caller, answer);
    }

    /// Writes a blob. [`App::written`] is called once it is durable; a crash before that loses it.
    pub fn write_blob(&mut self, pieces: impl IntoIterator<Item = Bytes>) -> Blob {
        let pieces: Pieces = pieces.into_iter().collect();
        let blob = blobs::handle(self.world.dice.disk.bits(), &pieces);
        let life = self.body.life;
        let after = self.world.sync_time(&self.body.disk);
        self.world.later(after, Later::Written { node: self.index, life, blob, pieces });
        blob
    }

    /// The bytes of a durable blob of this node.
    #[must_use]
    pub fn blob(&self, blob: Blob) -> Option<&Pieces> {
        self.body.blobs.get(blob)
    }

    /// This node's peers are meant to be these incarnations, and no others, from here on; peers that are
    /// not named are known by first acquaintance.
    pub fn contacts(&mut self, contacts: impl Iterator<Item = (NodeId, Incarnation)>) {
        self.world.told_contacts(self.index, contacts);
    }

    /// These of its durable records, counted from 1, the first that its engine replayed in this life, or
    /// persisted if there was none to replay; `None` if a checkpoint has let some of them go.
    #[must_use]
    pub fn records(&self, first: u64, last: u64) -> Option<&[E::Record]> {
        self.body.disk.counted(first, last)
    }

    /// Whether this node's disk has little space left: nothing may be written that can be refused.
    #[must_use]
    pub fn disk_is_full(&self) -> bool {
        self.body.disk.is_full(self.world.now)
    }

    /// Counts an interesting point.
    pub fn reached(&mut self, point: &'static str) {
        self.world.sometimes.reached(point);
    }

    /// Ends the run: something happened that must never happen.
    pub fn violated(&mut self, invariant: &'static str, detail: String) {
        self.world.violated(Violation { invariant, detail });
    }
}

/// No local user: events fall on deaf ears, tasks never end.
impl<E: Engine> App<E> for () {
    type Config = ();
    type Call = ();
    type Answer = ();

    fn start((): &(), _: &mut Desk<'_, E, Self>) -> Self {}
    fn event(&mut self, _: &mut Desk<'_, E, Self>, _: E::Event) {}
    fn task(&mut self, _: &mut Desk<'_, E, Self>, _: TaskId, _: E::Task) {}
    fn call(&mut self, desk: &mut Desk<'_, E, Self>, caller: Caller, (): ()) {
        desk.answer(caller, ());
    }
}
