//! The bounded queue between all handles of a group and the core, and the bell that tells the core
//! which groups have callers.
//!
//! Next: [`crate::core`], which answers the bell.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synod_consensus::{Refusal, StateMachine, Status};
use tokio::sync::{Notify, watch};

use crate::budget::Budget;
use crate::groups::Place;
use crate::{Answer, Call, Leadership, Limits, NodeStatus};

/// Rung by the doors of all groups when somebody comes to an empty one.
pub(crate) struct Bell {
    rung: Mutex<Vec<Place>>,
    wake: Arc<Notify>,
    requests: Budget,
    bytes: Budget,
    max_command_bytes: usize,
}

impl Bell {
    /// The bell of `groups` groups; it wakes the core through `wake`.
    pub(crate) fn new(limits: &Limits, groups: usize, wake: Arc<Notify>) -> Self {
        Self {
            rung: Mutex::default(),
            wake,
            requests: Budget::new(limits.max_queued_requests, groups),
            bytes: Budget::new(limits.max_queued_request_bytes, groups),
            max_command_bytes: limits.max_command_bytes,
        }
    }

    fn ring(&self, place: Place) {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).push(place);
        self.wake.notify_one();
    }

    /// Moves the groups that have callers to the end of `calling`. A group may come up twice.
    pub(crate) fn take(&self, calling: &mut VecDeque<Place>) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        calling.extend(rung.drain(..));
    }
}

/// Where requests to one group wait for the core.
pub(crate) struct Door<S: StateMachine, R> {
    waiting: Mutex<Waiting<S, R>>,
    place: Place,
    bell: Arc<Bell>,
    status: watch::Sender<NodeStatus>,
    leadership: watch::Sender<Leadership>,
}

struct Waiting<S: StateMachine, R> {
    calls: VecDeque<Call<S, R>>,
    bytes: usize,
    closed: bool,
}

