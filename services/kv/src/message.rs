//! Commands and queries of the store, and what they answer.
//!
//! Here: what goes through the log, and its answers. Beside it: [`Op`], what a write does; [`Txn`];
//! [`Query`]; [`Event`], what watchers are told.
//!
//! Every write has one revision: a counter of the whole store that rises by one with each write that
//! changed something. Time enters as commands ([`Command::Tick`]), proposed by the leader's host;
//! the store itself has no clock.

use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Serialize};

mod event;
mod op;
mod query;
mod txn;

pub use event::{Event, Record};
pub use op::{Expect, Op};
pub use query::{Answer, Entry, Query, Span};
pub use txn::{Action, Compare, Done, Relation, Target, Txn, TxnDone};

/// A client's session: the log index of the command that opened it, so unique for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u64);

/// A counter of the whole store: the number of writes that changed something.
pub type Revision = u64;

/// What goes through the replicated log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Open a session that expires when replicated time has passed `lease_ms` beyond its last command.
    /// Retrying is harmless: a session that nobody uses expires.
    Open {
        /// In milliseconds of replicated time; clamped to the store's bounds.
        lease_ms: u64,
    },
    /// Keep the session open.
    KeepAlive {
        /// Which one.
        session: SessionId,
        /// All answers to commands below this number have arrived; the store may forget them.
        answered_below: u64,
    },
    /// End the session; its commands are refused from now on.
    Close {
        /// Which one.
        session: SessionId,
    },
    /// Do `op` exactly once, however often this command is sent.
    Write {
        /// Who asks.
        session: SessionId,
        /// The client's number for this command, from 1 on, the same in every retry.
        number: u64,
        /// The lowest number whose answer the client still waits for.
        answered_below: u64,
        /// What to do.
        op: Op,
    },
    /// Replicated time moves on. Proposed by the leader's host about once a second, with what its
    /// monotonic clock measured since its last tick.
    Tick {
        /// In milliseconds; clamped to the store's bound.
        elapsed_ms: u64,
    },
}

/// What a command answers.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Response {
    /// The session is open.
    Opened {
        /// Its name.
        session: SessionId,
        /// When it expires if nothing is heard, in milliseconds of replicated time.
        lease_ms: u64,
    },
    /// The session is kept.
    Kept,
    /// The session is closed.
    Closed,
    /// Time has moved on.
    Ticked,
    /// The write took effect: now, or when it was first sent.
    Written(Written),
    /// This copy of the command changed nothing.
    Rejected(Rejected),
}

/// What a write did.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Written {
    /// The key has a new value, as of this revision.
    Stored {
        /// The revision of this write.
        revision: Revision,
    },
    /// The key is gone, as of this revision.
    Deleted {
        /// The revision of this write.
        revision: Revision,
    },
    /// There was no such key to delete; nothing changed.
    Absent,
    /// The compare-and-swap found something else; nothing changed.
    Differs {
        /// The key's modification revision; `None` if there is no such key.
        revision: Option<Revision>,
    },
    /// The transaction did the one or the other.
    Txn(Arc<TxnDone>),
}

/// Why a command was not applied.
///
/// It says so of the copy that it answers. Another copy, sent earlier or later, may have been applied
/// or may yet be, except where the variant says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Rejected {
    /// The session is unknown, closed or expired, and stays so: no copy will be applied from now on.
    NoSession,
    /// The client has said that it got the answer to this number: no copy will be applied from now on.
    AlreadyAnswered,
    /// The number is too far above the lowest that is unanswered. The same command may be sent again
    /// once lower ones are answered.
    WindowFull {
        /// Numbers from the lowest unanswered one on that are accepted.
        max_unanswered: u64,
    },
    /// Too many sessions are open.
    TooManySessions {
        /// The bound.
        max_sessions: u64,
    },
    /// The key exceeds this many bytes, or is empty. Every copy is answered so.
    KeySize {
        /// The bound.
        max_bytes: u64,
    },
    /// The value, or what it would become, exceeds this many bytes. Every copy is answered so.
    ValueSize {
        /// The bound.
        max_bytes: u64,
    },
    /// The transaction has more than this many comparisons, or actions in a branch. Every copy is
    /// answered so.
    TxnSize {
        /// The bound.
        max_actions: u64,
    },
    /// The transaction sets a key twice, or sets and deletes it, in one branch. Every copy is answered
    /// so.
    SetTwice,
    /// It would change more than this many bytes: keys, new values and old. Every copy is answered so.
    ChangeSize {
        /// The bound.
        max_bytes: u64,
    },
    /// The answer would exceed this many bytes. Every copy is answered so.
    AnswerSize {
        /// The bound.
        max_bytes: u64,
    },
    /// Not a command that this version knows.
    Malformed,
}

impl Written {
    /// A revision that the store has reached: that of the write, if it changed something.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        match self {
            Self::Stored { revision } | Self::Deleted { revision } => Some(*revision),
            Self::Txn(done) => Some(done.revision),
            Self::Differs { revision } => *revision,
            Self::Absent => None,
        }
    }
}

impl Rejected {
    /// Whether every copy of the command is answered so, as long as its session is open.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        match self {
            Self::KeySize { .. }
            | Self::ValueSize { .. }
            | Self::TxnSize { .. }
            | Self::SetTwice
            | Self::ChangeSize { .. }
            | Self::AnswerSize { .. } => true,
            Self::NoSession
            | Self::AlreadyAnswered
            | Self::WindowFull { .. }
            | Self::TooManySessions { .. }
            | Self::Malformed => false,
        }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession => write!(f, "the session is unknown, closed or expired"),
            Self::AlreadyAnswered => write!(f, "this command was answered before"),
            Self::WindowFull { max_unanswered } => {
                write!(f, "{max_unanswered} commands or more of the session are under way")
            }
            Self::TooManySessions { max_sessions } => {
                write!(f, "{max_sessions} sessions are open, which is the bound")
            }
            Self::KeySize { max_bytes } => write!(f, "a key has 1 to {max_bytes} bytes"),
            Self::ValueSize { max_bytes } => write!(f, "a value has at most {max_bytes} bytes"),
            Self::TxnSize { max_actions } => write!(
                f,
                "a transaction has at most {max_actions} comparisons, and actions in a branch"
            ),
            Self::SetTwice => {
                write!(f, "a transaction sets each key at most once, and deletes none that it sets")
            }
            Self::ChangeSize { max_bytes } => write!(
                f,
                "one write changes at most {max_bytes} bytes of keys and values, new and old; \
                 do it in pieces"
            ),
            Self::AnswerSize { max_bytes } => write!(
                f,
                "one write answers at most {max_bytes} bytes; ask for less of what was before"
            ),
            Self::Malformed => write!(f, "not a command that this version knows"),
        }
    }
}
