//! What the local user may ask of a node, what it is told, and the node's timer.

use core::fmt;

use bytes::Bytes;
use synod_engine::Token;

use crate::{Rumor, RumorId};

/// What the local user may ask.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// Start a rumor that says this. Ends in [`Event::Started`] or [`Event::Refused`].
    Start(Bytes),
}

/// What the local user is told.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// The rumor is hot here and will be told from the next round on.
    Started {
        /// The request.
        token: Token,
        /// The rumor, with its new name.
        rumor: Rumor,
    },
    /// The rumor was not started. Nothing was changed.
    Refused {
        /// The request.
        token: Token,
        /// Why.
        refusal: Refusal,
    },
    /// Somebody told this node a rumor that it did not know.
    Heard(Rumor),
    /// There was no room to remember this rumor any longer; it may be heard again.
    Forgot(RumorId),
}

/// Why a rumor was not started.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// All rumors that this node has room for are hot; ask again later.
    Busy,
    /// It exceeds this many bytes and will never be started.
    TooLarge {
        /// The bound.
        max_bytes: usize,
    },
}

/// The one timer of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// The round ends and the next begins.
    Round,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { token, rumor } => write!(f, "started {} for {token}", rumor.id),
            Self::Refused { token, refusal } => write!(f, "refused {token}: {refusal}"),
            Self::Heard(rumor) => write!(f, "heard {}", rumor.id),
            Self::Forgot(id) => write!(f, "forgot {id}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => write!(f, "too many rumors are hot; try again"),
            Self::TooLarge { max_bytes } => write!(f, "larger than {max_bytes} bytes"),
        }
    }
}
