//! Weaker questions than linearizability: judge and oracle agree on small histories, and each planted
//! fault is found. What oracles there are of causes and sessions is in `oracles`.

mod brute;
mod operations;
mod oracles;

use std::collections::HashMap;

use brute::{explains, history, of_client};
use bytes::Bytes;
use operations::{get, put};
use synod_check::causal::{self, Level};
use synod_check::lists::{self, Lists};
use synod_check::registers::{Input, Output, Registers};
use synod_check::sessions::{self, Guarantee};
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
        let explained = explains(&All, &All.initial(), &history, &of_client);
        match sequential::check(&Registers, &history, DEFAULT_MAX_STEPS) {
            Verdict::Ok => assert!(explained, "{history:#?}"),
            Verdict::Illegal(found) => assert!(!explained, "{}", found.explain(&history)),
            Verdict::Unknown { .. } => panic!("so few are no trouble: {history:#?}"),
        }
        counts[usize::from(explained)] += 1;
    }
    assert!(counts.iter().all(|count| *count > 2_000), "{counts:?}");
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
        let model = Lists::default();
        let explained = explains(&model, &model.initial(), &history, &of_client);
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

/// Up to five reads and writes of two or three clients, with answers that anybody may have given.
fn answers(random: &mut Random) -> Vec<operations::Operation> {
    let count = random.between(2, 5);
    let clients = random.between(2, 3);
    let mut history: Vec<_> = (0..count)
        .map(|number| {
            let key = Bytes::from(["x", "y"][(random.below(5) / 3) as usize]);
            let time = 2 * number..=2 * number + 1;
            let value = Bytes::from(number.to_string());
            let (input, output) = match random.below(2) {
                0 => (Input::Put { key, value }, Output::Written { revision: None }),
                _ => (Input::Get { key }, Output::Value { value: None, revision: None }),
            };
            Operation::returned(random.below(clients), time, input, output)
        })
        .collect();
    let writes: Vec<_> = history
        .iter()
        .filter_map(|operation| match &operation.input {
            Input::Put { key, value } => Some((key.clone(), value.clone())),
            _ => None,
        })
        .collect();
    for operation in &mut history {
        let Input::Get { key } = &operation.input else { continue };
        let own: Vec<_> = writes.iter().filter(|(other, _)| other == key).collect();
        if random.below(5) > 0 && !own.is_empty() {
            let value = Some(own[random.below(own.len() as u64) as usize].1.clone());
            operation.returned.as_mut().expect("all return").output =
                Output::Value { value, revision: None };
        }
    }
    history
}

#[test]
fn causal_consistency_and_the_oracle_agree() {
    let mut random = Random::new(3);
    let oracle = oracles::Causal::new();
    for level in [Level::Weak, Level::Convergent, Level::Memory] {
        let mut counts = [0; 2];
        for _ in 0..3_000 {
            let history = answers(&mut random);
            let explained = oracle.explains(&history, level);
            match causal::check(&Registers, &history, level) {
                Verdict::Ok => assert!(explained, "{level:?} {history:#?}"),
                Verdict::Illegal(found) => {
                    assert!(!explained, "{level:?}: {}", found.explain(&history));
                }
                Verdict::Unknown { why, .. } => panic!("{why}"),
            }
            counts[usize::from(explained)] += 1;
        }
        assert!(counts.iter().all(|count| *count > 300), "{level:?}: {counts:?}");
    }
}

#[test]
fn session_guarantees_and_the_oracle_agree() {
    let mut random = Random::new(4);
    let alone = Guarantee::ALL.iter().map(std::slice::from_ref);
    for asked in alone.chain([&Guarantee::ALL[..]]) {
        let mut counts = [0; 2];
        for _ in 0..10_000 {
            let history = answers(&mut random);
            let explained = oracles::keeps(&history, asked);
            let verdict = sessions::check(&Registers, &history, asked);
            assert!(!matches!(verdict, Verdict::Unknown { .. }), "{verdict}");
            assert_eq!(verdict.is_ok(), explained, "{asked:?} {history:#?}");
            counts[usize::from(explained)] += 1;
        }
        // Monotonic writes alone are broken by nobody who writes each value once.
        let never = asked == [Guarantee::MonotonicWrites];
        assert!(counts[1] > 500 && (never || counts[0] > 100), "{asked:?}: {counts:?}");
    }
}

/// One operation of each client after the other, with these answers.
fn story(steps: &[(u64, &str, &str, Option<&str>)]) -> Vec<operations::Operation> {
    let step = |(number, (client, asks, key, value)): (usize, &(u64, &str, &str, Option<&str>))| {
        let (key, value) =
            (Bytes::from(key.to_string()), value.map(|it| Bytes::from(it.to_string())));
        let (input, output) = match *asks {
            "put" => (
                Input::Put { key, value: value.expect("it writes one") },
                Output::Written { revision: None },
            ),
            _ => (Input::Get { key }, Output::Value { value, revision: None }),
        };
        let at = 2 * number as u64;
        Operation::returned(*client, at..=at + 1, input, output)
    };
    steps.iter().enumerate().map(step).collect()
}

