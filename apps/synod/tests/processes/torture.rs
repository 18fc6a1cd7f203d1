//! `synod torture`: a sound cluster survives it, and what is not sound is found.

use std::path::Path;

use serde_json::Value;
use synod::engines::EngineName;

use crate::cluster::{Cluster, Ran, run, synod, until};

/// Runs a torture in `dir`; how it ended, and what it says in the end.
fn torture(dir: &Path, arguments: &[&str]) -> (Ran, Value) {
    let mut command = synod(dir);
    command.args(["torture", "--json", "--dir", "torture"]).args(arguments);
    let ran = run(&mut command);
    let end = last_line(&ran);
    (ran, end)
}

fn last_line(ran: &Ran) -> Value {
    let line = ran.out.lines().last().unwrap_or_else(|| panic!("it says nothing: {ran:?}"));
    serde_json::from_str(line).unwrap()
}

pub(crate) async fn a_cluster_survives_torture_and_the_torture_goes_on_where_it_ended(
    engine: EngineName,
) {
    let dir = tempfile::tempdir().unwrap();
    let short = ["--round-seconds", "8", "--recovery-seconds", "120", "--duration"];
    let begin = [&["--engine", engine.name(), "--seed", "3"], &short[..], &["8s"]].concat();
    let (ran, end) = torture(dir.path(), &begin);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!((&end["verdict"], &end["rounds"]), (&"ok".into(), &1.into()), "{ran:?}");
    assert!(end["done"].as_u64() > Some(100), "{end}");
    assert!(end["faults"].as_object().is_some_and(|faults| faults.len() > 2), "{end}");
    let page = std::fs::read_to_string(dir.path().join("torture/report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("kill"));

    let (ran, _) = torture(dir.path(), &begin);
    assert_eq!(ran.code, Some(6), "a directory is not used twice by accident: {ran:?}");

    let longer = format!("{}s", end["elapsed_ms"].as_u64().unwrap() / 1_000 + 6);
    let again = [&["--resume"], &short[..], &[&longer]].concat();
    let (ran, end) = torture(dir.path(), &again);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!((&end["verdict"], &end["rounds"]), (&"ok".into(), &2.into()), "{ran:?}");
}

#[tokio::test]
async fn a_majority_that_loses_its_data_is_found() {
    let mut cluster = Cluster::start(3).await;
    let dir = cluster.path("torture").display().to_string();
    let servers = cluster.clients.join(",");
    let arguments = [
        "torture",
        "--json",
        "--dir",
        &dir,
        "--attach",
        &servers,
        "--duration",
        "15s",
        "--recovery-seconds",
        "15",
    ];
    let mut command = cluster.command(&arguments);
    let torture = tokio::task::spawn_blocking(move || run(&mut command));
    until("much is written", async || (cluster.status(1).await?.log.commit.0 > 500).then_some(()))
        .await;
    cluster.kill_all();
    for node in [1, 2] {
        std::fs::remove_dir_all(cluster.path(&format!("node{node}"))).unwrap();
        cluster.run(node);
    }
    let ran = torture.await.unwrap();
    let end = last_line(&ran);
    assert_eq!((ran.code, &end["verdict"]), (Some(9), &"violation".into()), "{ran:?}");
    let kept = cluster.path("torture/kept/round-1.jsonl").display().to_string();
    assert!(end["told"].as_str().is_some_and(|told| told.contains(&kept)), "{end}");
    assert_eq!(cluster.synod(&["check", &kept]).code, Some(9), "the history says so too");
}

#[tokio::test]
async fn a_cluster_that_stands_still_is_found() {
    let mut cluster = Cluster::start(3).await;
    let dir = cluster.path("torture").display().to_string();
    let servers = cluster.clients.join(",");
    let arguments = ["--dir", &dir, "--attach", &servers, "--duration", "5s"];
    let arguments = [&["torture", "--json", "--recovery-seconds", "5"], &arguments[..]].concat();
    let mut command = cluster.command(&arguments);
    let torture = tokio::task::spawn_blocking(move || run(&mut command));
    until("something is written", async || {
        (cluster.status(1).await?.log.commit.0 > 50).then_some(())
    })
    .await;
    cluster.kill(1);
    cluster.kill(2);
    let ran = torture.await.unwrap();
    assert_eq!((ran.code, &last_line(&ran)["verdict"]), (Some(12), &"stalled".into()), "{ran:?}");
}
