//! Everything that can happen to an engine.

use core::fmt;

use crate::{Engine, NodeId, TaskId, Token};

/// One thing that happened.
pub enum Input<E: Engine> {
    /// The first input of each life, after all records were replayed. Everything replayed is durable.
    Start,
    /// A peer, or the engine itself, sent a message.
    Message {
        /// Who sent it; oneself for a held send to oneself.
        from: NodeId,
        /// What it says.
        message: E::Message,
    },
    /// A timer fired; it is no longer set.
    Timer(E::Timer),
    /// The local user asks for something; the answer is an event that carries the token.
    Request {
        /// The user's name for it, not in use by another unanswered request.
        token: Token,
        /// What is asked.
        request: E::Request,
    },
    /// The local user no longer waits for the answer. The request may still take effect.
    Cancel(Token),
    /// A link's session began or ended.
    Link {
        /// The other end.
        peer: NodeId,
        /// What became of it.
        state: LinkState,
    },
    /// A task finished, failed tasks included: what failure means is in the output's type.
    TaskDone {
        /// Which one.
        id: TaskId,
        /// What it reports.
        output: E::Output,
    },
    /// The local user has taken in all events up to this position of the engine's own counting (for
    /// a replicated log: the index applied).
    Applied(u64),
    /// No more input is at hand: send what was gathered. Ends every batch; never waits for more.
    Flush,
}

/// Whether a link can carry messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LinkState {
    /// A session began; nothing sent in an earlier session will arrive any more.
    Opened,
    /// The session ended; ordered messages that were under way may be lost.
    Closed,
}

impl<E: Engine> Clone for Input<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Start => Self::Start,
            Self::Message { from, message } => {
                Self::Message { from: *from, message: message.clone() }
            }
            Self::Timer(timer) => Self::Timer(*timer),
            Self::Request { token, request } => {
                Self::Request { token: *token, request: request.clone() }
            }
            Self::Cancel(token) => Self::Cancel(*token),
            Self::Link { peer, state } => Self::Link { peer: *peer, state: *state },
            Self::TaskDone { id, output } => Self::TaskDone { id: *id, output: output.clone() },
            Self::Applied(position) => Self::Applied(*position),
            Self::Flush => Self::Flush,
        }
    }
}

impl<E: Engine> fmt::Display for Input<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => write!(f, "start"),
            Self::Message { from, message } => write!(f, "{from} says {message}"),
            Self::Timer(timer) => write!(f, "timer {timer:?}"),
            Self::Request { token, request } => write!(f, "request {token} {request:?}"),
            Self::Cancel(token) => write!(f, "cancel {token}"),
            Self::Link { peer, state: LinkState::Opened } => write!(f, "link to {peer} opened"),
            Self::Link { peer, state: LinkState::Closed } => write!(f, "link to {peer} closed"),
            Self::TaskDone { id, output } => write!(f, "task {id} done {output:?}"),
            Self::Applied(position) => write!(f, "applied {position}"),
            Self::Flush => write!(f, "flush"),
        }
    }
}

impl<E: Engine> fmt::Debug for Input<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
