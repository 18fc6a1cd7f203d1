//! From a history to a verdict: each key alone.

use std::collections::BTreeMap;

use crate::search::{Outcome, Stuck};
use crate::unknown::Order;
use crate::verdict::Evidence;
use crate::{Counterexample, Model, Operation, Verdict, eras, unknown};

/// Steps that one search may take by default: some seconds, and some hundred MB, at worst.
pub const DEFAULT_MAX_STEPS: u64 = 5_000_000;

/// Whether `history` is linearizable: judges each key by `model`, where the values tell the order
/// without a search. A search takes at most `max_steps` steps of the model; there is one for each key,
/// and four more for a key with operations of unknown fate. The order of the operations in `history`
/// does not matter.
pub fn check<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    max_steps: u64,
) -> Verdict {
    let mut verdict = Verdict::Ok;
    for (key, places) in by_key(model, history) {
        let operations: Vec<_> = places.iter().map(|place| &history[*place]).collect();
        let about = format!("key {key:?}");
        match judge(model, &operations, max_steps) {
            Outcome::Explained => {}
            Outcome::Stuck(stuck) => {
                let evidence = evidence(stuck, &places);
                return Verdict::Illegal(Counterexample { about, evidence });
            }
            Outcome::GaveUp => {
                let why = format!("takes more than {max_steps} steps");
                verdict = Verdict::Unknown { about, why };
            }
        }
    }
    verdict
}

/// What stopped a search through the operations at these places of a history.
pub(crate) fn evidence(stuck: Stuck, places: &[usize]) -> Evidence {
    let in_history = |own: Vec<usize>| own.iter().map(|n| places[*n]).collect();
    Evidence::Stuck {
        order: in_history(stuck.order),
        candidates: in_history(stuck.candidates),
        state: stuck.state,
    }
}

/// The places of each key's operations, without those that are no evidence: reads without an answer.
pub(crate) fn by_key<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
) -> BTreeMap<M::Key, Vec<usize>> {
    let mut keys = BTreeMap::<M::Key, Vec<usize>>::new();
    for (place, operation) in history.iter().enumerate() {
        if operation.returned.is_some() || model.changes(&operation.input, None) {
            keys.entry(model.key(&operation.input)).or_default().push(place);
        }
    }
    keys
}

/// Judges one key: by its values where they tell enough, else by a search.
fn judge<M: Model>(
    model: &M,
    operations: &[&Operation<M::Input, M::Output>],
    max_steps: u64,
) -> Outcome {
    match eras::guess(model, operations) {
        eras::Guess::Explained => return Outcome::Explained,
        eras::Guess::Guilty(guilty) => {
            let few: Vec<_> = guilty.iter().map(|n| operations[*n]).collect();
            if let Outcome::Stuck(mut stuck) = unknown::search(model, &few, Order::Time, max_steps)
            {
                let places = stuck.order.iter_mut().chain(&mut stuck.candidates);
                places.for_each(|place| *place = guilty[*place]);
                return Outcome::Stuck(stuck);
            }
        }
        eras::Guess::Nothing => {}
    }
    unknown::search(model, operations, Order::Time, max_steps)
}
