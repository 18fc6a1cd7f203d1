//! Who applies: a few threads that share the state machines of all groups.
//!
//! Each group has a lane of work, done in order. A thread takes a group that has work, does a bounded
//! piece of it, and puts the group at the end of the row. No two threads work for the same group, and
//! one that is stuck in a slow state machine leaves the row to the others: with `apply_threads` threads,
//! one fewer groups may be stuck at a time before others wait. Only what the state machine calls brief may
//! the core do by itself, and only a little of it at a time: a thread that sleeps takes longer to wake.
//!
//! Next: [`crate::replica`], the state machine of one group.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use synod_consensus::{
    Batch, Index, Outcome, Payload, Refusal, ReplicatedLog, Snapshot, StateMachine,
};
use synod_engine::TaskId;

use crate::blobs::Claim;
use crate::budget::Budget;
use crate::groups::Place;
use crate::hosted::{HostedLog, HostedState};
use crate::inbox::{Inbox, Stop};
use crate::replica::Replica;
use crate::{Answer, Reply};

/// Entries and reads of one group after which another has its turn.
const PIECE: usize = 4096;

/// Entries and reads that the core does by itself, if they are brief and the group has no other work.
const BRIEF: usize = 32;

/// What is done with a state machine, in order.
pub(crate) enum Work<S: StateMachine, R> {
    /// Apply these entries; some have somebody who waits.
    Commit { batch: Batch, replies: Vec<(Index, R)> },
    /// Answer these.
    Read(Vec<(S::Query, R)>),
    /// Replace the state by a snapshot, whose bytes stay until then.
    Install(Snapshot, Claim),
    /// Freeze the state and write it in the background.
    Snapshot(TaskId),
}

impl<S: StateMachine, R> Work<S, R> {
    fn size(&self) -> usize {
        match self {
            Self::Commit { batch, .. } => batch.len(),
            Self::Read(reads) => reads.len(),
            Self::Install(..) | Self::Snapshot(_) => 1,
        }
    }

    /// Whether `state` does it in some microseconds for each entry or read.
    fn is_brief(&self, state: &S) -> bool {
        match self {
            Self::Commit { batch, .. } => batch.iter().all(|(_, payload)| match payload {
                Payload::Command(command) => state.is_brief(command),
                Payload::Noop | Payload::Members(_) => true,
            }),
            Self::Read(reads) => reads.iter().all(|(query, _)| state.is_brief_query(query)),
            Self::Install(..) | Self::Snapshot(_) => false,
        }
    }

    /// Answers whoever waits for work that will not be done: a write has taken effect, though with what
    /// result nobody knows; a read changed nothing.
    fn abandon(self, answers: &mut Vec<(R, Answer<S>)>) {
        match self {
            Self::Commit { replies, .. } => {
                let replies = replies.into_iter();
                answers
                    .extend(replies.map(|(_, reply)| (reply, Answer::Written(Outcome::Unknown))));
            }
            Self::Read(reads) => {
                let refusal = Refusal::NotLeader { leader: None };
                let refused = |(_, reply)| (reply, Answer::Read(Outcome::Refused(refusal)));
                answers.extend(reads.into_iter().map(refused));
            }
            Self::Install(..) | Self::Snapshot(_) => {}
        }
    }
}

/// The row of groups that have work, and the work itself.
pub(crate) struct Pool<L: ReplicatedLog, S: StateMachine, R> {
    row: Mutex<Row<L, S, R>>,
    changed: Condvar,
    /// Entries and reads that wait, of each group.
    unapplied: Vec<AtomicUsize>,
    budget: Budget,
}

struct Row<L: ReplicatedLog, S: StateMachine, R> {
    lanes: Vec<Lane<L, S, R>>,
    /// Groups that have work and that nobody works for.
    ready: VecDeque<Place>,
    closed: bool,
    lost: bool,
}

