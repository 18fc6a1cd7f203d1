//! What is off by default and may be switched on: leases, forwarding, hibernation. Histories stay
//! linearizable while leaders are killed, and each does what it is for.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use synod::engines::EngineName;
use synod_consensus::Role;
use synod_kv::message::{Command, Response};
use synod_kv::wire::{FromServer, Hello, OLDEST_PROTOCOL, Outcome, Reply, write_command};

use crate::cluster::{Cluster, until};
use crate::crashes::{kill_leaders_of, suspend_the_leader};
use crate::history::Load;
use crate::serving::counter_of;

const CALL: Duration = Duration::from_secs(20);

/// What the nodes of a cluster that rests say to each other in a second at most, all together, in bytes:
/// that they are there. Heartbeats alone take three times as much.
const SILENCE_BYTES: u64 = 1_000;

async fn leases_let_nothing_stale_be_read(engine: EngineName) {
    let mut cluster = Cluster::start_on(engine, 3, "[log]\nlease_max_drift_percent = 10").await;
    let load = Load::start(&cluster.clerk(CALL).await, 30, 20);
    for _ in 0..2 {
        suspend_the_leader(&mut cluster, &load).await;
        let leader = cluster.ready().await;
        cluster.kill(leader);
        load.next_write().await;
        cluster.run(leader);
    }
    cluster.ready().await;
    load.judge().await;
}

#[tokio::test]
async fn with_leases_of_raft_nothing_stale_is_read_while_leaders_are_killed_and_suspended() {
    leases_let_nothing_stale_be_read(EngineName::Raft).await;
}

#[tokio::test]
async fn with_leases_of_multi_paxos_nothing_stale_is_read_while_leaders_are_killed_and_suspended() {
    leases_let_nothing_stale_be_read(EngineName::Paxos).await;
}

/// What `node` answers to a client that speaks the oldest version and wants a session, whoever leads.
fn opens_a_session(cluster: &Cluster, node: usize) -> Outcome {
    let mut stream = TcpStream::connect(&cluster.clients[node - 1]).unwrap();
    let mut asks = Vec::new();
    Hello { protocol: OLDEST_PROTOCOL, cluster: None }.write(&mut asks);
    write_command(1, &Command::Open { lease_ms: 10_000 }, &mut asks);
    stream.write_all(&asks).unwrap();
    let (mut said, mut chunk) = (BytesMut::new(), [0; 4096]);
    loop {
        match FromServer::read(&mut said).unwrap() {
            Some(FromServer::Welcome(welcome)) => assert_eq!(welcome.protocol, OLDEST_PROTOCOL),
            Some(FromServer::Reply(Reply { outcome, .. })) => return outcome,
            Some(other) => panic!("nobody asked for {other:?}"),
            None => {
                let count = stream.read(&mut chunk).unwrap();
                assert!(count > 0, "it left");
                said.extend_from_slice(&chunk[..count]);
            }
        }
    }
}

pub(crate) async fn with_forwarding_a_follower_takes_writes_for_its_leader(engine: EngineName) {
    let mut cluster = Cluster::start_on(engine, 3, "[log]\nforward_proposals = true").await;
    let follower = cluster.ready().await % 3 + 1;
    let outcome = opens_a_session(&cluster, follower);
    assert!(matches!(outcome, Outcome::Written(Response::Opened { .. })), "{outcome:?}");
    kill_leaders_of(&mut cluster, 2, (30, 100)).await;
    drop(cluster);

    let mut cluster = Cluster::start_on(engine, 3, "[log]\nforward_proposals = false").await;
    let follower = cluster.ready().await % 3 + 1;
    let outcome = opens_a_session(&cluster, follower);
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
}

/// Waits until the nodes say next to nothing to each other for a second.
async fn falls_silent(cluster: &Cluster, nodes: &[usize]) {
    let said = || {
        let of = |node: &usize| counter_of(cluster, *node, "synod_peer_out_bytes_total");
        nodes.iter().map(of).sum::<Option<u64>>().unwrap()
    };
    let (mut before, mut since) = (said(), Instant::now());
    until("the cluster falls silent", async || {
        if since.elapsed() < Duration::from_secs(1) {
            return None;
        }
        let now = said();
        let spoken = now - std::mem::replace(&mut before, now);
        since = Instant::now();
        (spoken < SILENCE_BYTES).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_cluster_that_nobody_asks_rests_and_wakes_for_a_write_and_for_the_loss_of_its_leader() {
    let mut cluster = Cluster::start_with(3, "[log]\nhibernate_after_heartbeats = 10").await;
    assert_eq!(cluster.synod(&["kv", "put", "k", "v"]).code, Some(0));
    falls_silent(&cluster, &[1, 2, 3]).await;
    assert_eq!(cluster.synod(&["kv", "get", "k"]).out, "v\n");
    falls_silent(&cluster, &[1, 2, 3]).await;

    let leader = cluster.ready().await;
    cluster.kill(leader);
    let rest: Vec<usize> = (1..=3).filter(|node| *node != leader).collect();
    until("another leads, though nobody asked for anything", async || {
        for node in &rest {
            if cluster.status(*node).await?.log.role == Role::Leader {
                return Some(());
            }
        }
        None
    })
    .await;
    assert_eq!(cluster.synod(&["kv", "put", "k", "w"]).code, Some(0));
    cluster.run(leader);
    cluster.ready().await;
    kill_leaders_of(&mut cluster, 2, (30, 100)).await;
}
