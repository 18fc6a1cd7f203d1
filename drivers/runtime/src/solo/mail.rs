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

    /// Moves everything into `taken`; requests only once those taken before are worked off, so that what
    /// waits is counted and bounded here.
    pub(crate) fn take(&self, taken: &mut Waiting<E>) {
        let mut waiting = self.lock();
        taken.durable = waiting.durable;
        taken.met.append(&mut waiting.met);
        taken.stop = waiting.stop.take().or(taken.stop.take());
        if taken.requests.is_empty() {
            taken.requests.append(&mut waiting.requests);
        }
    }
}

#[cfg(test)]
mod tests {
    use synod_paxos::basic::{Paxos, Request};

    use super::*;

    fn ask(mail: &Mail<Paxos>, token: u64) -> Result<(), Busy> {
        mail.ask(Asked::Request(Token(token), Request::Propose("v".into())))
    }

    #[test]
    fn what_is_not_worked_off_keeps_the_next_waiting_where_it_is_counted() {
        let mail = Mail::new(2);
        let mut taken = Waiting::default();
        assert_eq!([1, 2, 3].map(|token| ask(&mail, token)), [Ok(()), Ok(()), Err(Busy)]);
        mail.take(&mut taken);
        assert_eq!([4, 5, 6].map(|token| ask(&mail, token)), [Ok(()), Ok(()), Err(Busy)]);
        mail.put(|waiting| waiting.durable = Position(7));
        mail.take(&mut taken);
        assert_eq!((taken.requests.len(), taken.durable), (2, Position(7)), "the core is behind");
        assert_eq!(ask(&mail, 7), Err(Busy));
        taken.requests.clear();
        mail.take(&mut taken);
        assert_eq!((taken.requests.len(), ask(&mail, 8)), (2, Ok(())));
    }

    #[test]
    fn the_first_reason_to_stop_stays_unless_it_was_graceful() {
        let mail = Mail::<Paxos>::new(1);
        let mut taken = Waiting::default();
        mail.stop(Stop::Gracefully);
        mail.stop(Stop::Fatal("first".into()));
        mail.stop(Stop::Fatal("second".into()));
        mail.take(&mut taken);
        assert_eq!(taken.stop, Some(Stop::Fatal("first".into())));
    }
}
