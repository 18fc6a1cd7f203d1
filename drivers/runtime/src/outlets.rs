//! Where a node's effects go: records to the journal, messages to outboxes, events to the apply thread
//! or straight to who asked.
//!
//! Everything is gathered during a turn and given away at its end, by [`NodeOutlets::hand_over`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;
use synod_codec::frame;
use synod_consensus::{Event, Outcome, Refusal, ReplicatedLog, StateMachine, Task};
use synod_engine::{
    Class, GroupId, LinkState, Message as _, NodeId, Position, Record as _, TaskId, Token,
};
use tracing::{error, info};

use crate::blobs::ledger::{Ledger, Missing};
use crate::blobs::send;
use crate::handle::Door;
use crate::host::Outlets;
use crate::inbox::{Control, Stop};
use crate::metrics::Metrics;
use crate::pending::Pending;
use crate::replica::{Queue, Work};
use crate::sync::{Journal, Refused};
use crate::transport::outbox::{Outbox, Sent};
use crate::transport::session::is_control;
use crate::transport::{GROUP, Net, kind};
use crate::{Answer, Call, Leadership, Reply};

/// Who waits for the engine.
pub(crate) enum Waiting<S: StateMachine, R> {
    Write(R),
    Read(S::Query, R),
}

impl<S: StateMachine, R> Waiting<S, R> {
    fn refuse(self, refusal: Refusal) -> (R, Answer<S>) {
        match self {
            Self::Write(reply) => (reply, Answer::Written(Outcome::Refused(refusal))),
            Self::Read(_, reply) => (reply, Answer::Read(Outcome::Refused(refusal))),
        }
    }

    /// The answer when the node stops: a write may have taken effect, a read changed nothing.
    fn abandon(self) -> (R, Answer<S>) {
        match self {
            Self::Write(reply) => (reply, Answer::Written(Outcome::Unknown)),
            Self::Read(..) => self.refuse(Refusal::NotLeader { leader: None }),
        }
    }
}

/// The outlets of a node.
pub(crate) struct NodeOutlets<L: ReplicatedLog, S: StateMachine, R> {
    pub(crate) journal: Journal,
    pub(crate) net: Arc<Net<L>>,
    pub(crate) outboxes: BTreeMap<NodeId, (Arc<Outbox>, bool)>,
    pub(crate) works: Vec<Work<S, R>>,
    pub(crate) queue: Arc<Queue<S, R>>,
    pub(crate) pending: Pending<Waiting<S, R>>,
    pub(crate) answers: Vec<(R, Answer<S>)>,
    pub(crate) blobs: Ledger,
    pub(crate) door: Arc<Door<S, R>>,
    pub(crate) metrics: Arc<Metrics>,
}

impl<L, S, R> NodeOutlets<L, S, R>
where
    L: ReplicatedLog,
    S: StateMachine,
    R: Reply<S>,
{
    /// Keeps who asked; the request, by its token, is for the engine.
    pub(crate) fn admit(&mut self, call: Call<S, R>) -> (Token, synod_consensus::Request) {
        match call {
            Call::Propose { command, reply } => {
                let token = self.pending.insert(Waiting::Write(reply));
                (token, synod_consensus::Request::Propose(command))
            }
            Call::Read { query, reply } => {
                let token = self.pending.insert(Waiting::Read(query, reply));
                (token, synod_consensus::Request::Read)
            }
        }
    }

    /// Refuses a request at the door.
    pub(crate) fn refuse(&mut self, call: Call<S, R>, refusal: Refusal) {
        self.metrics.refused.inc();
        self.answers.push(call.refuse(refusal));
    }

    /// Gives away what was gathered in a turn.
    pub(crate) fn hand_over(&mut self) {
        for (outbox, dirty) in self.outboxes.values_mut() {
            if std::mem::take(dirty) {
                outbox.wake();
            }
        }
        self.journal.hand_over();
        self.queue.append(&mut self.works);
        if !self.answers.is_empty() {
            R::all(self.answers.drain(..));
        }
    }

    /// Everything up to `durable` is: blobs that a checkpoint replaced may go.
    pub(crate) fn durable(&mut self, durable: Position) {
        self.blobs.durable(durable);
    }

    /// The node stops: whoever still waits is answered.
    pub(crate) fn abandon(&mut self) {
        let waiting = self.pending.drain().map(Waiting::abandon);
        self.answers.extend(waiting);
        R::all(self.answers.drain(..));
    }

    /// The disk is low, or no longer.
    pub(crate) fn disk_low(&self, low: bool) {
        self.net.disk_low.store(low, Ordering::Relaxed);
    }

    fn fail(&self, why: String) {
        error!("{why}");
        self.net.inbox.stop(Stop::Fatal(why));
    }
}

