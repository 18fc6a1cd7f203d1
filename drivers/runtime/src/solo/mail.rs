//! What other threads have for the core: requests, how far the disk came, whether to stop, and the words
//! of peers that were met for the first time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use synod_engine::{Engine, NodeId, Position, Token};
use tokio::sync::Notify;

use crate::inbox::Stop;

/// Waiting for the core.
pub(crate) struct Mail<E: Engine> {
    waiting: Mutex<Waiting<E>>,
    pub(crate) wake: Notify,
    max_requests: usize,
}

/// All that waits.
pub(crate) struct Waiting<E: Engine> {
    /// How far the disk has come.
    pub(crate) durable: Position,
    pub(crate) requests: VecDeque<Asked<E>>,
    /// First words of peers that are remembered by now.
    pub(crate) met: Vec<(NodeId, E::Message)>,
    pub(crate) stop: Option<Stop>,
}

/// What the local user asks.
pub(crate) enum Asked<E: Engine> {
    Request(Token, E::Request),
    Cancel(Token),
}

/// Too many requests wait; nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many requests wait; nothing was changed; try again")
    }
}

impl std::error::Error for Busy {}

impl<E: Engine> Default for Waiting<E> {
    fn default() -> Self {
        let (durable, requests) = (Position::default(), VecDeque::new());
        Self { durable, requests, met: Vec::new(), stop: None }
    }
}

impl<E: Engine> Mail<E> {
    pub(crate) fn new(max_requests: usize) -> Self {
        Self { waiting: Mutex::default(), wake: Notify::new(), max_requests }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<E>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves something and wakes the core.
    pub(crate) fn put(&self, leave: impl FnOnce(&mut Waiting<E>)) {
        leave(&mut self.lock());
        self.wake.notify_one();
    }

    /// Leaves a request, if there is room.
    pub(crate) fn ask(&self, asked: Asked<E>) -> Result<(), Busy> {
        let mut waiting = self.lock();
        if waiting.requests.len() >= self.max_requests {
            return Err(Busy);
        }
        waiting.requests.push_back(asked);
        drop(waiting);
        self.wake.notify_one();
        Ok(())
    }

    /// The node shall stop; the first reason stays, but nothing stays graceful after a failure.
    pub(crate) fn stop(&self, stop: Stop) {
        self.put(|waiting| match &waiting.stop {
            None | Some(Stop::Gracefully) => waiting.stop = Some(stop),
            Some(Stop::Abruptly | Stop::Damaged(_) | Stop::Fatal(_)) => {}
        });
    }

    /// Takes all that waits. How far the disk came stays true.
    pub(crate) fn take(&self) -> Waiting<E> {
        let mut waiting = self.lock();
        let durable = waiting.durable;
        std::mem::replace(&mut *waiting, Waiting { durable, ..Waiting::default() })
    }
}
