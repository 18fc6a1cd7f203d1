//! Where a group's effects go: records to the journal, messages to outboxes, events to the threads that
//! apply, or straight to who asked.
//!
//! Everything is gathered during a turn, of all groups together, and given away at its end by
//! [`Shared::hand_over`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use synod_consensus::{Event, Membership, Outcome, Refusal, ReplicatedLog, StateMachine, Task};
use synod_engine::{
    Class, GroupId, Incarnation, Message as _, NodeId, Position, Record as _, TaskId, Token,
};
use tracing::{error, info};

use crate::admissions::Lives;
use crate::apply::{Pool, Work};
use crate::blobs::ledger::{Ledger, Missing};
use crate::blobs::send;
use crate::budget::Budget;
use crate::door::Door;
use crate::groups::Place;
use crate::host::Outlets;
use crate::hosted::{HostedLog, HostedState};
use crate::inbox::{Control, Stop};
use crate::metrics::Metrics;
use crate::old_log::{OldLog, Wanted};
use crate::pending::Pending;
use crate::snapshots::Snapshots;
use crate::sync::{Journal, Refused};
use crate::transport::Net;
use crate::transport::outbox::{Outbox, Sent};
use crate::transport::session::is_control;
use crate::{Answer, Call, Leadership, Operation, Reply};

/// Who waits for the engine.
pub(crate) enum Waiting<S: StateMachine, R> {
    Write(R),
    Read(S::Query, R),
    Change(R),
    Transfer(R),
}

impl<S: StateMachine, R> Waiting<S, R> {
    fn refuse(self, refusal: Refusal) -> (R, Answer<S>) {
        match self {
            Self::Write(reply) => (reply, Answer::Written(Outcome::Refused(refusal))),
            Self::Read(_, reply) => (reply, Answer::Read(Outcome::Refused(refusal))),
            Self::Change(reply) | Self::Transfer(reply) => {
                (reply, Answer::Operated(Outcome::Refused(refusal)))
            }
        }
    }

    /// The answer when the node stops: what was proposed may have taken effect, the rest changed nothing.
    fn abandon(self) -> (R, Answer<S>) {
        match self {
            Self::Write(reply) => (reply, Answer::Written(Outcome::Unknown)),
            Self::Change(reply) => (reply, Answer::Operated(Outcome::Unknown)),
            Self::Read(..) | Self::Transfer(_) => self.refuse(Refusal::NotLeader { leader: None }),
        }
    }
}

/// A call that was let in.
pub(crate) enum Admitted<S: StateMachine, R> {
    /// It is for the engine.
    Request(Token, synod_consensus::Request),
    /// It is for the state machine, as it is.
    Local(S::Query, R),
}

/// What all groups of a node share.
pub(crate) struct Shared<L: ReplicatedLog, S: StateMachine, R> {
    pub(crate) journal: Journal,
    /// Records of all groups persisted in this life.
    pub(crate) persisted: Position,
    pub(crate) net: Arc<Net<L>>,
    pub(crate) links: BTreeMap<NodeId, Link>,
    /// Groups whose members changed in this turn.
    pub(crate) regrouped: Vec<Place>,
    /// Whether another leads a group, or nobody, than when the turn began.
    pub(crate) is_leader_news: bool,
    pub(crate) works: Vec<(Place, Work<S, R>)>,
    pub(crate) pool: Arc<Pool<L, S, R>>,
    pub(crate) snapshots: Snapshots,
    pub(crate) old_log: Arc<OldLog>,
    pub(crate) unanswered: Budget,
    pub(crate) answers: Vec<(R, Answer<S>)>,
    pub(crate) metrics: Arc<Metrics>,
}

/// The core's end of the link to a peer.
pub(crate) struct Link {
    pub(crate) outbox: Arc<Outbox>,
    /// The session that the engines know to be open. What they send is sent in it or not at all: the
    /// connection may be ahead of what they have been told.
    pub(crate) session: Option<Session>,
    /// Whether somebody sees to it that there is a session.
    pub(crate) is_dialled: bool,
    /// How many messages were queued in this turn.
    queued: u64,
}

/// A session of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Session {
    pub(crate) number: u64,
    /// The life of the peer's directory.
    pub(crate) life: Incarnation,
}

impl Link {
    pub(crate) fn new(outbox: Arc<Outbox>) -> Self {
        Self { outbox, session: None, is_dialled: false, queued: 0 }
    }

