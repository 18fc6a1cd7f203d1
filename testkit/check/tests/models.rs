//! Lists, queues and ranges: the judge and an oracle agree on small histories, a planted fault is found,
//! and a long legal history is accepted.

mod brute;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{Debug, Display};

use brute::{explains, history, in_time};
use bytes::Bytes;
use synod_check::maps::{Entry, Maps, Range};
use synod_check::queues::Queues;
use synod_check::{
    DEFAULT_MAX_STEPS, Model, Operation, Verdict, check, lists, maps, queues, registers,
};
use synod_engine::Random;

fn name(number: u64) -> Bytes {
    ["a", "b", "c", "d", "e", "f", "g", "h"][number as usize % 8].into()
}

/// Lets judge and oracle decide; whether it is legal.
fn agree<M: Model>(
    model: &M,
    whole: &M,
    history: &[Operation<M::Input, M::Output>],
    counts: &mut [u32; 2],
) where
    M::Input: Clone + Debug + Display + 'static,
    M::Output: Clone + Debug + Display + 'static,
{
    let explained = explains(whole, &whole.initial(), history, &in_time);
    match check(model, history, DEFAULT_MAX_STEPS) {
        Verdict::Ok => assert!(explained, "{history:#?}"),
        Verdict::Illegal(found) => assert!(!explained, "{}", found.explain(history)),
        Verdict::Unknown { .. } => panic!("so few are no trouble: {history:#?}"),
    }
    counts[usize::from(explained)] += 1;
}

fn perform_list(list: &mut Vec<Bytes>, input: &lists::Input) -> lists::Output {
    match input {
        lists::Input::Append { element, .. } => {
            list.push(element.clone());
            lists::Output::Appended
        }
        lists::Input::Read { .. } => lists::Output::List(list.clone()),
    }
}

fn draw_list(elements: u64) -> impl FnMut(&mut Random, u64) -> lists::Input {
    move |random, number| {
        let key = Bytes::from("l");
        match random.below(2) {
            0 => lists::Input::Append { key, element: (number % elements).to_string().into() },
            _ => lists::Input::Read { key },
        }
    }
}

#[test]
fn lists_and_the_oracle_agree() {
    let mut random = Random::new(1);
    let mut counts = [0; 2];
    for _ in 0..20_000 {
        let (count, elements) = (random.between(1, 7), random.between(2, 9));
        let history = history(&mut random, count, draw_list(elements), perform_list);
        let model = lists::Lists::of(&history);
        agree(&model, &lists::Lists::default(), &history, &mut counts);
    }
    assert!(counts.iter().all(|count| *count > 2_000), "{counts:?}");
}

fn perform_queue(queue: &mut VecDeque<Bytes>, input: &queues::Input) -> queues::Output {
    match input {
        queues::Input::Enqueue { value, .. } => {
            queue.push_back(value.clone());
            queues::Output::Enqueued
        }
        queues::Input::Dequeue { .. } => match queue.pop_front() {
            Some(value) => queues::Output::Dequeued(value),
            None => queues::Output::Empty,
        },
    }
}

fn draw_queue(values: u64) -> impl FnMut(&mut Random, u64) -> queues::Input {
    move |random, number| {
        let key = Bytes::from("q");
        match random.below(2) {
            0 => queues::Input::Enqueue { key, value: (number % values).to_string().into() },
            _ => queues::Input::Dequeue { key },
        }
    }
}

#[test]
fn queues_and_the_oracle_agree() {
    let mut random = Random::new(2);
    let mut counts = [0; 2];
    for _ in 0..20_000 {
        let (count, values) = (random.between(1, 7), random.between(2, 9));
        let history = history(&mut random, count, draw_queue(values), perform_queue);
        agree(&Queues, &Queues, &history, &mut counts);
    }
    assert!(counts.iter().all(|count| *count > 2_000), "{counts:?}");
}

type Map = BTreeMap<Bytes, Bytes>;

