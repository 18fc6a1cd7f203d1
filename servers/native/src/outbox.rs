//! Where the answers to one client are written by whichever thread has them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::vec::Drain;

use synod_consensus::Refusal;
use synod_kv::message::{Answer as KvAnswer, Response, Revision};
use synod_kv::wire::{self, Leader};
use synod_runtime::{Answer, Outcome, Reply};
use tokio::sync::Notify;

use crate::addresses::Addresses;
use crate::readiness::Readiness;
use crate::watched::Watched;

/// Answers to one client that it has not been sent yet.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
    max_bytes: usize,
    addresses: Arc<Addresses>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    in_flight: u32,
    /// Whether the connection has been woken since it last took the bytes.
    woken: bool,
    overflowed: bool,
}

/// More answers waited than may: some are gone, and the connection must close.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overflowed;

impl Outbox {
    pub(crate) fn new(max_bytes: usize, addresses: Arc<Addresses>) -> Self {
        Self { waiting: Mutex::default(), wake: Notify::new(), max_bytes, addresses }
    }

    /// Counts requests that are about to be made.
    pub(crate) fn expect(&self, requests: u32) {
        self.lock().in_flight += requests;
    }

    /// Waits until there is something to take.
    pub(crate) async fn filled(&self) {
        self.wake.notified().await;
    }

    /// Moves all answers into `bytes`, which is empty.
    pub(crate) fn take(&self, bytes: &mut Vec<u8>) -> Result<(), Overflowed> {
        let mut waiting = self.lock();
        waiting.woken = false;
        std::mem::swap(&mut waiting.bytes, bytes);
        if waiting.overflowed { Err(Overflowed) } else { Ok(()) }
    }

    /// Requests without an answer.
    pub(crate) fn in_flight(&self) -> u32 {
        self.lock().in_flight
    }

    /// Adds the answer to one request, and wakes the connection.
    pub(crate) fn answer(&self, id: u64, outcome: wire::Outcome) {
        if self.push(id, outcome) {
            self.wake.notify_one();
        }
    }

    /// Adds the answer to one request; true if the connection must be woken.
    fn push(&self, id: u64, outcome: wire::Outcome) -> bool {
        let reply = wire::Reply { id, outcome };
        let mut waiting = self.lock();
        waiting.in_flight -= 1;
        if waiting.bytes.len() > self.max_bytes {
            waiting.overflowed = true;
        } else {
            reply.write(&mut waiting.bytes);
        }
        !std::mem::replace(&mut waiting.woken, true)
    }

