//! The network between the nodes is cut: whole, in one direction, or into odd shapes. Writes go on
//! where a majority can still decide, nothing acknowledged is lost, and every history is linearizable,
//! also what a node answers that is cut off itself.

use std::time::Duration;

use rustix::process::Signal;
use synod::engines::EngineName;
use synod_consensus::Role;

use crate::cluster::{Cluster, until};
use crate::history::Load;
use synod::network::Fate;

const CALL: Duration = Duration::from_secs(20);

/// How long nobody may be able to write after a cut: what it takes to notice it, and an election.
const BOUND: Duration = Duration::from_secs(6);

/// Where nobody may be taken for dead because the machine is busy.
fn patient(engine: EngineName) -> &'static str {
    match engine {
        EngineName::Raft | EngineName::Paxos => {
            "[log]\nelection_timeout_min_ms = 1500\nelection_timeout_max_ms = 3000"
        }
        EngineName::Zab => "[log]\nsync_limit_ms = 1500\ninit_limit_ms = 3000",
    }
}

/// A load by clients of the whole cluster, and by clients who read at one node each.
pub(crate) async fn load(cluster: &Cluster) -> Load {
    let mut clerks = vec![cluster.clerk(CALL).await];
    for node in 1..=cluster.clients.len() {
        clerks.push(cluster.reader(node, CALL).await);
    }
    Load::start_on(&clerks, 24, 12)
}

fn others(cluster: &Cluster, node: usize) -> Vec<usize> {
    (1..=cluster.clients.len()).filter(|other| *other != node).collect()
}

async fn epoch(cluster: &Cluster, node: usize) -> u64 {
    until("the node tells its term", async || cluster.status(node).await).await.log.epoch.0
}

async fn steps_down(cluster: &Cluster, node: usize) {
    until("the old leader knows that it leads no more", async || {
        (cluster.status(node).await?.log.role != Role::Leader).then_some(())
    })
    .await;
}

/// Ends a story: the network is whole, all nodes are well, and what was answered was true.
pub(crate) async fn ends_well(cluster: &mut Cluster, load: Load) {
    cluster.network().heal();
    load.next_write().await;
    cluster.ready().await;
    load.judge().await;
}

/// Cuts the leader off in every way there is, and back again. The cut says which ways.
async fn leader_is_cut_off(engine: EngineName, cut: impl Fn(usize, usize) -> Vec<(usize, usize)>) {
    let mut cluster = Cluster::start_in_network(engine, 3, "").await;
    let load = load(&cluster).await;
    for fate in [Fate::Hangs, Fate::Vanishes, Fate::Breaks] {
        load.next_write().await;
        let leader = cluster.ready().await;
        let ways = others(&cluster, leader).into_iter().flat_map(|other| cut(leader, other));
        cluster.network().cut(ways, fate);
        steps_down(&cluster, leader).await;
        let gap = load.next_write().await;
        assert!(gap < BOUND, "{fate:?}: writes stood still for {gap:?}");
        cluster.network().heal();
    }
    ends_well(&mut cluster, load).await;
}

pub(crate) async fn a_leader_that_is_cut_off_is_replaced_and_answers_nothing_stale(
    engine: EngineName,
) {
    leader_is_cut_off(engine, |leader, other| vec![(leader, other), (other, leader)]).await;
}

pub(crate) async fn a_leader_that_is_not_heard_is_replaced(engine: EngineName) {
    leader_is_cut_off(engine, |leader, other| vec![(leader, other)]).await;
}

pub(crate) async fn a_leader_that_hears_nobody_is_replaced(engine: EngineName) {
    leader_is_cut_off(engine, |leader, other| vec![(other, leader)]).await;
}

