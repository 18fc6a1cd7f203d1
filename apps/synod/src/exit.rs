//! How commands end: an exit code for each kind of failure, and words that say what happened,
//! whether anything changed, and what to do.

use std::fmt;
use std::process::ExitCode;

use serde_json::json;
use synod_clerk::{ConnectError, ReadError, Reason, Trouble, WriteError};
use synod_sim::Kind;

use crate::output::tell;

/// Shown below the help.
pub(crate) const CODES: &str = "\
Exit codes:
  0  done
  1  no: the key is not there, a comparison failed, what was to be watched is compacted,
     nothing is damaged, another value is chosen
  2  wrong usage or configuration; nothing was changed
  3  not done: it did not take effect and never will
  4  unknown: it may or may not have taken effect
  5  no server could be reached; nothing was changed
  6  a data directory cannot be used; nothing was changed
  7  an address is in use or cannot be used; nothing was changed
  8  a node stopped because it could not go on
  9  a simulation, a check or a torture found that something happened which never must
 10  a simulation found nothing, but missed a point that it should have reached
 11  done, but what it had to tell could not be written
 12  a simulated or tortured cluster stood still: all was well again, and it was not
 13  a simulation: a panic, or a node that could not be rebuilt
 14  a simulation, a check or a torture could not decide
 15  a simulation: the same run took two ways";

/// How a command ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    Done = 0,
    No = 1,
    Usage = 2,
    NotDone = 3,
    Unknown = 4,
    Unreachable = 5,
    Data = 6,
    Address = 7,
    Fatal = 8,
    Violation = 9,
    Missed = 10,
    Untold = 11,
    Stalled = 12,
    Crash = 13,
    Undecided = 14,
    Parted = 15,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Ok => Self::Done,
            Kind::Undecided => Self::Undecided,
            Kind::Liveness => Self::Stalled,
            Kind::Crash => Self::Crash,
            Kind::Nondeterministic => Self::Parted,
            Kind::Safety => Self::Violation,
        }
    }
}

/// A command that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) what: String,
    /// Whether to tell a program, on standard output, besides a person.
    json: bool,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl fmt::Display) -> Self {
        Self { exit, what: what.to_string(), json: false }
    }

    pub(crate) fn usage(what: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Tells a program too, if `json`.
    pub(crate) fn in_json(self, json: bool) -> Self {
        Self { json, ..self }
    }

    /// Tells a program, on standard output, that what was typed makes no sense.
    pub(crate) fn tell_usage(said: &str) {
        let first = said.split("\n\n").next().unwrap_or_default();
        let what = first.trim_start_matches("error: ").trim();
        tell(&json!({ "error": format!("{what}; nothing was changed"), "kind": "usage" }));
    }

    /// Says it.
    pub(crate) fn report(&self) {
        let red = anstyle::AnsiColor::Red.on_default().bold();
        anstream::eprintln!("{red}error:{red:#} {}", self.what);
        if self.json {
            let kind = match self.exit {
                Exit::Done => "done",
                Exit::No => "no",
                Exit::Usage => "usage",
                Exit::NotDone => "not_done",
                Exit::Unknown => "unknown",
                Exit::Unreachable => "unreachable",
                Exit::Data => "data",
                Exit::Address => "address",
                Exit::Fatal => "fatal",
                Exit::Violation => "violation",
                Exit::Missed => "missed",
                Exit::Untold => "untold",
                Exit::Stalled => "stalled",
                Exit::Crash => "crash",
                Exit::Undecided => "undecided",
                Exit::Parted => "nondeterministic",
            };
            tell(&json!({ "error": self.what, "kind": kind }));
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let what = format!(
            "{error}; nothing was changed; is the cluster running? `synod up` starts one, and \
             --cluster names another"
        );
        Self::new(Exit::Unreachable, what)
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        let exit = match &error {
            WriteError::NotDone(reason) => not_done(reason),
            WriteError::Unknown(_) => Exit::Unknown,
        };
        Self::new(exit, error)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::new(not_done(&error.0), error)
    }
}

fn not_done(reason: &Reason) -> Exit {
    match reason {
        Reason::Deadline(Trouble::Unreachable(_)) => Exit::Unreachable,
        _ => Exit::NotDone,
    }
}
