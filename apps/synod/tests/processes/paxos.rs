//! `synod paxos`: one decision among real processes, which are killed and started again.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::{Ran, run, synod, three_ports, until};

/// Three nodes at these ports, as commands are told of them.
fn peers(first: u16) -> String {
    let peers = (1..=3).map(|id| format!("{id}=127.0.0.1:{}", first + id - 1));
    peers.collect::<Vec<_>>().join(",")
}

/// Nodes that decide together.
struct Nodes {
    dir: TempDir,
    peers: String,
    flags: &'static [&'static str],
    running: BTreeMap<usize, Child>,
}

impl Nodes {
    async fn start(flags: &'static [&'static str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut nodes = Self { dir, peers: peers(three_ports()), flags, running: BTreeMap::new() };
        for id in 1..=3 {
            nodes.run(id).await;
        }
        nodes
    }

    /// Starts a node and waits until it can be asked.
    async fn run(&mut self, id: usize) {
        let mut command = synod(self.dir.path());
        command.args(["paxos", "node", "--peers", &self.peers, "--json"]).args(self.flags);
        command.args(["--id", &id.to_string(), "--dir", &format!("node{id}")]);
        let log = std::fs::File::options();
        let log = log.clone().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.running.insert(id, child);
        until("the node can be asked", async || {
            let told = self.status();
            told.iter().any(|told| told["node"] == id && told["reachable"] == true).then_some(())
        })
        .await;
    }

    /// kill -9.
    fn kill(&mut self, id: usize) {
        let mut child = self.running.remove(&id).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn synod(&self, arguments: &[&str]) -> Ran {
        run(synod(self.dir.path()).arg("paxos").args(arguments).args(["--peers", &self.peers]))
    }

    fn status(&self) -> Vec<Value> {
        let ran = self.synod(&["status", "--json"]);
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Proposes at a node: how that ended, and what was shown.
    fn propose(&self, value: &str, node: usize) -> (Option<i32>, Vec<Value>) {
        let ran = self.synod(&["propose", value, "--node", &node.to_string(), "--json"]);
        let lines = ran.out.lines().map(|line| serde_json::from_str(line).unwrap());
        (ran.code, lines.collect())
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("log"));
            eprintln!("{}", log.unwrap_or_default());
        }
        let ids: Vec<_> = self.running.keys().copied().collect();
        ids.into_iter().for_each(|id| self.kill(id));
    }
}

fn outcome(shown: &[Value]) -> &Value {
    let last = shown.last().unwrap();
    assert_eq!(last["event"], "outcome", "{last}");
    &last["value"]
}

#[tokio::test]
async fn one_value_is_chosen_once_and_for_ever_and_each_phase_is_shown() {
    let mut nodes = Nodes::start(&[]).await;
    let (code, shown) = nodes.propose("red", 1);
    assert_eq!((code, outcome(&shown)), (Some(0), &"red".into()), "{shown:?}");
    let place = |what: &dyn Fn(&Value) -> bool| shown.iter().position(what);
    let said = |message: &'static str| {
        place(&move |line: &Value| line["event"] == "said" && line["message"] == message)
    };
    let heard = |message: &'static str| {
        place(&move |line: &Value| line["event"] == "heard" && line["message"] == message)
    };
    let wrote = |record: &'static str| place(&move |line: &Value| line["record"] == record);
    let phases = [
        wrote("propose"),
        said("prepare"),
        heard("promise"),
        said("accept"),
        heard("accepted"),
        wrote("acknowledge"),
    ];
    assert!(phases.iter().all(Option::is_some) && phases.is_sorted(), "{phases:?} of {shown:?}");
    assert_eq!(shown[said("prepare").unwrap()]["to"], serde_json::json!([2, 3]));

    nodes.kill(1);
    let (code, shown) = nodes.propose("blue", 2);
    assert_eq!((code, outcome(&shown)), (Some(1), &"red".into()));
    nodes.kill(2);
    nodes.kill(3);
    assert_eq!(nodes.propose("green", 2).0, Some(5), "nobody is there");
    for id in 1..=3 {
        nodes.run(id).await;
    }
    for id in 1..=3 {
        let (code, shown) = nodes.propose("green", id);
        assert_eq!((code, outcome(&shown)), (Some(1), &"red".into()));
    }
    let told = nodes.status();
    assert!(told.iter().all(|told| told["chosen"] == "red"), "{told:?}");
    assert!(nodes.synod(&["status"]).out.contains("chosen \"red\""));
}

