//! What a replicated service is to the log beneath it.

use alloc::string::String;
use core::fmt;

use bytes::Bytes;

use crate::Index;

/// A deterministic state machine: the same commands in the same order give the same states and the
/// same responses on every node, whatever the log, the clock or the machine.
pub trait StateMachine: Sized {
    /// What a command answers.
    type Response;
    /// A question that changes nothing.
    type Query;
    /// Its answer.
    type Answer;
    /// A frozen copy of the state. Made in time that does not grow with the state, and written while
    /// later commands are applied.
    type Frozen;

    /// Applies a committed command. A command that makes no sense is answered with an error and
    /// changes nothing: every node must come to the same result.
    fn apply(&mut self, index: Index, command: &[u8]) -> Self::Response;

    /// Whether this command takes some microseconds at most, in whatever state it is applied. Brief ones
    /// may be applied by the thread that decides, where to hand them to another costs more than they do.
    fn is_brief(&self, command: &[u8]) -> bool {
        let _ = command;
        false
    }

    /// Whether this question is answered in some microseconds at most.
    fn is_brief_query(&self, query: &Self::Query) -> bool {
        let _ = query;
        false
    }

    /// Nothing more is at hand: what was applied or restored since the last call is all there is to
    /// apply for now. A machine that shows its state to others does so here; to the state itself it
    /// means nothing.
    fn settle(&mut self) {}

    /// Answers from the state as it is.
    fn read(&self, query: &Self::Query) -> Self::Answer;

    /// The state as it is, frozen.
    fn freeze(&self) -> Self::Frozen;

    /// A frozen state as bytes, in pieces of a few hundred KiB at most.
    fn chunks(frozen: &Self::Frozen) -> impl Iterator<Item = Bytes>;

    /// The state that these pieces describe, in a machine configured like this one. Lengths are
    /// bounded before memory is taken.
    ///
    /// # Errors
    /// [`RestoreError`] if they describe none.
    fn restore(&self, chunks: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError>;
}

/// A snapshot that does not describe a state: damage, or another version's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreError(pub String);

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a snapshot of this service: {}", self.0)
    }
}

impl core::error::Error for RestoreError {}
