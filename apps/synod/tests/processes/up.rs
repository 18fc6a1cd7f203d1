//! `synod up`: starts, survives, restarts and stops a whole cluster.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use crate::cluster::{Ran, run, synod, until};

/// A running `synod up --json`.
struct Up {
    child: Child,
    events: Receiver<Value>,
    pids: Vec<i32>,
}

impl Up {
    fn start(dir: &Path, arguments: &[&str]) -> Self {
        let mut command = synod(dir);
        command.args(["up", "--json", "--port", "0"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, events) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                tell.send(serde_json::from_str(&line).unwrap()).ok();
            }
        });
        let mut up = Self { child, events, pids: Vec::new() };
        let started = up.event("started");
        let nodes = started["nodes"].as_array().unwrap();
        up.pids = nodes.iter().map(|node| node["pid"].as_i64().unwrap() as i32).collect();
        up.event("ready");
        up
    }

    fn event(&self, name: &str) -> Value {
        let event = self.events.recv_timeout(Duration::from_secs(60)).expect(name);
        assert_eq!(event["event"], name, "{event}");
        event
    }

    fn signal(&self, signal: Signal) {
        send(self.child.id() as i32, signal);
    }

    fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

async fn gone(pids: &[i32]) {
    until("the nodes are gone", async || {
        let lives = |pid: &i32| test_kill_process(Pid::from_raw(*pid).unwrap()).is_ok();
        (!pids.iter().any(lives)).then_some(())
    })
    .await;
}

fn kv(dir: &Path, arguments: &[&str]) -> Ran {
    run(synod(dir).arg("kv").args(arguments))
}

#[tokio::test]
async fn a_cluster_starts_serves_stops_and_starts_again_with_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = dir.path().join("cluster");
    let place = elsewhere.to_str().unwrap();
    let mut up = Up::start(dir.path(), &["--dir", place]);
    assert_eq!(up.pids.len(), 3);
    let put = kv(dir.path(), &["put", "k", "v"]);
    assert_eq!(put.code, Some(0), "the sign leads to the cluster: {put:?}");
    up.signal(Signal::INT);
    up.event("stopped");
    assert_eq!(up.ended(), Some(0));
    gone(&up.pids).await;
    assert_eq!(kv(dir.path(), &["get", "k"]).code, Some(5), "the sign is taken down");
    let again = Up::start(dir.path(), &["--dir", place]);
    assert_eq!(kv(dir.path(), &["get", "k"]).out, "v\n");
    drop(again);
    let five = run(synod(dir.path()).args(["up", "--nodes", "5", "--dir", place]));
    assert!(five.code == Some(2) && five.err.contains("cluster of 3 nodes"), "{five:?}");
    let zab = run(synod(dir.path()).args(["up", "--engine", "zab", "--dir", place]));
    assert!(zab.code == Some(2) && zab.err.contains("a cluster on raft, not on zab"), "{zab:?}");
}

#[tokio::test]
async fn a_cluster_keeps_the_engine_that_it_was_made_with() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("cluster");
    let place = place.to_str().unwrap();
    let mut up = Up::start(dir.path(), &["--engine", "zab", "--dir", place]);
    assert_eq!(kv(dir.path(), &["put", "k", "v"]).code, Some(0));
    up.signal(Signal::INT);
    up.event("stopped");
    assert_eq!(up.ended(), Some(0));
    gone(&up.pids).await;
    let file = std::fs::read_to_string(dir.path().join("cluster/cluster.toml")).unwrap();
    assert!(file.contains("engine = \"zab\""), "{file}");
    let again = Up::start(dir.path(), &["--dir", place]);
    assert_eq!(kv(dir.path(), &["get", "k"]).out, "v\n");
    drop(again);
    let recovery = ["recover", "cluster/node1", "--accept-data-loss"];
    gone(&up.pids).await;
    until("the nodes are gone", async || {
        let told = run(synod(dir.path()).args(recovery)).err;
        told.contains("runs zab, which cannot go on from one survivor").then_some(())
    })
    .await;
}

#[tokio::test]
async fn nodes_die_with_a_parent_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path(), &["--nodes", "2"]);
    up.signal(Signal::KILL);
    up.ended();
    gone(&up.pids).await;
}

#[tokio::test]
async fn a_killed_node_stays_dead_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path(), &[]);
    send(up.pids[1], Signal::KILL);
    let ended = up.event("ended");
    assert_eq!((&ended["node"], &ended["restarted"]), (&2.into(), &Value::Null));
    assert!(ended["how"].as_str().unwrap().contains("signal 9"));
    assert_eq!(kv(dir.path(), &["put", "k", "v"]).code, Some(0), "two of three are a majority");
    drop(up);
    let up = Up::start(dir.path(), &["--restart"]);
    send(up.pids[1], Signal::KILL);
    let pid = up.event("ended")["restarted"].as_i64().unwrap() as i32;
    assert_ne!(pid, up.pids[1]);
    assert_eq!(kv(dir.path(), &["get", "k"]).out, "v\n");
}

#[test]
fn a_second_cluster_in_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = Up::start(dir.path(), &["--nodes", "1"]);
    let second = run(synod(dir.path()).args(["up"]));
    assert_eq!(second.code, Some(6), "{second:?}");
    let pid = format!("pid {}", first.child.id());
    assert!(second.err.contains("in use") && second.err.contains(&pid), "{second:?}");
    assert!(second.err.contains("nothing was changed") && second.out.is_empty(), "{second:?}");
    assert_eq!(kv(dir.path(), &["put", "k", "v"]).code, Some(0), "the first goes on");
}

#[test]
fn a_port_in_use_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = run(synod(dir.path()).args(["up", "--nodes", "1", "--json", "--port", &port]));
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert!(ran.err.contains(&port) && ran.err.contains("nothing was changed"), "{ran:?}");
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["kind"], "address");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
