//! What happened to one key.

use alloc::sync::Arc;

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Entry, Revision};

/// A key and what it holds, or held. Immutable, and shared by the map, the history and the watchers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// The key.
    pub key: Bytes,
    /// What it holds.
    pub entry: Entry,
}

/// One change of one key. A clone shares everything.
///
/// Written as revision, key, what the key holds since, and what it held before.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Event {
    revision: Revision,
    size_bytes: u32,
    /// Whether it tells what was before. If not, `prev` may still be there, for the key.
    tells_prev: bool,
    now: Option<Arc<Record>>,
    prev: Option<Arc<Record>>,
}

impl Event {
    /// The key of `now` was set; before, it was as in `prev`.
    pub(crate) fn put(now: Arc<Record>, prev: Option<Arc<Record>>) -> Self {
        Self::new(now.entry.mod_revision, Some(now), prev)
    }

    /// The key of `prev` was deleted.
    pub(crate) fn deleted(revision: Revision, prev: Arc<Record>) -> Self {
        Self::new(revision, None, Some(prev))
    }

    fn new(revision: Revision, now: Option<Arc<Record>>, prev: Option<Arc<Record>>) -> Self {
        /// What an event and its records take besides keys and values.
        const OVERHEAD_BYTES: usize = 128;
        let values = [&now, &prev].into_iter().flatten().map(|record| record.entry.value.len());
        let key = now.as_ref().or(prev.as_ref()).map_or(0, |record| record.key.len());
        let size_bytes = (OVERHEAD_BYTES + key + values.sum::<usize>()) as u32;
        Self { revision, size_bytes, tells_prev: true, now, prev }
    }

    /// When it happened. All events of one transaction have the same revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// To which key.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        let record = self.now.as_ref().or(self.prev.as_ref());
        &record.expect("an event has what is there or what was there").key
    }

    /// What the key holds since; `None` if it was deleted.
    #[must_use]
    pub fn entry(&self) -> Option<&Entry> {
        self.now.as_ref().map(|record| &record.entry)
    }

    /// What the key held before, if there was such a key and the watcher asked for it.
    #[must_use]
    pub fn prev(&self) -> Option<&Entry> {
        self.prev.as_ref().filter(|_| self.tells_prev).map(|record| &record.entry)
    }

    /// The same event, silent about what was before.
    #[must_use]
    pub fn without_prev(&self) -> Self {
        Self { tells_prev: false, ..self.clone() }
    }

    /// Whether it created the key.
    #[must_use]
    pub fn is_create(&self) -> bool {
        self.entry().is_some_and(|entry| entry.create_revision == self.revision)
    }

    /// Bytes that it keeps in memory, at most.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes as usize
    }

    pub(crate) fn now_record(&self) -> Option<&Arc<Record>> {
        self.now.as_ref()
    }

    pub(crate) fn prev_record(&self) -> Option<&Arc<Record>> {
        self.prev.as_ref()
    }

    /// The same event with records that say the same as its own.
    pub(crate) fn sharing(&self, now: Option<&Arc<Record>>, prev: Option<&Arc<Record>>) -> Self {
        let shared = |own: &Option<Arc<Record>>, other: Option<&Arc<Record>>| match (own, other) {
            (Some(own), Some(other)) if own == other => Some(other.clone()),
            (own, _) => own.clone(),
        };
        Self { now: shared(&self.now, now), prev: shared(&self.prev, prev), ..*self }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.revision, self.key(), self.entry(), self.prev()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        type Parts = (Revision, Bytes, Option<Entry>, Option<Entry>);
        let (revision, key, now, prev) = Parts::deserialize(deserializer)?;
        if now.as_ref().is_some_and(|entry| entry.mod_revision != revision) {
            return Err(D::Error::custom("an event has the revision of what it stored"));
        }
        let tells_prev = prev.is_some() || now.is_some();
        let record = |entry| Arc::new(Record { key: key.clone(), entry });
        let prev = prev.or_else(|| now.is_none().then(Entry::default));
        Ok(Self { tells_prev, ..Self::new(revision, now.map(record), prev.map(record)) })
    }
}
