//! The whole state as a stream of bytes, and back.
//!
//! ```text
//!   header                      frame 0   "synod-kv", format, then what follows is counted
//!   sessions, by rising id      frame 1   many per frame
//!   keys, in order              frame 2   many per frame
//! ```
//!
//! Frames are the project's ([`synod_codec::frame`]): bounded, each with its checksum. The stream is
//! cut into pieces without regard to frames. Equal states give equal bytes.
//!
//! A reader trusts nothing: whatever a correct store could not have written is refused.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::iter;

use bytes::{Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use synod_codec::frame::{self, Frame};
use synod_codec::{decode, encode};
use synod_consensus::RestoreError;

use crate::keys::{check_key, check_value};
use crate::limits::{MAX_KEY_BYTES, MAX_SESSIONS, MAX_VALUE_BYTES};
use crate::message::{Entry, Revision, SessionId};
use crate::rules::Rules;
use crate::sessions::Session;
use crate::store::Store;

/// Longest piece of a snapshot in bytes.
pub const PIECE_BYTES: usize = 256 << 10;

/// The format written; the only one read.
pub const FORMAT: u8 = 1;

const NAME: &[u8; 8] = b"synod-kv";
const HEADER: u8 = 0;
const SESSIONS: u8 = 1;
const KEYS: u8 = 2;

/// No counter comes so far; so none that was read overflows.
const BEYOND_ALL_TIME: u64 = 1 << 62;

/// A frame takes no more entries from here on.
const FULL_FRAME_BYTES: usize = 32 << 10;
const MAX_FRAME_BYTES: usize = FULL_FRAME_BYTES + MAX_KEY_BYTES + MAX_VALUE_BYTES + 256;

/// What the header tells, after the name and the format.
#[derive(Serialize, Deserialize)]
struct Summary {
    clock_ms: u64,
    revision: Revision,
    sessions: u64,
    keys: u64,
}

/// The pieces that describe `store`.
pub(crate) fn write<R: Rules>(store: &Store<R>) -> impl Iterator<Item = Bytes> {
    let sessions = store.sessions.iter().take(session_count(store)).map(|(id, session)| {
        let size_bytes = 64 + 32 * session.answers.len();
        (size_bytes, (id, session))
    });
    let keys = store.keys.entries.iter().map(|(key, entry)| {
        let size_bytes = 64 + key.len() + entry.value.len();
        (size_bytes, (Bytes::from(key), entry))
    });
    pieces(iter::once(header(store)).chain(frames(SESSIONS, sessions)).chain(frames(KEYS, keys)))
}

fn header<R: Rules>(store: &Store<R>) -> Vec<u8> {
    let summary = Summary {
        clock_ms: store.clock_ms(),
        revision: store.revision(),
        sessions: session_count(store) as u64,
        keys: store.keys() as u64,
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
pub(crate) fn read<R: Rules + Default>(
    pieces: impl Iterator<Item = Bytes>,
) -> Result<Store<R>, RestoreError> {
    let mut buffer = BytesMut::new();
    let mut restoring = None;
    for piece in pieces {
        buffer.extend_from_slice(&piece);
        while let Some(frame) = next_frame(&mut buffer)? {
            match &mut restoring {
                None => restoring = Some(Restoring::new(&frame)?),
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
    store: Store<R>,
}

impl<R: Rules + Default> Restoring<R> {
    fn new(frame: &Frame) -> Result<Self, RestoreError> {
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
            || summary.keys > summary.revision
            || summary.revision.max(summary.clock_ms) > BEYOND_ALL_TIME
        {
            return Err(refuse("its header counts more than a store can hold"));
        }
        let mut store = Store::default();
        store.sessions.set_clock_ms(summary.clock_ms);
        store.keys.revision = summary.revision;
        Ok(Self { summary, store })
    }

    fn take(&mut self, frame: &Frame) -> Result<(), RestoreError> {
        match frame.kind {
            SESSIONS => decoded::<Vec<_>>(&frame.payload)?
                .into_iter()
                .try_for_each(|(id, session)| self.take_session(id, session)),
            KEYS => decoded::<Vec<_>>(&frame.payload)?
                .into_iter()
                .try_for_each(|(key, entry)| self.take_key(key, entry)),
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
        let entries = &mut self.store.keys.entries;
        let in_order = entries.get_max().is_none_or(|(last, _)| **last < *key);
        if !in_order || check_key(&key).is_err() || !entry.is_possible(self.summary.revision) {
            return Err(refuse(alloc::format!("the key {key:?} is impossible")));
        }
        entries.insert(key.into(), entry);
        Ok(())
    }

    fn finish(self) -> Result<Store<R>, RestoreError> {
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
