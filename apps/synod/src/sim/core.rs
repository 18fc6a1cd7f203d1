//! The first of the two things that a run must come to: a core that is just large enough works by itself,
//! while all others stay away for good (as in TigerBeetle's simulator).
//!
//! Half of the runs are asked for it. The core is drawn: nodes in any order until they are enough by all that the
//! nodes among them, and the one that knows the most, believe of who the members are; a node that lost all it
//! had does not count until it is a voter again. Somebody in it must come to lead, and a write and a read that
//! clients begin from then on must be answered. Then all come back.
//!
//! A core that does nothing is excused if it is not enough any more, or may not be, since a change of members was
//! under way: that waits for those whom it makes members. What follows is asked of all.

use std::sync::Arc;
use std::time::Duration;

use synod_consensus::{Membership, Role, Status};
use synod_engine::{NodeId, Random};
use synod_kv::rules::Rules;

use super::Cluster;
use crate::engines::Wired;

/// Lets a core work alone, in half of the runs.
pub(super) fn demand<L: Wired, S: Rules>(cluster: &mut Cluster<L, S>, within: Duration) {
    let report = cluster.report();
    let mut random = Random::new(report.seed ^ 0xc02e);
    if !report.verdict.is_sound() || random.chance(500_000) {
        return;
    }
    let changes = cluster.workload().may_change_members();
    cluster.workload_mut().quieten();
    let Some(core) = draw(cluster, &mut random) else {
        return cluster.reached("no core is smaller than the whole");
    };
    let others_are_up = random.chance(500_000);
    cluster.calm_core(&core, others_are_up);
    let asked = cluster.workload().history.len();
    let missing = cluster.still_missing(within, |cluster| {
        let leads = |status: Status| status.role == Role::Leader && core.contains(&status.node);
        if !cluster.engines().any(|(_, engine)| leads(engine.status())) {
            return Some("nobody leads".to_owned());
        }
        cluster.workload().history.unanswered_since(asked)
    });
    match missing {
        None => cluster.reached("a core works alone"),
        Some(_)
            if changes
                || cluster.workload().may_change_members()
                || !is_enough(cluster, &core, &core) =>
        {
            cluster.reached("a core is excused");
        }
        Some(missing) => cluster.stuck(format!("the core {core:?} alone: {missing}")),
    }
}

/// Nodes that are enough, and not all.
fn draw<L: Wired, S: Rules>(
    cluster: &mut Cluster<L, S>,
    random: &mut Random,
) -> Option<Vec<NodeId>> {
    let mut nodes = cluster.nodes().to_vec();
    // Who is down tells what it knows once it is back.
    nodes.iter().for_each(|node| cluster.restart(*node));
    for last in (1..nodes.len()).rev() {
        nodes.swap(last, random.below(last as u64 + 1) as usize);
    }
    let statuses = cluster.engines().map(|(_, engine)| engine.status());
    let knows_most = statuses.max_by_key(|status| (status.commit, status.epoch))?.node;
    (1..nodes.len()).map(|size| nodes[..size].to_vec()).find(|core| {
        let believers: Vec<_> = core.iter().copied().chain([knows_most]).collect();
        is_enough(cluster, core, &believers)
    })
}

/// Whether `core` has a quorum, and who may lead it, by what each of these nodes believes.
fn is_enough<L: Wired, S: Rules>(
    cluster: &Cluster<L, S>,
    core: &[NodeId],
    believers: &[NodeId],
) -> bool {
    let operator = cluster.workload().operator.as_ref();
    let is_itself = |node| operator.is_none_or(|operator| operator.counts(node));
    let counts = |node: NodeId| core.contains(&node) && is_itself(node);
    let believed =
        believers.iter().filter_map(|node| Some(cluster.engine(*node)?.status().members));
    let mut believed = believed.filter(|members: &Arc<Membership>| !members.is_empty()).peekable();
    believed.peek().is_some()
        && believed.all(|members| {
            let quorum = members.quorum();
            let mut voters = quorum.incoming().iter().filter(|node| counts(*node));
            let may_lead = |node| members.member(node).is_some_and(|member| member.priority > 0);
            quorum.is_quorum(counts) && voters.any(may_lead)
        })
}
