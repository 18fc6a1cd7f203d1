//! Stories of disks that fail and stall.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

#[allow(dead_code, reason = "not every story needs every helper")]
mod story;

#[allow(dead_code, reason = "not every story needs relief")]
mod rig;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rig::Rig;
use story::{LineNode, addresses, begin, config, lines, until, write};
use synod_consensus::Role;
use synod_runtime::{Outcome, StopReason};

/// A node whose disk gets this `fault` stops, says `why`, and has lost nothing that it acknowledged.
async fn stops_at(fault: impl Fn(&Rig) -> &AtomicBool, why: &str) {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::default();
    let mut config = config(1, dir.path(), &addresses(1));
    config.log_disk = rig.disk();
    let node = begin(&config).unwrap();
    write(&[&node], "acknowledged").await;
    fault(&rig).store(true, Ordering::Relaxed);
    assert_eq!(node.handle().write("in doubt").await, Outcome::Unknown);
    match node.stopped().await {
        StopReason::Fatal(said) => assert!(said.contains(why), "{said}"),
        other => panic!("{other:?}"),
    }
    drop(node);
    fault(&rig).store(false, Ordering::Relaxed);
    let node = begin(&config).unwrap();
    assert_eq!(lines(&[&node]).await[0], "acknowledged");
}

#[tokio::test]
async fn a_failed_sync_stops_the_node_and_nothing_acknowledged_is_lost() {
    stops_at(|rig| &rig.fails, "the disk is broken").await;
}

#[tokio::test]
async fn a_sync_thread_that_panics_stops_the_node() {
    stops_at(|rig| &rig.panics, "the sync thread panicked").await;
}

#[tokio::test]
async fn a_disk_that_never_syncs_acknowledges_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::default();
    let mut config = config(1, dir.path(), &addresses(1));
    config.log_disk = rig.disk();
    let node = begin(&config).unwrap();
    write(&[&node], "before").await;
    rig.stalls.store(true, Ordering::Relaxed);
    let handle = node.handle();
    let mut waiting = tokio::spawn(async move { handle.write("during").await });
    let patience = Duration::from_millis(500);
    assert!(tokio::time::timeout(patience, &mut waiting).await.is_err(), "it was acknowledged");
    rig.stalls.store(false, Ordering::Relaxed);
    assert_eq!(waiting.await.unwrap(), Outcome::Done(2));
}

#[tokio::test]
async fn a_leader_whose_disk_stalls_goes_on_leading_and_committing() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let addresses = addresses(3);
    let rigs = [Rig::default(), Rig::default(), Rig::default()];
    let begin = |number: usize| {
        let mut config = config(number as u64 + 1, dirs[number].path(), &addresses);
        config.log_disk = rigs[number].disk();
        begin(&config).unwrap()
    };
    let nodes = [begin(0), begin(1), begin(2)];
    let all: Vec<&LineNode> = nodes.iter().collect();
    write(&all, "before").await;
    let leads = |node: &LineNode| node.handle().status().log.role == Role::Leader;
    until("a leader", || nodes.iter().any(leads)).await;
    let leader = nodes.iter().position(leads).unwrap();
    let handle = nodes[leader].handle();
    let epoch = handle.status().log.epoch;
    rigs[leader].stalls.store(true, Ordering::Relaxed);
    // Ten election timeouts.
    for number in 0..30 {
        let patience = Duration::from_secs(5);
        let written = tokio::time::timeout(patience, handle.write(format!("{number}"))).await;
        assert_eq!(written.expect("the followers' disks are enough"), Outcome::Done(number + 2));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let status = handle.status();
    assert_eq!((status.log.role, status.log.epoch), (Role::Leader, epoch), "an election was held");
    rigs[leader].stalls.store(false, Ordering::Relaxed);
    assert_eq!(write(&all, "after").await, 32);
}

/// Three nodes on rigged disks, one of which leads.
struct Rigged {
    _dirs: Vec<tempfile::TempDir>,
    rigs: [Rig; 3],
    nodes: [LineNode; 3],
    leader: usize,
}

impl Rigged {
    async fn cluster(stall_handover_ms: u64) -> Self {
        let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let addresses = addresses(3);
        let rigs = [Rig::default(), Rig::default(), Rig::default()];
        let nodes = [0, 1, 2].map(|number: usize| {
            let mut config = config(number as u64 + 1, dirs[number].path(), &addresses);
            config.log_disk = rigs[number].disk();
            config.limits.stall_handover_ms = stall_handover_ms;
            begin(&config).unwrap()
        });
        write(&nodes.iter().collect::<Vec<_>>(), "before").await;
        until("a leader", || nodes.iter().any(leads)).await;
        let leader = nodes.iter().position(leads).unwrap();
        Self { _dirs: dirs, rigs, nodes, leader }
    }

    fn all(&self) -> Vec<&LineNode> {
        self.nodes.iter().collect()
    }

    fn stall(&self, number: usize, stalls: bool) {
        self.rigs[number].stalls.store(stalls, Ordering::Relaxed);
    }
}

fn leads(node: &LineNode) -> bool {
    node.handle().status().log.role == Role::Leader
}

#[tokio::test]
async fn a_leader_whose_disk_stalls_beyond_the_limit_hands_over_and_the_cluster_goes_on() {
    let cluster = Rigged::cluster(600).await;
    let old = cluster.leader;
    let epoch = cluster.nodes[old].handle().status().log.epoch;
    cluster.stall(old, true);
    // Something that is not durable: without it nobody knows that the disk stalls, nor cares.
    write(&cluster.all(), "during").await;
    until("another leads", || {
        cluster.nodes.iter().enumerate().any(|(number, node)| number != old && leads(node))
    })
    .await;
    let others: Vec<&LineNode> = cluster
        .nodes
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != old)
        .map(|(_, node)| node)
        .collect();
    for number in 0..20 {
        write(&others, &format!("{number}")).await;
    }
    // Longer than the limit and ten election timeouts: once is enough.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = others.iter().find(|node| leads(node)).unwrap().handle().status();
    assert_eq!(status.log.epoch.0, epoch.0 + 1, "one orderly election");
    assert!(!leads(&cluster.nodes[old]));
    cluster.stall(old, false);
    let count = write(&cluster.all(), "after").await;
    let log = cluster.nodes[old].handle();
    until("it catches up", || log.status().log.applied >= status.log.applied).await;
    assert_eq!(lines(&cluster.all()).await.len(), count);
}

#[tokio::test]
async fn a_follower_whose_disk_stalls_costs_nothing() {
    let cluster = Rigged::cluster(600).await;
    let leader = &cluster.nodes[cluster.leader];
    let epoch = leader.handle().status().log.epoch;
    cluster.stall((cluster.leader + 1) % 3, true);
    for number in 0..20 {
        let patience = Duration::from_secs(1);
        let handle = leader.handle();
        let written = tokio::time::timeout(patience, handle.write(format!("{number}"))).await;
        assert_eq!(written.expect("two disks are enough"), Outcome::Done(number + 2));
        let read = tokio::time::timeout(patience, handle.query(())).await;
        assert!(matches!(read.expect("reads need no disk"), Outcome::Done(_)));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let status = leader.handle().status();
    assert_eq!((status.log.role, status.log.epoch), (Role::Leader, epoch), "an election was held");
    cluster.stall((cluster.leader + 1) % 3, false);
    until("it catches up", || {
        let applied = status.log.applied;
        cluster.nodes.iter().all(|node| node.handle().status().log.applied >= applied)
    })
    .await;
}
