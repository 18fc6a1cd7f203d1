//! The whole state as a stream of bytes, and back.
//!
//! ```text
//!   header                      frame 0   "synod-kv", format, then what follows is counted
//!   sessions, by rising id      frame 1   many per frame
//!   keys, in order              frame 2   many per frame
//!   history, oldest first       frame 3   one chunk per frame
//! ```
//!
//! Frames are the project's ([`synod_codec::frame`]): bounded, each with its checksum. The stream is
//! cut into pieces without regard to frames. Equal states give equal bytes.
//!
//! A reader trusts nothing: whatever a correct store could not have written is refused.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::iter;

use bytes::{Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use synod_codec::frame::{self, Frame};
use synod_codec::{decode, encode};
use synod_consensus::RestoreError;

use crate::history::History;
use crate::key::Key;
use crate::keys::{Keys, check_key, check_value};
use crate::limits::{MAX_CHANGE_BYTES, MAX_SESSIONS, MAX_TXN_ACTIONS};
use crate::message::{Entry, Event, Record, Revision, SessionId};
use crate::rules::Rules;
use crate::sessions::{Session, Sessions};
use crate::store::Store;

/// Longest piece of a snapshot in bytes.
pub const PIECE_BYTES: usize = 256 << 10;

/// The format written; the only one read.
pub const FORMAT: u8 = 2;

const NAME: &[u8; 8] = b"synod-kv";
const HEADER: u8 = 0;
const SESSIONS: u8 = 1;
const KEYS: u8 = 2;
const HISTORY: u8 = 3;

/// No counter comes so far; so none that was read overflows.
const BEYOND_ALL_TIME: u64 = 1 << 62;

/// A frame takes no more entries from here on.
const FULL_FRAME_BYTES: usize = 32 << 10;
/// Longest frame: one of keys, or a chunk of history that a largest write has filled. What a session
/// keeps is beyond none of them.
const MAX_FRAME_BYTES: usize = 4 * MAX_CHANGE_BYTES;

/// What the header tells, after the name and the format.
#[derive(Serialize, Deserialize)]
struct Summary {
    clock_ms: u64,
    revision: Revision,
    sessions: u64,
    keys: u64,
    /// The history begins after this revision.
    compacted: Revision,
}

/// The pieces that describe `store`.
pub(crate) fn write<R: Rules>(store: &Store<R>) -> impl Iterator<Item = Bytes> {
    let sessions = store
        .sessions
        .iter()
        .take(session_count(store))
        .map(|(id, session)| (64 + session.size_bytes(), (id, session)));
    let keys = store.keys.records.iter().map(|(_, record)| {
        let size_bytes = 64 + record.key.len() + record.entry.value.len();
        (size_bytes, (&record.key, &record.entry))
    });
    let history = store.keys.history.chunks().map(|events| {
        let mut out = Vec::new();
        frame::write(HISTORY, 0, &mut out, |out| encode(events, out));
        out
    });
    let frames = frames(SESSIONS, sessions).chain(frames(KEYS, keys)).chain(history);
    pieces(iter::once(header(store)).chain(frames))
}

fn header<R: Rules>(store: &Store<R>) -> Vec<u8> {
    let summary = Summary {
        clock_ms: store.clock_ms(),
        revision: store.revision(),
        sessions: session_count(store) as u64,
        keys: store.keys() as u64,
        compacted: store.compacted(),
    };
    let mut out = Vec::new();
    frame::write(HEADER, 0, &mut out, |out| {
        out.extend_from_slice(NAME);
        out.push(FORMAT);
        encode(&summary, out);
    });
    out
}

/// How many sessions a snapshot has.
fn session_count<R: Rules>(store: &Store<R>) -> usize {
    if store.rules.sessions_in_snapshot() { store.sessions() } else { 0 }
}

/// Frames of `items`, each of which comes with an upper bound of its size in bytes.
fn frames<T: Serialize>(
    kind: u8,
    mut items: impl Iterator<Item = (usize, T)>,
) -> impl Iterator<Item = Vec<u8>> {
    iter::from_fn(move || {
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        while batch_bytes < FULL_FRAME_BYTES
            && let Some((size_bytes, item)) = items.next()
        {
            batch_bytes += size_bytes;
            batch.push(item);
        }
        (!batch.is_empty()).then(|| {
            let mut out = Vec::with_capacity(batch_bytes + frame::OVERHEAD_BYTES);
            frame::write(kind, 0, &mut out, |out| encode(&batch, out));
            out
        })
    })
}

fn pieces(mut frames: impl Iterator<Item = Vec<u8>>) -> impl Iterator<Item = Bytes> {
    let mut buffer = BytesMut::new();
    iter::from_fn(move || {
        while buffer.len() < PIECE_BYTES
            && let Some(frame) = frames.next()
        {
            buffer.extend_from_slice(&frame);
        }
        let piece = buffer.split_to(buffer.len().min(PIECE_BYTES));
        (!piece.is_empty()).then(|| piece.freeze())
    })
}

/// The store that `pieces` describe.
pub(crate) fn read<R: Rules>(
    rules: R,
    pieces: impl Iterator<Item = Bytes>,
) -> Result<Store<R>, RestoreError> {
    let mut buffer = BytesMut::new();
    let mut restoring = None;
    for piece in pieces {
        buffer.extend_from_slice(&piece);
        while let Some(frame) = next_frame(&mut buffer)? {
            match &mut restoring {
                None => restoring = Some(Restoring::new(rules, &frame)?),
                Some(restoring) => restoring.take(&frame)?,
            }
        }
    }
    if !buffer.is_empty() {
        return Err(refuse("it ends in the middle of a frame"));
    }
    restoring.ok_or_else(|| refuse("it is empty"))?.finish()
}

fn next_frame(buffer: &mut BytesMut) -> Result<Option<Frame>, RestoreError> {
    frame::read(buffer, MAX_FRAME_BYTES).map_err(|error| refuse(error.to_string()))
}

fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RestoreError> {
    decode(bytes).map_err(|error| refuse(error.to_string()))
}

/// A store that is being read, and what its header promised.
struct Restoring<R: Rules> {
    summary: Summary,
    /// The kind of the last frame: kinds come in order.
    kind: u8,
    store: Store<R>,
    history: Vec<Vec<Event>>,
    /// The newest record of each key in the history so far: those that follow share it.
    latest: BTreeMap<Bytes, Arc<Record>>,
}

impl<R: Rules> Restoring<R> {
    fn new(rules: R, frame: &Frame) -> Result<Self, RestoreError> {
        let body = match (frame.kind, frame.payload.strip_prefix(NAME)) {
            (HEADER, Some([FORMAT, body @ ..])) => body,
            (HEADER, Some([format, ..])) => {
                return Err(refuse(alloc::format!(
                    "it has format {format}; this version reads format {FORMAT}"
                )));
            }
            _ => return Err(refuse("it does not begin with the header of a synod-kv snapshot")),
        };
        let summary: Summary = decoded(body)?;
        if summary.sessions > MAX_SESSIONS as u64
            || summary.keys > summary.revision.saturating_mul(MAX_TXN_ACTIONS as u64)
            || summary.compacted > summary.revision
            || summary.revision.max(summary.clock_ms) > BEYOND_ALL_TIME
        {
            return Err(refuse("its header counts more than a store can hold"));
        }
        let (keys, sessions) = (Keys::default(), Sessions::default());
        let mut store = Store { rules, keys, sessions };
        store.sessions.set_clock_ms(summary.clock_ms);
        store.keys.revision = summary.revision;
        let (history, latest) = (Vec::new(), BTreeMap::new());
        Ok(Self { summary, kind: HEADER, store, history, latest })
    }

    fn take(&mut self, frame: &Frame) -> Result<(), RestoreError> {
        if frame.kind < self.kind {
            return Err(refuse("its frames are out of order"));
        }
        self.kind = frame.kind;
        match frame.kind {
            SESSIONS => decoded::<Vec<_>>(&frame.payload)?
                .into_iter()
                .try_for_each(|(id, session)| self.take_session(id, session)),
            KEYS => decoded::<Vec<_>>(&frame.payload)?
                .into_iter()
                .try_for_each(|(key, entry)| self.take_key(key, entry)),
            HISTORY => self.take_history(&decoded::<Vec<_>>(&frame.payload)?),
            kind => Err(refuse(alloc::format!("it has a frame of the unknown kind {kind}"))),
        }
    }

    fn take_session(&mut self, id: SessionId, session: Session) -> Result<(), RestoreError> {
        let sessions = &mut self.store.sessions;
        let in_order = sessions.iter().next_back().is_none_or(|(last, _)| last < id);
        if !in_order || !session.is_possible(sessions.clock_ms(), self.summary.revision) {
            return Err(refuse(alloc::format!("session {} is impossible", id.0)));
        }
        sessions.insert(id, session);
        Ok(())
    }

    fn take_key(&mut self, key: Bytes, entry: Entry) -> Result<(), RestoreError> {
        let records = &mut self.store.keys.records;
        let place = Key::from(&key);
        let in_order = records.last().is_none_or(|last| *last < place);
        if !in_order || check_key(&key).is_err() || !entry.is_possible(self.summary.revision) {
            return Err(refuse(alloc::format!("the key {key:?} is impossible")));
        }
        records.replace(place, |_| Arc::new(Record { key, entry }));
        Ok(())
    }

    fn take_history(&mut self, events: &[Event]) -> Result<(), RestoreError> {
        let mut chunk = Vec::with_capacity(events.len());
        for event in events {
            let (key, revision) = (event.key(), self.summary.revision);
            let entries = [event.entry(), event.prev()];
            let possible = entries.into_iter().flatten().all(|entry| entry.is_possible(revision));
            if !possible || check_key(key).is_err() {
                return Err(refuse(alloc::format!(
                    "what happened to the key {key:?} is impossible"
                )));
            }
            let event =
                event.sharing(self.store.keys.records.get(&key.into()), self.latest.get(key));
            match event.now_record() {
                Some(now) => self.latest.insert(key.clone(), now.clone()),
                None => self.latest.remove(key),
            };
            chunk.push(event);
        }
        self.history.push(chunk);
        Ok(())
    }

    fn finish(mut self) -> Result<Store<R>, RestoreError> {
        let counted = (self.store.sessions() as u64, self.store.keys() as u64);
        if counted != (self.summary.sessions, self.summary.keys) {
            return Err(refuse(alloc::format!(
                "it has {} sessions and {} keys where its header says {} and {}",
                counted.0,
                counted.1,
                self.summary.sessions,
                self.summary.keys
            )));
        }
        let history = History::of_chunks(self.summary.compacted, self.history);
        if !history.is_possible(self.summary.revision) {
            return Err(refuse("its history has gaps or does not end where the keys do"));
        }
        self.store.keys.history = history;
        Ok(self.store)
    }
}

impl Entry {
    /// Whether a store at `revision` could hold this.
    fn is_possible(&self, revision: Revision) -> bool {
        check_value(self.value.len()).is_ok()
            && (1..=self.mod_revision).contains(&self.create_revision)
            && self.mod_revision <= revision
            && (1..=self.mod_revision - self.create_revision + 1).contains(&self.version)
    }
}

fn refuse(why: impl Into<String>) -> RestoreError {
    RestoreError(why.into())
}
