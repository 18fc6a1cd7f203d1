//! The picture of a node, for traces, scripts and the lab.

use core::fmt;

use synod_consensus::{Index, Role};
use synod_engine::NodeId;

use crate::Ballot;

/// A node at a moment. Displayed as `leader in 3.n1 of n1, accepted (1)..7, chosen to 6, applied 6`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// Its role.
    pub role: Role,
    /// Whom it follows.
    pub leader: Option<NodeId>,
    /// The highest ballot that it has promised: the one that it leads, or follows in.
    pub ballot: Ballot,
    /// Up to here everything was given up.
    pub base: Index,
    /// The last instance with a value.
    pub last: Index,
    /// The last instance known to be chosen, with all before it.
    pub commit: Index,
    /// The last instance applied.
    pub applied: Index,
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, leader, ballot, base, last, commit, applied } = self;
        write!(f, "{role} in {ballot}")?;
        if let Some(leader) = leader {
            write!(f, " of {leader}")?;
        }
        write!(f, ", accepted ({base})..{last}, chosen to {commit}, applied {applied}")
    }
}
