//! The engine trait and what its messages and records must tell a driver.

use alloc::string::String;
use core::convert::Infallible;
use core::fmt::{Debug, Display};
use core::hash::Hasher;

use serde::{Deserialize, Serialize};

use crate::{Blob, Context, Input, Instant};

/// A protocol as a pure state machine: see the [crate] page for the laws.
///
/// Cloning must be cheap enough for an explorer that clones at every branch: share what is
/// immutable.
pub trait Engine: Clone + Sized {
    /// Every knob, checked at construction of the configuration, not here.
    type Config: Clone + Debug;
    /// What peers say to each other.
    type Message: Message;
    /// A durable fact.
    type Record: Record;
    /// The names of its timers; a set timer replaces an earlier one of the same name.
    type Timer: Copy + Ord + Debug;
    /// What the local user may ask.
    type Request: Clone + Debug;
    /// What the local user is told.
    type Event: Clone + Debug + Display;
    /// Work that takes long or touches the world; `()` if there is none.
    type Task: Clone + Debug;
    /// What a finished task reports; `()` if there is none.
    type Output: Clone + Debug;
    /// The rules it keeps: [`Sound`](crate::Sound) wherever it serves, and what `runtime` accepts.
    type Rules;
    /// A read-only picture for traces, scripts and the lab.
    type View: Display + PartialEq;

    /// An engine that has persisted nothing yet. Emits nothing, and waits for records to
    /// [`replay`](Self::replay) or for [`Input::Start`].
    fn new(config: Self::Config) -> Self;

    /// Takes in a record that an earlier life of this engine persisted.
    ///
    /// # Errors
    /// [`Corrupt`] if no correct engine could have persisted this record after the ones before it;
    /// the node must not start.
    fn replay(&mut self, record: Self::Record) -> Result<(), Corrupt>;

    /// Takes one input and leaves its effects, in order, in `context`.
    fn step(&mut self, context: &mut Context<'_, Self>, input: Input<Self>);

    /// Feeds everything that decides future behaviour to `hasher`; where the age of an instant
    /// decides, its distance from `now`.
    fn fingerprint<H: Hasher>(&self, now: Instant, hasher: &mut H);

    /// The picture of this moment.
    fn view(&self) -> Self::View;
}

/// What a driver must know of a peer's message.
pub trait Message: Clone + Debug + Display {
    /// How it travels.
    fn class(&self) -> Class;

    /// Bulk bytes that travel along: the message is delivered once they are durable at the receiver.
    fn attachment(&self) -> Option<Blob> {
        None
    }

    /// Whether its receiver may count it in a quorum: it rests on what its sender promised before. A
    /// driver drops such a message of a peer that is not the incarnation which is meant, since that one
    /// remembers no promise; all else that a stranger says may be heard, and must be where it leads.
    fn counts(&self) -> bool {
        false
    }

    /// Whether its receiver persists in proportion to its size. A driver short of disk may drop such
    /// a message, as a network may.
    fn fills_disk(&self) -> bool {
        false
    }
}

/// How a message travels.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// First in, first out among the messages of the same lane within one session of a link. A loss
    /// ends the session, both sides see [`LinkState::Closed`](crate::LinkState::Closed), and the
    /// session's unsent messages are gone. A full queue ends the session.
    Ordered {
        /// Lanes of one link do not wait for each other; control traffic has the lowest number.
        lane: u8,
    },
    /// May be lost, duplicated, reordered; fits in a packet. A full queue drops it.
    Datagram,
}

/// What a driver must know of a durable record.
pub trait Record: Clone + Debug + Display {
    /// `Some(keeps)` if this record, with the `keeps` ones before it, holds the whole durable state:
    /// once it is durable all earlier ones may be dropped, and a replay starts with the oldest that
    /// is kept. So a checkpoint need not repeat what was written while a snapshot was made.
    fn checkpoint(&self) -> Option<u64> {
        None
    }

    /// The bulk bytes that this record refers to. They were durable before it was persisted, and are
    /// kept until a later checkpoint is durable.
    fn blob(&self) -> Option<Blob> {
        None
    }
}

/// The record of an engine that has nothing to make durable.
impl Record for Infallible {}

/// The same, of an engine that runs on a real node as well, where records must be writable as bytes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum NoRecord {}

impl Record for NoRecord {}

impl Display for NoRecord {
    fn fmt(&self, _: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {}
    }
}

/// A record that cannot follow the ones before it: damage, or a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt(pub String);

impl Display for Corrupt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "records contradict each other: {}", self.0)
    }
}

impl core::error::Error for Corrupt {}
