//! Everything that an engine can ask of its driver.

use core::fmt;
use core::time::Duration;

use crate::{Engine, NodeId, TaskId};

/// One thing to be done, in the order of the list it stands in.
pub enum Effect<E: Engine> {
    /// Make a record durable, after all earlier ones. A failed sync stops the node.
    Persist(E::Record),
    /// Send a message, by the class that the message itself names.
    Send {
        /// To whom.
        to: To,
        /// What to say.
        message: E::Message,
        /// Held until the records before it are durable, or now.
        when: When,
    },
    /// Set a timer, replacing one of the same name. Never held.
    SetTimer {
        /// Its name.
        timer: E::Timer,
        /// How long from now.
        after: Duration,
    },
    /// Cancel a timer, if it is set. Never held.
    CancelTimer(E::Timer),
    /// Start a task; it ends in [`Input::TaskDone`](crate::Input::TaskDone) unless aborted.
    StartTask {
        /// The engine's name for it.
        id: TaskId,
        /// What to do.
        task: E::Task,
        /// Held until the records before it are durable, or now.
        when: When,
    },
    /// Abort a task; also cancels a start that is still held. Its output may still arrive.
    AbortTask(TaskId),
    /// Tell the local user something.
    Emit {
        /// What.
        event: E::Event,
        /// Held until the records before it are durable, or now.
        when: When,
    },
}

/// To whom a message goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum To {
    /// One node. To oneself: delivered reliably and in order; always held.
    Node(NodeId),
    /// Every other member of the group; never oneself.
    Others,
}

/// When an effect is performed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum When {
    /// In order among held effects, once everything persisted before it is durable.
    Held,
    /// At once; it may overtake held effects and must not reveal an identity or a promise.
    Now,
}

impl<E: Engine> Clone for Effect<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Persist(record) => Self::Persist(record.clone()),
            Self::Send { to, message, when } => {
                Self::Send { to: *to, message: message.clone(), when: *when }
            }
            Self::SetTimer { timer, after } => Self::SetTimer { timer: *timer, after: *after },
            Self::CancelTimer(timer) => Self::CancelTimer(*timer),
            Self::StartTask { id, task, when } => {
                Self::StartTask { id: *id, task: task.clone(), when: *when }
            }
            Self::AbortTask(id) => Self::AbortTask(*id),
            Self::Emit { event, when } => Self::Emit { event: event.clone(), when: *when },
        }
    }
}

impl<E: Engine> fmt::Display for Effect<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Persist(record) => write!(f, "persist {record}"),
            Self::Send { to, message, when } => write!(f, "send {to}{when} {message}"),
            Self::SetTimer { timer, after } => write!(f, "set {timer:?} in {after:?}"),
            Self::CancelTimer(timer) => write!(f, "cancel {timer:?}"),
            Self::StartTask { id, task, when } => write!(f, "start {id}{when} {task:?}"),
            Self::AbortTask(id) => write!(f, "abort {id}"),
            Self::Emit { event, when } => write!(f, "emit{when} {event}"),
        }
    }
}

impl<E: Engine> fmt::Debug for Effect<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "{node}"),
            Self::Others => write!(f, "others"),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => Ok(()),
            Self::Now => write!(f, " now"),
        }
    }
}