#[tokio::test]
async fn without_a_majority_the_outcome_is_unknown_and_asking_again_finds_it() {
    let mut nodes = Nodes::start(&["--learning", "one"]).await;
    nodes.kill(2);
    nodes.kill(3);
    let alone = nodes.synod(&["propose", "red", "--timeout-ms", "300"]);
    assert_eq!(alone.code, Some(4), "{alone:?}");
    assert!(alone.out.contains("Prepare") && alone.err.contains("ask again"), "{alone:?}");
    nodes.run(3).await;
    let (code, shown) = nodes.propose("blue", 3);
    let chosen = outcome(&shown);
    assert!(chosen == "red" || chosen == "blue", "red was proposed, and may be chosen: {chosen}");
    assert_eq!(code, Some(i32::from(chosen == "red")));
}

#[tokio::test]
async fn a_node_stops_gracefully_and_refuses_another_groups_directory() {
    let mut nodes = Nodes::start(&[]).await;
    let mut child = nodes.running.remove(&3).unwrap();
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let again = |arguments: &[&str]| {
        let mut command = synod(nodes.dir.path());
        command.args(["paxos", "node", "--peers", &nodes.peers, "--dir", "node3"]);
        run(command.args(arguments))
    };
    let other = again(&["--id", "3", "--learning", "few"]);
    assert_eq!(other.code, Some(6), "{other:?}");
    assert!(other.err.contains("nothing was changed"), "{other:?}");
    assert_eq!(again(&["--id", "2"]).code, Some(7), "its port is in use");
    assert_eq!(again(&["--id", "4"]).code, Some(2));
}

#[tokio::test]
async fn up_starts_nodes_that_stop_with_it_and_know_the_outcome_when_they_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let first = three_ports();
    let propose = |value: &str| {
        let asked = ["paxos", "propose", value, "--json", "--peers", &peers(first)];
        let ran = run(synod(dir.path()).args(asked));
        (ran.code, ran.out.lines().last().unwrap_or_default().to_owned())
    };
    let up = || {
        let log = std::fs::File::options().create(true).append(true).open(dir.path().join("log"));
        let log = log.unwrap();
        let mut command = synod(dir.path());
        command.args(["paxos", "up", "--json", "--port", &first.to_string()]);
        command.stdout(log).spawn().unwrap()
    };
    for (value, code) in [("red", 0), ("blue", 1)] {
        let mut child = up();
        let told = until("they choose", async || {
            let told = propose(value);
            (told.0 == Some(code)).then_some(told.1)
        });
        assert!(told.await.contains("\"value\":\"red\""));
        let seen = || std::fs::read_to_string(dir.path().join("log")).unwrap();
        let events = |name: &str| {
            let lines = seen();
            let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.filter(|line| line["event"] == name).collect::<Vec<_>>()
        };
        let ended = events("ended").len();
        let last = events("started").pop().unwrap()["pid"].as_i64().unwrap();
        kill_process(Pid::from_raw(last as i32).unwrap(), Signal::KILL).unwrap();
        until("its end is told", async || (events("ended").len() > ended).then_some(())).await;
        assert_eq!(propose("blue").0, Some(1), "the others go on");
        kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(propose(value).0, Some(5), "they are gone");
    }
}

#[test]
fn what_is_typed_wrong_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let code = |arguments: &[&str]| run(synod(dir.path()).arg("paxos").args(arguments)).code;
    assert_eq!(code(&["propose"]), Some(2));
    assert_eq!(code(&["propose", "v", "--peers", "nonsense"]), Some(2));
    assert_eq!(code(&["propose", "v", "--peers", "1=127.0.0.1:1,1=127.0.0.1:2"]), Some(2));
    assert_eq!(code(&["propose", "v", "--peers", "1=127.0.0.1:1", "--node", "2"]), Some(2));
    assert_eq!(code(&["propose", "v", "--peers", "1=127.0.0.1:1"]), Some(5));
    assert_eq!(code(&["status", "--peers", "1=127.0.0.1:1"]), Some(5));
    assert_eq!(code(&["up", "--port", "65535"]), Some(2));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was changed");
}
