//! Random commands against a model that is naive enough to be read at a glance.

mod client;

use std::collections::BTreeMap;

use bytes::Bytes;
use client::{Log, append, bytes, cas, delete, put, snapshot};
use synod_consensus::StateMachine;
use synod_engine::Random;
use synod_kv::Store;
use synod_kv::limits::{MAX_LEASE_MS, MAX_TICK_MS, MAX_UNANSWERED, MAX_VALUE_BYTES, MIN_LEASE_MS};
use synod_kv::message::{
    Action, Answer, Command, Compare, Done, Entry, Expect, Op, Query, Rejected, Relation, Response,
    SessionId, Span, Target, Txn, TxnDone, Written,
};

#[derive(Default)]
struct Model {
    clock_ms: u64,
    revision: u64,
    keys: BTreeMap<Vec<u8>, Entry>,
    sessions: BTreeMap<SessionId, Session>,
    /// All that ever happened: revision, key, what it held since, and before.
    events: Vec<(u64, Bytes, Option<Entry>, Option<Entry>)>,
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
        let key = match op {
            Op::Put { key, .. }
            | Op::Append { key, .. }
            | Op::Delete { key }
            | Op::Cas { key, .. } => key,
            Op::Txn(txn) => return self.transact(txn),
        };
        let before = self.keys.get(&key[..]).cloned();
        let value = match op {
            Op::Put { value, .. } => value.to_vec(),
            Op::Append { value, .. } => {
                let start = before.as_ref().map_or(&[][..], |entry| &entry.value[..]);
                [start, value].concat()
            }
            Op::Delete { key } => {
                if before.is_none() {
                    return Response::Written(Written::Absent);
                }
                self.revision += 1;
                self.set(self.revision, key, None);
                return Response::Written(Written::Deleted { revision: self.revision });
            }
            Op::Txn(_) => unreachable!("done above"),
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
        self.set(self.revision, key, Some(value));
        Response::Written(Written::Stored { revision: self.revision })
    }

    fn transact(&mut self, txn: &Txn) -> Response {
        let succeeded = txn.compares.iter().all(|compare| {
            let keys = self.keys.iter().filter(|(key, _)| compare.keys.contains(key));
            let mut found: Vec<_> = keys.map(|(_, entry)| entry.clone()).collect();
            if found.is_empty() {
                if matches!(compare.target, Target::Value(_)) {
                    return false;
                }
                found.push(Entry::default());
            }
            found.iter().all(|entry| {
                let ordering = match &compare.target {
                    Target::Value(value) => entry.value.cmp(value),
                    Target::Version(version) => entry.version.cmp(version),
                    Target::Created(revision) => entry.create_revision.cmp(revision),
                    Target::Modified(revision) => entry.mod_revision.cmp(revision),
                };
                match compare.relation {
                    Relation::Equal => ordering.is_eq(),
                    Relation::NotEqual => ordering.is_ne(),
                    Relation::Less => ordering.is_lt(),
                    Relation::Greater => ordering.is_gt(),
                }
            })
        });
        for branch in [&txn.success, &txn.failure] {
            let puts = |branch: &[Action]| -> Vec<Bytes> {
                let keys = branch.iter().filter_map(|action| match action {
                    Action::Put { key, .. } => Some(key.clone()),
                    _ => None,
                });
                keys.collect()
            };
            let set = puts(branch);
            let twice = set.iter().enumerate().any(|(place, key)| set[..place].contains(key));
            let deleted = branch.iter().any(|action| match action {
                Action::Delete { keys, .. } => set.iter().any(|key| keys.contains(key)),
                _ => false,
            });
            if twice || deleted {
                return Response::Rejected(Rejected::SetTwice);
            }
        }
        let next = self.revision + 1;
        let events = self.events.len();
        let branch = if succeeded { &txn.success } else { &txn.failure };
        let results = branch.iter().map(|action| self.act(next, action)).collect();
        if self.events.len() > events {
            self.revision = next;
        }
        let done = TxnDone { revision: self.revision, succeeded, results };
        Response::Written(Written::Txn(done.into()))
    }

