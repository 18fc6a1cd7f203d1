//! Each engine in real processes: histories stay linearizable while leaders are killed; a directory and a
//! peer of another engine are refused.

use rustix::process::Signal;
use synod_consensus::Role;

use crate::cluster::{Cluster, until};
use crate::crashes::kill_leaders_of;

async fn survives_kills_of_its_leader(engine: &str) {
    let mut cluster = Cluster::start_with(3, &format!("engine = \"{engine}\"")).await;
    kill_leaders_of(&mut cluster, 3, (30, 100)).await;
    cluster.kill_all();
    cluster.run_all();
    cluster.ready().await;
    let put = cluster.synod(&["kv", "put", "k", "v"]);
    assert_eq!(put.code, Some(0), "{put:?}");
    let get = cluster.synod(&["kv", "get", "k"]);
    assert_eq!(get.out, "v\n", "{get:?}");
}

#[tokio::test]
async fn multi_paxos_survives_kills_of_its_leader() {
    survives_kills_of_its_leader("paxos").await;
}

#[tokio::test]
async fn zab_survives_kills_of_its_leader() {
    survives_kills_of_its_leader("zab").await;
}

#[tokio::test]
async fn a_directory_and_a_peer_of_another_engine_are_refused() {
    let mut cluster = Cluster::make(3, "engine = \"paxos\"");
    let rewrite = |cluster: &Cluster, from: &str, to: &str| {
        let file = cluster.config(3);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(from, to)).unwrap();
    };
    cluster.run_all();
    cluster.ready().await;
    cluster.kill(3);
    rewrite(&cluster, "\"paxos\"", "\"zab\"");
    cluster.run(3);
    assert_eq!(cluster.ended(3).await, Some(6));
    let file = cluster.path("node3.log");
    let log = || std::fs::read_to_string(&file).unwrap();
    assert!(log().contains("was written by paxos, and zab cannot read it"), "{}", log());

    // In an empty directory it starts, and nobody hears it.
    std::fs::remove_dir_all(cluster.path("node3")).unwrap();
    cluster.run(3);
    until("it is refused", async || log().contains("it runs another engine").then_some(())).await;
    let leads = cluster.status(3).await.is_some_and(|report| report.log.role == Role::Leader);
    assert!(!leads, "it is alone");
    cluster.signal(3, Signal::TERM);
    assert_eq!(cluster.ended(3).await, Some(0));
    let put = cluster.synod(&["kv", "put", "k", "v"]);
    assert_eq!(put.code, Some(0), "{put:?}");
}
