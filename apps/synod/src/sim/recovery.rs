//! What every run must come to once nothing goes wrong any more: heal, converge, serve, and keep what was
//! acknowledged.

use std::time::Duration;

use synod_consensus::{Index, Role, Status};
use synod_engine::NodeId;
use synod_kv::rules::Rules;
use synod_sim::replicated::Replica;

use super::{Cluster, core};
use crate::engines::Wired;

/// How long it may take, in virtual time. Elections take less than a second each, and an operator has to
/// repeat itself; but with appends of one entry, one at a time, to a disk that takes a fifth of a second, a
/// follower that lacks a thousand entries needs minutes.
const WITHIN: Duration = Duration::from_secs(600);

/// The clients close, and the cluster must be whole; before that, in half of the runs, its [core] must work.
pub(super) fn recover<L: Wired, S: Rules>(cluster: &mut Cluster<L, S>) {
    core::demand(cluster, WITHIN);
    if !cluster.report().verdict.is_sound() {
        return;
    }
    cluster.workload_mut().close();
    cluster.recover(WITHIN, |cluster| diverges(cluster).or_else(|| cluster.workload().missing()));
}

/// What keeps the members from being one: a leader, and everything that it has committed on all.
fn diverges<L: Wired, S: Rules>(cluster: &Cluster<L, S>) -> Option<String> {
    let all: Vec<Status> = cluster.engines().map(|(_, engine)| engine.status()).collect();
    let leaders = all.iter().filter(|status| status.role == Role::Leader);
    let Some(leader) = leaders.max_by_key(|status| status.epoch) else {
        return Some("nobody leads".to_owned());
    };
    if leader.members.is_joint() || !leader.members_settled {
        return Some(format!("{} are not settled", leader.members));
    }
    leader.members.iter().find_map(|member| {
        let lags = |what: &str| Some(format!("{} {what} of {}", member.node, leader.node));
        let Some(status) = all.iter().find(|status| status.node == member.node) else {
            return lags("is down, a member");
        };
        if status.leader != Some(leader.node) || status.epoch != leader.epoch {
            return lags("is no follower");
        }
        if status.members != leader.members {
            return lags("knows other members than those");
        }
        if status.commit != leader.commit || applied(cluster, member.node) != leader.commit {
            return lags("has not applied everything");
        }
        None
    })
}

fn applied<L: Wired, S: Rules>(cluster: &Cluster<L, S>, node: NodeId) -> Index {
    cluster.app(node).map_or(Index::ZERO, Replica::applied)
}
