//! How long the judges take: histories of 100,000 operations of 50 clients, of several shapes.
//!
//! `cargo run --release -p synod-check --example speed`

use std::time::Instant;

use bytes::Bytes;
use synod_check::causal::{self, Level};
use synod_check::registers::{Input, Output, Registers};
use synod_check::sessions::{self, Guarantee};
use synod_check::{DEFAULT_MAX_STEPS, Operation, Verdict, check, sequential};
use synod_engine::Random;

type History = Vec<Operation<Input, Output>>;

const OPERATIONS: u64 = 100_000;
const CLIENTS: u64 = 50;

/// What clients ask that each wait for an answer before they ask again, when each operation takes effect
/// at one instant of its time. `draw` draws what is asked; of a million, so many are never answered.
fn record(unknown_per_million: u32, draw: impl Fn(&mut Random, u64) -> Input) -> History {
    let mut random = Random::new(1);
    let mut free_at = vec![0; CLIENTS as usize];
    let mut planned: Vec<_> = (0..OPERATIONS)
        .map(|number| {
            let client = number % CLIENTS;
            let invoked = free_at[client as usize] + random.below(20);
            let returned = invoked + random.between(1, 100);
            free_at[client as usize] = returned;
            (
                random.between(invoked, returned),
                client,
                invoked..=returned,
                draw(&mut random, number),
            )
        })
        .collect();
    planned.sort_by_key(|(effect, client, ..)| (*effect, *client));
    let mut values = std::collections::HashMap::<Bytes, Option<Bytes>>::new();
    let mut history = History::new();
    for (_, client, time, input) in planned {
        if random.chance(unknown_per_million) {
            if random.chance(500_000) {
                perform(&mut values, &input);
            }
            history.push(Operation::unknown(client, *time.start(), input));
        } else {
            let output = perform(&mut values, &input);
            history.push(Operation::returned(client, time, input, output));
        }
    }
    history
}

fn perform(values: &mut std::collections::HashMap<Bytes, Option<Bytes>>, input: &Input) -> Output {
    let held = values.entry(input.key().clone()).or_default();
    match input {
        Input::Get { .. } => return Output::Value { value: held.clone(), revision: None },
        Input::Put { value, .. } => *held = Some(value.clone()),
        Input::Append { value, .. } => {
            *held = Some([&held.clone().unwrap_or_default()[..], value].concat().into());
        }
        Input::Delete { .. } if held.take().is_none() => return Output::Absent,
        Input::Delete { .. } => {}
        Input::Cas { expect, .. } if expect != held => return Output::Differs,
        Input::Cas { value, .. } => *held = Some(value.clone()),
    }
    Output::Written { revision: None }
}

fn key(random: &mut Random, keys: u64) -> Bytes {
    format!("key-{}", random.below(keys)).into()
}

/// Half reads, half puts of values of their own.
fn reads_and_puts(keys: u64) -> impl Fn(&mut Random, u64) -> Input {
    move |random, number| {
        let key = key(random, keys);
        match random.below(2) {
            0 => Input::Get { key },
            _ => Input::Put { key, value: format!("[{number}]").into() },
        }
    }
}

/// The whole vocabulary of a key-value store.
fn everything(keys: u64) -> impl Fn(&mut Random, u64) -> Input {
    move |random, number| {
        let key = key(random, keys);
        let value = Bytes::from(format!("[{number}]"));
        match random.below(20) {
            0..9 => Input::Get { key },
            9..14 => Input::Put { key, value },
            14..18 => Input::Append { key, value },
            18 => Input::Delete { key },
            _ => Input::Cas { key, expect: None, value },
        }
    }
}

/// The same without deletions.
fn all_but_deletions(keys: u64) -> impl Fn(&mut Random, u64) -> Input {
    let draw = everything(keys);
    move |random, number| match draw(random, number) {
        Input::Delete { key } => Input::Get { key },
        other => other,
    }
}

/// Values that anybody may have written.
fn few_values(keys: u64) -> impl Fn(&mut Random, u64) -> Input {
    move |random, _| {
        let key = key(random, keys);
        let value = Bytes::from(random.below(5).to_string());
        match random.below(3) {
            0 => Input::Get { key },
            1 => Input::Put { key, value },
            _ => Input::Cas { key, expect: Some(random.below(5).to_string().into()), value },
        }
    }
}

fn main() {
    judge("one key, unique values", &record(0, reads_and_puts(1)));
    judge("one key, unique values, 1 % unknown", &record(10_000, reads_and_puts(1)));
    judge("one key, also appends and swaps", &record(0, all_but_deletions(1)));
    judge("10 keys, also deletions", &record(0, everything(10)));
    judge("10 keys, also deletions, 1 % unknown", &record(10_000, everything(10)));
    judge("50 keys, also deletions, 1 % unknown", &record(10_000, everything(50)));
    judge("10 keys, few values", &record(0, few_values(10)));
    judge("one key, few values", &record(0, few_values(1)));
    judge("10 keys, few values, 0.1 % unknown", &record(1_000, few_values(10)));
    let history = record(0, reads_and_puts(10));
    time("10 keys, unique values: sequential", || {
        sequential::check(&Registers, &history, DEFAULT_MAX_STEPS)
    });
    for level in [Level::Weak, Level::Convergent, Level::Memory] {
        let what = format!("10 keys, unique values: causal, {level:?}");
        time(&what, || causal::check(&Registers, &history, level));
    }
    time("10 keys, unique values: sessions", || {
        sessions::check(&Registers, &history, &Guarantee::ALL)
    });
}

fn judge(what: &str, history: &History) {
    time(what, || check(&Registers, history, DEFAULT_MAX_STEPS));
}

fn time(what: &str, judge: impl FnOnce() -> Verdict) {
    let begin = Instant::now();
    let verdict = judge();
    println!("{what:40} {:>8.3} s  {verdict}", begin.elapsed().as_secs_f64());
}
