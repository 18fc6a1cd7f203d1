//! The state machine of one group, fed from one ordered queue of commits, installs, reads and
//! snapshots, so that deciding never waits for applying.
//!
//! Next: [`crate::apply`], whose threads do this work; [`crate::blobs::file`], where snapshots are
//! written.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};

use synod_consensus::{Batch, Index, Outcome, Output, Payload, ReplicatedLog, StateMachine};
use synod_engine::TaskId;
use tracing::{error, info, warn};

use crate::apply::Work;
use crate::blobs::{Store, file};
use crate::groups::Place;
use crate::hosted::{HostedLog, HostedState};
use crate::inbox::{Control, Inbox};
use crate::metrics::Metrics;
use crate::{Answer, Reply};

/// Answers are delivered in runs of at most this many.
const RUN: usize = 512;

/// Each step towards nicer takes a fifth of a thread's share.
#[cfg(target_os = "linux")]
const SNAPSHOT_NICENESS: i32 = 5;

/// The state machine and what it needs.
pub(crate) struct Replica<L: ReplicatedLog, S: StateMachine, R> {
    pub(crate) place: Place,
    pub(crate) state: S,
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

impl<L: HostedLog, S: HostedState, R: Reply<S>> Replica<L, S, R> {
    /// Does `works`, in order, and answers. What is left of them when it fails was not done.
    pub(crate) fn serve(&mut self, works: &mut VecDeque<Work<S, R>>) -> Result<(), String> {
        let mut done = Ok(());
        while done.is_ok()
            && let Some(work) = works.pop_front()
        {
            done = self.perform(work);
        }
        // Before the answers: who has one can see elsewhere what it says.
        self.state.settle();
        R::all(self.answers.drain(..));
        done
    }

    /// Tells the core how far it has come.
    pub(crate) fn tell(&self) {
        self.inbox.applied(self.place, self.applied.0);
    }

    /// Waits until nothing is written any more: the directory will be unlocked.
    pub(crate) fn finish(self) {
        if let Some(Err(_)) = self.writer.map(JoinHandle::join) {
            warn!("the thread that wrote a snapshot panicked");
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
                self.state = file::read(&self.state, &claim, snapshot.blob)?;
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
        let (place, stopped) = (self.place, self.stopped.clone());
        let write = move || {
            yield_to_others();
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
                arrivals.control.push_back(Control::TaskDone { place, id, output, claim });
            });
        };
        match thread::Builder::new().name("synod-snapshot".into()).spawn(write) {
            Ok(writer) => self.writer = Some(writer),
            Err(error) => {
                error!("no thread for a snapshot: {error}");
                let output = Output::SnapshotFailed;
                let done = Control::TaskDone { place, id, output, claim: None };
                self.inbox.put(|arrivals| arrivals.control.push_back(done));
            }
        }
    }
}

/// Has the system give this thread a third of what it gives another that wants a processor too, where it
/// can (Linux): a snapshot has time, and requests do not. No less, or on a busy machine the log would grow
/// to its bound before the snapshot is written.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, SNAPSHOT_NICENESS) {
        warn!("a snapshot is written at the priority of everything else: {error}");
    }
}