    fn refused(&self, refusal: Refusal) -> wire::Outcome {
        let leader = match refusal {
            Refusal::NotLeader { leader: Some(node) } => {
                Some(Leader { node, address: self.addresses.of(node) })
            }
            _ => None,
        };
        wire::Outcome::Refused { refusal, leader }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the answer to one request goes.
#[derive(Debug)]
pub struct ReplyTo(To);

#[derive(Debug)]
enum To {
    Client {
        outbox: Arc<Outbox>,
        id: u64,
        /// An answer of an earlier revision is none.
        at_least: Revision,
    },
    /// A tick of the store's clock; the flag says that one is under way.
    Clock(Arc<AtomicBool>),
    /// The node's own question whether it has caught up.
    Readiness(Readiness),
}

impl ReplyTo {
    pub(crate) fn client(outbox: Arc<Outbox>, id: u64) -> Self {
        Self::client_at(outbox, id, 0)
    }

    /// A client that wants an answer of this revision or a later one.
    pub(crate) fn client_at(outbox: Arc<Outbox>, id: u64, at_least: Revision) -> Self {
        Self(To::Client { outbox, id, at_least })
    }

    pub(crate) fn readiness(question: Readiness) -> Self {
        Self(To::Readiness(question))
    }

    pub(crate) fn clock(under_way: Arc<AtomicBool>) -> Self {
        Self(To::Clock(under_way))
    }

    /// Delivers an answer; tells which connection must be woken.
    fn deliver(self, answer: Answer<Watched>) -> Option<Arc<Outbox>> {
        match self.0 {
            To::Client { outbox, id, at_least } => {
                let outcome = match answer {
                    Answer::Written(Outcome::Done(response)) => wire::Outcome::Written(response),
                    Answer::Read(Outcome::Done(answer)) if answer.revision() < at_least => {
                        wire::Outcome::Behind { revision: answer.revision() }
                    }
                    Answer::Read(Outcome::Done(answer)) => wire::Outcome::Read(answer),
                    Answer::Operated(Outcome::Done(())) => wire::Outcome::Operated,
                    Answer::Written(Outcome::Refused(refusal))
                    | Answer::Read(Outcome::Refused(refusal))
                    | Answer::Operated(Outcome::Refused(refusal)) => outbox.refused(refusal),
                    Answer::Written(Outcome::Unknown)
                    | Answer::Read(Outcome::Unknown)
                    | Answer::Operated(Outcome::Unknown) => wire::Outcome::Unknown,
                };
                outbox.push(id, outcome).then_some(outbox)
            }
            To::Readiness(question) => {
                question.told(matches!(answer, Answer::Read(Outcome::Done(_))));
                None
            }
            To::Clock(under_way) => {
                under_way.store(false, Ordering::Release);
                None
            }
        }
    }
}

impl Reply<Watched> for ReplyTo {
    fn written(self, outcome: Outcome<Response>) {
        self.one(Answer::Written(outcome));
    }

    fn read(self, outcome: Outcome<KvAnswer>) {
        self.one(Answer::Read(outcome));
    }

    fn operated(self, outcome: Outcome<()>) {
        self.one(Answer::Operated(outcome));
    }

    fn all(answers: Drain<'_, (Self, Answer<Watched>)>) {
        let to_wake: Vec<_> = answers.filter_map(|(reply, answer)| reply.deliver(answer)).collect();
        for outbox in to_wake {
            outbox.wake.notify_one();
        }
    }

    fn one(self, answer: Answer<Watched>) {
        if let Some(outbox) = self.deliver(answer) {
            outbox.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::BytesMut;
    use synod_engine::NodeId;
    use synod_kv::wire::{FromServer, Outcome as Told};

    use super::*;

    fn outbox(max_bytes: usize) -> Arc<Outbox> {
        let configured = BTreeMap::from([(NodeId(2), "there:1".to_owned())]);
        let addresses = Addresses::new(configured, Arc::default);
        Arc::new(Outbox::new(max_bytes, Arc::new(addresses)))
    }

    fn heard(outbox: &Outbox) -> Vec<(u64, Told)> {
        let mut bytes = Vec::new();
        outbox.take(&mut bytes).unwrap();
        let mut bytes = BytesMut::from(&bytes[..]);
        let next = || match FromServer::read(&mut bytes).unwrap()? {
            FromServer::Reply(reply) => Some((reply.id, reply.outcome)),
            other => panic!("{other:?} is no reply"),
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_refusal_tells_where_the_leader_is() {
        let outbox = outbox(1_000);
        outbox.expect(1);
        let refusal = Refusal::NotLeader { leader: Some(NodeId(2)) };
        ReplyTo::client(outbox.clone(), 7).written(Outcome::Refused(refusal));
        let leader = Some(Leader { node: NodeId(2), address: Some("there:1".into()) });
        assert_eq!(heard(&outbox), [(7, Told::Refused { refusal, leader })]);
        assert_eq!(outbox.in_flight(), 0);
    }

    #[test]
    fn a_batch_of_answers_wakes_a_connection_once() {
        let outbox = outbox(1_000);
        outbox.expect(4);
        let push = |id| outbox.push(id, Told::Unknown);
        assert_eq!([push(1), push(2), push(3)], [true, false, false]);
        assert_eq!(heard(&outbox).len(), 3);
        assert!(push(4), "what was taken does not wake for what comes next");
    }

    #[test]
    fn answers_beyond_the_bound_are_dropped_and_the_connection_is_told() {
        let outbox = outbox(100);
        outbox.expect(100);
        for id in 0..100 {
            outbox.push(id, Told::Unknown);
        }
        let mut bytes = Vec::new();
        assert!(outbox.take(&mut bytes).is_err());
        assert!(bytes.len() < 200);
        assert_eq!(outbox.in_flight(), 0, "dropped answers are answers");
    }
}
