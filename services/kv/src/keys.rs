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
use core::ops::Bound;

use bytes::{Bytes, BytesMut};
use imbl::OrdMap;

use crate::history::History;
use crate::key::Key;
use crate::limits::{
    MAX_CHANGES_LOOKED_AT, MAX_KEY_BYTES, MAX_RANGE_BYTES, MAX_RANGE_ENTRIES, MAX_VALUE_BYTES,
};
use crate::message::{
    Answer, Entry, Event, Expect, Op, Query, Record, Rejected, Revision, Span, Written,
};

/// All keys, as of one revision.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) revision: Revision,
    pub(crate) records: OrdMap<Key, Arc<Record>>,
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
        let whole = match self.records.get(&key[..]) {
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

    fn delete(&mut self, key: &[u8]) -> Written {
        let revision = self.revision + 1;
        if !self.remove(revision, key) {
            return Written::Absent;
        }
        self.complete(revision);
        Written::Deleted { revision }
    }

    fn compare_and_swap(&mut self, key: Bytes, expect: &Expect, value: Bytes) -> Written {
        let found = self.records.get(&key[..]).map(|record| &record.entry);
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
        let place = Key::from(&key);
        let entry = Entry { value, create_revision: revision, mod_revision: revision, version: 1 };
        let mut record = Record { key, entry };
        let previous = self.records.get(&place).cloned();
        if let Some(previous) = &previous {
            record.entry.create_revision = previous.entry.create_revision;
            record.entry.version = previous.entry.version + 1;
        }
        let record = Arc::new(record);
        self.records.insert(place, record.clone());
        self.history.push(Event::put(record, previous));
    }

    /// Removes a key at `revision`, which is not complete yet; false if there is none.
    pub(crate) fn remove(&mut self, revision: Revision, key: &[u8]) -> bool {
        let removed = self.records.remove(key);
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
                Some(previous) => self.records.insert((&previous.key).into(), previous.clone()),
                None => self.records.remove(&event.key()[..]),
            };
        }
    }

    /// Answers from the keys as they are.
    pub(crate) fn read(&self, query: &Query) -> Answer {
        let revision = self.revision;
        match query {
            Query::Get { key } => {
                let entry = self.records.get(&key[..]).map(|record| record.entry.clone());
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
        let (start, end) = match keys {
            Span::One(key) => (key, Bound::Included(&key[..])),
            Span::Range { start, end } => {
                (start, end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..])))
            }
        };
        let is_empty = matches!(end, Bound::Excluded(end) if end <= &start[..]);
        let range =
            (!is_empty).then(|| self.records.range::<_, [u8]>((Bound::Included(&start[..]), end)));
        range.into_iter().flatten().map(|(_, record)| record)
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
