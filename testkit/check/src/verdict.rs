//! What a judge says, and the evidence.

use std::fmt;

use crate::Operation;

/// The judgement of a history.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Verdict {
    /// It keeps what was asked about.
    Ok,
    /// It does not.
    Illegal(Counterexample),
    /// Nobody knows. Never to be taken for [`Verdict::Ok`].
    Unknown {
        /// The part of the history that is undecided; what is not named is kept by all others but
        /// perhaps some.
        about: String,
        /// Why.
        why: String,
    },
}

/// Why a history is illegal. Operations are named by their places in the history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counterexample {
    /// The part of the history that shows it.
    pub about: String,
    /// How it shows it.
    pub evidence: Evidence,
}

/// What is wrong with some operations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Evidence {
    /// No order explains them.
    Stuck {
        /// The longest order found that explains its own operations.
        order: Vec<usize>,
        /// The operations of which one would have to come next; the state allows none, or leads on to
        /// nothing longer.
        candidates: Vec<usize>,
        /// The state after `order`, as the model prints it.
        state: String,
    },
    /// Each must come before the next, and the last before the first.
    Cycle(Vec<Before>),
    /// Something else, in words.
    Told(String),
}

/// An operation that must come before another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Before {
    /// Which.
    pub operation: usize,
    /// Why it must.
    pub because: String,
}

impl Verdict {
    /// Whether the history is proven legal.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => write!(f, "legal"),
            Self::Illegal(found) => write!(f, "illegal: {}", found.about),
            Self::Unknown { about, why } => write!(f, "undecided: {about} {why}"),
        }
    }
}

impl Counterexample {
    /// The story of the failure.
    pub fn explain<'a, I, O>(&'a self, history: &'a [Operation<I, O>]) -> impl fmt::Display + 'a
    where
        I: fmt::Display,
        O: fmt::Display,
    {
        Story { counterexample: self, history }
    }
}

struct Story<'a, I, O> {
    counterexample: &'a Counterexample,
    history: &'a [Operation<I, O>],
}

impl<I: fmt::Display, O: fmt::Display> fmt::Display for Story<'_, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 12;
        let Counterexample { about, evidence } = self.counterexample;
        match evidence {
            Evidence::Stuck { order, candidates, state } => {
                writeln!(f, "No order of the operations on {about} explains every answer.")?;
                writeln!(f, "The longest found has {}; it ends with", order.len())?;
                for place in &order[order.len().saturating_sub(SHOWN)..] {
                    writeln!(f, "  {}", self.history[*place])?;
                }
                writeln!(
                    f,
                    "and leaves {state}. One of these would have to be next, and none can:"
                )?;
                candidates.iter().try_for_each(|place| writeln!(f, "  {}", self.history[*place]))
            }
            Evidence::Cycle(cycle) => {
                writeln!(
                    f,
                    "On {about}, each of these comes before the next, the last before the first:"
                )?;
                for Before { operation, because } in cycle {
                    writeln!(f, "  {}", self.history[*operation])?;
                    writeln!(f, "    {because}")?;
                }
                Ok(())
            }
            Evidence::Told(what) => writeln!(f, "{what}"),
        }
    }
}
