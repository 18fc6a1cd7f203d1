//! What happened lately at this node, for all who watch: shown by the apply thread, read by every
//! connection at its own pace.
//!
//! The feed is what the store remembers ([`synod_kv`]'s history), cut into immutable blocks of whole
//! revisions. A reader takes one block at a time, by the revision up to which it has read, and
//! nothing else: it holds the lock for that moment, never while it encodes or sends. So no reader,
//! however slow, holds up the apply thread or another reader. One that falls behind what the store
//! remembers learns that it is [`Compacted`].
//!
//! An event is encoded once, by the first who needs it, for all.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use synod_codec::encode;
use synod_kv::Store;
use synod_kv::message::{Event, Revision};
use tokio::sync::watch;

/// A block takes no more revisions from here on.
const FULL_BLOCK_EVENTS: usize = 256;
/// The same, in bytes: with one more revision it still fits a message.
const FULL_BLOCK_BYTES: usize = 256 << 10;

/// The events that the node's store remembers.
#[derive(Debug)]
pub struct Feed {
    shown: Mutex<Shown>,
    newest: watch::Sender<Revision>,
    /// How many sessions the store has.
    sessions: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shown {
    compacted: Revision,
    revision: Revision,
    blocks: VecDeque<Arc<Block>>,
}

/// Consecutive events of whole revisions; at least one.
#[derive(Debug)]
pub(crate) struct Block {
    events: Box<[Shared]>,
}

/// An event that all readers share, with its encoding.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) event: Event,
    encoded: OnceLock<Encoded>,
}

/// The encoding in two parts: what was before is the last.
#[derive(Debug)]
struct Encoded {
    bytes: Box<[u8]>,
    before: usize,
}

/// Some of what a reader has not read is forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Compacted(pub(crate) Revision);

impl Default for Feed {
    fn default() -> Self {
        Self {
            shown: Mutex::default(),
            newest: watch::Sender::new(0),
            sessions: AtomicUsize::new(0),
        }
    }
}

impl Feed {
    /// How many sessions were open when the store was last looked at.
    pub(crate) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Shows what has happened to `store` since the last call, or, if it was restored from a snapshot
    /// that is further on than what it remembers reaches back, all that it remembers.
    pub(crate) fn publish(&self, store: &Store) {
        self.sessions.store(store.sessions(), Ordering::Relaxed);
        let revision = store.revision();
        if revision == self.revision() {
            return;
        }
        let mut shown = self.lock();
        let begin = shown.revision.max(store.compacted());
        if begin > shown.revision {
            shown.blocks.clear();
        }
        let mut events = store.events_after(begin).peekable();
        while events.peek().is_some() {
            shown.blocks.push_back(Arc::new(Block::of(&mut events)));
        }
        shown.compacted = store.compacted();
        shown.revision = revision;
        let mut gone = Vec::new();
        while shown.blocks.front().is_some_and(|block| block.last() <= shown.compacted) {
            gone.extend(shown.blocks.pop_front());
        }
        drop(shown);
        // Freeing them takes time that readers need not wait for.
        drop(gone);
        self.newest.send_replace(revision);
    }

    /// The revision that was shown last.
    pub(crate) fn revision(&self) -> Revision {
        *self.newest.borrow()
    }

    /// Follows the newest revision.
    pub(crate) fn follow(&self) -> watch::Receiver<Revision> {
        self.newest.subscribe()
    }

