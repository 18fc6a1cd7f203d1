//! The search against an oracle that tries every order there is.

mod operations;

use operations::{Operation, append, cas, delete, get, judge, put, unknown, written};
use synod_check::registers::{Input, Output, Registers};
use synod_check::{DEFAULT_MAX_STEPS, Model, Verdict, check};
use synod_engine::Random;

/// Whether some order of the operations in `left` goes on from `state`, tried one by one.
fn explains(state: &<Registers as Model>::State, left: &[Operation]) -> bool {
    if left.iter().all(|operation| operation.returned.is_none()) {
        return true;
    }
    (0..left.len()).any(|next| {
        let operation = &left[next];
        let overtakes = left.iter().any(|other| {
            other.returned.as_ref().is_some_and(|returned| returned.at < operation.invoked)
        });
        let mut rest = left.to_vec();
        rest.remove(next);
        !overtakes
            && Registers
                .step(state, &operation.input, operation.output())
                .is_some_and(|state| explains(&state, &rest))
    })
}

/// Registers that give the search no hints.
struct Blind;

impl Model for Blind {
    type Input = Input;
    type Output = Output;
    type State = <Registers as Model>::State;
    type Key = <Registers as Model>::Key;

    fn key(&self, input: &Input) -> Self::Key {
        Registers.key(input)
    }

    fn initial(&self) -> Self::State {
        Registers.initial()
    }

    fn step(
        &self,
        state: &Self::State,
        input: &Input,
        output: Option<&Output>,
    ) -> Option<Self::State> {
        Registers.step(state, input, output)
    }
}

fn random_operation(random: &mut Random) -> Operation {
    let begin = random.below(12);
    let time = begin..=begin + random.below(5);
    let value = ["a", "b", "c"][random.below(3) as usize];
    let read = ["a", "b", "c", "ab", "ba", "bb", "abc"][random.below(7) as usize];
    let fate = [written(None), Output::Absent, Output::Differs][random.below(3) as usize].clone();
    let mut operation = match random.below(9) {
        0..2 => put(time, value),
        2..4 => append(time, value),
        4 => delete(time, if fate == Output::Differs { written(None) } else { fate }),
        5 => {
            let expect = (random.below(2) == 0).then_some(value);
            cas(time, expect, read, if fate == Output::Absent { Output::Differs } else { fate })
        }
        _ => get(time, (random.below(4) > 0).then_some(read)),
    };
    if let Some(returned) = &mut operation.returned
        && let Output::Written { revision } | Output::Value { revision, value: Some(_) } =
            &mut returned.output
        && random.below(3) == 0
    {
        *revision = Some(random.between(1, 6));
    }
    if random.below(4) == 0 { unknown(operation) } else { operation }
}

#[test]
fn the_search_and_the_oracle_agree_on_random_histories() {
    let mut random = Random::new(11);
    let (mut legal, mut illegal) = (0, 0);
    for _ in 0..40_000 {
        let count = random.between(1, 7);
        let history: Vec<_> = (0..count).map(|_| random_operation(&mut random)).collect();
        let explained = explains(&Registers.initial(), &history);
        match judge(&history) {
            Verdict::Ok => assert!(explained, "{history:#?}"),
            Verdict::Illegal(found) => assert!(!explained, "{}", found.explain(&history)),
            Verdict::Unknown { .. } => panic!("so few are no trouble: {history:#?}"),
        }
        assert_eq!(check(&Blind, &history, DEFAULT_MAX_STEPS).is_ok(), explained, "{history:#?}");
        *(if explained { &mut legal } else { &mut illegal }) += 1;
    }
    assert!(legal > 5_000 && illegal > 5_000, "{legal} legal, {illegal} illegal");
}

/// A history in which no value is written twice: mostly of the kind that needs no search.
fn unique_history(random: &mut Random) -> Vec<Operation> {
    let count = random.between(2, 7) as usize;
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let appends = random.below(2) == 0;
    let rare = |random: &mut Random| random.below(8) == 0;
    let mut history = Vec::new();
    for name in &names[..count] {
        let begin = random.below(12);
        let time = begin..=begin + random.below(7);
        // What may be found: nothing, one value, or two in a row.
        let mut value =
            (random.below(6) > 0).then(|| names[random.below(count as u64) as usize].to_owned());
        if appends && random.below(2) == 0 {
            let tail = names[random.below(count as u64) as usize];
            value.iter_mut().for_each(|value| value.push_str(tail));
        }
        let operation = match random.below(8) {
            0..2 => put(time, name),
            2 if appends => append(time, name),
            2 => put(time, name),
            3 => cas(time, value.as_deref(), name, written(None)),
            4 if rare(random) => cas(time, value.as_deref(), name, Output::Differs),
            5 if rare(random) => delete(time, Output::Absent),
            _ => get(time, value.as_deref()),
        };
        let is_unknown = random.below(6) == 0;
        history.push(if is_unknown { unknown(operation) } else { operation });
    }
    history
}

#[test]
fn what_unique_values_tell_agrees_with_the_oracle() {
    let mut random = Random::new(12);
    let (mut legal, mut illegal) = (0, 0);
    for _ in 0..100_000 {
        let history = unique_history(&mut random);
        let explained = explains(&Registers.initial(), &history);
        match judge(&history) {
            Verdict::Ok => assert!(explained, "{history:#?}"),
            Verdict::Illegal(found) => assert!(!explained, "{}", found.explain(&history)),
            Verdict::Unknown { .. } => panic!("so few are no trouble: {history:#?}"),
        }
        *(if explained { &mut legal } else { &mut illegal }) += 1;
    }
    assert!(legal > 10_000 && illegal > 10_000, "{legal} legal, {illegal} illegal");
}
