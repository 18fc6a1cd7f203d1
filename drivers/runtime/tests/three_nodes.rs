//! Stories of a cluster of three in one process: election, failover, a snapshot for a node that was
//! away, a directory that was emptied.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod story;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use story::{LineNode, addresses, begin, begin_with, config, lines, raft, until, write};
use synod_consensus::Role;
use synod_engine::NodeId;
use synod_runtime::{Disk, FreeSpace, NodeConfig};
use tempfile::TempDir;

struct Three {
    dirs: Vec<TempDir>,
    addresses: Vec<SocketAddr>,
}

impl Three {
    fn new() -> Self {
        let dirs = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        Self { dirs, addresses: addresses(3) }
    }

    fn config(&self, node: u64) -> NodeConfig {
        config(node, self.dirs[node as usize - 1].path(), &self.addresses)
    }

    fn begin(&self, node: u64) -> LineNode {
        begin(&self.config(node)).unwrap()
    }
}

fn leader(nodes: &[LineNode]) -> Option<usize> {
    nodes.iter().position(|node| node.handle().status().log.role == Role::Leader)
}

#[tokio::test]
async fn three_nodes_elect_a_leader_and_agree() {
    let three = Three::new();
    let nodes = [three.begin(1), three.begin(2), three.begin(3)];
    let all: Vec<&LineNode> = nodes.iter().collect();
    for number in 0..50 {
        assert_eq!(write(&all, &number.to_string()).await, number + 1);
    }
    until("all have applied", || {
        nodes.iter().all(|node| {
            let status = node.handle().status();
            status.log.applied == status.log.last && status.log.commit.0 >= 51
        })
    })
    .await;
    assert!(
        nodes
            .iter()
            .all(|node| { node.handle().status().peers.iter().all(|peer| peer.version.is_some()) })
    );
}

#[tokio::test]
async fn when_the_leader_is_killed_writes_go_on_and_none_is_lost() {
    let three = Three::new();
    let mut nodes = vec![three.begin(1), three.begin(2), three.begin(3)];
    let mut expected = Vec::new();
    for kill in 0..3 {
        for number in 0..20 {
            let line = format!("{kill}.{number}");
            write(&nodes.iter().collect::<Vec<_>>(), &line).await;
            expected.push(line);
        }
        until("a leader is known", || leader(&nodes).is_some()).await;
        let killed = nodes.remove(leader(&nodes).unwrap());
        let node = killed.identity().node;
        drop(killed);
        write(&nodes.iter().collect::<Vec<_>>(), "after a kill").await;
        expected.push("after a kill".into());
        nodes.push(three.begin(node.0));
    }
    assert_eq!(lines(&nodes.iter().collect::<Vec<_>>()).await, expected);
}

#[tokio::test]
async fn a_restart_of_all_loses_nothing() {
    let three = Three::new();
    let nodes = vec![three.begin(1), three.begin(2), three.begin(3)];
    for number in 0..20 {
        write(&nodes.iter().collect::<Vec<_>>(), &number.to_string()).await;
    }
    drop(nodes);
    let nodes = [three.begin(1), three.begin(2), three.begin(3)];
    assert_eq!(lines(&nodes.iter().collect::<Vec<_>>()).await.len(), 20);
}

#[tokio::test]
async fn a_node_that_was_away_gets_a_snapshot() {
    let three = Three::new();
    let begin = |node| {
        let config = three.config(node);
        let mut raft = raft(&config);
        raft.bounds.snapshot_every = 50;
        raft.bounds.keep_log_bytes = 500;
        begin_with(&config, raft).unwrap()
    };
    let nodes = [begin(1), begin(2)];
    let both: Vec<&LineNode> = nodes.iter().collect();
    let long = "x".repeat(20_000);
    for number in 0..200 {
        write(&both, &format!("{number} {long}")).await;
    }
    let has_snapshot = |node: &LineNode| node.handle().status().log.snapshot.0 >= 50;
    until("there are snapshots", || nodes.iter().all(has_snapshot)).await;
    let late = begin(3);
    let handle = late.handle();
    until("it has caught up", || handle.status().log.applied.0 > 200).await;
    assert!(handle.status().log.snapshot.0 >= 50, "by a snapshot, not entry by entry");
    let blobs = || std::fs::read_dir(three.dirs[2].path().join("blobs")).unwrap();
    assert!(blobs().count() >= 1);
    // It has the whole state: the cluster goes on with it and one other.
    let [first, second] = nodes;
    first.shutdown().await;
    let rest = [&second, &late];
    assert_eq!(write(&rest, "last").await, 201);
    assert_eq!(lines(&rest).await.len(), 201);
}

/// A leader whose disk is nearly full refuses proposals. It hands over, once, to one whose disk is not.
#[tokio::test]
async fn a_leader_whose_disk_gets_low_hands_over_and_writes_go_on() {
    let three = Three::new();
    let free: [Arc<AtomicU64>; 3] = std::array::from_fn(|_| Arc::new(AtomicU64::new(1 << 40)));
    let nodes = [1, 2, 3].map(|node| {
        let mut config = three.config(node);
        let free = free[node as usize - 1].clone();
        config.free_space = FreeSpace::of(move |_| Ok(free.load(Ordering::Relaxed)));
        begin(&config).unwrap()
    });
    write(&nodes.each_ref(), "before").await;
    let first = leader(&nodes).unwrap();
    free[first].store(0, Ordering::Relaxed);
    until("another leads", || leader(&nodes).is_some_and(|now| now != first)).await;
    assert_eq!(nodes[first].handle().status().disk, Disk::Low);
    write(&nodes.each_ref(), "after").await;
    // With all disks low one of them leads on: handing over would help nobody.
    free.iter().for_each(|free| free.store(0, Ordering::Relaxed));
    let all_low = || nodes.iter().all(|node| node.handle().status().disk == Disk::Low);
    until("all are low", all_low).await;
    until("one leads", || leader(&nodes).is_some()).await;
    free.iter().for_each(|free| free.store(1 << 40, Ordering::Relaxed));
    write(&nodes.each_ref(), "again").await;
}

#[tokio::test]
async fn a_peer_whose_directory_was_emptied_is_not_taken_for_itself() {
    let mut three = Three::new();
    let nodes = [three.begin(1), three.begin(2)];
    let third = three.begin(3);
    let connected = |node: &LineNode, peer: u64| {
        let status = node.handle().status();
        status.peers.iter().any(|state| state.node == NodeId(peer) && state.version.is_some())
    };
    until("all are connected", || nodes.iter().all(|node| connected(node, 3))).await;
    third.shutdown().await;
    // Who knows no leader hears strangers.
    write(&[&nodes[0], &nodes[1]], "one of them leads").await;
    three.dirs[2] = tempfile::tempdir().unwrap();
    let third = three.begin(3);
    until("it is gone", || !nodes.iter().any(|node| connected(node, 3))).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!nodes.iter().any(|node| connected(node, 3)), "it is refused");
    assert!(!connected(&third, 1) && !connected(&third, 2));
    write(&[&nodes[0], &nodes[1]], "goes on").await;
}
