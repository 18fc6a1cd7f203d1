//! Histories of the real store under many clients: legal as they are, illegal once a fault is planted,
//! and judged in few steps.

mod operations;

use bytes::Bytes;
use synod_check::registers::{Input, Output, Registers};
use synod_check::{Operation, Verdict, check, file};
use synod_codec::encode;
use synod_consensus::{Index, StateMachine};
use synod_engine::Random;
use synod_kv::Store;
use synod_kv::message::{Answer, Command, Expect, Op, Query, Response, SessionId, Written};

type History = Vec<Operation<Input, Output>>;

/// What the clients do, and what is recorded of it.
#[derive(Clone, Copy)]
struct Load {
    operations: u64,
    clients: u64,
    keys: u64,
    /// Of a million operations, those whose fate is never known; half of them take effect.
    unknown_per_million: u32,
    /// Whether answers tell revisions.
    revisions: bool,
}

const USUAL: Load = Load {
    operations: 10_000,
    clients: 50,
    keys: 20,
    unknown_per_million: 10_000,
    revisions: true,
};

/// What `load` leaves behind when each operation takes effect at one instant of its time.
fn record(seed: u64, load: Load) -> History {
    let mut random = Random::new(seed);
    let mut free_at = vec![0; load.clients as usize];
    let mut planned: Vec<_> = (0..load.operations)
        .map(|number| {
            let client = number % load.clients;
            let invoked = free_at[client as usize] + random.below(20);
            let returned = invoked + random.between(1, 100);
            free_at[client as usize] = returned;
            let input = random_input(&mut random, number, load.keys);
            let unknown = random.chance(load.unknown_per_million);
            let effect = if unknown {
                invoked + random.below(1_000)
            } else {
                random.between(invoked, returned)
            };
            (effect, client, invoked, returned, unknown, input)
        })
        .collect();
    planned.sort_by_key(|(effect, client, ..)| (*effect, *client));
    let mut service = Service::new(load.revisions);
    let mut history = History::new();
    for (_, client, invoked, returned, unknown, input) in planned {
        let operation = if unknown {
            if random.chance(500_000) {
                service.perform(&input);
            }
            Operation::unknown(client, invoked, input)
        } else {
            let output = service.perform(&input);
            Operation::returned(client, invoked..=returned, input, output)
        };
        history.push(operation);
    }
    history
}

fn random_input(random: &mut Random, number: u64, keys: u64) -> Input {
    let key = Bytes::from(format!("key-{}", random.below(keys)));
    let value = Bytes::from(format!("[{number}]"));
    match random.below(20) {
        0..9 => Input::Get { key },
        9..14 => Input::Put { key, value },
        14..18 => Input::Append { key, value },
        18 => Input::Delete { key },
        _ => Input::Cas { key, expect: None, value },
    }
}

/// The store, asked in the words of the model.
struct Service {
    store: Store,
    index: u64,
    revisions: bool,
}

impl Service {
    fn new(revisions: bool) -> Self {
        let mut service = Self { store: Store::new(), index: 0, revisions };
        service.apply(&Command::Open { lease_ms: 60_000 });
        service
    }

    fn apply(&mut self, command: &Command) -> Response {
        self.index += 1;
        let mut encoded = Vec::new();
        encode(command, &mut encoded);
        self.store.apply(Index(self.index), &encoded)
    }

    fn perform(&mut self, input: &Input) -> Output {
        let told = |revision| self.revisions.then_some(revision);
        let op = match input.clone() {
            Input::Get { key } => {
                let Answer::Value { entry, .. } = self.store.read(&Query::Get { key }) else {
                    panic!("a get is answered by a value");
                };
                let revision = entry.as_ref().and_then(|entry| told(entry.mod_revision));
                return Output::Value { value: entry.map(|entry| entry.value), revision };
            }
            Input::Put { key, value } => Op::Put { key, value },
            Input::Append { key, value } => Op::Append { key, value },
            Input::Delete { key } => Op::Delete { key },
            Input::Cas { key, expect, value } => {
                Op::Cas { key, expect: expect.map_or(Expect::Absent, Expect::Value), value }
            }
        };
        let number = self.index;
        let write = Command::Write { session: SessionId(1), number, answered_below: number, op };
        match self.apply(&write) {
            Response::Written(Written::Stored { revision } | Written::Deleted { revision }) => {
                Output::Written { revision: self.revisions.then_some(revision) }
            }
            Response::Written(Written::Absent) => Output::Absent,
            Response::Written(Written::Differs { .. }) => Output::Differs,
            other => panic!("{other:?}"),
        }
    }
}

