//! Which write made what an operation found, where the values tell.
//!
//! If no value is written twice, what a read found names the write that it read from. Most questions
//! about a history are easy then: linearizability without a search, and those about sessions and
//! causes, which are stated in terms of who read from whom.

use std::collections::HashMap;
use std::fmt;

/// What a key held between two writes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Version {
    /// What was there before all operations.
    Initial,
    /// What this operation wrote.
    Of(usize),
}

/// What one operation had to do with versions.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Seen {
    /// The key that it was about, by number.
    pub key: usize,
    /// The version that it found.
    pub reads: Option<Version>,
    /// Whether it made one.
    pub writes: bool,
    /// The version that was directly before the one it made, where that is known.
    pub after: Option<Version>,
    /// The operation that showed that.
    pub shown_by: Option<usize>,
    /// Whether it may be taken not to have happened: its fate is unknown, and nobody saw it.
    pub is_void: bool,
}

/// What all operations on one key had to do with versions.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Versions {
    /// Each of them.
    pub seen: Vec<Seen>,
    /// Whether all that was found is told; else `reads` and `after` may be missing where there was one.
    pub is_complete: bool,
    /// What writes do to what was there.
    pub change: Change,
}

/// What writes do to what was there.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Change {
    /// They replace it.
    #[default]
    Replace,
    /// They add to it, so that each version shows all before it.
    Add,
    /// Some this, some that.
    Either,
}

/// Why the versions of a key are not known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unclear {
    /// The values do not tell.
    Ambiguous(String),
    /// No order of whatever can explain these operations.
    Impossible(Vec<usize>),
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ambiguous(why) => write!(f, "{why}"),
            Self::Impossible(operations) => {
                write!(f, "no order explains {} of its operations", operations.len())
            }
        }
    }
}

/// Puts together what single answers show.
pub(crate) struct Shown {
    seen: Vec<Seen>,
    /// What is known to be directly after a version, and the operation that showed it.
    next: HashMap<Version, (usize, usize)>,
    is_read: Vec<bool>,
}

/// Two operations show different things.
pub(crate) struct Contradiction(pub(crate) usize, pub(crate) usize);

impl Shown {
    pub(crate) fn new(operations: usize) -> Self {
        Self {
            seen: vec![Seen::default(); operations],
            next: HashMap::new(),
            is_read: vec![false; operations],
        }
    }

    pub(crate) fn writes(&mut self, operation: usize) {
        self.seen[operation].writes = true;
    }

    /// The operation found this version.
    pub(crate) fn reads(&mut self, operation: usize, version: Version) {
        self.seen[operation].reads = Some(version);
        if let Version::Of(write) = version {
            self.is_read[write] = true;
        }
    }

    /// Whether somebody found what it wrote.
    pub(crate) fn is_read(&self, write: usize) -> bool {
        self.is_read[write]
    }

    /// `by` shows that `write` made the next version after `before`.
    pub(crate) fn follows(
        &mut self,
        before: Version,
        write: usize,
        by: usize,
    ) -> Result<(), Contradiction> {
        let Seen { after, shown_by, .. } = &mut self.seen[write];
        if *after == Some(before) {
            return Ok(());
        }
        if let Some(other) = *shown_by {
            return Err(Contradiction(other, by));
        }
        if let Some((_, other)) = self.next.insert(before, (write, by)) {
            return Err(Contradiction(other, by));
        }
        (*after, *shown_by) = (Some(before), Some(by));
        if let Version::Of(before) = before {
            self.is_read[before] = true;
        }
        Ok(())
    }

    /// What all of them had to do with versions; those of unknown fate that nobody saw did not happen.
    pub(crate) fn finish(
        mut self,
        is_complete: bool,
        change: Change,
        is_unknown: impl Fn(usize) -> bool,
    ) -> Versions {
        for (operation, is_read) in self.is_read.into_iter().enumerate() {
            if is_unknown(operation) && !is_read {
                self.seen[operation] = Seen { is_void: true, ..Seen::default() };
            }
        }
        Versions { seen: self.seen, is_complete, change }
    }
}