fn perform_map(map: &mut Map, input: &maps::Input) -> maps::Output {
    use registers::{Input, Output};
    let input = match input {
        maps::Input::One(input) => input,
        maps::Input::Many { range } => {
            let inside =
                |key: &Bytes| *key >= range.from && range.to.as_ref().is_none_or(|to| key < to);
            let entry = |(key, value): (&Bytes, &Bytes)| Entry {
                key: key.clone(),
                value: value.clone(),
                revision: None,
            };
            let all = map.iter().filter(|(key, _)| inside(key)).map(entry);
            let entries = all.take(range.limit.unwrap_or(usize::MAX)).collect();
            return maps::Output::Many { entries };
        }
    };
    let written = Output::Written { revision: None };
    let key = input.key().clone();
    maps::Output::One(match input {
        Input::Get { .. } => Output::Value { value: map.get(&key).cloned(), revision: None },
        Input::Put { value, .. } => {
            map.insert(key, value.clone());
            written
        }
        Input::Append { value, .. } => {
            let old = map.get(&key).cloned().unwrap_or_default();
            map.insert(key, [&old[..], value].concat().into());
            written
        }
        Input::Delete { .. } => match map.remove(&key) {
            Some(_) => written,
            None => Output::Absent,
        },
        Input::Cas { expect, .. } if map.get(&key) != expect.as_ref() => Output::Differs,
        Input::Cas { value, .. } => {
            map.insert(key, value.clone());
            written
        }
    })
}

fn draw_map(random: &mut Random, number: u64) -> maps::Input {
    use registers::Input;
    let key = name(random.below(3));
    let value = Bytes::from(number.to_string());
    maps::Input::One(match random.below(9) {
        0..2 => Input::Put { key, value },
        2 => Input::Append { key, value },
        3 => Input::Delete { key },
        4 => Input::Cas { key, expect: None, value },
        5..7 => Input::Get { key },
        _ => {
            let to = (random.below(2) == 0).then(|| name(random.between(1, 4)));
            let limit = (random.below(3) == 0).then(|| random.between(1, 2) as usize);
            return maps::Input::Many { range: Range { from: key, to, limit } };
        }
    })
}

#[test]
fn ranges_and_the_oracle_agree() {
    let mut random = Random::new(3);
    let mut counts = [0; 2];
    let everything = maps::Input::Many { range: Range { from: "".into(), to: None, limit: None } };
    let everything = Maps::of(&[Operation::unknown(0, 0, everything)]);
    for _ in 0..20_000 {
        let count = random.between(1, 7);
        let history = history(&mut random, count, draw_map, perform_map);
        agree(&Maps::of(&history), &everything, &history, &mut counts);
    }
    assert!(counts.iter().all(|count| *count > 2_000), "{counts:?}");
}

/// What a service answers that handles one call after the other.
fn in_turn<S: Default, I, O>(
    count: u64,
    mut draw: impl FnMut(&mut Random, u64) -> I,
    mut perform: impl FnMut(&mut S, &I) -> O,
) -> Vec<Operation<I, O>> {
    let (mut random, mut state) = (Random::new(4), S::default());
    (0..count)
        .map(|number| {
            let input = draw(&mut random, number);
            let output = perform(&mut state, &input);
            // Each overlaps with the next few.
            Operation::returned(number % 5, 3 * number..=3 * number + 8, input, output)
        })
        .collect()
}

#[test]
fn long_histories_are_accepted_and_a_planted_fault_is_found() {
    let mut legal = in_turn(2_000, draw_list(9_999), perform_list);
    let model = |history: &[_]| lists::Lists::of(history);
    assert!(check(&model(&legal), &legal, 100_000).is_ok());
    let faulty = legal.iter_mut().rev().filter_map(|operation| operation.returned.as_mut());
    let list = faulty.map(|returned| &mut returned.output).find_map(|output| match output {
        lists::Output::List(list) => Some(list),
        lists::Output::Appended => None,
    });
    list.unwrap().swap(40, 41);
    assert!(matches!(check(&model(&legal), &legal, 100_000), Verdict::Illegal(_)));

    let mut legal = in_turn(2_000, draw_queue(9_999), perform_queue);
    assert!(check(&Queues, &legal, 100_000).is_ok());
    let faulty = legal.iter_mut().rev().filter_map(|operation| operation.returned.as_mut());
    let value = faulty.map(|returned| &mut returned.output).find_map(|output| match output {
        queues::Output::Dequeued(value) => Some(value),
        queues::Output::Enqueued | queues::Output::Empty => None,
    });
    *value.unwrap() = "0".into();
    assert!(matches!(check(&Queues, &legal, 100_000), Verdict::Illegal(_)), "taken twice");

    let mut legal = in_turn(2_000, draw_map, perform_map);
    assert!(check(&Maps::of(&legal), &legal, 100_000).is_ok());
    let faulty = legal.iter_mut().filter_map(|operation| operation.returned.as_mut()).skip(900);
    let entries = faulty.map(|returned| &mut returned.output).find_map(|output| match output {
        maps::Output::Many { entries } if entries.len() == 3 => Some(entries),
        maps::Output::Many { .. } | maps::Output::One(_) => None,
    });
    entries.unwrap().remove(1);
    assert!(matches!(check(&Maps::of(&legal), &legal, 100_000), Verdict::Illegal(_)));
}