    /// Queues the message of `group` that `write` appends, in the session that the engines know.
    fn push(
        &mut self,
        control: bool,
        group: GroupId,
        max: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Sent {
        let Some(session) = self.session else { return Sent::NoSession };
        let sent = self.outbox.push(session.number, control, group, max, write);
        self.queued += u64::from(sent == Sent::Queued);
        sent
    }
}

/// What is a group's own.
pub(crate) struct Own<S: StateMachine, R> {
    pub(crate) group: GroupId,
    pub(crate) place: Place,
    pub(crate) pending: Pending<Waiting<S, R>>,
    pub(crate) blobs: Ledger,
    pub(crate) door: Arc<Door<S, R>>,
    /// Who belongs to it.
    pub(crate) members: Arc<Membership>,
    /// The lives of peers that the members name.
    pub(crate) lives: Lives,
    /// Peers that are connected in a life that does not count: they are heard, but in no quorum.
    pub(crate) strange: BTreeSet<NodeId>,
    /// Who leads it, as far as this node knows.
    pub(crate) leader: Option<NodeId>,
    /// Whether its status is to be published at once.
    pub(crate) is_urgent: bool,
}

/// The outlets of one group during a step.
pub(crate) struct GroupOutlets<'a, L: ReplicatedLog, S: StateMachine, R> {
    pub(crate) shared: &'a mut Shared<L, S, R>,
    pub(crate) own: &'a mut Own<S, R>,
}

impl<L: HostedLog, S: HostedState, R: Reply<S>> Shared<L, S, R> {
    /// Refuses a request at the door.
    pub(crate) fn refuse(&mut self, call: Call<S, R>, refusal: Refusal) {
        self.metrics.refused.inc();
        self.answers.push(call.refuse(refusal));
    }

    /// Has the state machine answer, after what it has been given before.
    pub(crate) fn read_locally(&mut self, place: Place, query: S::Query, reply: R) {
        match self.works.last_mut() {
            Some((last, Work::Read(reads))) if *last == place => reads.push((query, reply)),
            _ => self.works.push((place, Work::Read(vec![(query, reply)]))),
        }
    }

    /// Whether everything that was queued for peers has been written.
    pub(crate) fn is_sent(&self) -> bool {
        self.links.values().all(|link| link.outbox.is_empty())
    }

