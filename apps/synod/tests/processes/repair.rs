//! Nodes whose log or snapshots are damaged: told by exit code, file and place, and brought back as
//! newcomers that nobody counts.

use std::path::{Path, PathBuf};

use synod::engines::EngineName;

use crate::cluster::{Cluster, Ran, run, synod, until};

fn start(cluster: &Cluster, node: usize) -> Ran {
    run(synod(Path::new(".")).args(["node", "--config"]).arg(cluster.config(node)))
}

fn repair(cluster: &Cluster, node: usize, flags: &[&str]) -> Ran {
    let dir = cluster.path(&format!("node{node}"));
    run(synod(Path::new(".")).arg("repair").arg(dir).args(flags))
}

/// Flips a bit in the middle of what was written of the first file in `node/directory`: not in the zeros that
/// fill a block, which are nobody's.
fn damage(cluster: &Cluster, directory: &str) -> PathBuf {
    let mut files: Vec<PathBuf> = std::fs::read_dir(cluster.path(directory))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let mut bytes = std::fs::read(&files[0]).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let middle = bytes[..=written / 2].iter().rposition(|byte| *byte != 0).unwrap();
    bytes[middle] ^= 1;
    std::fs::write(&files[0], bytes).unwrap();
    files.swap_remove(0)
}

fn assert_says(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    let all = format!("{}{}", ran.out, ran.err);
    for word in words {
        assert!(all.contains(word), "{word:?} is not in {ran:?}");
    }
}

fn identity(cluster: &Cluster, node: usize) -> String {
    std::fs::read_to_string(cluster.path(&format!("node{node}/identity.toml"))).unwrap()
}

pub(crate) async fn a_node_with_a_damaged_log_comes_back_as_a_newcomer_that_nobody_counts(
    engine: EngineName,
) {
    let mut cluster = Cluster::start_on(engine, 3, "").await;
    for number in 0..20 {
        let key = format!("k{number}");
        assert_eq!(cluster.synod(&["kv", "put", &key, "v"]).code, Some(0));
    }
    assert_says(&repair(&cluster, 3, &[]), 6, &["in use by a running process"]);
    cluster.kill(3);
    assert_says(&repair(&cluster, 3, &["--dry-run"]), 1, &["live records", "Nothing is damaged"]);
    let file = damage(&cluster, "node3/log");
    let file = file.display().to_string();
    assert_says(&start(&cluster, 3), 6, &[&file, "damaged at offset", "nothing was changed"]);

    let before = identity(&cluster, 3);
    assert_says(&repair(&cluster, 3, &["--dry-run"]), 0, &[&file, "Nothing was changed"]);
    assert_eq!(identity(&cluster, 3), before);
    let repaired = repair(&cluster, 3, &["--json"]);
    assert_says(&repaired, 0, &[]);
    let told: serde_json::Value = serde_json::from_str(&repaired.out).unwrap();
    assert_eq!(told["repaired"], true);
    assert_eq!(told["directory"]["damage"][0]["file"], file);
    let incarnation = told["incarnation"].as_str().unwrap();
    assert!(identity(&cluster, 3).contains(incarnation) && !before.contains(incarnation));
    assert!(cluster.path("node3/damaged-1/log").exists(), "nothing is deleted");
    assert!(!cluster.path("node3/log").exists());
    assert_says(&repair(&cluster, 3, &[]), 1, &["Nothing is damaged"]);

    // It runs, and the others neither let it in nor count it: without one of them nothing is decided.
    cluster.run(3);
    let log = cluster.path("node3.log");
    until("it is refused", async || {
        std::fs::read_to_string(&log).unwrap().contains("this node was repaired").then_some(())
    })
    .await;
    assert_eq!(cluster.synod(&["kv", "get", "k7"]).out, "v\n");
    cluster.kill(2);
    let put = cluster.synod(&["kv", "put", "k", "w", "--timeout-ms", "1500"]);
    assert!(matches!(put.code, Some(3..=5)), "{put:?}");
    cluster.run(2);
    until("two of the old ones decide again", async || {
        let put = cluster.synod(&["kv", "put", "k", "w"]);
        (put.code == Some(0)).then_some(())
    })
    .await;

    // Told of its new incarnation, they let it in; then it may take the place of another.
    let address = cluster.clients[2].clone();
    let told = ["members", "--timeout-ms", "30000", "replace", "3", &address];
    assert_says(&cluster.synod(&told), 0, &[incarnation]);
    cluster.ready().await;
    cluster.kill(2);
    until("it counts", async || {
        let put = cluster.synod(&["kv", "put", "k", "x"]);
        (put.code == Some(0)).then_some(())
    })
    .await;
    assert_eq!(cluster.synod(&["kv", "get", "k7"]).out, "v\n");
}

