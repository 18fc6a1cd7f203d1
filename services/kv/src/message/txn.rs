//! Transactions: comparisons, and what to do if all of them hold, and if not.
//!
//! They mean what etcd's mean (etcd: `api/etcdserverpb/rpc.proto`, `TxnRequest`), but for two bounds:
//! what one of them may change and may answer is bounded in bytes, and they do not nest.

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Entry, Revision, Span};

/// If every comparison holds, do `success`, else `failure`; all of it at one revision, or none of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Txn {
    /// What must hold; nothing always does.
    pub compares: Vec<Compare>,
    /// What to do then, in this order.
    pub success: Vec<Action>,
    /// What to do otherwise, in this order.
    pub failure: Vec<Action>,
}

/// One comparison: each key of `keys` stands in `relation` to `target`.
///
/// A key that is not there compares as one with version, creation and modification revision 0, so
/// `version = 0` says that it is absent. It has no value: a comparison of its value never holds. A
/// range without keys compares as one key that is not there.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Compare {
    /// Which keys, each of them.
    pub keys: Span,
    /// How what is found must relate to the target.
    pub relation: Relation,
    /// What is compared, and with what.
    pub target: Target,
}

/// How what is found relates to a target.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Relation {
    /// It is the same.
    Equal,
    /// It is not the same.
    NotEqual,
    /// It is less; values by their bytes.
    Less,
    /// It is greater; values by their bytes.
    Greater,
}

/// What is compared, and with what.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Target {
    /// The value.
    Value(Bytes),
    /// The number of changes since the key was created.
    Version(u64),
    /// The revision that created the key.
    Created(Revision),
    /// The revision of the last change.
    Modified(Revision),
}

/// One thing that a transaction does. Later ones see what earlier ones did.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Action {
    /// Set the value. No key may be set twice, or be set and deleted, in one branch.
    Put {
        /// Of this key.
        key: Bytes,
        /// To this.
        value: Bytes,
        /// Whether to answer what the key held before.
        prev: bool,
    },
    /// Read.
    Get {
        /// These keys.
        keys: Span,
        /// At most so many.
        limit: u64,
    },
    /// Remove keys.
    Delete {
        /// These keys.
        keys: Span,
        /// Whether to answer what they held before.
        prev: bool,
    },
}

/// What a transaction did.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TxnDone {
    /// The revision of the store after it: its own if it changed something.
    pub revision: Revision,
    /// Whether all comparisons held.
    pub succeeded: bool,
    /// What each action of the branch did, in order.
    pub results: Vec<Done>,
}

/// What one action of a transaction did.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Done {
    /// The key is set.
    Put {
        /// What it held before, if that was asked for and there was such a key.
        prev: Option<Entry>,
    },
    /// The keys and what they hold, in order.
    Get {
        /// Each key with what it holds.
        entries: Vec<(Bytes, Entry)>,
        /// Whether there are more than the limit or the bounds allowed.
        more: bool,
    },
    /// The keys are gone.
    Delete {
        /// How many there were.
        deleted: u64,
        /// What they held, if that was asked for.
        prev: Vec<(Bytes, Entry)>,
    },
}

impl Txn {
    pub(crate) fn size_bytes(&self) -> usize {
        let compares = self.compares.iter().map(|compare| {
            let target = match &compare.target {
                Target::Value(value) => value.len(),
                Target::Version(_) | Target::Created(_) | Target::Modified(_) => 8,
            };
            compare.keys.size_bytes() + target
        });
        let actions = self.success.iter().chain(&self.failure).map(|action| match action {
            Action::Put { key, value, .. } => key.len() + value.len(),
            Action::Get { keys, .. } | Action::Delete { keys, .. } => keys.size_bytes(),
        });
        const OVERHEAD_BYTES: usize = 24;
        compares.chain(actions).map(|bytes| bytes + OVERHEAD_BYTES).sum()
    }
}

impl TxnDone {
    /// Bytes of the keys and values in it, and some for the rest.
    pub(crate) fn size_bytes(&self) -> usize {
        let entries = self.results.iter().flat_map(|done| match done {
            Done::Put { .. } => &[][..],
            Done::Get { entries, .. } | Done::Delete { prev: entries, .. } => entries,
        });
        let entries = entries.map(|(key, entry)| key.len() + entry.size_bytes());
        let prevs = self.results.iter().map(|done| match done {
            Done::Put { prev } => 64 + prev.as_ref().map_or(0, Entry::size_bytes),
            Done::Get { .. } | Done::Delete { .. } => 64,
        });
        entries.chain(prevs).sum()
    }
}
