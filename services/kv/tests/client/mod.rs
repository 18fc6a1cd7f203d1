//! A store with a log index, and commands that are short to write.
#![allow(dead_code, reason = "each test file uses its own share")]

use bytes::Bytes;
use synod_codec::encode;
use synod_consensus::{Index, StateMachine};
use synod_kv::Store;
use synod_kv::message::{
    Answer, Command, Entry, Expect, Op, Query, Rejected, Response, SessionId, Written,
};

pub(crate) fn bytes(text: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(text.as_ref())
}

pub(crate) fn put(key: &str, value: &str) -> Op {
    Op::Put { key: bytes(key), value: bytes(value) }
}

pub(crate) fn append(key: &str, value: &str) -> Op {
    Op::Append { key: bytes(key), value: bytes(value) }
}

pub(crate) fn delete(key: &str) -> Op {
    Op::Delete { key: bytes(key) }
}

pub(crate) fn cas(key: &str, expect: Expect, value: &str) -> Op {
    Op::Cas { key: bytes(key), expect, value: bytes(value) }
}

pub(crate) fn stored(revision: u64) -> Response {
    Response::Written(Written::Stored { revision })
}

pub(crate) const NO_SESSION: Response = Response::Rejected(Rejected::NoSession);

/// A store and the log that feeds it.
#[derive(Clone, Default)]
pub(crate) struct Log {
    pub(crate) store: Store,
    pub(crate) index: u64,
}

impl Log {
    pub(crate) fn apply(&mut self, command: &Command) -> Response {
        let mut encoded = Vec::new();
        encode(command, &mut encoded);
        self.apply_bytes(&encoded)
    }

    pub(crate) fn apply_bytes(&mut self, command: &[u8]) -> Response {
        self.index += 1;
        self.store.apply(Index(self.index), command)
    }

    pub(crate) fn open(&mut self, lease_ms: u64) -> SessionId {
        match self.apply(&Command::Open { lease_ms }) {
            Response::Opened { session, .. } => session,
            other => panic!("no session was opened: {other:?}"),
        }
    }

    /// Write number `number`, with nothing acknowledged.
    pub(crate) fn write(&mut self, session: SessionId, number: u64, op: Op) -> Response {
        self.write_above(session, number, 1, op)
    }

    pub(crate) fn write_above(
        &mut self,
        session: SessionId,
        number: u64,
        answered_below: u64,
        op: Op,
    ) -> Response {
        self.apply(&Command::Write { session, number, answered_below, op })
    }

    /// Replicated time moves on, however far, in steps within the bound.
    pub(crate) fn pass_ms(&mut self, mut elapsed_ms: u64) {
        while elapsed_ms > 0 {
            let step_ms = elapsed_ms.min(synod_kv::limits::MAX_TICK_MS);
            assert_eq!(self.apply(&Command::Tick { elapsed_ms: step_ms }), Response::Ticked);
            elapsed_ms -= step_ms;
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<Entry> {
        match self.store.read(&Query::Get { key: bytes(key) }) {
            Answer::Value { entry, .. } => entry,
            other => panic!("not the value of a key: {other:?}"),
        }
    }

    pub(crate) fn value(&self, key: &str) -> Option<String> {
        let entry = self.entry(key)?;
        Some(String::from_utf8(entry.value.to_vec()).expect("values here are text"))
    }
}

/// All bytes of a snapshot of `store`.
pub(crate) fn snapshot(store: &Store) -> Vec<Bytes> {
    <Store>::chunks(&store.freeze()).collect()
}