impl<L, S, R> Outlets<L> for NodeOutlets<L, S, R>
where
    L: ReplicatedLog + 'static,
    L::Message: Serialize + Send,
    L::Record: Serialize + Send,
    S: StateMachine,
    R: Reply<S>,
{
    fn persist(&mut self, position: Position, record: L::Record) {
        let blob = record.blob().map(|blob| blob.id);
        let is_checkpoint = record.checkpoint().is_some();
        if let Err(Missing(id)) = self.blobs.persisted(position, is_checkpoint, blob) {
            self.journal.refuse();
            self.fail(format!("a record names blob {id:016x}, which is gone: a bug"));
        }
        match self.journal.append(GroupId(GROUP), position, &record) {
            Ok(()) | Err(Refused::Before) => {}
            Err(Refused::TooLarge(why)) => {
                self.fail(format!("the log cannot take a record: {why}; the node must stop"));
            }
        }
    }

    fn send(&mut self, to: NodeId, message: L::Message) {
        if let Some(blob) = message.attachment() {
            send::send(&self.net, to, &message, blob);
            return;
        }
        let Some((outbox, dirty)) = self.outboxes.get_mut(&to) else { return };
        let class = message.class();
        let max = self.net.limits.max_message_bytes + frame::OVERHEAD_BYTES;
        let sent = outbox.push(is_control(class), max, |out| {
            frame::write(kind::MESSAGE, GROUP, out, |out| synod_codec::encode(&message, out));
        });
        match (sent, class) {
            (Sent::Queued, _) => *dirty = true,
            (Sent::NoSession, _) => {}
            (Sent::TooLong, _) => {
                self.metrics.dropped.inc();
                error!(%to, "a message longer than max_message_bytes was dropped: {}", message);
            }
            (Sent::Full, Class::Datagram) => {
                self.metrics.dropped.inc();
            }
            (Sent::Full, Class::Ordered { .. }) => {
                self.metrics.overflows.inc();
                if let Some(session) = outbox.close_any() {
                    info!(peer = %to, "too much waits to be sent: the session ends");
                    let link = Control::Link { peer: to, session, state: LinkState::Closed };
                    self.net.inbox.put(|arrivals| arrivals.control.push_back(link));
                }
            }
        }
    }

    fn start(&mut self, id: TaskId, task: Task) {
        match task {
            Task::Snapshot => self.works.push(Work::Snapshot(id)),
        }
    }

    /// A snapshot that nobody wants any more does no harm: it goes with the next checkpoint.
    fn abort(&mut self, _: TaskId) {}

    fn emit(&mut self, event: Event) {
        match event {
            Event::Committed { batch, own } => {
                self.metrics.committed.inc_by(batch.len() as u64);
                self.metrics.batch_entries.observe(batch.len() as f64);
                let replies =
                    own.into_iter().filter_map(|(index, token)| match self.pending.remove(token) {
                        Some(Waiting::Write(reply)) => Some((index, reply)),
                        Some(Waiting::Read(..)) | None => None,
                    });
                let replies = replies.collect();
                self.works.push(Work::Commit { batch, replies });
            }
            Event::Install(snapshot) => match self.blobs.claim(snapshot.blob.id) {
                Some(claim) => self.works.push(Work::Install(snapshot, claim)),
                None => self.fail(format!("{snapshot} is to be installed and gone: a bug")),
            },
            Event::ReadReady { index: _, tokens } => {
                let reads =
                    tokens.into_iter().filter_map(|token| match self.pending.remove(token) {
                        Some(Waiting::Read(query, reply)) => Some((query, reply)),
                        Some(Waiting::Write(_)) | None => None,
                    });
                let reads = reads.collect();
                self.works.push(Work::Read(reads));
            }
            Event::Refused { token, refusal } => {
                self.metrics.refused.inc();
                if let Some(waiting) = self.pending.remove(token) {
                    self.answers.push(waiting.refuse(refusal));
                }
            }
            Event::Members(_) | Event::Transferred { .. } => {}
            Event::Unknown { token } => {
                self.metrics.unknown.inc();
                if let Some(waiting) = self.pending.remove(token) {
                    self.answers.push(waiting.abandon());
                }
            }
            Event::Leadership { role, leader, epoch } => {
                self.metrics.elections.inc();
                info!(%role, ?leader, %epoch, "leadership");
                self.door.publish_leadership(Leadership { role, leader, epoch });
            }
        }
    }
}