    /// The block with what happened next after revision `after`; `None` if nothing has. Its first
    /// events may be older.
    pub(crate) fn next(&self, after: Revision) -> Result<Option<Arc<Block>>, Compacted> {
        let shown = self.lock();
        if after < shown.compacted {
            return Err(Compacted(shown.compacted));
        }
        let place = shown.blocks.partition_point(|block| block.last() <= after);
        Ok(shown.blocks.get(place).cloned())
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Block {
    /// As many of the next events as a block takes.
    fn of<'a>(events: &mut std::iter::Peekable<impl Iterator<Item = &'a Event>>) -> Self {
        let (mut block, mut bytes, mut revision) = (Vec::new(), 0, None);
        while let Some(event) = events.next_if(|event| {
            let is_full = block.len() >= FULL_BLOCK_EVENTS || bytes >= FULL_BLOCK_BYTES;
            !is_full || Some(event.revision()) == revision
        }) {
            revision = Some(event.revision());
            bytes += event.size_bytes();
            block.push(Shared { event: event.clone(), encoded: OnceLock::new() });
        }
        Self { events: block.into() }
    }

    /// The revision of the last event.
    pub(crate) fn last(&self) -> Revision {
        self.events.last().map_or(0, |last| last.event.revision())
    }

    /// The events after revision `after`.
    pub(crate) fn after(&self, after: Revision) -> &[Shared] {
        let place = self.events.partition_point(|shared| shared.event.revision() <= after);
        &self.events[place..]
    }
}

impl Shared {
    /// Writes the event as it is sent, with or without what was before.
    pub(crate) fn write(&self, prev: bool, out: &mut Vec<u8>) {
        /// How the absence of what was before is written.
        const NOTHING: u8 = 0;
        let Encoded { bytes, before } = self.encoded.get_or_init(|| {
            let mut bytes = Vec::new();
            encode(&self.event.without_prev(), &mut bytes);
            let before = bytes.len() - 1;
            bytes.truncate(before);
            encode(&self.event.prev(), &mut bytes);
            Encoded { bytes: bytes.into(), before }
        });
        if prev {
            out.extend_from_slice(bytes);
        } else {
            out.extend_from_slice(&bytes[..*before]);
            out.push(NOTHING);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use synod_consensus::{Index, StateMachine};
    use synod_kv::limits::MIN_LEASE_MS;
    use synod_kv::message::{Command, Op, SessionId};

    use super::*;

    fn write(store: &mut Store, number: u64, op: Op) {
        let session = SessionId(1);
        let command = Command::Write { session, number, answered_below: number, op };
        let mut bytes = Vec::new();
        encode(&command, &mut bytes);
        store.apply(Index(number + 1), &bytes);
    }

    fn store() -> Store {
        let mut store = Store::new();
        let mut bytes = Vec::new();
        encode(&Command::Open { lease_ms: MIN_LEASE_MS }, &mut bytes);
        store.apply(Index(1), &bytes);
        store
    }

    fn put(size_bytes: usize) -> Op {
        Op::Put { key: Bytes::from_static(b"k"), value: vec![7; size_bytes].into() }
    }

    fn revisions(feed: &Feed, mut after: Revision) -> Result<Vec<Revision>, Compacted> {
        let mut revisions = Vec::new();
        while let Some(block) = feed.next(after)? {
            revisions.extend(block.after(after).iter().map(|shared| shared.event.revision()));
            after = block.last();
        }
        Ok(revisions)
    }

    #[test]
    fn a_reader_gets_every_revision_once_wherever_it_begins() {
        let (mut store, feed) = (store(), Feed::default());
        for number in 1..=1_000 {
            write(&mut store, number, put(8));
            if number % 7 == 0 {
                feed.publish(&store);
            }
        }
        feed.publish(&store);
        for after in [0, 1, 6, 7, 500, 999, 1_000, 1_001] {
            assert_eq!(revisions(&feed, after), Ok((after + 1..=1_000).collect()));
        }
    }

    #[test]
    fn a_store_that_comes_from_a_snapshot_goes_on_where_the_feed_was_or_says_that_it_cannot() {
        let (mut store, feed) = (store(), Feed::default());
        let behind = Feed::default();
        let mut number = 0;
        let mut write_until = |store: &mut Store, enough: &dyn Fn(&Store) -> bool| {
            while !enough(store) {
                number += 1;
                write(store, number, put(1 << 20));
            }
        };
        write_until(&mut store, &|store| store.revision() == 10);
        feed.publish(&store);
        behind.publish(&store);
        write_until(&mut store, &|store| store.compacted() == 5);
        feed.publish(&store);
        let newest = store.revision();
        assert_eq!(revisions(&feed, 10), Ok((11..=newest).collect()));
        assert_eq!(revisions(&feed, 4), Err(Compacted(5)));
        write_until(&mut store, &|store| store.compacted() == 20);
        behind.publish(&store);
        assert_eq!(revisions(&behind, 10), Err(Compacted(20)));
        assert_eq!(revisions(&behind, 20), Ok((21..=store.revision()).collect()));
    }

    #[test]
    fn what_is_encoded_once_says_what_the_event_says() {
        let (mut store, feed) = (store(), Feed::default());
        write(&mut store, 1, put(1));
        write(&mut store, 2, put(2));
        write(&mut store, 3, Op::Delete { key: Bytes::from_static(b"k") });
        feed.publish(&store);
        let block = feed.next(0).unwrap().unwrap();
        for shared in block.after(0) {
            for prev in [false, true, false] {
                let (mut shared_bytes, mut bytes) = (Vec::new(), Vec::new());
                shared.write(prev, &mut shared_bytes);
                let event = if prev { shared.event.clone() } else { shared.event.without_prev() };
                encode(&event, &mut bytes);
                assert_eq!(shared_bytes, bytes);
            }
        }
    }
}