fn assert_legal(history: &History, max_steps: u64) {
    let verdict = check(&Registers, history, max_steps);
    if let Verdict::Illegal(found) = &verdict {
        panic!("{}", found.explain(history));
    }
    assert!(verdict.is_ok(), "{verdict}");
}

#[test]
fn ten_thousand_operations_take_a_few_steps_each() {
    for seed in 0..5 {
        assert_legal(&record(seed, USUAL), 10_000);
        assert_legal(&record(seed, Load { revisions: false, ..USUAL }), 100_000);
        assert_legal(&record(seed, Load { unknown_per_million: 0, ..USUAL }), 10_000);
        assert_legal(&record(seed, Load { unknown_per_million: 30_000, ..USUAL }), 100_000);
    }
}

#[test]
fn many_clients_on_one_key_are_judged_by_revisions() {
    assert_legal(&record(1, Load { keys: 1, operations: 5_000, ..USUAL }), 100_000);
}

/// The gets that found something, by their places, in the order of the history.
fn found(history: &History) -> impl Iterator<Item = (usize, &Bytes)> {
    history.iter().enumerate().filter_map(|(place, operation)| match operation.output()? {
        Output::Value { value: Some(value), .. } => Some((place, value)),
        _ => None,
    })
}

/// The history with another answer to the get at `place`.
fn with_found(history: &History, place: usize, value: impl Into<Bytes>) -> History {
    let mut faulty = history.clone();
    let output = Output::Value { value: Some(value.into()), revision: None };
    faulty[place].returned.as_mut().expect("it found something").output = output;
    faulty
}

/// A value is a list of tokens, each written once in a history: `[12][345][6]`
fn tokens(value: &Bytes) -> Vec<String> {
    String::from_utf8_lossy(value).split_inclusive(']').map(Into::into).collect()
}

/// A get in the second half that found three tokens or more.
fn long_found(history: &History) -> (usize, Vec<String>) {
    found(history)
        .map(|(place, value)| (place, tokens(value)))
        .find(|(place, tokens)| *place > history.len() / 2 && tokens.len() > 2)
        .expect("there are such gets")
}

fn duplicated_append(history: &History) -> History {
    let (place, tokens) = long_found(history);
    with_found(history, place, [&tokens[..], &tokens[2..]].concat().concat())
}

fn lost_append(history: &History) -> History {
    let (place, tokens) = long_found(history);
    with_found(history, place, [&tokens[..1], &tokens[2..]].concat().concat())
}

/// A get returns what was there before what an earlier get has returned.
fn stale_read(history: &History) -> History {
    let of_one_key: Vec<_> =
        found(history).filter(|(place, _)| history[*place].input.key() == "key-0").collect();
    let late = &of_one_key[of_one_key.len() / 2..];
    let end = |place: usize| history[place].returned.as_ref().map_or(u64::MAX, |end| end.at);
    let first = |after: usize, other_than: &Bytes| {
        let later = |place: usize| end(after) < history[place].invoked;
        late.iter().find(|(place, value)| later(*place) && *value != other_than)
    };
    let (old, old_value) = late[0];
    let (newer, newer_value) = first(old, old_value).expect("the key changes");
    let (last, _) = first(*newer, newer_value).expect("and changes again");
    with_found(history, *last, old_value.clone())
}

#[test]
fn a_planted_fault_is_found_among_ten_thousand_operations() {
    for revisions in [true, false] {
        let history = record(9, Load { revisions, ..USUAL });
        assert_legal(&history, 100_000);
        for plant in [duplicated_append, lost_append, stale_read] {
            let verdict = check(&Registers, &plant(&history), 1_000_000);
            assert!(matches!(verdict, Verdict::Illegal(_)), "{verdict}");
        }
    }
}

#[test]
fn a_history_that_was_written_is_read_back_the_same() {
    let mut history = record(3, Load { operations: 500, ..USUAL });
    let binary = Input::Put { key: Bytes::from_static(b"\xff\0"), value: Bytes::new() };
    history.push(Operation::unknown(7, 1, binary));
    let mut writer = file::Writer::new(Vec::new()).unwrap();
    for operation in &history {
        writer.write(operation).unwrap();
    }
    let written = writer.finish().unwrap();
    assert_eq!(file::read(&written[..]), Ok(history));
}
