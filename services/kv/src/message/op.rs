//! What a write may do. What it does to the keys is in `keys`; transactions have a page of their
//! own, [`txn`](super::txn).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Revision, Txn};

/// A change: to one key, or to several at once.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Set the value.
    Put {
        /// Of this key.
        key: Bytes,
        /// To this.
        value: Bytes,
    },
    /// Add to the end of the value; an absent key counts as empty.
    Append {
        /// Of this key.
        key: Bytes,
        /// This.
        value: Bytes,
    },
    /// Remove the key.
    Delete {
        /// Which one.
        key: Bytes,
    },
    /// Compare and swap: set the value if the key is as expected.
    Cas {
        /// Of this key.
        key: Bytes,
        /// What it must be.
        expect: Expect,
        /// The new value.
        value: Bytes,
    },
    /// Compare, then do the one or the other, all at one revision.
    Txn(Txn),
}

/// What a compare-and-swap expects to find.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Expect {
    /// No such key.
    Absent,
    /// Exactly this value.
    Value(Bytes),
    /// Exactly this modification revision.
    Revision(Revision),
}

impl Op {
    /// Bytes of the keys and values that it carries.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Put { key, value } | Self::Append { key, value } => key.len() + value.len(),
            Self::Delete { key } => key.len(),
            Self::Cas { key, expect, value } => {
                let expect = match expect {
                    Expect::Value(expect) => expect.len(),
                    Expect::Absent | Expect::Revision(_) => 0,
                };
                key.len() + expect + value.len()
            }
            Self::Txn(txn) => txn.size_bytes(),
        }
    }
}
