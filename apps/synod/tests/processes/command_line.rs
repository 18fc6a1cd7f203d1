//! What commands print and how they exit.

use std::path::Path;
use std::process::Stdio;

use crate::cluster::{Cluster, run, synod};

#[tokio::test]
async fn keys_are_read_and_written() {
    let cluster = Cluster::start(1).await;
    let kv = |arguments: &[&str]| {
        let ran = cluster.synod(&[&["kv"], arguments].concat());
        (ran.code, ran.out)
    };
    let said = |code: i32, out: &str| (Some(code), out.to_owned());
    assert_eq!(kv(&["put", "a", "1"]), said(0, "revision 1\n"));
    assert_eq!(kv(&["append", "a", "2"]), said(0, "revision 2\n"));
    assert_eq!(kv(&["get", "a"]), said(0, "12\n"));
    assert_eq!(kv(&["get", "b"]), said(1, ""));
    assert_eq!(kv(&["cas", "a", "3", "--expect", "0"]), said(1, ""));
    assert_eq!(kv(&["cas", "a", "3", "--revision", "2"]), said(0, "revision 3\n"));
    assert_eq!(kv(&["cas", "b", "4", "--absent"]), said(0, "revision 4\n"));
    assert_eq!(kv(&["range"]), said(0, "a\t3\nb\t4\n"));
    assert_eq!(kv(&["range", "--prefix", "b"]), said(0, "b\t4\n"));
    assert_eq!(kv(&["delete", "b"]), said(0, "revision 5\n"));
    assert_eq!(kv(&["delete", "b"]), said(1, ""));
    let json = kv(&["get", "a", "--json"]).1;
    let entry: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&entry["value"], &entry["version"]), (&"3".into(), &3.into()));
}

#[tokio::test]
async fn transactions_compare_and_change_and_watches_tell() {
    let cluster = Cluster::start(3).await;
    let file = cluster.path("lock.txn");
    let lock = "if\n lock absent\nthen\n put lock me\n put log taken\nelse\n get lock";
    std::fs::write(&file, lock).unwrap();
    let take = || cluster.synod(&["kv", "txn", file.to_str().unwrap()]);
    let (first, second) = (take(), take());
    let taken = "then, revision 1\nput lock\nput log\n";
    assert_eq!((first.code, &first.out[..]), (Some(0), taken), "{first:?}");
    assert_eq!((second.code, &second.out[..]), (Some(1), "else, revision 1\nlock\tme\n"));
    std::fs::write(&file, "then\n put lock").unwrap();
    assert_eq!(take().code, Some(2));

    cluster.synod(&["kv", "put", "lock", "you"]);
    assert_eq!(cluster.synod(&["kv", "delete", "lock"]).code, Some(0));
    let watch = |arguments: &[&str]| cluster.synod(&[&["kv", "watch"], arguments].concat());
    let all = watch(&["l", "--prefix", "--rev", "1", "--count", "4"]);
    assert_eq!(
        all.out,
        "1\tput\tlock\tme\n1\tput\tlog\ttaken\n2\tput\tlock\tyou\n3\tdelete\tlock\n"
    );
    let gone = watch(&["lock", "--rev", "1", "--only", "delete", "--prev", "--count", "1"]);
    assert_eq!((gone.code, &gone.out[..]), (Some(0), "3\tdelete\tlock\twas\tyou\n"));
    let told = watch(&["log", "--rev", "1", "--count", "1", "--json"]).out;
    let event: serde_json::Value = serde_json::from_str(told.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&event["event"], &event["value"]), (&"create".into(), &"taken".into()));

    let raw = cluster.synod(&["kv", "get", "log", "--raw"]);
    assert_eq!((raw.code, &raw.out[..]), (Some(0), "taken"));
    for reads in ["any", "stale"] {
        assert_eq!(cluster.synod(&["kv", "get", "log", "--reads", reads]).code, Some(0), "{reads}");
    }
}

