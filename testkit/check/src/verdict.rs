//! What a judge says, and the evidence.

use std::fmt;

use crate::Operation;

/// The judgement of a history.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Verdict<K> {
    /// Linearizable.
    Ok,
    /// Not linearizable.
    Illegal(Counterexample<K>),
    /// Not decided within the bound on steps; all keys but this one, and perhaps others, are
    /// linearizable. Never to be taken for [`Verdict::Ok`].
    Unknown {
        /// A key whose search gave up.
        key: K,
        /// The bound.
        max_steps: u64,
    },
}

/// Why a history is not linearizable. Operations are named by their places in the history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counterexample<K> {
    /// The key whose operations no order explains.
    pub key: K,
    /// The longest order found that explains its own operations.
    pub order: Vec<usize>,
    /// The operations of which one would have to come next; the state allows none, or leads on to
    /// nothing longer.
    pub candidates: Vec<usize>,
    /// The state after `order`, as the model prints it.
    pub state: String,
}

impl<K> Verdict<K> {
    /// Whether the history is proven linearizable.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok)
    }
}

impl<K: fmt::Debug> fmt::Display for Verdict<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => write!(f, "linearizable"),
            Self::Illegal(found) => write!(f, "not linearizable: key {:?}", found.key),
            Self::Unknown { key, max_steps } => {
                write!(f, "undecided: key {key:?} takes more than {max_steps} steps")
            }
        }
    }
}

impl<K: fmt::Debug> Counterexample<K> {
    /// The story of the failure: the end of the order, the state, and what cannot come next.
    pub fn explain<'a, I, O>(&'a self, history: &'a [Operation<I, O>]) -> impl fmt::Display + 'a
    where
        I: fmt::Display,
        O: fmt::Display,
    {
        Story { counterexample: self, history }
    }
}

struct Story<'a, K, I, O> {
    counterexample: &'a Counterexample<K>,
    history: &'a [Operation<I, O>],
}

impl<K: fmt::Debug, I: fmt::Display, O: fmt::Display> fmt::Display for Story<'_, K, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 12;
        let Counterexample { key, order, candidates, state } = self.counterexample;
        writeln!(f, "No order of the operations on {key:?} explains every answer.")?;
        writeln!(f, "The longest found has {}; it ends with", order.len())?;
        for place in &order[order.len().saturating_sub(SHOWN)..] {
            writeln!(f, "  {}", self.history[*place])?;
        }
        writeln!(f, "and leaves {state}. One of these would have to be next, and none can:")?;
        for place in candidates {
            writeln!(f, "  {}", self.history[*place])?;
        }
        Ok(())
    }
}
