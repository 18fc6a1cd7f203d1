//! The keys and what they hold, and the one counter of all writes.
//!
//! The map is persistent: a clone takes constant time and shares everything that later writes leave
//! alone, so a snapshot is written while commands go on. Keys and values own their memory: decoding
//! a command copies them, once, so that no receive buffer is pinned by a small value.

use alloc::vec::Vec;
use core::ops::Bound;

use bytes::{Bytes, BytesMut};
use imbl::OrdMap;

use crate::key::Key;
use crate::limits::{MAX_KEY_BYTES, MAX_RANGE_BYTES, MAX_RANGE_ENTRIES, MAX_VALUE_BYTES};
use crate::message::{Answer, Entry, Expect, Op, Query, Rejected, Revision, Written};

/// All keys, as of one revision.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) revision: Revision,
    pub(crate) entries: OrdMap<Key, Entry>,
}

impl Keys {
    /// Does `op`, or says why nothing changed.
    pub(crate) fn write(&mut self, op: Op) -> Result<Written, Rejected> {
        check_key(op.key())?;
        match op {
            Op::Put { key, value } => self.store(key, value),
            Op::Append { key, value } => self.append(key, value),
            Op::Delete { key } => Ok(self.delete(&key)),
            Op::Cas { key, expect, value } => self.compare_and_swap(key, &expect, value),
        }
    }

    fn store(&mut self, key: Bytes, value: Bytes) -> Result<Written, Rejected> {
        check_value(value.len())?;
        let revision = self.next_revision();
        match self.entries.get_mut(&key[..]) {
            Some(entry) => entry.change(revision, value),
            None => {
                self.entries.insert(key.into(), Entry::new(revision, value));
            }
        }
        Ok(Written::Stored { revision })
    }

    fn append(&mut self, key: Bytes, tail: Bytes) -> Result<Written, Rejected> {
        let Some(entry) = self.entries.get(&key[..]) else { return self.store(key, tail) };
        check_value(entry.value.len().saturating_add(tail.len()))?;
        let revision = self.next_revision();
        let entry = self.entries.get_mut(&key[..]).expect("it was just there");
        // Grows in place unless a snapshot still shares the value.
        let mut value = BytesMut::from(core::mem::take(&mut entry.value));
        value.extend_from_slice(&tail);
        entry.change(revision, value.freeze());
        Ok(Written::Stored { revision })
    }

    fn delete(&mut self, key: &Bytes) -> Written {
        match self.entries.remove(&key[..]) {
            Some(_) => Written::Deleted { revision: self.next_revision() },
            None => Written::Absent,
        }
    }

    fn compare_and_swap(
        &mut self,
        key: Bytes,
        expect: &Expect,
        value: Bytes,
    ) -> Result<Written, Rejected> {
        check_value(value.len())?;
        let found = self.entries.get(&key[..]);
        let as_expected = match (expect, found) {
            (Expect::Absent, found) => found.is_none(),
            (Expect::Value(_) | Expect::Revision(_), None) => false,
            (Expect::Value(expected), Some(entry)) => entry.value == *expected,
            (Expect::Revision(expected), Some(entry)) => entry.mod_revision == *expected,
        };
        if as_expected {
            self.store(key, value)
        } else {
            Ok(Written::Differs { revision: found.map(|entry| entry.mod_revision) })
        }
    }

    fn next_revision(&mut self) -> Revision {
        self.revision += 1;
        self.revision
    }

    /// Answers from the keys as they are.
    pub(crate) fn read(&self, query: &Query) -> Answer {
        match query {
            Query::Get { key } => Answer::Value {
                revision: self.revision,
                entry: self.entries.get(&key[..]).cloned(),
            },
            Query::Range { start, end, limit } => self.range(start, end.as_ref(), *limit),
        }
    }

    fn range(&self, start: &Bytes, end: Option<&Bytes>, limit: u64) -> Answer {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(MAX_RANGE_ENTRIES);
        let mut entries = Vec::new();
        let mut more = false;
        if end.is_none_or(|end| start < end) {
            let until = end.map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
            let mut size_bytes = 0;
            for (key, entry) in self.entries.range::<_, [u8]>((Bound::Included(&start[..]), until))
            {
                size_bytes += key.len() + entry.value.len();
                more =
                    entries.len() == limit || size_bytes > MAX_RANGE_BYTES && !entries.is_empty();
                if more {
                    break;
                }
                entries.push((key.into(), entry.clone()));
            }
        }
        Answer::Range { revision: self.revision, entries, more }
    }
}

impl Entry {
    fn new(revision: Revision, value: Bytes) -> Self {
        Self { value, create_revision: revision, mod_revision: revision, version: 1 }
    }

    fn change(&mut self, revision: Revision, value: Bytes) {
        self.value = value;
        self.mod_revision = revision;
        self.version += 1;
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
