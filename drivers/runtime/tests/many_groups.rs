//! Stories of nodes that host many groups: one transport, one log, one wheel of timers for all.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

#[allow(dead_code, reason = "not every story needs every helper")]
mod story;

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use story::{addresses, config, until};
use synod_consensus::{Index, Refusal, RestoreError, Role, StateMachine};
use synod_engine::GroupId;
use synod_raft::Raft;
use synod_runtime::{Node, NodeConfig, Oneshot, Outcome, Seed, StartError, start_groups};
use tempfile::TempDir;

/// Lets the state machines of chosen groups get stuck.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<Stuck>, Condvar)>);

#[derive(Default)]
struct Stuck {
    shut: Vec<u32>,
    waiting: usize,
}

impl Gate {
    fn shut(&self, group: u32) {
        self.0.0.lock().unwrap().shut.push(group);
    }

    fn open(&self) {
        self.0.0.lock().unwrap().shut.clear();
        self.0.1.notify_all();
    }

    /// How many state machines are stuck.
    fn waiting(&self) -> usize {
        self.0.0.lock().unwrap().waiting
    }

    fn pass(&self, group: u32) {
        let mut stuck = self.0.0.lock().unwrap();
        stuck.waiting += 1;
        while stuck.shut.contains(&group) {
            stuck = self.0.1.wait(stuck).unwrap();
        }
        stuck.waiting -= 1;
    }
}

/// A counter that adds up what it is told, and can be stuck.
struct Sum {
    group: u32,
    gate: Gate,
    sum: u64,
}

impl StateMachine for Sum {
    type Response = u64;
    type Query = ();
    type Answer = (u32, u64);
    type Frozen = u64;

    fn apply(&mut self, _: Index, command: &[u8]) -> u64 {
        self.gate.pass(self.group);
        self.sum += command.len() as u64;
        self.sum
    }
    fn read(&self, (): &()) -> (u32, u64) {
        (self.group, self.sum)
    }
    fn freeze(&self) -> u64 {
        self.sum
    }
    fn chunks(frozen: &u64) -> impl Iterator<Item = Bytes> {
        std::iter::once(Bytes::copy_from_slice(&frozen.to_le_bytes()))
    }
    fn restore(&self, chunks: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
        let bytes: Vec<u8> = chunks.flat_map(|chunk| chunk.to_vec()).collect();
        let sum = bytes.try_into().map_err(|_| RestoreError("not a sum".into()))?;
        // A snapshot is of a group that is not stuck in these stories.
        Ok(Self { group: u32::MAX, gate: Gate::default(), sum: u64::from_le_bytes(sum) })
    }
}

type SumNode = Node<Sum, Oneshot<Sum>>;

struct Cluster {
    dirs: Vec<TempDir>,
    addresses: Vec<SocketAddr>,
    groups: Vec<u32>,
    gates: Vec<Gate>,
}

impl Cluster {
    fn new(nodes: usize, groups: impl IntoIterator<Item = u32>) -> Self {
        Self {
            dirs: (0..nodes).map(|_| tempfile::tempdir().unwrap()).collect(),
            addresses: addresses(nodes),
            groups: groups.into_iter().collect(),
            gates: vec![Gate::default(); nodes],
        }
    }

    fn config(&self, node: usize) -> NodeConfig {
        let mut config = config(node as u64 + 1, self.dirs[node].path(), &self.addresses);
        config.limits.apply_threads = 2;
        config
    }

    fn begin(&self, node: usize) -> Result<SumNode, StartError> {
        self.begin_with(&self.config(node), &self.gates[node])
    }

    fn begin_with(&self, config: &NodeConfig, gate: &Gate) -> Result<SumNode, StartError> {
        start_groups::<Raft, Sum, Oneshot<Sum>, _>(config, |_| {
            let seed = |group: &u32| Seed {
                group: GroupId(*group),
                engine: story::raft(config),
                empty: Sum { group: *group, gate: gate.clone(), sum: 0 },
            };
            self.groups.iter().map(seed).collect::<Vec<_>>()
        })
    }

    fn begin_all(&self) -> Vec<SumNode> {
        (0..self.dirs.len()).map(|node| self.begin(node).unwrap()).collect()
    }
}

