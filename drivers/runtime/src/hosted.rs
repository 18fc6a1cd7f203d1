//! What this driver can host: a replicated log whose messages and records can be written as bytes, with a
//! state machine whose answers cross threads; or such an engine of any other kind, by itself.

use std::convert::Infallible;

use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_consensus::{ReplicatedLog, StateMachine};
use synod_engine::{Engine, Sound};

/// A replicated log that runs on sockets and disks. Every one does whose parts are data.
pub trait HostedLog:
    ReplicatedLog<
        Timer: Send,
        Message: Serialize + DeserializeOwned + Send,
        Record: Serialize + DeserializeOwned + Send,
    > + Send
    + 'static
{
}

impl<L> HostedLog for L where
    L: ReplicatedLog<
            Timer: Send,
            Message: Serialize + DeserializeOwned + Send,
            Record: Serialize + DeserializeOwned + Send,
        > + Send
        + 'static
{
}

/// An engine that runs by itself, over datagrams: see [`crate::solo`]. It has no tasks.
pub trait HostedEngine:
    Engine<
        Timer: Send,
        Message: Serialize + DeserializeOwned + Send,
        Record: Serialize + DeserializeOwned + Send,
        Request: Send,
        Event: Send,
        Task = Infallible,
        Rules = Sound,
    > + Send
    + 'static
{
}

impl<E> HostedEngine for E where
    E: Engine<
            Timer: Send,
            Message: Serialize + DeserializeOwned + Send,
            Record: Serialize + DeserializeOwned + Send,
            Request: Send,
            Event: Send,
            Task = Infallible,
            Rules = Sound,
        > + Send
        + 'static
{
}

/// A state machine that is applied, asked and written out by threads of its own.
pub trait HostedState:
    StateMachine<Query: Send, Response: Send, Answer: Send, Frozen: Send> + Send + 'static
{
}

impl<S> HostedState for S where
    S: StateMachine<Query: Send, Response: Send, Answer: Send, Frozen: Send> + Send + 'static
{
}