pub(crate) async fn a_follower_that_is_cut_off_costs_neither_writes_nor_the_leader(
    engine: EngineName,
) {
    let mut cluster = Cluster::start_in_network(engine, 3, patient(engine)).await;
    let load = load(&cluster).await;
    let leader = cluster.ready().await;
    let term = epoch(&cluster, leader).await;
    let [follower, _] = others(&cluster, leader)[..] else { unreachable!("of three") };
    for fate in [Fate::Hangs, Fate::Breaks] {
        cluster.network().isolate(follower, &[1, 2, 3], fate);
        let gap = load.next_write().await;
        assert!(gap < BOUND, "{fate:?}: writes stood still for {gap:?}");
        until("the follower has noticed", async || {
            cluster.status(follower).await?.log.leader.is_none().then_some(())
        })
        .await;
        load.next_write().await;
        cluster.network().heal();
        load.next_write().await;
        assert_eq!((cluster.ready().await, epoch(&cluster, leader).await), (leader, term));
    }
    ends_well(&mut cluster, load).await;
}

/// Of three nodes in a chain the leader is at an end: it goes on, and the other end, who hears of no
/// leader, disturbs nobody.
pub(crate) async fn a_chain_with_the_leader_at_its_end_keeps_its_leader(engine: EngineName) {
    let mut cluster = Cluster::start_in_network(engine, 3, patient(engine)).await;
    let load = load(&cluster).await;
    let leader = cluster.ready().await;
    let term = epoch(&cluster, leader).await;
    let [middle, end] = others(&cluster, leader)[..] else { unreachable!("of three") };
    let chain = [(leader, middle), (middle, end)];
    cluster.network().shape(&[1, 2, 3], &chain, Fate::Hangs);
    until("the other end hears of no leader", async || {
        cluster.status(end).await?.log.leader.is_none().then_some(())
    })
    .await;
    for _ in 0..20 {
        let gap = load.next_write().await;
        assert!(gap < BOUND, "writes stood still for {gap:?}");
    }
    assert_eq!(epoch(&cluster, leader).await, term, "nobody was disturbed");
    ends_well(&mut cluster, load).await;
    assert_eq!((cluster.ready().await, epoch(&cluster, leader).await), (leader, term));
}

/// All of five nodes see only one in the middle, which does not lead: only it can win a majority, and it
/// must come to want that. ZAB's election promises no such thing (docs/comparison.md).
async fn a_bridge_comes_to_lead(engine: EngineName) {
    let mut cluster = Cluster::start_in_network(engine, 5, "").await;
    let load = load(&cluster).await;
    let leader = cluster.ready().await;
    let middle = leader % 5 + 1;
    let links: Vec<_> = others(&cluster, middle).iter().map(|other| (middle, *other)).collect();
    cluster.network().shape(&[1, 2, 3, 4, 5], &links, Fate::Hangs);
    until("the one in the middle leads", async || {
        (cluster.status(middle).await?.log.role == Role::Leader).then_some(())
    })
    .await;
    let gap = load.next_write().await;
    assert!(gap < BOUND, "writes stood still for {gap:?}");
    ends_well(&mut cluster, load).await;
}

#[tokio::test]
async fn a_bridge_that_alone_sees_a_majority_comes_to_lead_in_raft() {
    a_bridge_comes_to_lead(EngineName::Raft).await;
}

#[tokio::test]
async fn a_bridge_that_alone_sees_a_majority_comes_to_lead_in_multi_paxos() {
    a_bridge_comes_to_lead(EngineName::Paxos).await;
}

pub(crate) async fn a_leader_that_is_suspended_while_it_is_cut_off_wakes_up_replaced(
    engine: EngineName,
) {
    let mut cluster = Cluster::start_in_network(engine, 3, "").await;
    let load = load(&cluster).await;
    for heals_first in [true, false] {
        load.next_write().await;
        let leader = cluster.ready().await;
        cluster.network().isolate(leader, &[1, 2, 3], Fate::Hangs);
        cluster.signal(leader, Signal::STOP);
        let gap = load.next_write().await;
        assert!(gap < BOUND, "writes stood still for {gap:?}");
        if heals_first {
            cluster.network().heal();
        }
        load.next_write().await;
        cluster.signal(leader, Signal::CONT);
        load.next_write().await;
        steps_down(&cluster, leader).await;
        cluster.network().heal();
    }
    ends_well(&mut cluster, load).await;
}
