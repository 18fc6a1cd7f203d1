//! What the local user may ask of a node, what it is told, and the node's timers.

use alloc::vec::Vec;
use core::fmt;

use synod_engine::Token;

use crate::basic::Value;

/// What the local user may ask.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// Get this value chosen, or learn which other one is. Ends in [`Event::Chosen`] or
    /// [`Event::Refused`].
    Propose(Value),
}

/// What the local user is told.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// This value is chosen, for ever. Told once in each life of the node, and again to every later
    /// request.
    Chosen {
        /// The value, whoever proposed it.
        value: Value,
        /// The requests that this answers.
        own: Vec<Token>,
    },
    /// The request was not taken up; the value may be chosen all the same if somebody else asked for
    /// it.
    Refused {
        /// Which request.
        token: Token,
        /// Why.
        refusal: Refusal,
    },
}

/// Why a request was not taken up. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// Too many requests wait for the outcome; ask again later.
    Busy,
    /// The value exceeds this many bytes; it will never be taken.
    TooLarge {
        /// The bound.
        max_bytes: usize,
    },
}

/// The timers of a node, each of one role.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// The proposer's: give up the ballot, or end the delay after a refusal; in both cases try a
    /// higher one.
    Retry,
    /// The client's: turn to the next proposer.
    Resend,
    /// The learner's: ask for what was missed.
    Ask,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen { value, own } => write!(f, "chosen {value} (own: {})", own.len()),
            Self::Refused { token, refusal } => write!(f, "refused {token}: {refusal}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => write!(f, "too many requests are open; try again"),
            Self::TooLarge { max_bytes } => write!(f, "larger than {max_bytes} bytes"),
        }
    }
}
