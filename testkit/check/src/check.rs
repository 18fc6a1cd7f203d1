//! From a history to a verdict: each key alone.

use std::collections::BTreeMap;

use crate::search::Outcome;
use crate::{Counterexample, Model, Operation, Verdict, unknown};

/// Steps that one search may take by default: some seconds, and some hundred MB, at worst.
pub const DEFAULT_MAX_STEPS: u64 = 5_000_000;

/// Judges `history` by `model`. A search takes at most `max_steps` steps of the model; there is one for
/// each key, and four more for a key with operations of unknown fate. The order of the operations in
/// `history` does not matter.
pub fn check<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    max_steps: u64,
) -> Verdict<M::Key> {
    let mut keys = BTreeMap::<M::Key, Vec<usize>>::new();
    for (place, operation) in history.iter().enumerate() {
        if operation.returned.is_some() || model.changes(&operation.input, None) {
            keys.entry(model.key(&operation.input)).or_default().push(place);
        }
    }
    let mut verdict = Verdict::Ok;
    for (key, places) in keys {
        let operations: Vec<_> = places.iter().map(|place| &history[*place]).collect();
        match unknown::search(model, &operations, max_steps) {
            Outcome::Explained => {}
            Outcome::Stuck(stuck) => {
                let in_history = |own: Vec<usize>| own.iter().map(|n| places[*n]).collect();
                return Verdict::Illegal(Counterexample {
                    key,
                    order: in_history(stuck.order),
                    candidates: in_history(stuck.candidates),
                    state: stuck.state,
                });
            }
            Outcome::GaveUp => verdict = Verdict::Unknown { key, max_steps },
        }
    }
    verdict
}
