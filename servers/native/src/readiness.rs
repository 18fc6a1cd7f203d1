//! When a node that has just started may be sent traffic.

use std::sync::OnceLock;

use synod_consensus::{Index, Status};

/// Remembers what a node must catch up with.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    /// The end of the node's own log when it was first seen with a leader. What was committed when it
    /// stopped is in there; its tail may turn out not to be, and is then cut.
    goal: OnceLock<Index>,
}

impl Readiness {
    /// Whether the node knows a leader and has applied what its log held when it first knew one.
    pub(crate) fn is_ready(&self, status: &Status) -> bool {
        let goal = || (*self.goal.get_or_init(|| status.last)).min(status.last);
        status.leader.is_some() && status.applied >= goal()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use synod_consensus::{Epoch, Role};
    use synod_engine::NodeId;

    use super::*;

    fn follower(last: Index, applied: Index) -> Status {
        Status {
            node: NodeId(1),
            role: Role::Follower,
            leader: Some(NodeId(2)),
            epoch: Epoch(3),
            last,
            commit: applied,
            applied,
            snapshot: Index(0),
            members: Arc::default(),
            members_settled: true,
            peers: vec![],
        }
    }

    #[test]
    fn a_node_is_ready_once_it_has_caught_up_and_while_it_knows_a_leader() {
        let readiness = Readiness::default();
        let mut status = Status { leader: None, ..follower(Index(5), Index(0)) };
        assert!(!readiness.is_ready(&status), "no leader");
        status.leader = Some(NodeId(2));
        assert!(!readiness.is_ready(&status), "it has applied nothing of its log");
        (status.applied, status.commit, status.last) = (Index(5), Index(8), Index(9));
        assert!(readiness.is_ready(&status), "writes that go on do not make it unready");
        status.leader = None;
        assert!(!readiness.is_ready(&status), "the leader is lost");
    }

    #[test]
    fn a_tail_that_was_never_committed_is_not_waited_for() {
        let readiness = Readiness::default();
        let mut status = follower(Index(9), Index(7));
        assert!(!readiness.is_ready(&status));
        (status.last, status.applied) = (Index(8), Index(8));
        assert!(readiness.is_ready(&status), "the leader has cut the tail");
    }
}
