//! Where to look first for operations of unknown fate.
//!
//! Each of them may have taken effect at any time or never, so a few of them multiply the orders to
//! try. Mostly the answers tell: what nobody saw may be taken not to have happened, and what somebody
//! saw happened before. An order found under such a guess explains the history like any other. That
//! there is no order proves nothing under a guess, so the last search makes none.

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

/// Searches for an order of one key's operations, in at most `max_steps` steps for each guess.
pub(crate) fn search<M: Model>(
    model: &M,
    operations: &[&Operation<M::Input, M::Output>],
    max_steps: u64,
) -> Outcome {
    let seen: Vec<_> =
        operations.iter().map(|operation| first_sign(model, operation, operations)).collect();
    if operations.iter().any(|operation| operation.returned.is_none()) {
        let silent = |n: usize| !model.leaves_signs(&operations[n].input);
        let told = |n: usize| operations[n].returned.is_some() || seen[n].is_some();
        for guess in [Guess::SeenOnly, Guess::SeenOrSilent, Guess::SeenOrNeeded, Guess::SeenBefore]
        {
            let kept = |n: &usize| match guess {
                Guess::SeenOnly => told(*n),
                Guess::SeenOrSilent => told(*n) || silent(*n),
                Guess::SeenOrNeeded | Guess::SeenBefore | Guess::Nothing => true,
            };
            let kept: Vec<_> = (0..operations.len()).filter(kept).collect();
            let scarce = |n: &usize| guess == Guess::SeenOrNeeded && !told(*n) && !silent(*n);
            let scarce: Vec<_> = kept.iter().map(scarce).collect();
            let spans: Vec<_> =
                kept.iter().map(|n| span(operations[*n], seen[*n], guess)).collect();
            let kept: Vec<_> = kept.iter().map(|n| operations[*n]).collect();
            let search = Search::new(model, &kept, &spans).with_scarce(scarce);
            if let Outcome::Explained = search.run(max_steps) {
                return Outcome::Explained;
            }
        }
    }
    let spans: Vec<_> =
        operations.iter().map(|operation| span(operation, None, Guess::Nothing)).collect();
    Search::new(model, operations, &spans).run(max_steps)
}

fn span<I, O>(operation: &Operation<I, O>, seen: Option<u64>, guess: Guess) -> Span {
    let unknown = operation.returned.is_none();
    let end = match &operation.returned {
        Some(returned) => Some(returned.at),
        None if guess == Guess::Nothing => None,
        None => seen,
    };
    Span { begin: operation.invoked, end, unknown }
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
