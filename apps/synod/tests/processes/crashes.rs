//! Nodes that are killed, suspended and stopped under load: nothing acknowledged is lost, and every
//! history is linearizable.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use synod::engines::EngineName;

use crate::cluster::{Cluster, until};
use crate::history::Load;

const CALL: Duration = Duration::from_secs(20);

/// Kills the leader so many times under such a load, each time when the node killed before is back.
/// How long it took each time until a write was acknowledged that was asked for after the kill.
async fn kill_leaders(engine: EngineName, kills: usize, load: (u64, u64)) -> Vec<Duration> {
    let mut cluster = Cluster::start_on(engine, 3, "").await;
    kill_leaders_of(&mut cluster, kills, load).await
}

/// The same in this cluster, with a load of so many lanes and keys.
pub(crate) async fn kill_leaders_of(
    cluster: &mut Cluster,
    kills: usize,
    (lanes, keys): (u64, u64),
) -> Vec<Duration> {
    let load = Load::start(&cluster.clerk(CALL).await, lanes, keys);
    let mut gaps = Vec::new();
    for _ in 0..kills {
        load.next_write().await;
        let leader = cluster.ready().await;
        cluster.kill(leader);
        gaps.push(load.next_write().await);
        cluster.run(leader);
    }
    cluster.ready().await;
    let acknowledged = load.acknowledged();
    let judged = load.judge().await;
    println!("{kills} kills, {acknowledged} writes acknowledged, {judged} operations judged");
    gaps.sort();
    gaps
}

/// Suspends the leader until another one serves, and lets it go on.
pub(crate) async fn suspend_the_leader(cluster: &mut Cluster, load: &Load) {
    load.next_write().await;
    let leader = cluster.ready().await;
    cluster.signal(leader, Signal::STOP);
    load.next_write().await;
    cluster.signal(leader, Signal::CONT);
    load.next_write().await;
}

pub(crate) async fn killing_the_leader_loses_nothing_and_writes_go_on(engine: EngineName) {
    let gaps = kill_leaders(engine, 4, (50, 500)).await;
    assert!(gaps[2] < Duration::from_secs(5), "writes stood still: {gaps:?}");
}

#[tokio::test]
#[ignore = "takes minutes; run it in release, alone on the machine"]
async fn fifty_kills_in_a_row_under_a_thousand_requests() {
    let gaps = kill_leaders(EngineName::Raft, 50, (1_000, 20_000)).await;
    println!("until the first acknowledged write: {gaps:?}");
    assert!(gaps[49] < Duration::from_secs(1), "{gaps:?}");
}

pub(crate) async fn a_cluster_that_was_killed_whole_comes_back_with_everything(engine: EngineName) {
    let mut cluster = Cluster::start_on(engine, 3, "").await;
    let load = Load::start(&cluster.clerk(CALL).await, 50, 500);
    for _ in 0..2 {
        load.next_write().await;
        let before = load.acknowledged();
        until("many writes are acknowledged", async || {
            (load.acknowledged() > before + 500).then_some(())
        })
        .await;
        cluster.kill_all();
        cluster.run_all();
        cluster.ready().await;
    }
    load.next_write().await;
    load.judge().await;
}

pub(crate) async fn a_node_that_is_asked_to_stop_ends_well_and_comes_back(engine: EngineName) {
    let mut cluster = Cluster::start_on(engine, 3, "").await;
    let load = Load::start(&cluster.clerk(CALL).await, 20, 200);
    for signal in [Signal::TERM, Signal::INT] {
        load.next_write().await;
        let leader = cluster.ready().await;
        cluster.signal(leader, signal);
        assert_eq!(cluster.ended(leader).await, Some(0));
        load.next_write().await;
        cluster.run(leader);
    }
    cluster.ready().await;
    load.judge().await;
}

pub(crate) async fn a_suspended_leader_is_replaced_and_answers_nothing_stale(engine: EngineName) {
    let mut cluster = Cluster::start_on(engine, 3, "").await;
    let load = Load::start(&cluster.clerk(CALL).await, 50, 20);
    for _ in 0..2 {
        suspend_the_leader(&mut cluster, &load).await;
    }
    cluster.ready().await;
    load.judge().await;
}

pub(crate) async fn a_minority_answers_an_error_within_the_deadline(engine: EngineName) {
    let mut cluster = Cluster::start_on(engine, 3, "").await;
    assert_eq!(cluster.synod(&["kv", "put", "k", "v"]).code, Some(0));
    for leader_survives in [false, true] {
        let leader = cluster.ready().await;
        let survivor = if leader_survives { leader } else { leader % 3 + 1 };
        let killed: Vec<usize> = (1..=3).filter(|node| *node != survivor).collect();
        killed.iter().for_each(|node| cluster.kill(*node));
        let start = Instant::now();
        let put = cluster.synod(&["kv", "--timeout-ms", "1500", "put", "k", "w"]);
        assert!(matches!(put.code, Some(3 | 4)), "{put:?}");
        let get = cluster.synod(&["kv", "--timeout-ms", "1500", "get", "k"]);
        assert_eq!((get.code, get.out.as_str()), (Some(3), ""), "{get:?}");
        assert!(start.elapsed() < Duration::from_secs(10));
        killed.iter().for_each(|node| cluster.run(*node));
        cluster.ready().await;
        assert_eq!(cluster.synod(&["kv", "get", "k"]).code, Some(0));
    }
}
