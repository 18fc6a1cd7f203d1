//! Where to look first for operations of unknown fate.
//!
//! Each of them may have taken effect at any time or never, so a few of them multiply the orders to
//! try. Mostly the answers tell: what nobody saw may be taken not to have happened, and what somebody
//! saw happened before. An order found under such a guess explains the history like any other. That
//! there is no order proves nothing under a guess, so the last search makes none.

use std::collections::BTreeMap;

use crate::search::{Outcome, Search};
use crate::timeline::Span;
use crate::{Model, Operation};

/// What is taken for granted about operations of unknown fate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guess {
    /// What was seen took effect before; what was not seen did not.
    SeenOnly,
    /// The same, but what leaves no signs may have taken effect unseen.
    SeenOrSilent,
    /// What was seen took effect before; what was not seen although it leaves signs did so only where
    /// the next answer needs it.
    SeenOrNeeded,
    /// What was seen took effect before.
    SeenBefore,
    /// Nothing.
    Nothing,
}

impl Guess {
    /// From the boldest to the most careful.
    const ALL: [Self; 4] =
        [Self::SeenOnly, Self::SeenOrSilent, Self::SeenOrNeeded, Self::SeenBefore];
}

/// What is kept of the order in which operations began and ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// All of it.
    Time,
    /// That of each client.
    Clients,
}

/// Steps for each operation after which another guess is tried first.
const PATIENCE: u64 = 20;

/// Searches for an order of one key's operations, in at most `max_steps` steps for each guess.
pub(crate) fn search<M: Model>(
    model: &M,
    operations: &[&Operation<M::Input, M::Output>],
    order: Order,
    max_steps: u64,
) -> Outcome {
    let lanes = lanes(operations, order);
    if operations.iter().any(|operation| operation.returned.is_none()) {
        let sign = |operation: &&Operation<_, _>| first_sign(model, operation, operations);
        let seen: Vec<_> = operations.iter().map(sign).collect();
        // What one client was told by some time is nothing to another.
        let told: Vec<_> = seen.iter().map(Option::is_some).collect();
        let seen = if order == Order::Time { seen } else { vec![None; seen.len()] };
        let mut guesses = Guess::ALL.to_vec();
        for steps in [max_steps.min(PATIENCE * operations.len() as u64), max_steps] {
            let mut undecided = Vec::new();
            for guess in guesses {
                match under(model, operations, &lanes, (&seen, &told), guess, steps) {
                    Outcome::Explained => return Outcome::Explained,
                    Outcome::GaveUp => undecided.push(guess),
                    Outcome::Stuck(_) => {}
                }
            }
            guesses = undecided;
        }
    }
    let spans: Vec<_> = lanes.iter().map(|lane| span(lane, None, Guess::Nothing)).collect();
    match Search::new(model, operations, &spans).run(max_steps) {
        // What was left out for what is still to come is tried now: that tells the story better.
        Outcome::Stuck(stuck) => {
            let steps = max_steps.min(PATIENCE * operations.len() as u64);
            match Search::new(model, operations, &spans).without_readers().run(steps) {
                Outcome::Stuck(plain) => Outcome::Stuck(plain),
                Outcome::Explained | Outcome::GaveUp => Outcome::Stuck(stuck),
            }
        }
        decided @ (Outcome::Explained | Outcome::GaveUp) => decided,
    }
}

/// Searches under a guess.
fn under<M: Model>(
    model: &M,
    operations: &[&Operation<M::Input, M::Output>],
    lanes: &[Span],
    (seen, told): (&[Option<u64>], &[bool]),
    guess: Guess,
    max_steps: u64,
) -> Outcome {
    let silent = |n: usize| !model.leaves_signs(&operations[n].input);
    let told = |n: usize| operations[n].returned.is_some() || told[n];
    let kept = |n: &usize| match guess {
        Guess::SeenOnly => told(*n),
        Guess::SeenOrSilent => told(*n) || silent(*n),
        Guess::SeenOrNeeded | Guess::SeenBefore | Guess::Nothing => true,
    };
    let kept: Vec<_> = (0..operations.len()).filter(kept).collect();
    let scarce = |n: &usize| guess == Guess::SeenOrNeeded && !told(*n) && !silent(*n);
    let scarce: Vec<_> = kept.iter().map(scarce).collect();
    let spans: Vec<_> = kept.iter().map(|n| span(&lanes[*n], seen[*n], guess)).collect();
    let kept: Vec<_> = kept.iter().map(|n| operations[*n]).collect();
    Search::new(model, &kept, &spans).with_scarce(scarce).run(max_steps)
}

/// When each operation may have taken effect, with nothing known of those of unknown fate.
pub(crate) fn lanes<I, O>(operations: &[&Operation<I, O>], order: Order) -> Vec<Span> {
    let mut lanes = BTreeMap::new();
    let span = |operation: &&Operation<I, O>| {
        let end = operation.returned.as_ref().map(|returned| returned.at);
        let unknown = end.is_none();
        match order {
            Order::Time => Span { lane: 0, begin: operation.invoked, end, unknown },
            Order::Clients => {
                let count = lanes.len();
                let lane = *lanes.entry(operation.client).or_insert(count);
                // Who asks at the time of an answer has had it; what took no time stands between.
                let at = |time: u64, share| time.saturating_mul(4).saturating_add(share);
                let (from, to) = if end == Some(operation.invoked) { (1, 2) } else { (3, 0) };
                let (begin, end) = (at(operation.invoked, from), end.map(|end| at(end, to)));
                Span { lane, begin, end, unknown }
            }
        }
    };
    operations.iter().map(span).collect()
}

fn span(lane: &Span, seen: Option<u64>, guess: Guess) -> Span {
    let end = match lane.end {
        None if guess != Guess::Nothing => seen,
        known => known,
    };
    Span { end, ..*lane }
}

/// When the effect of an operation of unknown fate had been seen at the latest.
fn first_sign<M: Model>(
    model: &M,
    unknown: &Operation<M::Input, M::Output>,
    operations: &[&Operation<M::Input, M::Output>],
) -> Option<u64> {
    if unknown.returned.is_some() {
        return None;
    }
    let signs = operations.iter().filter_map(|operation| {
        let returned = operation.returned.as_ref()?;
        let shown = returned.at >= unknown.invoked
            && model.shows(&unknown.input, &operation.input, &returned.output);
        shown.then_some(returned.at)
    });
    signs.min()
}
