//! Random commands against a model that is naive enough to be read at a glance.

mod client;

use std::collections::BTreeMap;

use client::{Log, append, bytes, cas, delete, put, snapshot};
use synod_consensus::StateMachine;
use synod_engine::Random;
use synod_kv::Store;
use synod_kv::limits::{MAX_LEASE_MS, MAX_TICK_MS, MAX_UNANSWERED, MAX_VALUE_BYTES, MIN_LEASE_MS};
use synod_kv::message::{
    Answer, Command, Entry, Expect, Op, Query, Rejected, Response, SessionId, Written,
};

#[derive(Default)]
struct Model {
    clock_ms: u64,
    revision: u64,
    keys: BTreeMap<Vec<u8>, Entry>,
    sessions: BTreeMap<SessionId, Session>,
}

struct Session {
    lease_ms: u64,
    heard_ms: u64,
    answered_below: u64,
    answers: BTreeMap<u64, Response>,
}

impl Model {
    fn apply(&mut self, index: u64, command: &Command) -> Response {
        match command {
            Command::Open { lease_ms } => {
                let lease_ms = (*lease_ms).clamp(MIN_LEASE_MS, MAX_LEASE_MS);
                let (heard_ms, answers) = (self.clock_ms, BTreeMap::new());
                let session = Session { lease_ms, heard_ms, answered_below: 1, answers };
                self.sessions.insert(SessionId(index), session);
                Response::Opened { session: SessionId(index), lease_ms }
            }
            Command::Tick { elapsed_ms } => {
                self.clock_ms += (*elapsed_ms).min(MAX_TICK_MS);
                let now = self.clock_ms;
                self.sessions.retain(|_, session| now < session.heard_ms + session.lease_ms);
                Response::Ticked
            }
            Command::Close { session } => match self.sessions.remove(session) {
                Some(_) => Response::Closed,
                None => Response::Rejected(Rejected::NoSession),
            },
            Command::KeepAlive { session, answered_below } => {
                match self.heard(*session, *answered_below) {
                    Some(_) => Response::Kept,
                    None => Response::Rejected(Rejected::NoSession),
                }
            }
            Command::Write { session: id, number, answered_below, op } => {
                let Some(session) = self.heard(*id, *answered_below) else {
                    return Response::Rejected(Rejected::NoSession);
                };
                let lowest = session.answered_below;
                if let Some(answer) = session.answers.get(number).filter(|_| *number >= lowest) {
                    return answer.clone();
                }
                if *number < lowest {
                    return Response::Rejected(Rejected::AlreadyAnswered);
                }
                if *number - lowest >= MAX_UNANSWERED {
                    let max_unanswered = MAX_UNANSWERED;
                    return Response::Rejected(Rejected::WindowFull { max_unanswered });
                }
                let answer = self.write(op);
                let session = self.sessions.get_mut(id).expect("it was just heard");
                session.answers.insert(*number, answer.clone());
                answer
            }
        }
    }

    fn heard(&mut self, id: SessionId, answered_below: u64) -> Option<&mut Session> {
        let session = self.sessions.get_mut(&id)?;
        session.heard_ms = self.clock_ms;
        session.answered_below = session.answered_below.max(answered_below);
        Some(session)
    }

