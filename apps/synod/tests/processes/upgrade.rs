//! A cluster is upgraded node by node while clients write.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use crate::cluster::{Cluster, until};
use crate::history::Load;
use crate::serving::get;

const CALL: Duration = Duration::from_secs(20);

/// The versions that the sessions of a node speak, if it has one with each of the others.
fn spoken(cluster: &Cluster, node: usize) -> Option<BTreeSet<u64>> {
    let page = get(&cluster.https[node - 1], "/status");
    let status: serde_json::Value = serde_json::from_str(page.lines().last()?).ok()?;
    let peers = status["peers"].as_array()?;
    let versions = peers.iter().map(|peer| peer["version"].as_u64());
    versions.collect::<Option<_>>()
}

async fn load(cluster: &Cluster) -> Load {
    let load = Load::start(&cluster.clerk(CALL).await, 50, 500);
    load.next_write().await;
    load
}

/// Stops the nodes one after the other and starts each as `next` does, under load.
async fn roll(cluster: &mut Cluster, load: &Load, mut next: impl FnMut(&mut Cluster, usize)) {
    for node in 1..=3 {
        cluster.signal(node, Signal::TERM);
        assert_eq!(cluster.ended(node).await, Some(0));
        load.next_write().await;
        next(cluster, node);
        cluster.ready().await;
        load.next_write().await;
    }
}

#[tokio::test]
async fn a_cluster_comes_to_speak_the_next_version_under_load_and_nothing_is_lost() {
    let mut cluster = Cluster::start_with(3, "[limits]\npeer_version = 2").await;
    assert_eq!(spoken(&cluster, 1), Some([2].into()));
    let load = load(&cluster).await;
    roll(&mut cluster, &load, |cluster, node| {
        let file = cluster.config(node);
        let old = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, old.replace("peer_version = 2", "")).unwrap();
        cluster.run(node);
    })
    .await;
    for node in 1..=3 {
        let speaks_3 = async || (spoken(&cluster, node)? == [3].into()).then_some(());
        until("all sessions speak version 3", speaks_3).await;
    }
    load.judge().await;
}

/// The same with the program of an older version, from which the cluster is upgraded and to which it goes
/// back. `SYNOD_OLD=/path/to/synod cargo test -p synod --test processes -- --ignored older_program`
#[tokio::test]
#[ignore = "needs another program"]
async fn an_older_program_is_replaced_under_load_and_put_back() {
    let old = PathBuf::from(std::env::var_os("SYNOD_OLD").expect("SYNOD_OLD names a program"));
    let mut cluster = Cluster::make(3, "");
    (1..=3).for_each(|node| cluster.run_program(node, &old));
    cluster.ready().await;
    let load = load(&cluster).await;
    roll(&mut cluster, &load, Cluster::run).await;
    roll(&mut cluster, &load, |cluster, node| cluster.run_program(node, &old)).await;
    load.judge().await;
}
