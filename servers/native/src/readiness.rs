//! When a node that has just started may be sent traffic.

use std::sync::OnceLock;

use synod_consensus::{Index, Status};

/// Remembers what a node must catch up with.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    /// What was committed when the node was first seen with a leader.
    goal: OnceLock<Index>,
}

impl Readiness {
    /// Whether the node knows a leader and has applied what was committed when it first knew one.
    pub(crate) fn is_ready(&self, status: &Status) -> bool {
        status.leader.is_some() && status.applied >= *self.goal.get_or_init(|| status.commit)
    }
}

#[cfg(test)]
mod tests {
    use synod_consensus::{Epoch, Role};
    use synod_engine::NodeId;

    use super::*;

    #[test]
    fn a_node_is_ready_once_it_has_caught_up_and_while_it_knows_a_leader() {
        let readiness = Readiness::default();
        let mut status = Status {
            node: NodeId(1),
            role: Role::Follower,
            leader: None,
            epoch: Epoch(3),
            last: Index(9),
            commit: Index(0),
            applied: Index(0),
            snapshot: Index(0),
            voters: vec![],
        };
        assert!(!readiness.is_ready(&status), "no leader");
        (status.leader, status.commit) = (Some(NodeId(2)), Index(5));
        assert!(!readiness.is_ready(&status), "behind");
        (status.applied, status.commit) = (Index(5), Index(8));
        assert!(readiness.is_ready(&status), "writes that go on do not make it unready");
        status.leader = None;
        assert!(!readiness.is_ready(&status), "the leader is lost");
    }
}