#[test]
fn the_answer_that_overtakes_its_question_breaks_causes_and_no_session() {
    // Alice asks, Bob answers, Carol sees the answer only.
    let seen = |question| {
        story(&[
            (1, "put", "question", Some("when?")),
            (2, "get", "question", Some("when?")),
            (2, "put", "answer", Some("now")),
            (3, "get", "answer", Some("now")),
            (3, "get", "question", question),
        ])
    };
    let causal = |history: &[_]| causal::check(&Registers, history, Level::Weak);
    assert!(causal(&seen(Some("when?"))).is_ok());
    let Verdict::Illegal(found) = causal(&seen(None)) else { panic!("nobody noticed") };
    let told = found.explain(&seen(None)).to_string();
    assert!(told.contains("client 1: put \"question\"") && told.contains("cause"), "{told}");
    assert!(sessions::check(&Registers, &seen(None), &Guarantee::ALL).is_ok());
}

#[test]
fn clients_that_see_two_writes_in_different_orders_are_causal_and_do_not_converge() {
    let history = story(&[
        (1, "put", "x", Some("a")),
        (2, "put", "x", Some("b")),
        (1, "get", "x", Some("b")),
        (2, "get", "x", Some("a")),
    ]);
    assert!(causal::check(&Registers, &history, Level::Weak).is_ok());
    assert!(causal::check(&Registers, &history, Level::Memory).is_ok());
    assert!(!causal::check(&Registers, &history, Level::Convergent).is_ok());
}

#[test]
fn each_broken_session_guarantee_is_told_by_its_name() {
    let broken = |steps: &[(u64, &str, &str, Option<&str>)], guarantee, name| {
        let history = story(steps);
        let verdict = sessions::check(&Registers, &history, &[guarantee]);
        let Verdict::Illegal(found) = verdict else { panic!("{name} is broken") };
        let told = found.explain(&history).to_string();
        assert!(told.contains(name), "{told}");
    };
    let wrote = (1, "put", "x", Some("a"));
    broken(&[wrote, (1, "get", "x", None)], Guarantee::ReadYourWrites, "read your writes");
    let back = [wrote, (2, "get", "x", Some("a")), (2, "get", "x", None)];
    broken(&back, Guarantee::MonotonicReads, "monotonic reads");
    // Who found a overwrote it with b, and somebody found b before a.
    let follows = [
        wrote,
        (2, "get", "x", Some("a")),
        (2, "put", "x", Some("b")),
        (3, "get", "x", Some("b")),
        (3, "get", "x", Some("a")),
    ];
    let judged = |asked: &[_]| sessions::check(&Registers, &story(&follows), asked);
    assert!(
        judged(&[Guarantee::WritesFollowReads]).is_ok()
            && judged(&[Guarantee::MonotonicReads]).is_ok()
    );
    let both = [Guarantee::WritesFollowReads, Guarantee::MonotonicReads];
    let Verdict::Illegal(found) = judged(&both) else { panic!("nobody noticed") };
    let told = found.explain(&story(&follows)).to_string();
    assert!(told.contains("writes follow reads") && told.contains("monotonic reads"), "{told}");
    let written =
        [wrote, (1, "put", "x", Some("b")), (3, "get", "x", Some("b")), (3, "get", "x", Some("a"))];
    let both = [Guarantee::MonotonicWrites, Guarantee::MonotonicReads];
    let Verdict::Illegal(found) = sessions::check(&Registers, &story(&written), &both) else {
        panic!("nobody noticed")
    };
    assert!(found.explain(&story(&written)).to_string().contains("monotonic writes"));
}

#[test]
fn what_values_do_not_tell_is_undecided() {
    let twice = story(&[(1, "put", "x", Some("a")), (2, "put", "x", Some("a"))]);
    assert!(matches!(causal::check(&Registers, &twice, Level::Weak), Verdict::Unknown { .. }));
    let mut at_once = story(&[(1, "put", "x", Some("a")), (1, "put", "x", Some("b"))]);
    at_once[0].returned.as_mut().unwrap().at = 9;
    let verdict = sessions::check(&Registers, &at_once, &Guarantee::ALL);
    assert!(matches!(verdict, Verdict::Unknown { .. }));
}

/// Five clients that overlap each other and not themselves, over three keys.
fn long(count: u64) -> Vec<operations::Operation> {
    let (mut random, mut map) = (Random::new(6), Map::new());
    (0..count)
        .map(|number| {
            let key = Bytes::from(["x", "y", "z"][random.below(3) as usize]);
            let value = Bytes::from(number.to_string());
            let input = match random.below(2) {
                0 => Input::Put { key, value },
                _ => Input::Get { key },
            };
            let output = perform(&mut map, &input);
            let (client, begin) = (number % 5, 10 * (number / 5) + 2 * (number % 5));
            Operation::returned(client, begin..=begin + 7, input, output)
        })
        .collect()
}

#[test]
fn long_histories_are_judged_without_a_search() {
    let judge = |history: &[_]| {
        let mut verdicts = vec![sequential::check(&Registers, history, 1)];
        verdicts.push(sessions::check(&Registers, history, &Guarantee::ALL));
        for level in [Level::Weak, Level::Convergent, Level::Memory] {
            verdicts.push(causal::check(&Registers, history, level));
        }
        verdicts
    };
    let mut history = long(3_000);
    for verdict in judge(&history) {
        assert!(verdict.is_ok(), "{verdict}");
    }
    // The last read finds what was there at the beginning.
    let last = history.iter_mut().rev().find(|it| matches!(it.input, Input::Get { .. })).unwrap();
    let nothing = Output::Value { value: None, revision: None };
    last.returned.as_mut().unwrap().output = nothing;
    for verdict in judge(&history) {
        assert!(matches!(verdict, Verdict::Illegal(_)), "{verdict}");
    }
}