struct Lane<L: ReplicatedLog, S: StateMachine, R> {
    works: VecDeque<Work<S, R>>,
    /// `None` while a thread works with it.
    replica: Option<Box<Replica<L, S, R>>>,
}

/// The group that a thread works for, and what it works with.
type Taken<L, S, R> = (Place, Box<Replica<L, S, R>>);

impl<L: ReplicatedLog, S: StateMachine, R> Pool<L, S, R> {
    /// A pool for these replicas, place by place, that is full at `max_unapplied` entries and reads.
    pub(crate) fn new(replicas: Vec<Replica<L, S, R>>, max_unapplied: usize) -> Self {
        let groups = replicas.len();
        let lanes = replicas
            .into_iter()
            .map(|replica| Lane { works: VecDeque::new(), replica: Some(Box::new(replica)) });
        let lanes = lanes.collect();
        let row = Row { lanes, ready: VecDeque::new(), closed: false, lost: false };
        Self {
            row: Mutex::new(row),
            changed: Condvar::new(),
            unapplied: (0..groups).map(|_| AtomicUsize::new(0)).collect(),
            budget: Budget::new(max_unapplied, groups),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Row<L, S, R>> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many entries and reads of all groups wait.
    pub(crate) fn unapplied(&self) -> usize {
        self.budget.used()
    }

    /// Whether a group may be given more.
    pub(crate) fn has_room(&self, place: Place) -> bool {
        self.budget.has_room(self.unapplied[place.0].load(Ordering::Relaxed), 1)
    }

    fn done(&self, place: Place, size: usize) {
        self.unapplied[place.0].fetch_sub(size, Ordering::Relaxed);
        self.budget.give_back(size);
    }
}

impl<L: HostedLog, S: HostedState, R: Reply<S>> Pool<L, S, R> {
    /// Moves `works` to the ends of their lanes. A little work that is [brief](StateMachine::is_brief), for
    /// a group that has no other, is done at once on this thread, which costs less than to wake another;
    /// true if so.
    pub(crate) fn append(&self, works: &mut Vec<(Place, Work<S, R>)>, inbox: &Inbox<L>) -> bool {
        let Some(&(place, _)) = works.first() else { return false };
        let Some(replica) = self.take_idle(place, works) else {
            self.hand_over(works);
            return false;
        };
        let mut works = works.drain(..).map(|(_, work)| work).collect();
        self.serve(place, replica, &mut works, 0, inbox);
        true
    }

    /// The state machine of a group that `works` are for, if they are brief and it has no others.
    fn take_idle(
        &self,
        place: Place,
        works: &[(Place, Work<S, R>)],
    ) -> Option<Box<Replica<L, S, R>>> {
        let is_little = works.iter().map(|(_, work)| work.size()).sum::<usize>() <= BRIEF;
        if !is_little || works.iter().any(|(other, _)| *other != place) {
            return None;
        }
        let mut row = self.lock();
        let is_closed = row.closed;
        let lane = &mut row.lanes[place.0];
        let is_idle = lane.works.is_empty() && !is_closed;
        let is_brief = |state: &S| is_idle && works.iter().all(|(_, work)| work.is_brief(state));
        lane.replica.take_if(|replica| is_brief(&replica.state))
    }

    fn hand_over(&self, works: &mut Vec<(Place, Work<S, R>)>) {
        let mut row = self.lock();
        if row.lost {
            drop(row);
            return abandon(works.drain(..).map(|(_, work)| work));
        }
        for (place, work) in works.drain(..) {
            let size = work.size();
            self.unapplied[place.0].fetch_add(size, Ordering::Relaxed);
            self.budget.take(size);
            let lane = &mut row.lanes[place.0];
            let was_idle = lane.works.is_empty() && lane.replica.is_some();
            lane.works.push_back(work);
            if was_idle {
                row.ready.push_back(place);
            }
        }
        let wake = !row.ready.is_empty();
        drop(row);
        if wake {
            self.changed.notify_one();
        }
    }

    /// No more will come; what waits is still done, unless it is `lost`.
    pub(crate) fn close(&self, lost: bool) {
        let mut row = self.lock();
        row.closed = true;
        row.lost |= lost;
        let mut rest = VecDeque::new();
        if lost {
            row.ready.clear();
            row.lanes.iter_mut().for_each(|lane| rest.append(&mut lane.works));
        }
        drop(row);
        self.changed.notify_all();
        abandon(rest);
    }

    /// One of the threads.
    pub(crate) fn run(&self, inbox: &Inbox<L>) {
        let mut works = VecDeque::new();
        while let Some((place, replica)) = self.next(&mut works) {
            let counted = works.iter().map(Work::size).sum();
            if !self.serve(place, replica, &mut works, counted, inbox) {
                return;
            }
        }
    }

    /// Does `works`, of which so many entries and reads are counted as waiting. A state machine that
    /// panics stops the node; false if it did, or cannot go on.
    fn serve(
        &self,
        place: Place,
        mut replica: Box<Replica<L, S, R>>,
        works: &mut VecDeque<Work<S, R>>,
        counted: usize,
        inbox: &Inbox<L>,
    ) -> bool {
        let served = catch_unwind(AssertUnwindSafe(|| replica.serve(works)));
        let failure = match served {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(Stop::Damaged(why)),
            Err(_) => Some(Stop::Fatal(
                "the state machine panicked while it applied a command: a bug; the log is intact"
                    .into(),
            )),
        };
        self.give_back(place, replica, counted);
        let Some(stop) = failure else { return true };
        inbox.stop(stop);
        abandon(works.drain(..));
        self.close(true);
        false
    }

    /// Waits for a group that has work; fills `works` with a piece of it. `None` when the pool is closed
    /// and nothing waits.
    fn next(&self, works: &mut VecDeque<Work<S, R>>) -> Option<Taken<L, S, R>> {
        let mut row = self.lock();
        loop {
            if let Some(place) = row.ready.pop_front() {
                let is_alone = row.lanes.len() == 1;
                let others_wait = !row.ready.is_empty();
                let lane = &mut row.lanes[place.0];
                let replica =
                    lane.replica.take().expect("a group that is ready is in nobody's hands");
                if is_alone {
                    std::mem::swap(&mut lane.works, works);
                } else {
                    let piece = piece(&lane.works);
                    works.extend(lane.works.drain(..piece));
                }
                drop(row);
                if others_wait {
                    self.changed.notify_one();
                }
                return Some((place, replica));
            }
            if row.closed {
                return None;
            }
            row = self.changed.wait(row).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, place: Place, replica: Box<Replica<L, S, R>>, done: usize) {
        // What is known to be applied is told before it stops to count as waiting.
        replica.tell();
        self.done(place, done);
        let mut row = self.lock();
        let lane = &mut row.lanes[place.0];
        lane.replica = Some(replica);
        if !lane.works.is_empty() {
            row.ready.push_back(place);
        }
    }

    /// Waits until nothing is written for any group any more. All threads have ended.
    pub(crate) fn finish(&self) {
        let replicas: Vec<_> =
            self.lock().lanes.iter_mut().filter_map(|lane| lane.replica.take()).collect();
        replicas.into_iter().for_each(|replica| replica.finish());
    }
}

/// How many works from the front make a piece.
fn piece<S: StateMachine, R>(works: &VecDeque<Work<S, R>>) -> usize {
    let mut size = 0;
    let whole = works.iter().position(|work| {
        size += work.size();
        size >= PIECE
    });
    whole.map_or(works.len(), |last| last + 1)
}

fn abandon<S: StateMachine, R: Reply<S>>(works: impl IntoIterator<Item = Work<S, R>>) {
    let mut answers = Vec::new();
    works.into_iter().for_each(|work| work.abandon(&mut answers));
    R::all(answers.drain(..));
}
