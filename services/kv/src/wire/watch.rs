//! Watches on a connection: what a client asks for, and what it is told.
//!
//! A watch is told that it has begun, then everything that happens to its keys, in order, once, whole
//! revisions only; then, perhaps, that it has ended. Watches of one connection are told what happened
//! at a revision at different times; [`Progress`](super::FromServer::Progress) says that all of them
//! have come so far.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use synod_codec::{encode, frame};

use super::kind;
use crate::message::{Event, Revision, Span};

/// What a client wants to be told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Watch {
    /// What happens to these keys.
    pub keys: Span,
    /// The first revision; `None`: the next.
    pub from: Option<Revision>,
    /// Where `from` is `None`: what the client has seen already, at this node or another, is not the
    /// next.
    pub seen: Revision,
    /// Which events.
    pub filter: Filter,
    /// Whether also what the keys held before.
    pub prev: bool,
}

/// Which events a watch is told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Filter {
    /// All.
    #[default]
    All,
    /// Only those that set a key.
    Puts,
    /// Only those that delete one.
    Deletes,
}

/// What a watch is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Said {
    /// It has begun. Told once, first.
    Begun {
        /// Everything from this revision on will be told.
        from: Revision,
    },
    /// This happened.
    Events {
        /// Nothing else happened to its keys up to this revision.
        through: Revision,
        /// What did, in order.
        events: Vec<Event>,
    },
    /// It is told no more.
    Ended(Ended),
}

/// Why a watch is told no more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Ended {
    /// The client wanted so.
    Cancelled,
    /// What it would be told next is forgotten. Read what the keys hold, and watch from there.
    Compacted {
        /// Everything up to this revision is.
        compacted: Revision,
    },
    /// The connection has as many watches as it may.
    TooMany,
    /// It makes no sense.
    BadRequest(String),
}

impl Filter {
    /// Whether a watch with this filter is told `event`.
    #[must_use]
    pub fn admits(self, event: &Event) -> bool {
        match self {
            Self::All => true,
            Self::Puts => event.entry().is_some(),
            Self::Deletes => event.entry().is_none(),
        }
    }
}

/// Appends a request for a watch to `out`.
pub fn write_watch(id: u64, watch: &Watch, out: &mut Vec<u8>) {
    frame::write(kind::WATCH, 0, out, |out| {
        out.extend_from_slice(&id.to_le_bytes());
        encode(watch, out);
    });
}

/// Appends the wish to end watch `id` to `out`.
pub fn write_cancel(id: u64, out: &mut Vec<u8>) {
    frame::write(kind::CANCEL, 0, out, |out| out.extend_from_slice(&id.to_le_bytes()));
}

/// Appends what watch `id` is told to `out`.
pub fn write_said(id: u64, said: &Said, out: &mut Vec<u8>) {
    frame::write(kind::TOLD, 0, out, |out| {
        out.extend_from_slice(&id.to_le_bytes());
        encode(said, out);
    });
}

/// Appends [`Said::Events`] of `count` events that are encoded already to `out`.
pub fn write_events(id: u64, through: Revision, count: usize, events: &[u8], out: &mut Vec<u8>) {
    /// The place of [`Said::Events`] among what is said.
    const EVENTS: u8 = 1;
    frame::write(kind::TOLD, 0, out, |out| {
        out.extend_from_slice(&id.to_le_bytes());
        out.push(EVENTS);
        encode(&(through, count), out);
        out.extend_from_slice(events);
    });
}

/// Appends how far all watches have come to `out`.
pub fn write_progress(through: Revision, out: &mut Vec<u8>) {
    frame::write(kind::PROGRESS, 0, out, |out| encode(&through, out));
}
