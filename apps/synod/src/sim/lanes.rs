//! What a simulated client remembers: its session, and for each of its lanes the call that it is at.

use std::ops::Range;
use std::time::Duration;

use synod_codec::encode;
use synod_kv::message::{Command, Query, Response, SessionId};
use synod_sim::replicated::Call;

#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    pub(super) id: Option<SessionId>,
    pub(super) last_number: u64,
    /// The numbers that lanes still wait for.
    pub(super) unanswered: Vec<u64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    pub(super) node: usize,
    /// It was told whom to ask next; without an answer it tries the next.
    pub(super) is_directed: bool,
    /// A wake-up before this time is an old one.
    pub(super) due: Duration,
    pub(super) task: Task,
    /// The last command that was answered, with the answer: a late duplicate must say the same.
    pub(super) settled: Option<(Vec<u64>, Response)>,
}

/// What a lane is at.
#[derive(Clone, Debug, Default)]
pub(super) enum Task {
    #[default]
    Rest,
    Open(Attempts),
    Write {
        session: SessionId,
        number: u64,
        operations: Range<usize>,
        attempts: Attempts,
    },
    Read {
        key: u64,
        operation: usize,
        attempts: Attempts,
    },
}

/// A call and its repetitions.
#[derive(Clone, Debug)]
pub(super) struct Attempts {
    pub(super) call: Call<Query>,
    pub(super) numbers: Vec<u64>,
    /// How many of them were refused: these did nothing.
    pub(super) refused: usize,
    pub(super) give_up: Duration,
}

impl Session {
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.unanswered.push(self.last_number);
        self.last_number
    }

    pub(super) fn answered_below(&self) -> u64 {
        self.unanswered.iter().copied().min().unwrap_or(self.last_number + 1)
    }

    /// Nobody waits for command `number` of `session` any more; unless that was an earlier session.
    pub(super) fn settle(&mut self, session: SessionId, number: u64) {
        if self.id == Some(session) {
            self.unanswered.retain(|unanswered| *unanswered != number);
        }
    }
}

impl Lane {
    pub(super) fn attempts(&mut self) -> Option<&mut Attempts> {
        match &mut self.task {
            Task::Rest => None,
            Task::Open(attempts) | Task::Write { attempts, .. } | Task::Read { attempts, .. } => {
                Some(attempts)
            }
        }
    }
}

/// The call that writes this command.
pub(super) fn write(command: &Command) -> Call<Query> {
    let mut bytes = Vec::new();
    encode(command, &mut bytes);
    Call::Write(bytes.into())
}
