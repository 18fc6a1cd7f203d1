//! What a program asks to be told, and how it hears it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use synod_kv::message::{Event, Revision, Span};
use synod_kv::wire::{Ended, Filter};
use tokio::sync::mpsc;

use crate::driver::Ask;

/// What to watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchOptions {
    /// What happens to these keys.
    pub keys: Span,
    /// From this revision on; `None`: from now on.
    pub from: Option<Revision>,
    /// Which events.
    pub filter: Filter,
    /// Whether to tell also what the keys held before.
    pub prev: bool,
}

/// What happened to the watched keys, up to a revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Happened {
    /// Nothing else happened to the keys up to this revision. A watch from the next one goes on here.
    pub through: Revision,
    /// What did, in order; nothing if this only tells how far the watch has come.
    pub events: Vec<Event>,
}

/// A watch that ended, and is told no more.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WatchError {
    /// What would be told next is forgotten: this program, or its connection, was too slow, or asked
    /// for something too old.
    #[error(
        "compacted: what happened up to revision {compacted} is forgotten; read what the keys hold \
         and watch from there"
    )]
    Compacted {
        /// Everything up to this revision is forgotten.
        compacted: Revision,
    },
    /// The server did not take it.
    #[error("the server refused: {0}")]
    Refused(String),
    /// No server took it in time.
    #[error("no server took the watch in time")]
    Deadline,
    /// The clerk was closed.
    #[error("the clerk was closed")]
    Closed,
}

/// A watch under way. Dropping it ends it.
///
/// It outlives connections and servers: after a failure the clerk goes on at another server from the
/// revision that was told last. Whatever happens, the program is told every event once and in order,
/// or that it cannot be.
///
/// A program that is slow to take what it is told holds up nobody: beyond some megabytes the clerk
/// lets go of the server, and asks again from where it was once the program has taken all.
#[derive(Debug)]
pub struct Watcher {
    pub(crate) id: u64,
    pub(crate) asks: mpsc::UnboundedSender<Ask>,
    pub(crate) told: mpsc::UnboundedReceiver<Told>,
    pub(crate) waiting: Arc<Waiting>,
    events: VecDeque<Event>,
    end: Option<WatchError>,
}

/// What the driver tells a watcher.
#[derive(Debug)]
pub(crate) enum Told {
    /// It has begun; every later event will be told.
    Begun(Revision),
    /// This happened. It takes so many bytes.
    Happened(Happened, usize),
    /// It has ended.
    Ended(WatchError),
}

/// How much a watcher has been told and has not taken.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) bytes: AtomicUsize,
    /// The driver waits until it has taken all.
    pub(crate) let_go: AtomicBool,
}

impl WatchOptions {
    /// Everything that happens to `keys` from now on.
    #[must_use]
    pub fn new(keys: Span) -> Self {
        Self { keys, from: None, filter: Filter::All, prev: false }
    }

    /// Everything that happens to one key from now on.
    #[must_use]
    pub fn key(key: impl Into<Bytes>) -> Self {
        Self::new(Span::One(key.into()))
    }

    /// Everything that happens to the keys with this prefix from now on.
    #[must_use]
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        Self::new(Span::prefix(prefix))
    }

    /// The same from `revision` on.
    #[must_use]
    pub fn from(self, revision: Revision) -> Self {
        Self { from: Some(revision), ..self }
    }

    /// The same, telling also what the keys held before.
    #[must_use]
    pub fn with_prev(self) -> Self {
        Self { prev: true, ..self }
    }
}

impl Watcher {
    pub(crate) fn new(
        id: u64,
        asks: mpsc::UnboundedSender<Ask>,
        told: mpsc::UnboundedReceiver<Told>,
        waiting: Arc<Waiting>,
    ) -> Self {
        Self { id, asks, told, waiting, events: VecDeque::new(), end: None }
    }

    /// Waits until a server has taken the watch; the revision from which on everything is told.
    pub(crate) async fn begun(&mut self) -> Result<Revision, WatchError> {
        match self.told.recv().await {
            Some(Told::Begun(from)) => Ok(from),
            Some(Told::Ended(error)) => Err(error),
            Some(Told::Happened(..)) | None => Err(WatchError::Closed),
        }
    }

    /// The next event. Events of one transaction come one after the other, with one revision. Safe
    /// to cancel.
    ///
    /// # Errors
    /// [`WatchError`]: the watch has ended.
    pub async fn next(&mut self) -> Result<Event, WatchError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            self.events = self.next_batch().await?.events.into();
        }
    }

    /// The next events, of whole revisions; none if this only tells how far the watch has come. A
    /// program that keeps `through` can go on from the revision after it, also after a restart. Safe
    /// to cancel.
    ///
    /// # Errors
    /// [`WatchError`]: the watch has ended.
    pub async fn next_batch(&mut self) -> Result<Happened, WatchError> {
        if let Some(end) = &self.end {
            return Err(end.clone());
        }
        loop {
            match self.told.recv().await {
                Some(Told::Happened(happened, bytes)) => {
                    let Waiting { bytes: waiting, let_go } = &*self.waiting;
                    let took_all = waiting.fetch_sub(bytes, Ordering::SeqCst) == bytes;
                    if took_all && let_go.swap(false, Ordering::SeqCst) {
                        // Without a driver there is nothing to resume.
                        self.asks.send(Ask::Resume(self.id)).ok();
                    }
                    return Ok(happened);
                }
                Some(Told::Begun(_)) => {}
                Some(Told::Ended(error)) => {
                    self.end = Some(error.clone());
                    return Err(error);
                }
                None => return Err(WatchError::Closed),
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Without a driver there is nothing to end.
        self.asks.send(Ask::Unwatch(self.id)).ok();
    }
}

impl From<Ended> for WatchError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Compacted { compacted } => Self::Compacted { compacted },
            Ended::Cancelled => Self::Closed,
            Ended::TooMany => Self::Refused("too many watches on one connection".into()),
            Ended::BadRequest(what) => Self::Refused(what),
        }
    }
}
