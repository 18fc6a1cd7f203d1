//! Runs of log entries that are written once and shared by everyone.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Membership;

/// A place in a replicated log; the first entry has index 1, and 0 is before all entries.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Index(pub u64);

impl Index {
    /// Before all entries.
    pub const ZERO: Self = Self(0);

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The place before this one; `None` before all entries.
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        match self.0.checked_sub(1) {
            Some(index) => Some(Self(index)),
            None => None,
        }
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The reign in which an entry was proposed: Raft's term, Paxos's ballot, ZAB's epoch.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The reign after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What an entry holds.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing: a leader's first entry, or the filling of a gap.
    Noop,
    /// A command for the state machine. Reference-counted; never copied inside a node.
    Command(Bytes),
    /// Who belongs to the group from this entry on, committed or not (Raft thesis §4.1).
    Members(Arc<Membership>),
}

impl Payload {
    /// Bytes that it takes in a log, with its share of the bookkeeping.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Noop => 8,
            Self::Command(command) => command.len() + 8,
            Self::Members(membership) => membership.size_bytes() + 8,
        }
    }
}

/// Consecutive entries of one epoch: at least one, immutable, cheap to clone and to slice.
///
/// The log, the disk, all peers and the state machine share the same batch.
#[derive(Clone)]
pub struct Batch {
    first: Index,
    epoch: Epoch,
    payloads: Arc<[Payload]>,
    start: usize,
    len: usize,
    size_bytes: usize,
}

impl Batch {
    /// The entries `payloads`, the first at index `first`.
    ///
    /// # Panics
    /// If there are none, or `first` is 0.
    pub fn new(first: Index, epoch: Epoch, payloads: impl Into<Arc<[Payload]>>) -> Self {
        let payloads = payloads.into();
        assert!(
            !payloads.is_empty() && first > Index::ZERO,
            "a batch has entries, from index 1 on"
        );
        let len = payloads.len();
        let size_bytes = payloads.iter().map(Payload::size_bytes).sum();
        Self { first, epoch, payloads, start: 0, len, size_bytes }
    }

    /// The index of the first entry.
    #[must_use]
    pub fn first(&self) -> Index {
        self.first
    }

    /// The index of the last entry.
    #[must_use]
    pub fn last(&self) -> Index {
        Index(self.first.0 + self.len as u64 - 1)
    }

    /// The epoch of all its entries.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The same entries as proposed in `epoch`: a new leader of Paxos proposes again what earlier ones did.
    #[must_use]
    pub fn proposed_in(self, epoch: Epoch) -> Self {
        Self { epoch, ..self }
    }

    /// How many entries; never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Sum of the payloads' sizes in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// What the entries hold, in order.
    #[must_use]
    pub fn payloads(&self) -> &[Payload] {
        &self.payloads[self.start..self.start + self.len]
    }

    /// The entries, each with its index.
    pub fn iter(&self) -> impl Iterator<Item = (Index, &Payload)> {
        (self.first.0..).map(Index).zip(self.payloads())
    }

    /// The entries of this batch that lie in `range`; `None` if there are none.
    #[must_use]
    pub fn slice(&self, range: RangeInclusive<Index>) -> Option<Self> {
        let first = self.first.max(*range.start());
        let last = self.last().min(*range.end());
        if first > last {
            return None;
        }
        if (first, last) == (self.first, self.last()) {
            return Some(self.clone());
        }
        let start = self.start + (first.0 - self.first.0) as usize;
        let len = (last.0 - first.0) as usize + 1;
        let size_bytes = self.payloads[start..start + len].iter().map(Payload::size_bytes).sum();
        Some(Self { first, start, len, size_bytes, payloads: self.payloads.clone(), ..*self })
    }

    /// The membership that it brings; such a batch has one entry.
    #[must_use]
    pub fn members(&self) -> Option<&Arc<Membership>> {
        match self.payloads() {
            [Payload::Members(members)] => Some(members),
            _ => None,
        }
    }

    /// The longest run from the front that stays within `max_bytes`, and at least one entry.
    #[must_use]
    pub fn head(&self, max_bytes: usize) -> Self {
        if self.size_bytes <= max_bytes {
            return self.clone();
        }
        let mut size_bytes = 0;
        let fitting = self.payloads().iter().take_while(|payload| {
            size_bytes += payload.size_bytes();
            size_bytes <= max_bytes
        });
        let count = fitting.count().max(1) as u64;
        self.slice(self.first..=Index(self.first.0 + count - 1)).expect("a run from the front")
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        (self.first, self.epoch) == (other.first, other.epoch)
            && self.payloads() == other.payloads()
    }
}

impl Eq for Batch {}

impl core::hash::Hash for Batch {
    fn hash<H: core::hash::Hasher>(&self, hasher: &mut H) {
        (self.first, self.epoch, self.payloads()).hash(hasher);
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len == 1 {
            write!(f, "{}@{}", self.first, self.epoch)
        } else {
            write!(f, "{}..{}@{}", self.first, self.last(), self.epoch)
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Batch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.first, self.epoch, self.payloads()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (first, epoch, payloads) = <(Index, Epoch, Vec<Payload>)>::deserialize(deserializer)?;
        if payloads.is_empty() || first == Index::ZERO {
            return Err(D::Error::custom("a batch has entries, from index 1 on"));
        }
        if first.0.checked_add(payloads.len() as u64).is_none() {
            return Err(D::Error::custom("a batch ends before the last index"));
        }
        let brings_members = |payload: &Payload| matches!(payload, Payload::Members(_));
        if payloads.len() > 1 && payloads.iter().any(brings_members) {
            return Err(D::Error::custom("a membership is alone in its batch"));
        }
        Ok(Self::new(first, epoch, payloads))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        let command = |text: &'static str| Payload::Command(Bytes::from_static(text.as_bytes()));
        Batch::new(Index(5), Epoch(2), alloc::vec![Payload::Noop, command("ab"), command("c")])
    }

    #[test]
    fn a_slice_is_what_lies_in_the_range() {
        let batch = batch();
        assert_eq!(batch.slice(Index(1)..=Index(9)), Some(batch.clone()));
        assert_eq!(batch.slice(Index(8)..=Index(9)), None);
        let middle = batch.slice(Index(6)..=Index(6)).unwrap();
        assert_eq!((middle.first(), middle.last(), middle.len()), (Index(6), Index(6), 1));
        assert_eq!(middle.payloads(), &batch.payloads()[1..2]);
        assert_eq!(middle.size_bytes(), 10);
    }

    #[test]
    fn a_head_has_at_least_one_entry() {
        assert_eq!(batch().head(0).len(), 1);
        assert_eq!(batch().head(18).len(), 2);
        assert_eq!(batch().head(1000).len(), 3);
    }
}
