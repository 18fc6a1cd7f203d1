//! Transactions on the keys: comparisons, then one of two branches, all of it or nothing.
//!
//! The changes are made as they come, under the next revision. If a bound is exceeded on the way,
//! the events of that revision tell how to take them back.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use bytes::Bytes;

use crate::key::Key;
use crate::keys::{Keys, check_key, check_value};
use crate::limits::{
    MAX_CHANGE_BYTES, MAX_KEY_BYTES, MAX_RANGE_BYTES, MAX_TXN_ACTIONS, MAX_TXN_ANSWER_BYTES,
};
use crate::message::{
    Action, Compare, Done, Entry, Rejected, Relation, Revision, Span, Target, Txn, TxnDone, Written,
};

impl Keys {
    /// Does one branch of `txn`, or says why nothing changed.
    pub(crate) fn transact(&mut self, txn: Txn) -> Result<Written, Rejected> {
        check(&txn)?;
        let succeeded = txn.compares.iter().all(|compare| self.holds(compare));
        let actions = if succeeded { txn.success } else { txn.failure };
        let mut branch = Branch { revision: self.revision + 1, changed: 0, answered: 0 };
        let results: Result<Vec<_>, _> =
            actions.into_iter().map(|action| branch.act(self, action)).collect();
        match results {
            Ok(results) => {
                if branch.changed > 0 {
                    self.complete(branch.revision);
                }
                let revision = self.revision;
                Ok(Written::Txn(Arc::new(TxnDone { revision, succeeded, results })))
            }
            Err(rejected) => {
                self.take_back(branch.revision);
                Err(rejected)
            }
        }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let mut found = self.within(&compare.keys).map(|record| &record.entry).peekable();
        if found.peek().is_none() {
            return !matches!(compare.target, Target::Value(_)) && compare.holds(&Entry::default());
        }
        found.all(|entry| compare.holds(entry))
    }
}

impl Compare {
    fn holds(&self, entry: &Entry) -> bool {
        let ordering = match &self.target {
            Target::Value(value) => entry.value.cmp(value),
            Target::Version(version) => entry.version.cmp(version),
            Target::Created(revision) => entry.create_revision.cmp(revision),
            Target::Modified(revision) => entry.mod_revision.cmp(revision),
        };
        match self.relation {
            Relation::Equal => ordering == Ordering::Equal,
            Relation::NotEqual => ordering != Ordering::Equal,
            Relation::Less => ordering == Ordering::Less,
            Relation::Greater => ordering == Ordering::Greater,
        }
    }
}

/// A branch on its way.
struct Branch {
    revision: Revision,
    /// Bytes of keys and values, new and old.
    changed: usize,
    /// Bytes of keys and values.
    answered: usize,
}

impl Branch {
    fn act(&mut self, keys: &mut Keys, action: Action) -> Result<Done, Rejected> {
        match action {
            Action::Put { key, value, prev } => {
                let before = keys.records.get(&Key::from(&key)).map(|record| &record.entry);
                let old = before.map_or(0, |entry| entry.value.len());
                self.change(key.len() + value.len() + old)?;
                let prev = before.filter(|_| prev).cloned();
                self.answer(prev.as_ref().map_or(0, Entry::size_bytes))?;
                keys.set(self.revision, key, value);
                Ok(Done::Put { prev })
            }
            Action::Get { keys: span, limit } => {
                let (entries, more) = keys.range(&span, limit, MAX_RANGE_BYTES);
                self.answer(size_bytes(&entries))?;
                Ok(Done::Get { entries, more })
            }
            Action::Delete { keys: span, prev } => self.delete(keys, &span, prev),
        }
    }

    fn delete(&mut self, keys: &mut Keys, span: &Span, prev: bool) -> Result<Done, Rejected> {
        let mut gone = Vec::new();
        for record in keys.within(span) {
            self.change(record.key.len() + record.entry.value.len())?;
            gone.push(record.clone());
        }
        for record in &gone {
            keys.remove(self.revision, &record.key);
        }
        let deleted = gone.len() as u64;
        let told = gone.iter().filter(|_| prev);
        let prev: Vec<_> = told.map(|record| (record.key.clone(), record.entry.clone())).collect();
        self.answer(size_bytes(&prev))?;
        Ok(Done::Delete { deleted, prev })
    }

    fn change(&mut self, bytes: usize) -> Result<(), Rejected> {
        /// What a change counts besides keys and values: it bounds the number of empty ones.
        const OVERHEAD_BYTES: usize = 64;
        self.changed += bytes + OVERHEAD_BYTES;
        let max_bytes = MAX_CHANGE_BYTES as u64;
        if self.changed > MAX_CHANGE_BYTES {
            Err(Rejected::ChangeSize { max_bytes })
        } else {
            Ok(())
        }
    }

    fn answer(&mut self, bytes: usize) -> Result<(), Rejected> {
        self.answered += bytes;
        let max_bytes = MAX_TXN_ANSWER_BYTES as u64;
        if self.answered > MAX_TXN_ANSWER_BYTES {
            Err(Rejected::AnswerSize { max_bytes })
        } else {
            Ok(())
        }
    }
}

fn size_bytes(entries: &[(Bytes, Entry)]) -> usize {
    entries.iter().map(|(key, entry)| key.len() + entry.size_bytes()).sum()
}

/// Whether the transaction makes sense, whatever the keys hold.
fn check(txn: &Txn) -> Result<(), Rejected> {
    let longest = txn.compares.len().max(txn.success.len()).max(txn.failure.len());
    if longest > MAX_TXN_ACTIONS {
        return Err(Rejected::TxnSize { max_actions: MAX_TXN_ACTIONS as u64 });
    }
    txn.compares.iter().try_for_each(|compare| check_span(&compare.keys))?;
    check_branch(&txn.success)?;
    check_branch(&txn.failure)
}

fn check_branch(branch: &[Action]) -> Result<(), Rejected> {
    for (place, action) in branch.iter().enumerate() {
        match action {
            Action::Put { key, value, .. } => {
                check_key(key)?;
                check_value(value.len())?;
                let others = branch.iter().enumerate().filter(|(other, _)| *other != place);
                let mut others = others.map(|(_, other)| other);
                if others.any(|other| other.changes(key)) {
                    return Err(Rejected::SetTwice);
                }
            }
            Action::Get { keys, .. } | Action::Delete { keys, .. } => check_span(keys)?,
        }
    }
    Ok(())
}

fn check_span(span: &Span) -> Result<(), Rejected> {
    let fits = |key: &Bytes| key.len() <= MAX_KEY_BYTES;
    match span {
        Span::One(key) => check_key(key),
        Span::Range { start, end } if fits(start) && end.as_ref().is_none_or(fits) => Ok(()),
        Span::Range { .. } => Err(Rejected::KeySize { max_bytes: MAX_KEY_BYTES as u64 }),
    }
}

impl Action {
    fn changes(&self, key: &Bytes) -> bool {
        match self {
            Self::Put { key: other, .. } => other == key,
            Self::Delete { keys, .. } => keys.contains(key),
            Self::Get { .. } => false,
        }
    }
}