    /// Gives away what was gathered in a turn; true if some of it was applied at once.
    pub(crate) fn hand_over(&mut self) -> bool {
        for link in self.links.values_mut() {
            let queued = std::mem::take(&mut link.queued);
            if queued > 0 {
                self.metrics.messages_out.inc_by(queued);
                link.outbox.wake();
            }
        }
        self.journal.hand_over();
        if !self.answers.is_empty() {
            R::all(self.answers.drain(..));
        }
        self.pool.append(&mut self.works, &self.net.inbox)
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

impl<S: StateMachine, R> Own<S, R> {
    /// Keeps who asked; the request, by its token, is for the engine. A local read is none of its
    /// business.
    pub(crate) fn admit(&mut self, call: Call<S, R>) -> Admitted<S, R> {
        let (waiting, request) = match call {
            Call::Local { query, reply } => return Admitted::Local(query, reply),
            Call::Propose { command, reply } => {
                (Waiting::Write(reply), synod_consensus::Request::Propose(command))
            }
            Call::Read { query, reply } => {
                (Waiting::Read(query, reply), synod_consensus::Request::Read)
            }
            Call::Operate { operation: Operation::Change(wishes), reply } => {
                (Waiting::Change(reply), synod_consensus::Request::Change(wishes))
            }
            Call::Operate { operation: Operation::Transfer(to), reply } => {
                (Waiting::Transfer(reply), synod_consensus::Request::Transfer(to))
            }
        };
        Admitted::Request(self.pending.insert(waiting), request)
    }

    /// Whether this life of `peer` counts, whose life `first` was met first. If not, it is strange.
    pub(crate) fn judge(
        &mut self,
        peer: NodeId,
        life: Incarnation,
        first: Option<Incarnation>,
    ) -> bool {
        let counts = self.lives.count(peer, life, first);
        if counts {
            self.strange.remove(&peer);
        } else {
            self.strange.insert(peer);
        }
        counts
    }

    /// The node stops: whoever still waits is answered.
    pub(crate) fn abandon(&mut self, answers: &mut Vec<(R, Answer<S>)>) {
        answers.extend(self.pending.drain().map(Waiting::abandon));
    }
}

impl<L: HostedLog, S: HostedState, R: Reply<S>> GroupOutlets<'_, L, S, R> {
    /// Takes out who waits under `token`.
    fn remove(&mut self, token: Token) -> Option<Waiting<S, R>> {
        let waiting = self.own.pending.remove(token)?;
        self.shared.unanswered.give_back(1);
        Some(waiting)
    }

    /// An operation took effect.
    fn done(&mut self, waiting: Waiting<S, R>) {
        match waiting {
            Waiting::Change(reply) | Waiting::Transfer(reply) => {
                // Whoever is told so may look at once.
                self.own.is_urgent = true;
                self.shared.answers.push((reply, Answer::Operated(Outcome::Done(()))));
            }
            Waiting::Write(_) | Waiting::Read(..) => {
                self.shared.fail("the engine ended a request as another kind: a bug".into());
            }
        }
    }

    /// The group knows these members from here on. A session with a peer that counts no more, or does
    /// now, ends: whoever comes again is judged anew. Not that with a leader that counts no more: on the way
    /// through an old log, members may name a life of it that is over.
    fn members(&mut self, members: &Arc<Membership>) {
        let Self { shared, own } = self;
        own.members = members.clone();
        own.is_urgent = true;
        shared.regrouped.push(own.place);
        let lives = Lives::of(members);
        if lives == own.lives {
            return;
        }
        own.lives = lives;
        shared.net.admissions.learn(own.place, own.lives.clone());
        for (peer, link) in &shared.links {
            let Some(Session { number, life }) = link.session else { continue };
            let counted = !own.strange.contains(peer);
            let counts = own.judge(*peer, life, shared.net.acquaintances.first(*peer));
            let ends = counts != counted && (counts || own.leader != Some(*peer));
            if ends && link.outbox.close(number) {
                info!(%peer, group = %own.group, "the members name another life of it");
                let closed = Control::Closed { peer: *peer, session: number };
                shared.net.inbox.put(|arrivals| arrivals.control.push_back(closed));
            }
        }
    }

    fn work(&mut self, work: Work<S, R>) {
        self.shared.works.push((self.own.place, work));
    }

    /// What to do about a message that could not be queued.
    fn not_queued(&mut self, to: NodeId, message: &L::Message, sent: Sent) {
        match (sent, message.class()) {
            (Sent::Queued | Sent::NoSession, _) => {}
            (Sent::TooLong, _) => {
                self.shared.metrics.dropped.inc();
                let group = self.own.group;
                error!(%to, %group, "a message longer than max_message_bytes was dropped: {message}");
            }
            (Sent::Full, Class::Datagram) => {
                self.shared.metrics.dropped.inc();
            }
            (Sent::Full, Class::Ordered { .. }) => {
                self.shared.metrics.overflows.inc();
                let Some(link) = self.shared.links.get_mut(&to) else { return };
                let open = link.session.filter(|session| link.outbox.close(session.number));
                if let Some(Session { number, .. }) = open {
                    info!(peer = %to, "too much waits to be sent: the session ends");
                    let closed = Control::Closed { peer: to, session: number };
                    self.shared.net.inbox.put(|arrivals| arrivals.control.push_back(closed));
                }
            }
        }
    }
}

impl<L: HostedLog, S: HostedState, R: Reply<S>> Outlets<L> for GroupOutlets<'_, L, S, R> {
    fn persist(&mut self, position: Position, record: L::Record) {
        let Self { shared, own } = self;
        let blob = record.blob().map(|blob| blob.id);
        let is_checkpoint = record.checkpoint().is_some();
        if let Err(Missing(id)) = own.blobs.persisted(position, is_checkpoint, blob) {
            shared.journal.refuse();
            shared.fail(format!("a record names blob {id:016x}, which is gone: a bug"));
        }
        shared.persisted = shared.persisted.next();
        match shared.journal.append(own.group, shared.persisted, &record) {
            Ok(()) | Err(Refused::Before) => {}
            Err(Refused::TooLarge(why)) => {
                shared.fail(format!("the log cannot take a record: {why}; the node must stop"));
            }
        }
    }

