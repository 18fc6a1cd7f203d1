//! The apply thread: the state machine, fed from one ordered queue of commits, installs, reads and
//! snapshots, so that deciding never waits for applying.
//!
//! The core bounds the queue: while too much waits, requests are refused.
//!
//! Next: [`crate::blobs::file`], where snapshots are written.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use synod_consensus::{
    Batch, Index, Outcome, Output, Payload, ReplicatedLog, Snapshot, StateMachine,
};
use synod_engine::TaskId;
use tracing::{error, info, warn};

use crate::blobs::{Claim, Store, file};
use crate::inbox::{Control, Inbox, Stop};
use crate::metrics::Metrics;
use crate::{Answer, Reply};

/// Answers are delivered in runs of at most this many.
const RUN: usize = 512;

/// What the apply thread does, in order.
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
}

/// The queue between the core and the apply thread.
pub(crate) struct Queue<S: StateMachine, R> {
    waiting: Mutex<Waiting<S, R>>,
    changed: Condvar,
    unapplied: AtomicUsize,
}

struct Waiting<S: StateMachine, R> {
    works: Vec<Work<S, R>>,
    closed: bool,
}

impl<S: StateMachine, R> Default for Queue<S, R> {
    fn default() -> Self {
        let waiting = Waiting { works: Vec::new(), closed: false };
        Self {
            waiting: Mutex::new(waiting),
            changed: Condvar::new(),
            unapplied: AtomicUsize::new(0),
        }
    }
}

impl<S: StateMachine, R> Queue<S, R> {
    /// Moves `works` to the end of the queue.
    pub(crate) fn append(&self, works: &mut Vec<Work<S, R>>) {
        if works.is_empty() {
            return;
        }
        let size = works.iter().map(Work::size).sum();
        self.unapplied.fetch_add(size, Ordering::Relaxed);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.works.append(works);
        drop(waiting);
        self.changed.notify_one();
    }

    /// How many entries and reads wait.
    pub(crate) fn unapplied(&self) -> usize {
        self.unapplied.load(Ordering::Relaxed)
    }

    /// No more will come; what waits is still done, unless it is `lost`.
    pub(crate) fn close(&self, lost: bool) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.closed = true;
        if lost {
            waiting.works.clear();
        }
        drop(waiting);
        self.changed.notify_one();
    }

    fn take(&self, works: &mut Vec<Work<S, R>>) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.works.is_empty() && !waiting.closed {
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut waiting.works, works);
        !works.is_empty()
    }
}

/// The state machine and what it needs.
pub(crate) struct Replica<L: ReplicatedLog, S: StateMachine, R> {
    pub(crate) state: S,
    pub(crate) queue: Arc<Queue<S, R>>,
    pub(crate) inbox: Arc<Inbox<L>>,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) applied: Index,
    pub(crate) answers: Vec<(R, Answer<S>)>,
    /// The thread that writes the newest snapshot.
    pub(crate) writer: Option<JoinHandle<()>>,
    /// The node has stopped: a snapshot is not finished.
    pub(crate) stopped: Arc<AtomicBool>,
}

impl<L, S, R> Replica<L, S, R>
where
    L: ReplicatedLog + 'static,
    L::Message: Send,
    L::Record: Send,
    S: StateMachine,
    S::Frozen: Send + 'static,
    R: Reply<S>,
{
    /// The thread. A state machine that panics stops the node.
    pub(crate) fn run(mut self) {
        let inbox = self.inbox.clone();
        let work = std::panic::AssertUnwindSafe(|| self.serve());
        if std::panic::catch_unwind(work).is_err() {
            let why =
                "the state machine panicked while it applied a command: a bug; the log is intact";
            inbox.stop(Stop::Fatal(why.into()));
        }
        // Nothing is written once the directory is unlocked.
        if let Some(Err(_)) = self.writer.take().map(JoinHandle::join) {
            warn!("the thread that wrote a snapshot panicked");
        }
    }

    fn serve(&mut self) {
        let mut works = Vec::new();
        while self.queue.take(&mut works) {
            for work in works.drain(..) {
                let size = work.size();
                let done = self.perform(work);
                self.queue.unapplied.fetch_sub(size, Ordering::Relaxed);
                if let Err(why) = done {
                    self.inbox.stop(Stop::Damaged(why));
                    return;
                }
            }
            R::all(self.answers.drain(..));
            self.inbox.applied(self.applied.0);
        }
    }

    fn perform(&mut self, work: Work<S, R>) -> Result<(), String> {
        match work {
            Work::Commit { batch, replies } => self.commit(&batch, replies),
            Work::Read(reads) => {
                for (query, reply) in reads {
                    let answer = Outcome::Done(self.state.read(&query));
                    self.answer(reply, Answer::Read(answer));
                }
            }
            Work::Install(snapshot, claim) => {
                self.state = file::read(&claim, snapshot.blob)?;
                self.applied = snapshot.index;
                self.metrics.installs.inc();
                info!(%snapshot, "installed");
            }
            Work::Snapshot(id) => self.snapshot(id),
        }
        Ok(())
    }

    fn commit(&mut self, batch: &Batch, replies: Vec<(Index, R)>) {
        assert_eq!(batch.first(), self.applied.next(), "entries are committed in order, once");
        let mut replies = replies.into_iter().peekable();
        for (index, payload) in batch.iter() {
            let Payload::Command(command) = payload else { continue };
            let response = self.state.apply(index, command);
            if let Some((_, reply)) = replies.next_if(|(own, _)| *own == index) {
                self.answer(reply, Answer::Written(Outcome::Done(response)));
            }
        }
        self.applied = batch.last();
    }

    fn answer(&mut self, reply: R, answer: Answer<S>) {
        self.answers.push((reply, answer));
        if self.answers.len() >= RUN {
            R::all(self.answers.drain(..));
        }
    }

    /// Freezes the state here, writes it on a thread of its own.
    fn snapshot(&mut self, id: TaskId) {
        let (frozen, index) = (self.state.freeze(), self.applied);
        let (inbox, store, metrics) =
            (self.inbox.clone(), self.store.clone(), self.metrics.clone());
        let stopped = self.stopped.clone();
        let write = move || {
            let (output, claim) = match file::write::<S>(&store, &frozen, &stopped) {
                Ok((blob, claim)) => {
                    metrics.snapshots.inc();
                    info!(%index, %blob, "snapshot written");
                    (Output::Snapshot { index, blob }, Some(claim))
                }
                Err(error) => {
                    warn!("no snapshot could be written: {error}; the log keeps what it has");
                    (Output::SnapshotFailed, None)
                }
            };
            inbox.put(|arrivals| {
                arrivals.control.push_back(Control::TaskDone { id, output, claim });
            });
        };
        match thread::Builder::new().name("synod-snapshot".into()).spawn(write) {
            Ok(writer) => self.writer = Some(writer),
            Err(error) => {
                error!("no thread for a snapshot: {error}");
                let output = Output::SnapshotFailed;
                let done = Control::TaskDone { id, output, claim: None };
                self.inbox.put(|arrivals| arrivals.control.push_back(done));
            }
        }
    }
}
