//! The keys and what they hold, the one counter of all writes, and what happened lately.
//!
//! The map is persistent: a clone takes constant time and shares everything that later writes leave
//! alone, so a snapshot is written while commands go on. A [`Record`] is immutable and shared by the
//! map and the history. Keys and values own their memory: decoding a command copies them, once, so
//! that no receive buffer is pinned by a small value.
//!
//! Next: `txn`, several changes at one revision; `history`, what is remembered of them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::history::History;
use crate::key::Key;
use crate::limits::{
    MAX_CHANGES_LOOKED_AT, MAX_KEY_BYTES, MAX_RANGE_BYTES, MAX_RANGE_ENTRIES, MAX_VALUE_BYTES,
};
use crate::message::{
    Answer, Entry, Event, Expect, Op, Query, Record, Rejected, Revision, Span, Written,
};
use crate::tree::Tree;

/// All keys, as of one revision.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) revision: Revision,
    pub(crate) records: Tree<Arc<Record>>,
    pub(crate) history: History,
}

impl Keys {
    /// Does `op`, or says why nothing changed.
    pub(crate) fn write(&mut self, op: Op) -> Result<Written, Rejected> {
        match op {
            Op::Put { key, value } => {
                check_key(&key)?;
                check_value(value.len())?;
                Ok(self.store(key, value))
            }
            Op::Append { key, value } => {
                check_key(&key)?;
                self.append(key, value)
            }
            Op::Delete { key } => {
                check_key(&key)?;
                Ok(self.delete(&key))
            }
            Op::Cas { key, expect, value } => {
                check_key(&key)?;
                check_value(value.len())?;
                Ok(self.compare_and_swap(key, &expect, value))
            }
            Op::Txn(txn) => self.transact(txn),
        }
    }

    fn store(&mut self, key: Bytes, value: Bytes) -> Written {
        let revision = self.revision + 1;
        self.set(revision, key, value);
        self.complete(revision);
        Written::Stored { revision }
    }

    fn append(&mut self, key: Bytes, tail: Bytes) -> Result<Written, Rejected> {
        let whole = match self.records.get(&Key::from(&key)) {
            None => tail,
            Some(record) => {
                let start = &record.entry.value;
                check_value(start.len().saturating_add(tail.len()))?;
                let mut whole = BytesMut::with_capacity(start.len() + tail.len());
                whole.extend_from_slice(start);
                whole.extend_from_slice(&tail);
                whole.freeze()
            }
        };
        check_value(whole.len())?;
        Ok(self.store(key, whole))
    }

    fn delete(&mut self, key: &Bytes) -> Written {
        let revision = self.revision + 1;
        if !self.remove(revision, key) {
            return Written::Absent;
        }
        self.complete(revision);
        Written::Deleted { revision }
    }

    fn compare_and_swap(&mut self, key: Bytes, expect: &Expect, value: Bytes) -> Written {
        let found = self.records.get(&Key::from(&key)).map(|record| &record.entry);
        let as_expected = match (expect, found) {
            (Expect::Absent, found) => found.is_none(),
            (Expect::Value(_) | Expect::Revision(_), None) => false,
            (Expect::Value(expected), Some(entry)) => entry.value == *expected,
            (Expect::Revision(expected), Some(entry)) => entry.mod_revision == *expected,
        };
        if as_expected {
            self.store(key, value)
        } else {
            Written::Differs { revision: found.map(|entry| entry.mod_revision) }
        }
    }

    /// Sets a key at `revision`, which is not complete yet; what it held is in the event.
    pub(crate) fn set(&mut self, revision: Revision, key: Bytes, value: Bytes) {
        let mut new = None;
        let previous = self.records.replace(Key::from(&key), |previous| {
            let (create_revision, version) = match previous.map(|previous| &previous.entry) {
                Some(entry) => (entry.create_revision, entry.version + 1),
                None => (revision, 1),
            };
            let entry = Entry { value, create_revision, mod_revision: revision, version };
            let record = Arc::new(Record { key, entry });
            new = Some(record.clone());
            record
        });
        if let Some(new) = new {
            self.history.push(Event::put(new, previous));
        }
    }

