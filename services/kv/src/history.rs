//! What happened lately: the events of the newest writes, in order, for whoever watches.
//!
//! The history is replicated state: after the same commands all nodes remember the same events and
//! have forgotten the same ones, and a snapshot carries them. So a watch that breaks off can go on at
//! any node, from the revision that it has seen: it gets every later event, once and in order, or
//! is told that they are *compacted*.
//!
//! Events are kept in chunks. A chunk that is full never changes again, so a copy of the history
//! shares all but the last. The oldest chunk goes when there are too many bytes.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::limits::{HISTORY_CHUNK_BYTES, HISTORY_CHUNK_EVENTS, MAX_HISTORY_BYTES};
use crate::message::{Event, Revision};

/// The events after revision `compacted`, by rising revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct History {
    compacted: Revision,
    /// All are full but the newest, which is always there.
    chunks: VecDeque<Arc<Chunk>>,
    bytes: usize,
}

/// Events of whole revisions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Chunk {
    events: Vec<Event>,
    bytes: usize,
}

impl Default for History {
    fn default() -> Self {
        Self { compacted: 0, chunks: [Arc::default()].into(), bytes: 0 }
    }
}

impl History {
    /// Nothing is known of what happened up to here; of all that came later, everything.
    pub(crate) fn compacted(&self) -> Revision {
        self.compacted
    }

    /// Adds an event of the newest revision.
    pub(crate) fn push(&mut self, event: Event) {
        self.bytes += event.size_bytes();
        let chunk = self.newest();
        chunk.bytes += event.size_bytes();
        chunk.events.push(event);
    }

    /// The newest revision is complete.
    pub(crate) fn complete(&mut self) {
        if self.chunks.back().is_some_and(|chunk| chunk.is_full()) {
            self.chunks.push_back(Arc::default());
        }
        while self.bytes > MAX_HISTORY_BYTES
            && self.chunks.len() > 1
            && let Some(oldest) = self.chunks.pop_front()
        {
            self.bytes -= oldest.bytes;
            self.compacted = oldest.events.last().map_or(self.compacted, Event::revision);
        }
    }

    /// Takes back the events of revision `revision`, which is not complete: the newest first.
    pub(crate) fn take_back(&mut self, revision: Revision) -> impl Iterator<Item = Event> {
        core::iter::from_fn(move || {
            let chunk = self.newest();
            let event = chunk.events.pop_if(|event| event.revision() == revision)?;
            chunk.bytes -= event.size_bytes();
            self.bytes -= event.size_bytes();
            Some(event)
        })
    }

    /// The events after `revision`, in order; some are missing if that is compacted.
    pub(crate) fn after(&self, revision: Revision) -> impl Iterator<Item = &Event> {
        let ends_by = |chunk: &Arc<Chunk>| {
            chunk.events.last().is_some_and(|last| last.revision() <= revision)
        };
        let chunk = self.chunks.partition_point(ends_by);
        let rest = self.chunks.range(chunk..).flat_map(|chunk| &chunk.events);
        rest.skip_while(move |event| event.revision() <= revision)
    }

    /// The events in their chunks, oldest first.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &[Event]> {
        self.chunks.iter().map(|chunk| &chunk.events[..]).filter(|events| !events.is_empty())
    }

    /// The history that a snapshot describes.
    pub(crate) fn of_chunks(compacted: Revision, chunks: Vec<Vec<Event>>) -> Self {
        let mut history = Self { compacted, chunks: VecDeque::new(), bytes: 0 };
        for events in chunks {
            let bytes = events.iter().map(Event::size_bytes).sum();
            history.bytes += bytes;
            history.chunks.push_back(Arc::new(Chunk { events, bytes }));
        }
        if history.chunks.back().is_none_or(|newest| newest.is_full()) {
            history.chunks.push_back(Arc::default());
        }
        history
    }

    /// Whether a store at `revision` could have this history.
    pub(crate) fn is_possible(&self, revision: Revision) -> bool {
        let mut last = self.compacted;
        let events = self.chunks.iter().flat_map(|chunk| &chunk.events);
        let without_gaps = events.map(Event::revision).all(|revision| {
            let follows = revision == last || revision == last + 1;
            last = revision;
            follows && revision > self.compacted
        });
        let full_but_the_newest = self.chunks.iter().rev().skip(1).all(|chunk| chunk.is_full());
        let bounded = self.bytes <= MAX_HISTORY_BYTES || self.chunks.len() <= 2;
        without_gaps && last == revision && full_but_the_newest && bounded
    }

    fn newest(&mut self) -> &mut Chunk {
        Arc::make_mut(self.chunks.back_mut().expect("the newest chunk is always there"))
    }
}

impl Chunk {
    fn is_full(&self) -> bool {
        self.events.len() >= HISTORY_CHUNK_EVENTS || self.bytes >= HISTORY_CHUNK_BYTES
    }
}
