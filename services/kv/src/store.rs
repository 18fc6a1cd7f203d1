//! The state machine: one committed command after the other.

use bytes::Bytes;
use synod_codec::decode;
use synod_consensus::{Index, RestoreError, StateMachine};
use synod_engine::Sound;

use crate::keys::Keys;
use crate::limits::{MAX_BRIEF_BYTES, MAX_COMMAND_BYTES, MAX_UNANSWERED};
use crate::message::{
    Answer, Command, Event, Op, Query, Rejected, Response, Revision, SessionId, Written,
};
use crate::rules::Rules;
use crate::sessions::{Known, Sessions};
use crate::snapshot;
use crate::wire;

/// The store: its keys and its sessions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Store<R: Rules = Sound> {
    pub(crate) rules: R,
    pub(crate) keys: Keys,
    pub(crate) sessions: Sessions,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<R: Rules> Store<R> {
    /// The same store under other rules, which stores that it restores keep too.
    #[must_use]
    pub fn with_rules<Q: Rules>(self, rules: Q) -> Store<Q> {
        let Self { rules: _, keys, sessions } = self;
        Store { rules, keys, sessions }
    }

    /// The revision of the last write that changed something.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.keys.revision
    }

    /// What happened up to this revision is forgotten; all that came later is remembered.
    #[must_use]
    pub fn compacted(&self) -> Revision {
        self.keys.history.compacted()
    }

    /// What happened after `revision`, in order. Nothing is missing unless it is
    /// [compacted](Self::compacted).
    pub fn events_after(&self, revision: Revision) -> impl Iterator<Item = &Event> {
        self.keys.history.after(revision)
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.records.len()
    }

    /// How many sessions are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Replicated time: the sum of all ticks, in milliseconds.
    #[must_use]
    pub fn clock_ms(&self) -> u64 {
        self.sessions.clock_ms()
    }

    fn dispatch(&mut self, index: Index, command: Command) -> Result<Response, Rejected> {
        match command {
            Command::Write { session, number, answered_below, op } => {
                self.write(session, number, answered_below, op).map(Response::Written)
            }
            Command::Open { lease_ms } => {
                let session = SessionId(index.0);
                let lease_ms = self.sessions.open(session, lease_ms)?;
                Ok(Response::Opened { session, lease_ms })
            }
            Command::KeepAlive { session, answered_below } => {
                self.sessions.renew(session)?.acknowledge(answered_below);
                Ok(Response::Kept)
            }
            Command::Close { session } => {
                self.sessions.close(session)?;
                Ok(Response::Closed)
            }
            Command::Tick { elapsed_ms } => {
                self.sessions.tick(elapsed_ms);
                Ok(Response::Ticked)
            }
        }
    }

    fn write(
        &mut self,
        session: SessionId,
        number: u64,
        answered_below: u64,
        op: Op,
    ) -> Result<Written, Rejected> {
        let session = match self.sessions.renew(session) {
            Ok(session) => session,
            Err(rejected) if self.rules.expired_sessions_are_refused() => return Err(rejected),
            Err(_) => return self.keys.write(op),
        };
        session.acknowledge(answered_below);
        match session.known(number, self.rules) {
            Known::Answered(outcome) if self.rules.duplicates_are_answered_from_the_table() => {
                outcome
            }
            Known::New | Known::Answered(_) => {
                let outcome = self.keys.write(op);
                session.keep(number, outcome.clone());
                outcome
            }
            Known::Acknowledged => Err(Rejected::AlreadyAnswered),
            Known::BeyondWindow => Err(Rejected::WindowFull { max_unanswered: MAX_UNANSWERED }),
        }
    }
}

impl<R: Rules> StateMachine for Store<R> {
    type Response = Response;
    type Query = Query;
    type Answer = Answer;
    /// A copy takes constant time: all of the state is shared until it changes.
    type Frozen = Self;

    fn apply(&mut self, index: Index, command: &[u8]) -> Response {
        if command.len() > MAX_COMMAND_BYTES {
            return Response::Rejected(Rejected::Malformed);
        }
        let Ok(command) = decode(command) else {
            return Response::Rejected(Rejected::Malformed);
        };
        self.dispatch(index, command).unwrap_or_else(Response::Rejected)
    }

    fn is_brief(&self, command: &[u8]) -> bool {
        command.len() <= MAX_BRIEF_BYTES && wire::is_write_of_one_key(command)
    }

    fn is_brief_query(&self, query: &Query) -> bool {
        match query {
            Query::Get { .. } => true,
            Query::Range { .. } | Query::Changes { .. } => false,
        }
    }

    fn read(&self, query: &Query) -> Answer {
        self.keys.read(query)
    }

    fn freeze(&self) -> Self {
        self.clone()
    }

    fn chunks(frozen: &Self) -> impl Iterator<Item = Bytes> {
        snapshot::write(frozen)
    }

    fn restore(&self, chunks: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
        snapshot::read(self.rules, chunks)
    }
}
