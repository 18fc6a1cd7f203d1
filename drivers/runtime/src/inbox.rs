//! What other threads and tasks have for the core: how far the disk came, what peers said, what tasks
//! reported. The core takes all of it at once, at the start of a turn.
//!
//! Next: [`crate::core`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synod_engine::{Engine, GroupId, Incarnation, NodeId, Position, TaskId};
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
    /// Groups whose snapshots would make the log shorter, which is too long.
    pub(crate) crowding: Vec<GroupId>,
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
            crowding: Vec::new(),
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
        taken.crowding.append(&mut arrivals.crowding);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use synod_raft::Raft;

    use super::*;

    fn beat(inbox: &Inbox<Raft>, bytes: usize) {
        inbox.put(|arrivals| {
            arrivals.bytes += bytes;
            let (peer, session) = (NodeId(2), 1);
            arrivals.control.push_back(Control::Closed { peer, session });
        });
    }

    #[tokio::test]
    async fn who_brings_messages_waits_until_there_is_room() {
        let inbox = Inbox::new(Arc::default(), 100);
        beat(&inbox, 99);
        inbox.room().await;
        beat(&inbox, 1);
        let patience = Duration::from_millis(20);
        assert!(tokio::time::timeout(patience, inbox.room()).await.is_err(), "it is full");
        let mut taken = Arrivals::default();
        tokio::join!(inbox.room(), async { inbox.take(&mut taken) });
        assert_eq!((taken.control.len(), taken.bytes), (2, 0));
    }

    #[tokio::test]
    async fn what_is_not_worked_off_keeps_the_next_waiting_where_it_is_counted() {
        let inbox = Inbox::new(Arc::default(), 100);
        let mut taken = Arrivals::default();
        beat(&inbox, 60);
        inbox.take(&mut taken);
        beat(&inbox, 100);
        inbox.put(|arrivals| arrivals.durable = Position(7));
        inbox.take(&mut taken);
        assert_eq!(taken.control.len(), 1, "the core is behind");
        assert_eq!(taken.durable, Position(7), "what may be overwritten never waits");
        let patience = Duration::from_millis(20);
        assert!(tokio::time::timeout(patience, inbox.room()).await.is_err(), "it still counts");
        taken.control.clear();
        inbox.take(&mut taken);
        assert_eq!(taken.control.len(), 1);
        inbox.room().await;
    }

    #[test]
    fn the_first_reason_to_stop_stays_unless_it_was_graceful() {
        let inbox = Inbox::<Raft>::new(Arc::default(), 100);
        let mut taken = Arrivals::default();
        inbox.stop(Stop::Gracefully);
        inbox.stop(Stop::Fatal("first".into()));
        inbox.stop(Stop::Fatal("second".into()));
        inbox.take(&mut taken);
        assert_eq!(taken.stop, Some(Stop::Fatal("first".into())));
    }
}