/// Adds `bytes` to `group` on whichever node leads it.
async fn add(nodes: &[SumNode], group: u32, bytes: usize) -> u64 {
    let begin = std::time::Instant::now();
    loop {
        for node in nodes {
            let handle = node.group(GroupId(group)).unwrap();
            if let Outcome::Done(sum) = handle.write(vec![0; bytes]).await {
                return sum;
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "nobody takes it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn sum(nodes: &[SumNode], group: u32) -> u64 {
    let begin = std::time::Instant::now();
    loop {
        for node in nodes {
            let handle = node.group(GroupId(group)).unwrap();
            if let Outcome::Done((_, sum)) = handle.query(()).await {
                return sum;
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "nobody answers");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn metric(node: &SumNode, name: &str) -> u64 {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &node.metrics).unwrap();
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(value).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[tokio::test]
async fn each_group_has_its_own_log_and_all_survive_a_restart() {
    let cluster = Cluster::new(3, [3, 0, 70, 7]);
    let nodes = cluster.begin_all();
    for round in 1..=5u64 {
        for group in &cluster.groups {
            let bytes = *group as usize + 1;
            assert_eq!(add(&nodes, *group, bytes).await, round * bytes as u64);
        }
    }
    let said: u64 = nodes.iter().map(|node| metric(node, "synod_peer_out_messages_total")).sum();
    assert!(said >= 20 * 3, "each write asks two others and waits for one of them: {said}");
    assert!(nodes[0].group(GroupId(1)).is_none());
    let names: Vec<_> = nodes[0].groups().map(|(group, _)| group.0).collect();
    assert_eq!(names, [0, 3, 7, 70]);
    let mut nodes = nodes.into_iter();
    nodes.next().unwrap().shutdown().await;
    drop(nodes);
    let nodes = cluster.begin_all();
    for group in &cluster.groups {
        assert_eq!(sum(&nodes, *group).await, 5 * (u64::from(*group) + 1));
    }
}

#[tokio::test]
async fn a_hundred_groups_share_connections_and_syncs() {
    let cluster = Cluster::new(3, 0..100);
    let nodes = Arc::new(cluster.begin_all());
    for group in &cluster.groups {
        add(&nodes, *group, 1).await;
    }
    for node in nodes.iter() {
        assert_eq!(metric(node, "synod_peer_sessions_total"), 2, "one connection to each peer");
    }
    let syncs = || nodes.iter().map(|node| metric(node, "synod_log_syncs_total")).sum::<u64>();
    let before = syncs();
    let rounds = 10;
    let adders = cluster.groups.iter().map(|group| {
        let (nodes, group) = (nodes.clone(), *group);
        tokio::spawn(async move {
            for _ in 0..rounds {
                add(&nodes, group, 1).await;
            }
        })
    });
    for adder in adders.collect::<Vec<_>>() {
        adder.await.unwrap();
    }
    // On each of three nodes every write is a record at least; a sync of its own for each would be:
    let alone = 3 * rounds * cluster.groups.len() as u64;
    let syncs = syncs() - before;
    assert!(syncs < alone / 3, "{syncs} syncs where {alone} would be one for each record");
    for group in &cluster.groups {
        assert_eq!(sum(&nodes, *group).await, rounds + 1);
    }
}

#[tokio::test]
async fn a_group_whose_state_machine_is_stuck_blocks_no_other() {
    let cluster = Cluster::new(1, 0..10);
    let nodes = cluster.begin_all();
    for group in &cluster.groups {
        add(&nodes, *group, 1).await;
    }
    cluster.gates[0].shut(4);
    let stuck = nodes[0].group(GroupId(4)).unwrap();
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let stuck = stuck.clone();
            tokio::spawn(async move { stuck.write("x").await })
        })
        .collect();
    for group in cluster.groups.iter().filter(|group| **group != 4) {
        for round in 0..20 {
            assert_eq!(add(&nodes, *group, 1).await, round + 2);
        }
        assert_eq!(sum(&nodes, *group).await, 21);
    }
    assert!(waiting.iter().all(|write| !write.is_finished()));
    cluster.gates[0].open();
    for write in waiting {
        assert!(matches!(write.await.unwrap(), Outcome::Done(_)));
    }
    assert_eq!(sum(&nodes, 4).await, 51);
}

#[tokio::test]
async fn a_stuck_group_is_refused_as_busy_before_it_takes_what_is_for_all() {
    let cluster = Cluster::new(1, 0..3);
    let mut config = cluster.config(0);
    config.limits.max_unapplied = 64;
    let gate = Gate::default();
    let nodes = [cluster.begin_with(&config, &gate).unwrap()];
    for group in &cluster.groups {
        add(&nodes, *group, 1).await;
    }
    gate.shut(1);
    let stuck = nodes[0].group(GroupId(1)).unwrap();
    let mut waiting = Vec::new();
    let refused = loop {
        let write = tokio::spawn({
            let stuck = stuck.clone();
            async move { stuck.write("x").await }
        });
        tokio::time::sleep(Duration::from_millis(2)).await;
        if write.is_finished() {
            break write.await.unwrap();
        }
        waiting.push(write);
        assert!(waiting.len() < 64, "it may take all");
    };
    assert_eq!(refused, Outcome::Refused(Refusal::Busy));
    assert!(waiting.len() >= 30, "only {} were taken", waiting.len());
    assert_eq!(add(&nodes, 0, 1).await, 2);
    assert_eq!(add(&nodes, 2, 1).await, 2);
    gate.open();
    for write in waiting {
        assert!(matches!(write.await.unwrap(), Outcome::Done(_)));
    }
}

#[tokio::test]
async fn when_a_node_dies_all_groups_that_it_led_find_another_leader() {
    let cluster = Cluster::new(3, 0..50);
    let mut nodes = cluster.begin_all();
    for group in &cluster.groups {
        add(&nodes, *group, 1).await;
    }
    let leads = |node: &SumNode| {
        node.groups().filter(|(_, handle)| handle.status().log.role == Role::Leader).count()
    };
    let all_led = || nodes.iter().map(leads).sum::<usize>() == cluster.groups.len();
    until("every group has a leader", all_led).await;
    let busiest = (0..3).max_by_key(|node| leads(&nodes[*node])).unwrap();
    assert!(leads(&nodes[busiest]) >= 17);
    drop(nodes.remove(busiest));
    for group in &cluster.groups {
        assert_eq!(add(&nodes, *group, 1).await, 2);
    }
    nodes.push(cluster.begin(busiest).unwrap());
    let back = nodes[2].groups().map(|(_, handle)| handle.clone()).collect::<Vec<_>>();
    until("the one that was away has caught up", || {
        back.iter().all(|handle| {
            let log = handle.status().log;
            log.applied == log.commit && log.commit.0 >= 3
        })
    })
    .await;
}

#[tokio::test]
async fn a_group_of_the_directory_that_is_not_hosted_any_more_is_missed() {
    let mut cluster = Cluster::new(1, 0..3);
    let nodes = cluster.begin_all();
    for group in 0..3 {
        add(&nodes, group, 1).await;
    }
    drop(nodes);
    cluster.groups = vec![0, 2, 5];
    match cluster.begin(0).map(drop) {
        Err(StartError::Replay { why, .. }) => assert!(why.contains("g1"), "{why}"),
        other => panic!("{other:?}"),
    }
    cluster.groups = vec![0, 0];
    assert!(matches!(cluster.begin(0).map(drop), Err(StartError::Groups)));
    cluster.groups = vec![0, 1, 2, 5];
    let nodes = cluster.begin_all();
    assert_eq!(add(&nodes, 1, 1).await, 2);
    assert_eq!(add(&nodes, 5, 1).await, 1);
}

#[tokio::test]
async fn a_read_that_a_stop_leaves_unanswered_is_refused_and_a_write_unknown() {
    let cluster = Cluster::new(1, 0..2);
    let node = cluster.begin(0).unwrap();
    let nodes = [node];
    add(&nodes, 0, 1).await;
    let [node] = nodes;
    let handle = node.group(GroupId(0)).unwrap();
    cluster.gates[0].shut(0);
    let ask = |_| {
        let handle = handle.clone();
        tokio::spawn(async move { (handle.write("x").await, handle.query(()).await) })
    };
    let write = tokio::spawn({
        let handle = handle.clone();
        async move { handle.write("stuck").await }
    });
    until("it is stuck", || cluster.gates[0].waiting() == 1).await;
    let asked: Vec<_> = (0..10).map(ask).collect();
    let reads = (0..10).map(|_| {
        let handle = handle.clone();
        tokio::spawn(async move { handle.query(()).await })
    });
    let reads: Vec<_> = reads.collect();
    until("all wait", || metric(&node, "synod_unapplied") >= 21).await;
    let stopping = std::thread::spawn(move || drop(node));
    let refused = Refusal::NotLeader { leader: None };
    for read in reads {
        assert_eq!(read.await.unwrap(), Outcome::Refused(refused));
    }
    for both in asked {
        assert_eq!(both.await.unwrap(), (Outcome::Unknown, Outcome::Refused(refused)));
    }
    // What the state machine was at is done and answered, whatever else stops.
    cluster.gates[0].open();
    assert_eq!(write.await.unwrap(), Outcome::Done(6));
    stopping.join().unwrap();
}

/// Bytes of all files of the log.
fn log_bytes(cluster: &Cluster) -> u64 {
    let files = std::fs::read_dir(cluster.dirs[0].path().join("log")).unwrap();
    files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum()
}

#[tokio::test]
async fn neither_an_idle_group_nor_one_without_a_snapshot_due_lets_the_shared_log_grow() {
    let cluster = Cluster::new(1, [1, 2, 3]);
    let mut config = cluster.config(0);
    config.limits.log_trim_above_bytes = 16 << 20;
    config.limits.log_spare_segments = 2;
    let begin = || cluster.begin_with(&config, &cluster.gates[0]).unwrap();
    let nodes = [begin()];
    // The idle one; its records lie at the very beginning.
    add(&nodes, 3, 7).await;
    let (mut most, mut written) = (0, 0);
    while written < 256 << 20 {
        for group in [1, 2] {
            add(&nodes, group, 100_000).await;
            written += 100_000;
        }
        most = most.max(log_bytes(&cluster));
    }
    // How far it grows beyond its bound depends on how fast the snapshots are written.
    assert!(most < written / 2, "{most} bytes of log for {written} written");
    assert_eq!(nodes[0].group(GroupId(3)).unwrap().status().log.snapshot, Index(0));
    let written = [sum(&nodes, 1).await, sum(&nodes, 2).await];
    let [node] = nodes;
    node.shutdown().await;
    let nodes = [begin()];
    assert_eq!(
        [sum(&nodes, 1).await, sum(&nodes, 2).await, sum(&nodes, 3).await],
        [written[0], written[1], 7]
    );
}
