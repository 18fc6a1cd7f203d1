//! Who may write, and what each writer was answered: what makes commands take effect exactly once.
//!
//! A client sends a command again until it is answered, so copies of it may stand in the log many
//! times and in any order. A session keeps each answer until the client acknowledges it, and a
//! command is a duplicate only if *its own* answer is kept or acknowledged: the commands of one
//! session may commit out of order, a pipelined 6 before a lost 5.
//!
//! Sessions expire by replicated time alone. Time moves with ticks that all nodes apply at the same
//! place in the log, so all nodes forget the same sessions at the same place.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::limits::{
    MAX_KEPT_BYTES, MAX_LEASE_MS, MAX_SESSIONS, MAX_TICK_MS, MAX_UNANSWERED, MIN_LEASE_MS,
};
use crate::message::{Rejected, Revision, SessionId, Written};
use crate::rules::Rules;

/// What became of a command that had a place in its session's window.
pub(crate) type Outcome = Result<Written, Rejected>;

/// All open sessions, and replicated time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sessions {
    clock_ms: u64,
    table: OrdMap<SessionId, Arc<Session>>,
    /// The same sessions by the time at which they expire.
    due: OrdSet<(u64, SessionId)>,
}

/// One open session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) lease_ms: u64,
    pub(crate) expires_ms: u64,
    /// The lowest number that the client has not acknowledged.
    pub(crate) answered_below: u64,
    /// The answers from there on, by rising number.
    pub(crate) answers: VecDeque<(u64, Outcome)>,
    /// Bytes of those that are large.
    #[serde(skip)]
    kept_bytes: usize,
}

/// What a session knows of a command's number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Known {
    /// Never applied, and there is a place for its answer.
    New,
    /// Applied before, with this answer.
    Answered(Outcome),
    /// Acknowledged before.
    Acknowledged,
    /// Too far above the lowest unanswered number, or too much is kept already.
    BeyondWindow,
}

impl Sessions {
    /// Opens a session called `id`; tells its lease.
    pub(crate) fn open(&mut self, id: SessionId, lease_ms: u64) -> Result<u64, Rejected> {
        if self.table.len() >= MAX_SESSIONS {
            return Err(Rejected::TooManySessions { max_sessions: MAX_SESSIONS as u64 });
        }
        let lease_ms = lease_ms.clamp(MIN_LEASE_MS, MAX_LEASE_MS);
        let expires_ms = self.clock_ms.saturating_add(lease_ms);
        let (answered_below, answers, kept_bytes) = (1, VecDeque::new(), 0);
        self.insert(id, Session { lease_ms, expires_ms, answered_below, answers, kept_bytes });
        Ok(lease_ms)
    }

    /// The session, if it is open; its lease starts anew.
    pub(crate) fn renew(&mut self, id: SessionId) -> Result<&mut Session, Rejected> {
        let session = self.table.get_mut(&id).map(Arc::make_mut).ok_or(Rejected::NoSession)?;
        let expires_ms = self.clock_ms.saturating_add(session.lease_ms);
        if session.expires_ms != expires_ms {
            self.due.remove(&(session.expires_ms, id));
            self.due.insert((expires_ms, id));
            session.expires_ms = expires_ms;
        }
        Ok(session)
    }

    /// Ends the session.
    pub(crate) fn close(&mut self, id: SessionId) -> Result<(), Rejected> {
        let session = self.table.remove(&id).ok_or(Rejected::NoSession)?;
        self.due.remove(&(session.expires_ms, id));
        Ok(())
    }

    /// Moves replicated time on, and ends the sessions whose lease is over. Costs what expires.
    pub(crate) fn tick(&mut self, elapsed_ms: u64) {
        self.clock_ms = self.clock_ms.saturating_add(elapsed_ms.min(MAX_TICK_MS));
        while let Some(&(expires_ms, id)) = self.due.get_min()
            && expires_ms <= self.clock_ms
        {
            self.due.remove(&(expires_ms, id));
            self.table.remove(&id);
        }
    }

    /// Replicated time in milliseconds.
    pub(crate) fn clock_ms(&self) -> u64 {
        self.clock_ms
    }

