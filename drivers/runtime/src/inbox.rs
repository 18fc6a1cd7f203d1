//! What other threads and tasks have for the core: how far the disk came, what peers said, what tasks
//! reported. The core takes all of it at once, at the start of a turn.
//!
//! Next: [`crate::core`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synod_engine::{Engine, Incarnation, NodeId, Position, TaskId};
use tokio::sync::Notify;

use crate::blobs::Claim;
use crate::groups::Place;
use crate::{Disk, StopReason};

/// Waiting for the core.
pub(crate) struct Inbox<E: Engine> {
    arrivals: Mutex<Arrivals<E>>,
    wake: Arc<Notify>,
    room: Notify,
    max_bytes: usize,
}

/// All that waits. What may be overwritten by a later value is a field, the rest is in queues.
pub(crate) struct Arrivals<E: Engine> {
    /// How far the disk has come, in records of all groups.
    pub(crate) durable: Position,
    /// How far state machines have come: at most one entry for each run of work they were given.
    pub(crate) applied: Vec<(Place, u64)>,
    /// Taken in first: links, finished tasks, messages of the lowest lane.
    pub(crate) control: VecDeque<Control<E>>,
    /// Messages of the other lanes.
    pub(crate) messages: VecDeque<Arrived<E>>,
    /// Bytes of all messages in both queues.
    pub(crate) bytes: usize,
    /// The state of the disk, if it was looked at.
    pub(crate) disk: Option<Disk>,
    /// Whether the log waits for space, if that changed.
    pub(crate) log_full: Option<bool>,
    /// The node shall stop.
    pub(crate) stop: Option<Stop>,
}

/// What is taken in first.
pub(crate) enum Control<E: Engine> {
    /// A session began, with the peer in this life of its directory.
    Opened {
        peer: NodeId,
        session: u64,
        life: Incarnation,
    },
    /// A session ended.
    Closed {
        peer: NodeId,
        session: u64,
    },
    Message(Arrived<E>),
    /// With a claim on the blob that the output names, if it names one.
    TaskDone {
        place: Place,
        id: TaskId,
        output: E::Output,
        claim: Option<Claim>,
    },
}

/// A message from a peer.
pub(crate) struct Arrived<E: Engine> {
    /// The group that it is for.
    pub(crate) place: Place,
    pub(crate) from: NodeId,
    /// The session of the link that it came by; `None` if it came with an attachment.
    pub(crate) session: Option<u64>,
    pub(crate) message: E::Message,
    /// On its attachment, if it has one.
    pub(crate) claim: Option<Claim>,
}

/// How the node shall stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// Finish what was begun.
    Gracefully,
    /// At once, as if it were killed.
    Abruptly,
    /// At once, because what was written is damaged.
    Damaged(String),
    /// At once, because it cannot go on.
    Fatal(String),
}

impl From<Stop> for StopReason {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Gracefully | Stop::Abruptly => Self::Shutdown,
            Stop::Damaged(why) => Self::Damaged(why),
            Stop::Fatal(why) => Self::Fatal(why),
        }
    }
}

impl<E: Engine> Default for Arrivals<E> {
    fn default() -> Self {
        Self {
            durable: Position::default(),
            applied: Vec::new(),
            control: VecDeque::new(),
            messages: VecDeque::new(),
            bytes: 0,
            disk: None,
            log_full: None,
            stop: None,
        }
    }
}

impl<E: Engine> Inbox<E> {
    /// An empty inbox that wakes the core through `wake`.
    pub(crate) fn new(wake: Arc<Notify>, max_bytes: usize) -> Self {
        Self { arrivals: Mutex::default(), wake, room: Notify::new(), max_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Arrivals<E>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves something and wakes the core.
    pub(crate) fn put(&self, leave: impl FnOnce(&mut Arrivals<E>)) {
        leave(&mut self.lock());
        self.wake.notify_one();
    }

    /// Takes note of what a group has applied. The core learns of it when it wakes for another reason,
    /// which it does soon while anything is being applied: nobody waits for this.
    pub(crate) fn applied(&self, place: Place, index: u64) {
        self.lock().applied.push((place, index));
    }

    /// The node shall stop; the first reason stays, but nothing stays graceful after a failure.
    pub(crate) fn stop(&self, stop: Stop) {
        self.put(|arrivals| match &arrivals.stop {
            None | Some(Stop::Gracefully) => arrivals.stop = Some(stop),
            Some(Stop::Abruptly | Stop::Damaged(_) | Stop::Fatal(_)) => {}
        });
    }

    /// Moves everything into `taken`; links, tasks and messages only once those taken before are worked
    /// off, so that what waits is counted and bounded here.
    pub(crate) fn take(&self, taken: &mut Arrivals<E>) {
        let mut arrivals = self.lock();
        taken.durable = taken.durable.max(arrivals.durable);
        taken.applied.append(&mut arrivals.applied);
        taken.disk = arrivals.disk.take().or(taken.disk);
        taken.log_full = arrivals.log_full.take().or(taken.log_full);
        taken.stop = arrivals.stop.take().or(taken.stop.take());
        if !(taken.control.is_empty() && taken.messages.is_empty()) {
            return;
        }
        taken.control.append(&mut arrivals.control);
        taken.messages.append(&mut arrivals.messages);
        let was_full = std::mem::take(&mut arrivals.bytes) >= self.max_bytes;
        drop(arrivals);
        if was_full {
            self.room.notify_waiters();
        }
    }

    /// Waits until there is room for more messages.
    pub(crate) async fn room(&self) {
        loop {
            let room = self.room.notified();
            if self.lock().bytes < self.max_bytes {
                return;
            }
            room.await;
        }
    }
}
