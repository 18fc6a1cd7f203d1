//! How calls fail. Each error says whether anything changed.

use std::fmt;

use synod_consensus::Refusal;
use synod_kv::message::Rejected;

use crate::connection::OpenError;

/// A write that did not end as done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// It did not take effect and never will.
    #[error("not done: {0}; nothing was changed")]
    NotDone(Reason),
    /// It took effect once, or will, or never. Read before writing again.
    #[error("unknown: {0}; the write may or may not have taken effect, read to find out")]
    Unknown(Reason),
}

/// A read that was not answered. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not read: {0}")]
pub struct ReadError(pub Reason);

/// Why a call was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its time was up.
    Deadline(Trouble),
    /// The cluster refused it, and would again.
    Refused(Refusal),
    /// The store did not apply it, and would not if it were asked again.
    Rejected(Rejected),
    /// The store had ended the session before a copy of the command was answered.
    SessionLost,
    /// The server found the request malformed: client and server do not fit.
    BadRequest(String),
    /// The clerk was closed.
    Closed,
}

/// What kept a call from being done in time, as far as the clerk knows.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Trouble {
    /// The cluster did not answer in time.
    #[default]
    Silence,
    /// No server could be reached; this is what the last one tried said.
    Unreachable(String),
    /// Servers were reached, and none knew a leader: most likely no majority is up.
    NoLeader,
    /// Too much was under way.
    Busy,
    /// As many sessions are open as the store allows.
    TooManySessions {
        /// The bound.
        max_sessions: u64,
    },
}

/// No server could be reached. Nothing was changed.
#[derive(Debug)]
pub struct ConnectError {
    /// What each server said.
    pub attempts: Vec<(String, OpenError)>,
}

impl WriteError {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        match self {
            Self::NotDone(reason) | Self::Unknown(reason) => reason,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline(trouble) => write!(f, "the deadline passed: {trouble}"),
            Self::Refused(refusal) => write!(f, "the cluster refused: {refusal}"),
            Self::Rejected(rejected) => rejected.fmt(f),
            Self::SessionLost => write!(f, "the session ended before an answer came"),
            Self::BadRequest(what) => write!(f, "the server does not understand: {what}"),
            Self::Closed => write!(f, "the clerk was closed"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => write!(f, "the cluster did not answer in time"),
            Self::Unreachable(last) => write!(f, "no server could be reached ({last})"),
            Self::NoLeader => write!(f, "no server knows a leader; is a majority up?"),
            Self::Busy => write!(f, "too much is under way"),
            Self::TooManySessions { max_sessions } => {
                write!(f, "{max_sessions} sessions are open, which is the bound")
            }
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no server could be reached")?;
        let mut separator = ": ";
        for (address, error) in &self.attempts {
            write!(f, "{separator}{address}: {error}")?;
            separator = "; ";
        }
        Ok(())
    }
}

impl std::error::Error for ConnectError {}

/// Whether the cluster would refuse the same request again, wherever it is sent.
pub(crate) fn is_final(refusal: Refusal) -> bool {
    match refusal {
        Refusal::TooLarge { .. }
        | Refusal::DiskFull { .. }
        | Refusal::BadChange(_)
        | Refusal::NoSuccessor => true,
        Refusal::NotLeader { .. }
        | Refusal::Busy
        | Refusal::Cancelled
        | Refusal::ChangePending
        | Refusal::TooFewVoters
        | Refusal::NotCaughtUp { .. } => false,
    }
}