    /// Sets replicated time, where a snapshot says so.
    pub(crate) fn set_clock_ms(&mut self, clock_ms: u64) {
        self.clock_ms = clock_ms;
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// All of them, by rising id.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (SessionId, &Session)> {
        self.table.iter().map(|(id, session)| (*id, &**session))
    }

    /// Takes in an open session.
    pub(crate) fn insert(&mut self, id: SessionId, mut session: Session) {
        session.kept_bytes = session.answers.iter().map(|(_, outcome)| large_bytes(outcome)).sum();
        self.due.insert((session.expires_ms, id));
        self.table.insert(id, Arc::new(session));
    }
}

impl Session {
    /// Forgets the answers to all numbers below `answered_below`: the client has them.
    pub(crate) fn acknowledge(&mut self, answered_below: u64) {
        self.answered_below = self.answered_below.max(answered_below);
        while self.answers.front().is_some_and(|(number, _)| *number < self.answered_below)
            && let Some((_, outcome)) = self.answers.pop_front()
        {
            self.kept_bytes -= large_bytes(&outcome);
        }
    }

    /// What is known of the command with this number.
    pub(crate) fn known<R: Rules>(&self, number: u64, rules: R) -> Known {
        if number < self.answered_below {
            return Known::Acknowledged;
        }
        if number - self.answered_below >= MAX_UNANSWERED {
            return Known::BeyondWindow;
        }
        match (self.place(number), self.answers.back()) {
            (Ok(place), _) => Known::Answered(self.answers[place].1.clone()),
            (Err(_), Some((latest, outcome)))
                if number < *latest && !rules.each_number_has_its_own_answer() =>
            {
                Known::Answered(outcome.clone())
            }
            // The lowest unanswered command always has a place: so a full window opens again.
            (Err(_), _) if self.kept_bytes > MAX_KEPT_BYTES && number > self.answered_below => {
                Known::BeyondWindow
            }
            (Err(_), _) => Known::New,
        }
    }

    /// Keeps the answer to the command with this number.
    pub(crate) fn keep(&mut self, number: u64, outcome: Outcome) {
        self.kept_bytes += large_bytes(&outcome);
        match self.place(number) {
            Ok(place) => {
                self.kept_bytes -= large_bytes(&self.answers[place].1);
                self.answers[place].1 = outcome;
            }
            Err(place) => self.answers.insert(place, (number, outcome)),
        }
    }

    /// Bytes of its answers, roughly.
    pub(crate) fn size_bytes(&self) -> usize {
        32 * self.answers.len() + self.kept_bytes
    }

    /// Whether a store at `clock_ms` and `revision` could have this session.
    pub(crate) fn is_possible(&self, clock_ms: u64, revision: Revision) -> bool {
        let in_window = |number: u64| {
            number.checked_sub(self.answered_below).is_some_and(|ahead| ahead < MAX_UNANSWERED)
        };
        (MIN_LEASE_MS..=MAX_LEASE_MS).contains(&self.lease_ms)
            && self.expires_ms > clock_ms
            && self.expires_ms - clock_ms <= self.lease_ms
            && self.answers.iter().is_sorted_by(|(one, _), (next, _)| one < next)
            && self.answers.iter().all(|(number, outcome)| {
                in_window(*number) && is_possible_outcome(outcome, revision)
            })
    }

    fn place(&self, number: u64) -> Result<usize, usize> {
        match self.answers.back() {
            Some((last, _)) if number <= *last => {
                self.answers.binary_search_by_key(&number, |(number, _)| *number)
            }
            _ => Err(self.answers.len()),
        }
    }
}

/// What an answer takes beyond its place in the table.
fn large_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Ok(Written::Txn(done)) => done.size_bytes(),
        Ok(
            Written::Stored { .. }
            | Written::Deleted { .. }
            | Written::Absent
            | Written::Differs { .. },
        )
        | Err(_) => 0,
    }
}

fn is_possible_outcome(outcome: &Outcome, now: Revision) -> bool {
    match outcome {
        Ok(Written::Stored { revision } | Written::Deleted { revision }) => *revision <= now,
        Ok(Written::Differs { revision: found }) => found.is_none_or(|revision| revision <= now),
        Ok(Written::Txn(done)) => done.revision <= now,
        Ok(Written::Absent) => true,
        Err(rejected) => rejected.is_kept(),
    }
}