    /// Removes a key at `revision`, which is not complete yet; false if there is none.
    pub(crate) fn remove(&mut self, revision: Revision, key: &Bytes) -> bool {
        let removed = self.records.remove(&Key::from(key));
        let is_there = removed.is_some();
        if let Some(previous) = removed {
            self.history.push(Event::deleted(revision, previous));
        }
        is_there
    }

    /// All changes of `revision` are made.
    pub(crate) fn complete(&mut self, revision: Revision) {
        self.revision = revision;
        self.history.complete();
    }

    /// None of the changes of `revision`, which is not complete, shall be.
    pub(crate) fn take_back(&mut self, revision: Revision) {
        for event in self.history.take_back(revision) {
            match event.prev_record() {
                Some(previous) => self.records.replace(event.key().into(), |_| previous.clone()),
                None => self.records.remove(&event.key().into()),
            };
        }
    }

    /// Answers from the keys as they are.
    pub(crate) fn read(&self, query: &Query) -> Answer {
        let revision = self.revision;
        match query {
            Query::Get { key } => {
                let entry = self.records.get(&key.into()).map(|record| record.entry.clone());
                Answer::Value { revision, entry }
            }
            Query::Range { start, end, limit } => {
                let keys = Span::Range { start: start.clone(), end: end.clone() };
                let (entries, more) = self.range(&keys, *limit, MAX_RANGE_BYTES);
                Answer::Range { revision, entries, more }
            }
            Query::Changes { keys, after, limit } => self.changes(keys, *after, *limit),
        }
    }

    /// The records of these keys, in order.
    pub(crate) fn within<'a>(&'a self, keys: &'a Span) -> impl Iterator<Item = &'a Arc<Record>> {
        let start = match keys {
            Span::One(key) => key,
            Span::Range { start, .. } => start,
        };
        let until = move |record: &&Arc<Record>| match keys {
            Span::One(key) => record.key == *key,
            Span::Range { end, .. } => end.as_ref().is_none_or(|end| record.key < *end),
        };
        self.records.from(&start.into()).map(|(_, record)| record).take_while(until)
    }

    /// The first keys of a range, and whether there are more than the bounds allow. One always fits.
    pub(crate) fn range(
        &self,
        keys: &Span,
        limit: u64,
        max_bytes: usize,
    ) -> (Vec<(Bytes, Entry)>, bool) {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(MAX_RANGE_ENTRIES);
        let mut entries = Vec::new();
        let mut size_bytes = 0;
        for record in self.within(keys) {
            size_bytes += record.key.len() + record.entry.value.len();
            if entries.len() == limit || size_bytes > max_bytes && !entries.is_empty() {
                return (entries, true);
            }
            entries.push((record.key.clone(), record.entry.clone()));
        }
        (entries, false)
    }

    fn changes(&self, keys: &Span, after: Revision, limit: u64) -> Answer {
        let (revision, compacted) = (self.revision, self.history.compacted());
        if after < compacted {
            return Answer::Compacted { revision, compacted };
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).clamp(1, MAX_RANGE_ENTRIES);
        let mut events = Vec::<Event>::new();
        let mut size_bytes = 0;
        let mut through = after;
        for (place, event) in self.history.after(after).enumerate() {
            // Only between revisions: what happened at once is told at once.
            if event.revision() != through
                && (events.len() >= limit
                    || size_bytes > MAX_RANGE_BYTES
                    || place >= MAX_CHANGES_LOOKED_AT)
            {
                return Answer::Changes { revision, through, events };
            }
            through = event.revision();
            if keys.contains(event.key()) {
                size_bytes += event.size_bytes();
                events.push(event.clone());
            }
        }
        Answer::Changes { revision, through: revision.max(after), events }
    }
}

/// Whether `key` has a length that a key may have.
pub(crate) fn check_key(key: &[u8]) -> Result<(), Rejected> {
    match key.len() {
        1..=MAX_KEY_BYTES => Ok(()),
        _ => Err(Rejected::KeySize { max_bytes: MAX_KEY_BYTES as u64 }),
    }
}

/// Whether a value may have this length.
pub(crate) fn check_value(size_bytes: usize) -> Result<(), Rejected> {
    match size_bytes {
        ..=MAX_VALUE_BYTES => Ok(()),
        _ => Err(Rejected::ValueSize { max_bytes: MAX_VALUE_BYTES as u64 }),
    }
}