    fn send(&mut self, to: NodeId, message: L::Message) {
        let Self { shared, own } = self;
        if let Some(blob) = message.attachment() {
            send::send(&shared.net, own.group, to, &message, blob);
            return;
        }
        let Some(link) = shared.links.get_mut(&to) else { return };
        let max = shared.net.limits.max_message_bytes;
        let encode = |out: &mut Vec<u8>| synod_codec::encode(&message, out);
        let sent = link.push(is_control(message.class()), own.group, max, encode);
        if sent != Sent::Queued {
            self.not_queued(to, &message, sent);
        }
    }

    fn start(&mut self, id: TaskId, task: Task) {
        match task {
            Task::Snapshot => {
                let ready = self.shared.snapshots.ask(self.own.place, id);
                self.shared.works.extend(ready.map(|(place, id)| (place, Work::Snapshot(id))));
            }
            Task::ReadLog { first, last } => {
                self.shared.old_log.ask(Wanted { place: self.own.place, id, first, last });
            }
        }
    }

    /// A snapshot that nobody wants any more does no harm: it goes with the next checkpoint.
    fn abort(&mut self, id: TaskId) {
        self.shared.old_log.abort(self.own.place, id);
    }

    fn emit(&mut self, event: Event) {
        match event {
            Event::Committed { batch, own } => {
                self.shared.metrics.committed.inc_by(batch.len() as u64);
                self.shared.metrics.batch_entries.observe(batch.len() as f64);
                let replies =
                    own.into_iter().filter_map(|(index, token)| match self.remove(token) {
                        Some(Waiting::Write(reply)) => Some((index, reply)),
                        Some(waiting) => {
                            self.done(waiting);
                            None
                        }
                        None => None,
                    });
                let replies = replies.collect();
                self.work(Work::Commit { batch, replies });
            }
            Event::Install(snapshot) => match self.own.blobs.claim(snapshot.blob.id) {
                Some(claim) => self.work(Work::Install(snapshot, claim)),
                None => self.shared.fail(format!("{snapshot} is to be installed and gone: a bug")),
            },
            Event::ReadReady { index: _, tokens } => {
                let reads = tokens.into_iter().filter_map(|token| match self.remove(token) {
                    Some(Waiting::Read(query, reply)) => Some((query, reply)),
                    Some(_) | None => None,
                });
                let reads = reads.collect();
                self.work(Work::Read(reads));
            }
            Event::Refused { token, refusal } => {
                self.shared.metrics.refused.inc();
                if let Some(waiting) = self.remove(token) {
                    self.shared.answers.push(waiting.refuse(refusal));
                }
            }
            Event::Transferred { token } => {
                if let Some(waiting) = self.remove(token) {
                    self.done(waiting);
                }
            }
            Event::Members(members) => self.members(&members),
            Event::Unknown { token } => {
                self.shared.metrics.unknown.inc();
                if let Some(waiting) = self.remove(token) {
                    self.shared.answers.push(waiting.abandon());
                }
            }
            Event::Leadership { role, leader, epoch } => {
                self.shared.metrics.elections.inc();
                info!(group = %self.own.group, %role, ?leader, %epoch, "leadership");
                self.own.is_urgent = true;
                self.shared.is_leader_news |= self.own.leader != leader;
                self.own.leader = leader;
                self.own.door.publish_leadership(Leadership { role, leader, epoch });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::version::PeerVersion;

    #[test]
    fn what_was_held_for_an_old_session_is_not_sent_in_the_next() {
        let outbox = Arc::new(Outbox::new(100));
        let mut link = Link::new(outbox.clone());
        let session = |number| Some(Session { number, life: Incarnation(7) });
        let hello = |out: &mut Vec<u8>| out.extend_from_slice(b"hello");
        outbox.open(1, PeerVersion::NEWEST);
        assert_eq!(
            link.push(true, GroupId(1), 10, hello),
            Sent::NoSession,
            "the engine has not heard of it"
        );
        link.session = session(1);
        assert_eq!(link.push(true, GroupId(1), 10, hello), Sent::Queued);
        // The connection breaks and there is a new one, before the engine hears of either.
        assert_eq!(outbox.open(2, PeerVersion::NEWEST), Some(1));
        assert_eq!(link.push(true, GroupId(1), 10, hello), Sent::NoSession);
        assert!(outbox.is_empty());
        link.session = session(2);
        assert_eq!(link.push(true, GroupId(1), 10, hello), Sent::Queued);
    }
}