#[tokio::test]
async fn status_tells_who_leads_and_who_is_gone() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.ready().await;
    let gone = leader % 3 + 1;
    cluster.kill(gone);
    let ran = cluster.synod(&["status", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let nodes: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(nodes.len(), 3);
    assert_eq!(nodes[leader - 1]["role"], "leader");
    assert_eq!(nodes[gone - 1]["reachable"], false);
    let table = cluster.synod(&["status"]).out;
    assert!(table.contains("leader") && table.contains("unreachable"), "{table}");
    cluster.kill_all();
    assert_eq!(cluster.synod(&["status"]).code, Some(5));
}

#[tokio::test]
async fn a_benchmark_reports_what_it_measured() {
    let cluster = Cluster::start(1).await;
    let quick = ["--seconds", "0.5", "--warm-up-seconds", "0.1", "--keys", "100"];
    let mixed = ["--read-share", "0.5", "--distribution", "zipf", "--connections", "2", "--json"];
    let ran = cluster.synod(&[&["bench", "kv", "--in-flight", "16"], &quick[..], &mixed].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    for kind in ["puts", "reads"] {
        let of = |name: &str| report[kind][name].as_f64().unwrap();
        assert!(of("requests") > 0.0 && of("p50_us") > 0.0 && of("p50_us") <= of("p999_us"));
    }
    assert_eq!(report["errors"]["not_done"], 0);
    let people = cluster.synod(&[&["bench", "kv"], &quick[..]].concat()).out;
    assert!(people.contains("puts") && people.contains('█'), "{people}");
}

#[tokio::test]
async fn a_benchmark_at_a_rate_accounts_for_every_request_that_was_due() {
    let cluster = Cluster::start(1).await;
    let quick = ["--seconds", "0.5", "--warm-up-seconds", "0", "--keys", "100", "--json"];
    let run = |in_flight: &str, rate: &str| {
        let open = ["bench", "kv", "--in-flight", in_flight, "--rate", rate];
        let ran = cluster.synod(&[&open[..], &quick].concat());
        let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let of = |name: &str| report[name].as_u64().unwrap();
        let ended = report["puts"]["requests"].as_u64().unwrap();
        let errors = &report["errors"];
        let lost = errors["not_done"].as_u64().unwrap() + errors["unknown"].as_u64().unwrap();
        (ended + lost + of("dropped"), of("dropped"))
    };
    let (due, _) = run("64", "200");
    assert!((99..=101).contains(&due), "half a second at 200: {due}");
    let (due, dropped) = run("1", "1000000");
    assert!((499_999..=500_001).contains(&due) && dropped > 0, "{dropped} of {due}");
}

#[test]
fn wrong_usage_and_missing_clusters_have_their_own_codes() {
    let dir = tempfile::tempdir().unwrap();
    let code = |arguments: &[&str]| run(synod(dir.path()).args(arguments)).code;
    assert_eq!(code(&["--version"]), Some(0));
    assert_eq!(code(&["frobnicate"]), Some(2));
    assert_eq!(code(&["kv", "put", "only-a-key"]), Some(2));
    assert_eq!(code(&["kv", "cas", "k", "v"]), Some(2), "what is expected must be said");
    assert_eq!(code(&["up", "--nodes", "0"]), Some(2));
    assert_eq!(code(&["bench", "kv", "--read-share", "2"]), Some(2));
    assert_eq!(code(&["kv", "range", "--limit", "0"]), Some(2));
    assert_eq!(code(&["sim", "raft", "--events", "0"]), Some(2));
    assert_eq!(code(&["swarm", "raft", "--max-failures", "0"]), Some(2));
    assert_eq!(code(&["bench", "kv", "--rate", "0"]), Some(2));
    assert_eq!(code(&["kv", "--cluster", "nowhere", "get", "k"]), Some(2));
    assert_eq!(code(&["kv", "get", "k"]), Some(5), "no cluster runs here");
    assert_eq!(code(&["kv", "--cluster", "127.0.0.1:1", "get", "k"]), Some(5));
    let json = run(synod(dir.path()).args(["kv", "--json", "get", "k"]));
    let told: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(told["kind"], "unreachable");
    let json = run(synod(dir.path()).args(["kv", "range", "--limit", "0", "--json"]));
    let told: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, &told["kind"]), (Some(2), &"usage".into()));
    assert!(told["error"].as_str().unwrap().contains("invalid value '0'"), "{told}");
    assert!(run(synod(dir.path()).args(["kv", "--help", "--json"])).out.contains("Usage"));
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(synod(Path::new(".")).args(["completions", shell]));
        assert!(ran.code == Some(0) && ran.out.contains("synod"), "{shell}: {ran:?}");
    }
}

#[test]
fn what_could_not_be_told_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = synod(dir.path());
    command.args(["sim", "raft", "--seed", "1", "--events", "500"]);
    assert_eq!(run(&mut command).code, Some(0));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let ended = ended.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(11), "{ended:?}");
}

#[tokio::test]
async fn a_history_is_judged_and_its_violation_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let header = "{\"history\":\"synod\",\"version\":1}\n";
    let put = "{\"client\":1,\"invoked\":1,\"input\":{\"put\":{\"key\":\"a\",\"value\":\"1\"}},\
               \"returned\":{\"at\":2,\"output\":{\"written\":{}}}}\n";
    let get = |value: &str| {
        format!(
            "{{\"client\":2,\"invoked\":3,\"input\":{{\"get\":{{\"key\":\"a\"}}}},\
             \"returned\":{{\"at\":4,\"output\":{{\"value\":{{\"value\":{value}}}}}}}}}\n"
        )
    };
    std::fs::write(path("sound"), format!("{header}{put}{}", get("\"1\""))).unwrap();
    std::fs::write(path("stale"), format!("{header}{put}{}", get("null"))).unwrap();
    std::fs::write(path("broken"), format!("{header}{put}{{")).unwrap();
    let jepsen =
        "0\t:invoke\t:write\t1\n0\t:ok\t:write\t1\n1\t:invoke\t:read\tnil\n1\t:ok\t:read\t2\n";
    std::fs::write(path("jepsen"), jepsen).unwrap();
    let check = |arguments: &[&str]| run(synod(dir.path()).arg("check").args(arguments));

    let sound = check(&["sound"]);
    assert_eq!(sound.code, Some(0), "{sound:?}");
    assert_eq!(sound.out, "operations 2, clients 2, keys 1: linearizable\n");
    let stale = check(&["stale", "--svg", "stale.svg"]);
    assert_eq!(stale.code, Some(9), "{stale:?}");
    assert!(stale.out.contains("One of these would have to be next"), "{stale:?}");
    assert!(std::fs::read_to_string(path("stale.svg")).unwrap().contains("None of the red ones"));
    let jepsen = check(&["jepsen", "--json"]);
    assert_eq!(jepsen.code, Some(9), "{jepsen:?}");
    assert!(jepsen.out.contains("\"verdict\":\"illegal\""), "{jepsen:?}");
    let broken = check(&["broken"]);
    assert_eq!(broken.code, Some(2), "{broken:?}");
    assert!(broken.err.contains("line 3 of the history"), "{broken:?}");
    assert_eq!(check(&["nowhere"]).code, Some(2));
    assert_eq!(check(&["stale", "--model", "register", "--json"]).code, Some(9));
    let other = check(&["sound", "--model", "queue"]);
    assert_eq!(other.code, Some(2), "{other:?}");
    assert!(
        other.err.contains("line 2 of the history") && other.err.contains("--model"),
        "{other:?}"
    );
}