    fn write(&mut self, op: &Op) -> Response {
        let before = self.keys.get(&op.key()[..]).cloned();
        let value = match op {
            Op::Put { value, .. } => value.to_vec(),
            Op::Append { value, .. } => {
                let start = before.as_ref().map_or(&[][..], |entry| &entry.value[..]);
                [start, value].concat()
            }
            Op::Delete { key } => {
                if self.keys.remove(&key[..]).is_none() {
                    return Response::Written(Written::Absent);
                }
                self.revision += 1;
                return Response::Written(Written::Deleted { revision: self.revision });
            }
            Op::Cas { expect, value, .. } => {
                let same = match expect {
                    Expect::Absent => before.is_none(),
                    Expect::Value(value) => before.as_ref().is_some_and(|e| e.value == *value),
                    Expect::Revision(r) => before.as_ref().is_some_and(|e| e.mod_revision == *r),
                };
                if !same {
                    let revision = before.map(|entry| entry.mod_revision);
                    return Response::Written(Written::Differs { revision });
                }
                value.to_vec()
            }
        };
        if value.len() > MAX_VALUE_BYTES {
            let max_bytes = MAX_VALUE_BYTES as u64;
            return Response::Rejected(Rejected::ValueSize { max_bytes });
        }
        self.revision += 1;
        let entry = Entry {
            value: value.into(),
            create_revision: before.as_ref().map_or(self.revision, |entry| entry.create_revision),
            mod_revision: self.revision,
            version: before.as_ref().map_or(1, |entry| entry.version + 1),
        };
        self.keys.insert(op.key().to_vec(), entry);
        Response::Written(Written::Stored { revision: self.revision })
    }
}

fn random_op(random: &mut Random, model: &Model) -> Op {
    let key = format!("k{}", random.below(12));
    let mut value = format!("v{}", random.below(5));
    if random.chance(3_000) {
        value = "x".repeat(MAX_VALUE_BYTES / 2);
    }
    let expect = match random.below(3) {
        0 => Expect::Absent,
        1 => Expect::Value(bytes(format!("v{}", random.below(5)))),
        _ => Expect::Revision(random.between(model.revision.saturating_sub(20), model.revision)),
    };
    match random.below(4) {
        0 => put(&key, &value),
        1 => append(&key, &value),
        2 => delete(&key),
        _ => cas(&key, expect, &value),
    }
}

fn random_command(random: &mut Random, model: &Model) -> Command {
    let place = random.below(model.sessions.len() as u64 + 1) as usize;
    let session = *model.sessions.keys().nth(place).unwrap_or(&SessionId(random.below(50)));
    let lowest = model.sessions.get(&session).map_or(1, |session| session.answered_below);
    let number = random.between(lowest.saturating_sub(3), lowest + 12);
    let answered_below = random.between(lowest.saturating_sub(3), number.max(lowest));
    match random.below(100) {
        0..3 => Command::Open { lease_ms: random.between(0, 4 * MIN_LEASE_MS) },
        3 => Command::Close { session },
        4..8 => Command::KeepAlive { session, answered_below },
        8..14 => Command::Tick { elapsed_ms: random.between(0, 2 * MAX_TICK_MS) },
        14 => {
            let number = number + MAX_UNANSWERED;
            Command::Write { session, number, answered_below, op: random_op(random, model) }
        }
        _ => Command::Write { session, number, answered_below, op: random_op(random, model) },
    }
}

fn assert_same(log: &Log, model: &Model) {
    assert_eq!(log.store.clock_ms(), model.clock_ms);
    assert_eq!(log.store.sessions(), model.sessions.len());
    assert_eq!(log.store.keys(), model.keys.len());
    for (key, entry) in &model.keys {
        let answer = log.store.read(&Query::Get { key: bytes(key) });
        let revision = model.revision;
        assert_eq!(answer, Answer::Value { revision, entry: Some(entry.clone()) });
    }
}

#[test]
fn the_store_answers_as_the_model_does_also_after_being_restored() {
    let mut random = Random::new(7);
    for _ in 0..20 {
        let (mut log, mut model) = (Log::default(), Model::default());
        for _ in 0..3_000 {
            let command = random_command(&mut random, &model);
            let expected = model.apply(log.index + 1, &command);
            assert_eq!(log.apply(&command), expected, "{command:?}");
            if random.chance(10_000) {
                let restored = <Store>::restore(snapshot(&log.store).into_iter()).unwrap();
                assert!(restored == log.store);
                log.store = restored;
                assert_same(&log, &model);
            }
        }
        assert_same(&log, &model);
    }
}
