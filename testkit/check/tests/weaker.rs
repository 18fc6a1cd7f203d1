//! Weaker questions than linearizability: judge and oracle agree on small histories, and each planted
//! fault is found.

mod brute;
mod operations;

use std::collections::HashMap;

use brute::{explains, history, of_client};
use bytes::Bytes;
use operations::{get, put};
use synod_check::lists::{self, Lists};
use synod_check::registers::{Input, Output, Registers};
use synod_check::{DEFAULT_MAX_STEPS, Model, Operation, Verdict, sequential};
use synod_engine::Random;

type Map = HashMap<Bytes, Bytes>;

fn perform(map: &mut Map, input: &Input) -> Output {
    let key = input.key().clone();
    match input {
        Input::Get { .. } => Output::Value { value: map.get(&key).cloned(), revision: None },
        Input::Put { value, .. } => {
            map.insert(key, value.clone());
            Output::Written { revision: None }
        }
        Input::Append { value, .. } => {
            let old = map.get(&key).cloned().unwrap_or_default();
            map.insert(key, [&old[..], value].concat().into());
            Output::Written { revision: None }
        }
        Input::Delete { .. } => match map.remove(&key) {
            Some(_) => Output::Written { revision: None },
            None => Output::Absent,
        },
        Input::Cas { expect, .. } if map.get(&key) != expect.as_ref() => Output::Differs,
        Input::Cas { value, .. } => {
            map.insert(key, value.clone());
            Output::Written { revision: None }
        }
    }
}

/// Reads and writes of two keys, of as many values; now and then something else.
fn draw(values: u64, other: bool) -> impl FnMut(&mut Random, u64) -> Input {
    move |random, number| {
        let key = Bytes::from(["x", "y"][random.below(2) as usize]);
        let value = Bytes::from((number % values).to_string());
        match random.below(10) {
            0..4 => Input::Put { key, value },
            4 if other => Input::Append { key, value },
            5 if other => Input::Cas { key, expect: None, value },
            6 if other => Input::Delete { key },
            _ => Input::Get { key },
        }
    }
}

/// All keys of registers, judged one after the other by the oracle.
struct All;

impl Model for All {
    type Input = Input;
    type Output = Output;
    type State = Vec<<Registers as Model>::State>;
    type Key = ();

    fn key(&self, _: &Input) {}

    fn initial(&self) -> Self::State {
        vec![Registers.initial(); 2]
    }

    fn step(
        &self,
        state: &Self::State,
        input: &Input,
        output: Option<&Output>,
    ) -> Option<Self::State> {
        let mut after = state.clone();
        let own = &mut after[usize::from(input.key() == "y")];
        *own = Registers.step(own, input, output)?;
        Some(after)
    }
}

#[test]
fn sequential_consistency_and_the_oracle_agree() {
    let mut random = Random::new(1);
    let mut counts = [0; 2];
    for round in 0..20_000 {
        let (count, values) = (random.between(2, 7), if round % 2 == 0 { 9 } else { 2 });
        let history = history(&mut random, count, draw(values, round % 3 == 0), perform);
        // Of one client, some operations are under way at once, here and in the oracle.
        let explained = explains(&All, &All.initial(), &history, &before);
        match sequential::check(&Registers, &history, DEFAULT_MAX_STEPS) {
            Verdict::Ok => assert!(explained, "{history:#?}"),
            Verdict::Illegal(found) => assert!(!explained, "{}", found.explain(&history)),
            Verdict::Unknown { .. } => panic!("so few are no trouble: {history:#?}"),
        }
        counts[usize::from(explained)] += 1;
    }
    assert!(counts.iter().all(|count| *count > 2_000), "{counts:?}");
}

/// A client that asks at the time of an answer has had it.
fn before(one: &Operation<Input, Output>, other: &Operation<Input, Output>) -> bool {
    let at_once = one.returned.as_ref().is_some_and(|it| it.at == other.invoked);
    let is_long = one.returned.as_ref().is_some_and(|it| it.at > one.invoked);
    of_client(one, other) || one.client == other.client && at_once && is_long
}

#[test]
fn lists_of_several_clients_are_judged_by_their_order_alone() {
    let mut random = Random::new(2);
    let mut counts = [0; 2];
    for _ in 0..10_000 {
        let count = random.between(2, 7);
        let draw = |random: &mut Random, number: u64| match random.below(2) {
            0 => lists::Input::Append { key: "l".into(), element: number.to_string().into() },
            _ => lists::Input::Read { key: "l".into() },
        };
        let perform = |list: &mut Vec<Bytes>, input: &lists::Input| match input {
            lists::Input::Append { element, .. } => {
                list.push(element.clone());
                lists::Output::Appended
            }
            lists::Input::Read { .. } => lists::Output::List(list.clone()),
        };
        let history = history(&mut random, count, draw, perform);
        let before = |one: &Operation<_, _>, other: &Operation<_, _>| {
            let end = one.returned.as_ref().map(|it| it.at);
            of_client(one, other)
                || one.client == other.client
                    && end.is_some_and(|at| at == other.invoked && at > one.invoked)
        };
        let model = Lists::default();
        let explained = explains(&model, &model.initial(), &history, &before);
        let verdict = sequential::check(&Lists::of(&history), &history, DEFAULT_MAX_STEPS);
        assert!(!matches!(verdict, Verdict::Unknown { .. }), "{verdict}");
        assert_eq!(verdict.is_ok(), explained, "{history:#?}");
        counts[usize::from(explained)] += 1;
    }
    assert!(counts.iter().all(|count| *count > 500), "{counts:?}");
}

#[test]
fn a_stale_read_is_sequential_unless_its_client_knows_better() {
    let of = |client, operation: operations::Operation| Operation { client, ..operation };
    let writes = [of(1, put(0..=1, "a")), of(1, put(2..=3, "b"))];
    let judge = |reads: &[operations::Operation]| {
        sequential::check(&Registers, &[&writes[..], reads].concat(), DEFAULT_MAX_STEPS)
    };
    assert!(judge(&[of(2, get(8..=9, Some("a")))]).is_ok());
    assert!(!judge(&[of(1, get(8..=9, Some("a")))]).is_ok(), "it wrote b itself");
    let back = [of(2, get(8..=9, Some("b"))), of(2, get(10..=11, Some("a")))];
    assert!(matches!(judge(&back), Verdict::Illegal(_)), "it went back");
}
