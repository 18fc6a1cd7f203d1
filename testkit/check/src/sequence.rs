//! A sequence of values as the state of a model: cheap to copy, and to compare with a copy of it.

use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use imbl::Vector;
use synod_codec::hash_chained;

use crate::text::Listed;

/// Values, the first first.
#[derive(Clone, Default)]
pub struct Sequence {
    values: Vector<Bytes>,
    /// The values that are gone from the front, and all values that ever were, one after the other.
    gone: u64,
    all: u64,
}

impl Sequence {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn push(&mut self, value: Bytes) {
        self.all = hash_chained(self.all, &value);
        self.values.push_back(value);
    }

    /// Takes the first value away.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let value = self.values.pop_front()?;
        self.gone += 1;
        Some(value)
    }

    pub(crate) fn first(&self) -> Option<&Bytes> {
        self.values.front()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.values.iter()
    }
}

/// Two sequences are one if they have the same past. That tells some apart that hold the same, which
/// costs the search a repetition and never a verdict.
impl PartialEq for Sequence {
    fn eq(&self, other: &Self) -> bool {
        (self.gone, self.all, self.values.len()) == (other.gone, other.all, other.values.len())
            && (self.values.ptr_eq(&other.values) || self.values == other.values)
    }
}

impl Hash for Sequence {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.gone, self.all).hash(hasher);
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<_> = self.values.iter().cloned().collect();
        write!(f, "{}", Listed(&values))
    }
}
