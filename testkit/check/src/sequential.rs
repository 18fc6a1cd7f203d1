//! Sequential consistency: one order of all operations, each client's in its own order, explains every
//! answer (Lamport, 1979). Real time counts for nothing between clients.
//!
//! Unlike linearizability it cannot be judged key by key, and stays NP-complete even where no value is
//! written twice (Gibbons and Korach, 1997). Then `saturation` mostly decides: it adds what
//! must come before what until nothing is left to add, and either finds a circle, or an order, which is
//! run through the model. Only if it finds neither, it is left to the search.

mod saturation;

use std::fmt::Display;

use crate::check::evidence;
use crate::search::Outcome;
use crate::unknown::{self, Order};
use crate::whole::Whole;
use crate::{Counterexample, Model, Operation, Verdict};

/// Whether `history` is sequentially consistent, in at most `max_steps` steps for each search.
pub fn check<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    max_steps: u64,
) -> Verdict
where
    M::Input: Display,
    M::Output: Display,
{
    if let Some(verdict) = saturation::judge(model, history) {
        return verdict;
    }
    let is_evidence = |operation: &Operation<M::Input, M::Output>| {
        operation.returned.is_some() || model.changes(&operation.input, None)
    };
    let places: Vec<_> = (0..history.len()).filter(|place| is_evidence(&history[*place])).collect();
    let operations: Vec<_> = places.iter().map(|place| &history[*place]).collect();
    let about = "all keys".to_owned();
    match unknown::search(&Whole(model), &operations, Order::Clients, max_steps) {
        Outcome::Explained => Verdict::Ok,
        Outcome::Stuck(stuck) => {
            Verdict::Illegal(Counterexample { about, evidence: evidence(stuck, &places) })
        }
        Outcome::GaveUp => {
            Verdict::Unknown { about, why: format!("take more than {max_steps} steps") }
        }
    }
}