/// Node 1 lags behind what 2 and 3 acknowledged, 3 is down, and of 2 everything is gone: were it heard as the
/// founder that it takes itself for, the two of them would begin anew.
pub(crate) async fn a_founder_whose_directory_was_removed_is_heard_by_nobody_until_it_is_repaired(
    engine: EngineName,
) {
    let mut cluster = Cluster::start_on(engine, 3, "").await;
    cluster.kill(1);
    for number in 0..20 {
        let key = format!("k{number}");
        assert_eq!(cluster.synod(&["kv", "put", &key, "v"]).code, Some(0));
    }
    cluster.kill_all();
    std::fs::remove_dir_all(cluster.path("node2")).unwrap();
    cluster.run(1);
    cluster.run(2);
    let log = cluster.path("node2.log");
    until("it is refused", async || {
        let log = std::fs::read_to_string(&log).unwrap();
        log.contains("the directory was emptied, repaired or replaced").then_some(())
    })
    .await;
    let put = cluster.synod(&["kv", "put", "k", "w", "--timeout-ms", "3000"]);
    assert!(matches!(put.code, Some(3..=5)), "{put:?}");
    cluster.run(3);
    until("two of the old ones decide", async || {
        (cluster.synod(&["kv", "put", "k", "w"]).code == Some(0)).then_some(())
    })
    .await;
    for number in 0..20 {
        assert_eq!(cluster.synod(&["kv", "get", &format!("k{number}")]).out, "v\n");
    }

    let address = cluster.clients[1].clone();
    let replace = ["members", "--timeout-ms", "30000", "replace", "2", &address];
    let refused = ["takes itself for a founder", "synod repair --force", "nothing was changed"];
    assert_says(&cluster.synod(&replace), 3, &refused);
    assert_eq!(cluster.synod(&["members", "remove", "2"]).code, Some(0));
    let add = ["members", "add", &address];
    assert_says(&cluster.synod(&add), 3, &["it was emptied", "synod repair --force"]);
    cluster.kill(2);
    assert_says(&repair(&cluster, 2, &["--force"]), 0, &["a member of nothing"]);
    cluster.run(2);
    until("it runs", async || cluster.status(2).await).await;
    assert_says(&cluster.synod(&replace), 0, &[]);
    cluster.ready().await;
    cluster.kill(1);
    until("it counts", async || {
        (cluster.synod(&["kv", "put", "k", "x"]).code == Some(0)).then_some(())
    })
    .await;
    assert_eq!(cluster.synod(&["kv", "get", "k7"]).out, "v\n");
}

pub(crate) async fn a_damaged_or_missing_snapshot_is_told_and_repaired(engine: EngineName) {
    let mut cluster = Cluster::start_on(engine, 1, "[log]\nsnapshot_every = 10").await;
    for number in 0..40 {
        let key = format!("k{number}");
        assert_eq!(cluster.synod(&["kv", "put", &key, "v"]).code, Some(0));
    }
    let blobs = cluster.path("node1/blobs");
    until("a snapshot is written, and those before it are gone", async || {
        let is_written = cluster.status(1).await?.log.snapshot.0 > 0;
        (is_written && std::fs::read_dir(&blobs).unwrap().count() == 1).then_some(())
    })
    .await;
    cluster.kill(1);
    let file = damage(&cluster, "node1/blobs");
    let file = file.display().to_string();
    assert_says(&start(&cluster, 1), 6, &[&file, "synod repair", "nothing was changed"]);
    assert_says(&repair(&cluster, 1, &["--dry-run"]), 0, &[&file]);
    std::fs::remove_dir_all(blobs).unwrap();
    assert_says(&start(&cluster, 1), 6, &["it is missing", "synod repair"]);
    assert_says(&repair(&cluster, 1, &[]), 0, &["damaged-1", "incarnation"]);
    std::fs::remove_dir_all(cluster.path("node1/damaged-1")).unwrap();
}

#[test]
fn what_is_no_directory_of_a_node_is_left_alone() {
    let cluster = Cluster::make(1, "");
    assert_says(&repair(&cluster, 1, &[]), 6, &["identity.toml", "nothing was changed"]);
    assert!(!cluster.path("node1").exists());
    std::fs::create_dir(cluster.path("node1")).unwrap();
    assert_says(&repair(&cluster, 1, &["--json"]), 6, &["\"kind\":\"data\""]);
    assert_eq!(std::fs::read_dir(cluster.path("node1")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_log_that_is_gone_is_damage_even_where_nobody_was_met() {
    let mut cluster = Cluster::start(1).await;
    assert_eq!(cluster.synod(&["kv", "put", "k", "v"]).code, Some(0));
    cluster.kill(1);
    std::fs::remove_dir_all(cluster.path("node1/log")).unwrap();
    assert_says(&start(&cluster, 1), 6, &["log is empty or gone", "nothing was changed"]);
    assert_says(&repair(&cluster, 1, &["--dry-run"]), 0, &["empty or gone"]);
    assert_says(&repair(&cluster, 1, &[]), 0, &["a member of nothing"]);
    // The only node of a group that is gone founds none by itself.
    cluster.run(1);
    until("it runs", async || cluster.status(1).await).await;
    let put = cluster.synod(&["kv", "put", "k", "w", "--timeout-ms", "1000"]);
    assert!(matches!(put.code, Some(3..=5)), "{put:?}");
}