impl<S: StateMachine, R> Door<S, R> {
    /// The door of the group at `place`, with `status` published.
    pub(crate) fn new(place: Place, bell: Arc<Bell>, status: NodeStatus) -> Self {
        let NodeStatus { log: Status { role, leader, epoch, .. }, .. } = status;
        Self {
            waiting: Mutex::new(Waiting { calls: VecDeque::new(), bytes: 0, closed: false }),
            place,
            bell,
            status: watch::Sender::new(status),
            leadership: watch::Sender::new(Leadership { role, leader, epoch }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<S, R>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues what it can; returns the rest, refused.
    pub(crate) fn enter(&self, calls: impl IntoIterator<Item = Call<S, R>>) -> Vec<(R, Answer<S>)> {
        let mut refused = Vec::new();
        let bell = &*self.bell;
        let mut waiting = self.lock();
        let was_empty = waiting.calls.is_empty();
        for call in calls {
            let bytes = call.size_bytes();
            let refusal = if waiting.closed {
                Refusal::NotLeader { leader: None }
            } else if bytes > bell.max_command_bytes {
                Refusal::TooLarge { max_bytes: bell.max_command_bytes as u64 }
            } else if bell.requests.has_room(waiting.calls.len(), 1)
                && bell.bytes.has_room(waiting.bytes, bytes)
            {
                bell.requests.take(1);
                bell.bytes.take(bytes);
                waiting.bytes += bytes;
                waiting.calls.push_back(call);
                continue;
            } else {
                Refusal::Busy
            };
            refused.push(call.refuse(refusal));
        }
        let ring = was_empty && !waiting.calls.is_empty();
        drop(waiting);
        if ring {
            bell.ring(self.place);
        }
        refused
    }

    /// Moves all that wait to `calls`, which is empty: what is there waits here, and is counted and
    /// bounded here.
    pub(crate) fn take(&self, calls: &mut VecDeque<Call<S, R>>) {
        let mut waiting = self.lock();
        self.bell.requests.give_back(waiting.calls.len());
        self.bell.bytes.give_back(std::mem::take(&mut waiting.bytes));
        std::mem::swap(&mut waiting.calls, calls);
    }

    /// Refuses all calls from now on.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// How the group was when it was last published.
    pub(crate) fn status(&self) -> NodeStatus {
        self.status.borrow().clone()
    }

    /// Publishes how the group is.
    pub(crate) fn publish(&self, status: NodeStatus) {
        self.status.send_replace(status);
    }

    /// Follows who leads.
    pub(crate) fn leader_changes(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    /// Publishes who leads.
    pub(crate) fn publish_leadership(&self, leadership: Leadership) {
        self.leadership.send_replace(leadership);
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Drain;

    use bytes::Bytes;
    use synod_consensus::{Index, Outcome, RestoreError};

    use super::*;
    use crate::Reply;

    /// A state machine that nobody asks.
    struct Nothing;

    impl StateMachine for Nothing {
        type Response = ();
        type Query = ();
        type Answer = ();
        type Frozen = ();
        fn apply(&mut self, _: Index, _: &[u8]) {}
        fn read(&self, (): &()) {}
        fn freeze(&self) {}
        fn chunks((): &()) -> impl Iterator<Item = Bytes> {
            std::iter::empty()
        }
        fn restore(&self, _: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
            Ok(Self)
        }
    }

    struct Silent;

    impl Reply<Nothing> for Silent {
        fn written(self, _: Outcome<()>) {}
        fn read(self, _: Outcome<()>) {}
        fn operated(self, _: Outcome<()>) {}
        fn all(_: Drain<'_, (Self, Answer<Nothing>)>) {}
    }

    fn doors(groups: usize) -> (Vec<Door<Nothing, Silent>>, Arc<Bell>) {
        let limits = Limits {
            max_queued_requests: 12,
            max_queued_request_bytes: 100,
            max_command_bytes: 50,
            ..Limits::default()
        };
        let bell = Arc::new(Bell::new(&limits, groups, Arc::default()));
        let doors = (0..groups).map(|place| Door::new(Place(place), bell.clone(), status()));
        (doors.collect(), bell)
    }

    fn status() -> NodeStatus {
        let config = synod_raft::Config::new(synod_engine::NodeId(1), [synod_engine::NodeId(1)]);
        let raft = <synod_raft::Raft as synod_engine::Engine>::new(config);
        NodeStatus {
            log: synod_consensus::ReplicatedLog::status(&raft),
            incarnation: synod_engine::Incarnation(1),
            disk: crate::Disk::Ample,
            peers: Vec::new(),
        }
    }

    fn ask(door: &Door<Nothing, Silent>, bytes: usize) -> Option<Refusal> {
        let command = vec![0; bytes].into();
        let refused = door.enter([Call::Propose { command, reply: Silent }]).pop()?.1;
        match refused {
            Answer::Written(Outcome::Refused(refusal)) => Some(refusal),
            Answer::Written(_) | Answer::Read(_) | Answer::Operated(_) => {
                panic!("it was a proposal")
            }
        }
    }

    #[test]
    fn requests_at_the_door_are_bounded_in_number_and_bytes() {
        let (doors, bell) = doors(1);
        let door = &doors[0];
        assert_eq!(ask(door, 51), Some(Refusal::TooLarge { max_bytes: 50 }));
        assert_eq!((ask(door, 50), ask(door, 49)), (None, None));
        assert_eq!(ask(door, 2), Some(Refusal::Busy));
        assert_eq!((0..20).filter(|_| ask(door, 0).is_none()).count(), 10);
        let mut calling = VecDeque::new();
        bell.take(&mut calling);
        assert_eq!(calling, [Place(0)], "it rings for the first of many");
        let mut calls = VecDeque::new();
        door.take(&mut calls);
        assert_eq!(calls.len(), 12);
        assert_eq!(ask(door, 50), None, "there is room again");
        door.close();
        assert_eq!(ask(door, 1), Some(Refusal::NotLeader { leader: None }));
    }

    #[test]
    fn a_crowd_at_one_door_leaves_room_at_the_others() {
        let (doors, bell) = doors(3);
        let admitted = |door: usize| (0..20).filter(|_| ask(&doors[door], 0).is_none()).count();
        assert_eq!((admitted(0), admitted(1), admitted(2)), (6, 3, 2));
        let mut calling = VecDeque::new();
        bell.take(&mut calling);
        assert_eq!(calling, [Place(0), Place(1), Place(2)]);
        doors[0].take(&mut VecDeque::new());
        assert!(admitted(2) > 0);
    }
}
