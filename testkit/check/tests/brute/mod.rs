//! An oracle that tries every order there is, and small histories for it: of a real execution, and
//! spoiled ones.
#![allow(dead_code, reason = "each test file uses its own share")]

use synod_check::{Model, Operation};
use synod_engine::Random;

/// Whether the first must come before the second.
pub(crate) type Before<M> = dyn Fn(
    &Operation<<M as Model>::Input, <M as Model>::Output>,
    &Operation<<M as Model>::Input, <M as Model>::Output>,
) -> bool;

/// Whether some order of the operations in `left` goes on from `state`, tried one by one.
pub(crate) fn explains<M: Model>(
    model: &M,
    state: &M::State,
    left: &[Operation<M::Input, M::Output>],
    before: &Before<M>,
) -> bool
where
    M::Input: Clone,
    M::Output: Clone,
{
    if left.iter().all(|operation| operation.returned.is_none()) {
        return true;
    }
    (0..left.len()).any(|next| {
        let operation = &left[next];
        let overtakes = left.iter().any(|other| before(other, operation));
        let mut rest = left.to_vec();
        rest.remove(next);
        !overtakes
            && model
                .step(state, &operation.input, operation.output())
                .is_some_and(|state| explains(model, &state, &rest, before))
    })
}

/// In real time.
pub(crate) fn in_time<I, O>(one: &Operation<I, O>, other: &Operation<I, O>) -> bool {
    one.returned.as_ref().is_some_and(|returned| returned.at < other.invoked)
}

/// Of one client: who asks at the time of an answer has had it. Two that took no time at all, at the same
/// time, are in no order.
pub(crate) fn of_client<I, O>(one: &Operation<I, O>, other: &Operation<I, O>) -> bool {
    let has_had = |one: &Operation<I, O>, other: &Operation<I, O>| {
        one.returned.as_ref().is_some_and(|returned| returned.at <= other.invoked)
    };
    one.client == other.client && has_had(one, other) && !has_had(other, one)
}

/// A history of `count` operations that each take effect at an instant of their time, of which some are
/// of unknown fate and some have times, clients or answers of others.
pub(crate) fn history<S: Default, I: Clone, O: Clone>(
    random: &mut Random,
    count: u64,
    mut draw: impl FnMut(&mut Random, u64) -> I,
    mut perform: impl FnMut(&mut S, &I) -> O,
) -> Vec<Operation<I, O>> {
    let mut planned: Vec<_> = (0..count)
        .map(|number| {
            let begin = random.below(3 * count);
            let end = begin + random.below(8);
            (random.between(begin, end), number, begin..=end, random.below(3), draw(random, number))
        })
        .collect();
    planned.sort_by_key(|(effect, number, ..)| (*effect, *number));
    let mut state = S::default();
    let mut history: Vec<_> = planned
        .into_iter()
        .map(|(_, _, time, client, input)| {
            let is_unknown = random.below(8) == 0;
            if is_unknown && random.below(2) == 0 {
                return Operation::unknown(client, *time.start(), input);
            }
            let output = perform(&mut state, &input);
            if is_unknown {
                return Operation::unknown(client, *time.start(), input);
            }
            Operation::returned(client, time, input, output)
        })
        .collect();
    for _ in 0..random.below(3) {
        spoil(random, &mut history);
    }
    history
}

/// Exchanges something between two operations.
fn spoil<I, O: Clone>(random: &mut Random, history: &mut [Operation<I, O>]) {
    let mut any = || random.below(history.len() as u64) as usize;
    let (one, other) = (any(), any());
    let what = random.below(3);
    let (from, output) = (history[other].client, history[other].output().cloned());
    match (what, output) {
        (0, _) => history[one].client = from,
        (1, Some(output)) => {
            if let Some(returned) = &mut history[one].returned {
                returned.output = output;
            }
        }
        (_, _) => {
            let later = random.below(9);
            history[one].invoked += later;
            if let Some(returned) = &mut history[one].returned {
                returned.at += later;
            }
        }
    }
}
