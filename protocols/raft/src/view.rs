//! The picture of a node, for traces, scripts and the lab.

use core::fmt;

use synod_consensus::{Index, Role};
use synod_engine::NodeId;

use crate::{EntryId, Term};

/// A node at a moment. Displayed as `leader t3 vote n1 log 1..7@3 commit 6 applied 6`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// Its role.
    pub role: Role,
    /// Whom it follows.
    pub leader: Option<NodeId>,
    /// Its term.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
    /// The entry before the first that it keeps.
    pub base: EntryId,
    /// The last entry.
    pub last: EntryId,
    /// The last entry known to be committed.
    pub commit: Index,
    /// The last entry applied.
    pub applied: Index,
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, leader, term, vote, base, last, commit, applied } = self;
        write!(f, "{role} t{term}")?;
        if let Some(leader) = leader {
            write!(f, " of {leader}")?;
        }
        if let Some(vote) = vote {
            write!(f, " vote {vote}")?;
        }
        write!(f, " log ({base})..{last} commit {commit} applied {applied}")
    }
}
