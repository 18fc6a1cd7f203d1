//! A majority that is lost for good: one survivor is made the whole cluster, and the others fenced off.

use std::path::Path;

use crate::cluster::{Cluster, run, synod, until};

const OLD: &str = "00000000000000c1";

#[tokio::test]
async fn a_survivor_becomes_the_cluster_and_the_old_members_are_fenced_off() {
    let mut cluster = Cluster::start(3).await;
    assert_eq!(cluster.synod(&["kv", "put", "k", "v"]).code, Some(0));
    until("node 3 has it", async || {
        (cluster.status(3).await?.log.applied == cluster.status(1).await?.log.commit).then_some(())
    })
    .await;
    let dir = cluster.path("node3");
    let recover = |flags: &[&str]| run(synod(Path::new(".")).arg("recover").arg(&dir).args(flags));
    assert_eq!(recover(&["--accept-data-loss"]).code, Some(6), "the node runs");
    cluster.kill_all();
    let refused = recover(&[]);
    assert!(refused.code == Some(2) && refused.err.contains("Nothing was changed"), "{refused:?}");

    let recovered = recover(&["--accept-data-loss", "--json"]);
    assert_eq!(recovered.code, Some(0), "{recovered:?}");
    let told: serde_json::Value = serde_json::from_str(&recovered.out).unwrap();
    let new = told["cluster"].as_str().unwrap();
    for file in [cluster.config(3), cluster.path("cluster.toml")] {
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, text.replace(OLD, new)).unwrap();
    }
    cluster.run(3);
    cluster.ready().await;
    assert_eq!(cluster.synod(&["kv", "get", "k"]).out, "v\n");
    assert_eq!(cluster.synod(&["kv", "put", "k", "w"]).code, Some(0));

    cluster.run(1);
    let log = cluster.path("node1.log");
    until("an old member is turned away", async || {
        std::fs::read_to_string(&log).unwrap().contains(new).then_some(())
    })
    .await;
    assert_eq!(cluster.synod(&["kv", "get", "k"]).out, "w\n");

    // What the survivor was told to do with the others.
    cluster.kill(1);
    let dir = cluster.path("node1");
    let repair = |flags: &[&str]| run(synod(Path::new(".")).arg("repair").arg(&dir).args(flags));
    assert_eq!(repair(&["--cluster", new]).code, Some(2), "only with --force");
    let repaired = repair(&["--force", "--cluster", new]);
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    let file = cluster.config(1);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("join = true\n{}", text.replace(OLD, new))).unwrap();
    cluster.run(1);
    until("it waits to be added", async || cluster.status(1).await).await;
    let added = cluster.synod(&["members", "add", &cluster.clients[0]]);
    assert_eq!(added.code, Some(0), "{added:?}");
    cluster.ready().await;
    assert_eq!(cluster.synod(&["kv", "get", "k", "--cluster", &cluster.clients[0]]).out, "w\n");
}
