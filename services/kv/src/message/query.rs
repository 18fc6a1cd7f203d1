//! What may be asked of the store without changing it, and what it answers.

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Event, Revision};

/// A question that changes nothing.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Query {
    /// The value of one key.
    Get {
        /// Which one.
        key: Bytes,
    },
    /// The keys from `start` on, in order.
    Range {
        /// The first key.
        start: Bytes,
        /// Before this key; `None`: to the end.
        end: Option<Bytes>,
        /// At most this many; clamped to the store's bound, as are the bytes.
        limit: u64,
    },
    /// What happened to some keys after a revision: a watch in single steps.
    Changes {
        /// Which keys.
        keys: Span,
        /// Only later revisions.
        after: Revision,
        /// About so many events at most; a revision is never cut.
        limit: u64,
    },
}

impl Query {
    /// The longest of the keys that it names, in bytes. No key of the store is longer than
    /// [`MAX_KEY_BYTES`](crate::limits::MAX_KEY_BYTES).
    #[must_use]
    pub fn longest_key_bytes(&self) -> usize {
        let range = |start: &Bytes, end: Option<&Bytes>| start.len().max(end.map_or(0, Bytes::len));
        match self {
            Self::Get { key } | Self::Changes { keys: Span::One(key), .. } => key.len(),
            Self::Range { start, end, .. }
            | Self::Changes { keys: Span::Range { start, end }, .. } => range(start, end.as_ref()),
        }
    }
}

/// What a query answers, all of it as of one revision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The key, if it is there.
    Value {
        /// The revision of the store.
        revision: Revision,
        /// What the key holds.
        entry: Option<Entry>,
    },
    /// The keys of the range.
    Range {
        /// The revision of the store.
        revision: Revision,
        /// The keys and what they hold, in order.
        entries: Vec<(Bytes, Entry)>,
        /// Whether there are more than the bounds allowed.
        more: bool,
    },
    /// What happened to the keys.
    Changes {
        /// The revision of the store.
        revision: Revision,
        /// The events are all that the keys have up to this revision. Ask on from here.
        through: Revision,
        /// The events, in order.
        events: Vec<Event>,
    },
    /// What happened is not known any more.
    Compacted {
        /// The revision of the store.
        revision: Revision,
        /// Only what happened after this revision is known.
        compacted: Revision,
    },
}

/// What a key holds.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// The revision that created the key.
    pub create_revision: Revision,
    /// The revision of the last change.
    pub mod_revision: Revision,
    /// Changes since it was created; 1 for a new key.
    pub version: u64,
}

/// Some keys.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Span {
    /// One key.
    One(Bytes),
    /// Those from `start` on.
    Range {
        /// The first key.
        start: Bytes,
        /// Before this key; `None`: to the end.
        end: Option<Bytes>,
    },
}

impl Answer {
    /// The revision of the store when it answered.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Self::Value { revision, .. }
            | Self::Range { revision, .. }
            | Self::Changes { revision, .. }
            | Self::Compacted { revision, .. } => *revision,
        }
    }
}

impl Entry {
    /// Bytes of the value, and some for the rest.
    pub(crate) fn size_bytes(&self) -> usize {
        self.value.len() + 32
    }
}

impl Span {
    /// All keys.
    #[must_use]
    pub fn all() -> Self {
        Self::Range { start: Bytes::new(), end: None }
    }

    /// The keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        // The first key after them differs in the last byte that can be raised.
        let raised = start.iter().rposition(|byte| *byte < u8::MAX).map(|last| {
            let mut end = start[..=last].to_vec();
            end[last] += 1;
            end.into()
        });
        Self::Range { start, end: raised }
    }

    /// Whether `key` is one of them.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::One(one) => one == key,
            Self::Range { start, end } => {
                &start[..] <= key && end.as_ref().is_none_or(|end| key < &end[..])
            }
        }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::One(key) => key.len(),
            Self::Range { start, end } => start.len() + end.as_ref().map_or(0, Bytes::len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_the_keys_that_begin_with_it_and_no_others() {
        let ab = Span::prefix("ab");
        let within = ["ab", "abc", "ab\u{ff}"].map(|key| ab.contains(key.as_bytes()));
        assert_eq!(within, [true; 3]);
        assert_eq!(
            ["a", "aa\u{ff}", "ac", "b", ""].map(|key| ab.contains(key.as_bytes())),
            [false; 5]
        );
        let end = |prefix: &'static [u8]| match Span::prefix(prefix) {
            Span::Range { end, .. } => end,
            Span::One(_) => None,
        };
        assert_eq!(end(b"ab"), Some(Bytes::from_static(b"ac")));
        assert_eq!(end(&[b'a', 0xff, 0xff]), Some(Bytes::from_static(b"b")));
        assert_eq!((end(&[0xff]), end(b"")), (None, None));
        assert!(Span::all().contains(b"") && Span::One("k".into()).contains(b"k"));
    }
}
