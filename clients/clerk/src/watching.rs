//! The watches of a clerk, as its driver keeps them: what each has been told, so that it can be taken
//! up anywhere without a gap and without a repeat.
//!
//! A watch is asked for again on every new connection, each time under a new id, from the revision
//! after the last that is known to be complete. What an earlier id is told is told to nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use synod_kv::message::{Event, Revision};
use synod_kv::wire::{Said, Watch, write_cancel, write_watch};
use tokio::sync::mpsc;

use crate::connection::Connection;
use crate::watch::{Happened, Told, Waiting, WatchError, WatchOptions};

/// Bytes that a program has been told and has not taken, beyond which the server is let go.
const MAX_WAITING_BYTES: usize = 8 << 20;

/// A watch that a program asked for.
#[derive(Debug)]
pub(crate) struct NewWatch {
    pub(crate) id: u64,
    pub(crate) options: WatchOptions,
    pub(crate) told: mpsc::UnboundedSender<Told>,
    pub(crate) waiting: Arc<Waiting>,
}

/// All watches.
#[derive(Debug, Default)]
pub(crate) struct Watching {
    watches: BTreeMap<u64, Live>,
    /// The watches of this connection, by the ids that the server knows.
    asked: BTreeMap<u64, u64>,
    last_id: u64,
}

#[derive(Debug)]
struct Live {
    watch: NewWatch,
    /// The first revision of which not everything is told; `None` until a server has named it.
    next: Option<Revision>,
    /// Whether the program knows that it has begun.
    has_begun: bool,
    asked: Asked,
}

/// How a watch stands with the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// It is to be asked for.
    No,
    /// The program is too slow: it is asked for once all has been taken.
    Later,
    /// It has been asked for under this id.
    As(u64),
    /// It has begun under this id.
    Begun(u64),
}

impl Watching {
    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// Takes in a new watch.
    pub(crate) fn accept(&mut self, watch: NewWatch) {
        let next = watch.options.from;
        self.watches.insert(watch.id, Live { watch, next, has_begun: false, asked: Asked::No });
    }

    /// The program does not want it any more.
    pub(crate) fn forget(&mut self, id: u64, connection: Option<&mut Connection>) {
        if let Some(live) = self.watches.remove(&id)
            && let Some(asked) = live.asked.id()
        {
            self.asked.remove(&asked);
            if let Some(connection) = connection {
                connection.write(|out| write_cancel(asked, out));
            }
        }
    }

    /// The program has taken all that it was told.
    pub(crate) fn resume(&mut self, id: u64) {
        if let Some(live) = self.watches.get_mut(&id)
            && live.asked == Asked::Later
        {
            live.asked = Asked::No;
        }
    }

    /// Asks for what is to be asked for. `seen` is the newest revision that the clerk knows of.
    pub(crate) fn send(&mut self, connection: &mut Connection, seen: &AtomicU64) {
        for live in self.watches.values_mut().filter(|live| live.asked == Asked::No) {
            if !connection.has_room() {
                return;
            }
            self.last_id += 1;
            live.asked = Asked::As(self.last_id);
            self.asked.insert(self.last_id, live.watch.id);
            let WatchOptions { keys, filter, prev, .. } = live.watch.options.clone();
            let (from, seen) = (live.next, seen.load(Ordering::Relaxed));
            let watch = Watch { keys, from, seen, filter, prev };
            connection.write(|out| write_watch(self.last_id, &watch, out));
        }
    }

    /// The connection is gone.
    pub(crate) fn on_lost(&mut self) {
        self.asked.clear();
        for live in self.watches.values_mut().filter(|live| live.asked != Asked::Later) {
            live.asked = Asked::No;
        }
    }

    /// The server told the watch of this id something.
    pub(crate) fn on_told(&mut self, asked: u64, said: Said, connection: &mut Connection) {
        let Some(id) = self.asked.get(&asked).copied() else { return };
        let Some(live) = self.watches.get_mut(&id) else { return };
        match said {
            Said::Begun { from } => {
                live.asked = Asked::Begun(asked);
                live.next.get_or_insert(from);
                if !std::mem::replace(&mut live.has_begun, true) {
                    live.tell(Told::Begun(from));
                }
            }
            Said::Events { through, events } => {
                if live.happened(through, events) {
                    live.asked = live.watch.waiting.let_go();
                    self.asked.remove(&asked);
                    connection.write(|out| write_cancel(asked, out));
                }
            }
            Said::Ended(ended) => {
                live.tell(Told::Ended(ended.into()));
                self.watches.remove(&id);
                self.asked.remove(&asked);
            }
        }
    }

    /// All watches that have begun have been told everything up to `through`.
    pub(crate) fn on_progress(&mut self, through: Revision) {
        for live in self.watches.values_mut() {
            if matches!(live.asked, Asked::Begun(_))
                && live.next.is_some_and(|next| next <= through)
            {
                // What is told here takes no memory to speak of, and no place of what happened.
                live.happened(through, Vec::new());
            }
        }
    }

    /// The clerk is closed.
    pub(crate) fn end(&mut self) {
        for live in std::mem::take(&mut self.watches).into_values() {
            live.tell(Told::Ended(WatchError::Closed));
        }
    }
}

impl Live {
    /// Tells what happened up to `through`; true if that is too much for now, and was not told.
    fn happened(&mut self, through: Revision, mut events: Vec<Event>) -> bool {
        let Some(next) = self.next else { return false };
        // A server tells nothing twice; if one did, the program would not hear of it.
        events.retain(|event| event.revision() >= next);
        let bytes = events.iter().map(Event::size_bytes).sum::<usize>() + 64;
        let waiting = &self.watch.waiting.bytes;
        if waiting.load(Ordering::SeqCst) > MAX_WAITING_BYTES {
            return true;
        }
        waiting.fetch_add(bytes, Ordering::SeqCst);
        self.next = Some(next.max(through.saturating_add(1)));
        self.tell(Told::Happened(Happened { through, events }, bytes));
        false
    }

    fn tell(&self, told: Told) {
        // A program that has dropped its watcher says so in its own time.
        self.watch.told.send(told).ok();
    }
}

impl Waiting {
    /// The program is slow, and says so when it has taken all; unless it just has.
    fn let_go(&self) -> Asked {
        self.let_go.store(true, Ordering::SeqCst);
        if self.bytes.load(Ordering::SeqCst) == 0 && self.let_go.swap(false, Ordering::SeqCst) {
            Asked::No
        } else {
            Asked::Later
        }
    }
}

impl Asked {
    fn id(self) -> Option<u64> {
        match self {
            Self::As(id) | Self::Begun(id) => Some(id),
            Self::No | Self::Later => None,
        }
    }
}