    fn act(&mut self, revision: u64, action: &Action) -> Done {
        let within = |keys: &Span| -> Vec<(Bytes, Entry)> {
            let found = self.keys.iter().filter(|(key, _)| keys.contains(key));
            found.map(|(key, entry)| (bytes(key), entry.clone())).collect()
        };
        match action {
            Action::Put { key, value, prev } => {
                let before = self.set(revision, key, Some(value.to_vec()));
                Done::Put { prev: before.filter(|_| *prev) }
            }
            Action::Get { keys, limit } => {
                let mut entries = within(keys);
                let more = entries.len() as u64 > *limit;
                entries.truncate(*limit as usize);
                Done::Get { entries, more }
            }
            Action::Delete { keys, prev } => {
                let gone = within(keys);
                for (key, _) in &gone {
                    self.set(revision, key, None);
                }
                let deleted = gone.len() as u64;
                Done::Delete { deleted, prev: if *prev { gone } else { Vec::new() } }
            }
        }
    }

    /// Sets or deletes a key; what it held before.
    fn set(&mut self, revision: u64, key: &Bytes, value: Option<Vec<u8>>) -> Option<Entry> {
        let before = self.keys.remove(&key[..]);
        let now = value.map(|value| Entry {
            value: value.into(),
            create_revision: before.as_ref().map_or(revision, |entry| entry.create_revision),
            mod_revision: revision,
            version: before.as_ref().map_or(1, |entry| entry.version + 1),
        });
        if let Some(now) = &now {
            self.keys.insert(key.to_vec(), now.clone());
        }
        self.events.push((revision, key.clone(), now, before.clone()));
        before
    }
}

fn random_key(random: &mut Random) -> Bytes {
    bytes(format!("k{}", random.below(12)))
}

fn random_span(random: &mut Random) -> Span {
    match random.below(5) {
        0 => Span::Range { start: random_key(random), end: Some(random_key(random)) },
        1 => Span::prefix("k1"),
        _ => Span::One(random_key(random)),
    }
}

fn random_txn(random: &mut Random, model: &Model) -> Txn {
    let compare = |random: &mut Random| {
        let relations = [Relation::Equal, Relation::NotEqual, Relation::Less, Relation::Greater];
        let recent = random.between(model.revision.saturating_sub(20), model.revision);
        let target = match random.below(4) {
            0 => Target::Value(bytes(format!("v{}", random.below(5)))),
            1 => Target::Version(random.below(3)),
            2 => Target::Created(recent),
            _ => Target::Modified(recent),
        };
        let relation = relations[random.below(4) as usize];
        Compare { keys: random_span(random), relation, target }
    };
    let action = |random: &mut Random| {
        let prev = random.chance(500_000);
        match random.below(4) {
            0 => Action::Get { keys: random_span(random), limit: random.below(5) },
            1 => Action::Delete { keys: random_span(random), prev },
            _ => {
                let value = bytes(format!("v{}", random.below(5)));
                Action::Put { key: random_key(random), value, prev }
            }
        }
    };
    let compares = (0..random.below(3)).map(|_| compare(random)).collect();
    let success = (0..random.below(4)).map(|_| action(random)).collect();
    let failure = (0..random.below(4)).map(|_| action(random)).collect();
    Txn { compares, success, failure }
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
    match random.below(6) {
        0 => put(&key, &value),
        1 => append(&key, &value),
        2 => delete(&key),
        3 => cas(&key, expect, &value),
        _ => Op::Txn(random_txn(random, model)),
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
    let remembered = log.store.events_after(log.store.compacted()).map(|event| {
        let (entry, prev) = (event.entry().cloned(), event.prev().cloned());
        (event.revision(), event.key().clone(), entry, prev)
    });
    let remembered: Vec<_> = remembered.collect();
    let known = model.events.iter().filter(|(at, ..)| *at > log.store.compacted());
    assert!(remembered.iter().eq(known), "the history is what happened");
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
                let restored = Store::new().restore(snapshot(&log.store).into_iter()).unwrap();
                assert!(restored == log.store);
                log.store = restored;
                assert_same(&log, &model);
            }
        }
        assert_same(&log, &model);
    }
}
