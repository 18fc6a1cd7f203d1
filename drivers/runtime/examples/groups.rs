//! Many groups on three nodes: what they cost while nobody asks anything, and what some of them do when
//! somebody does.
//!
//! `cargo run --release --package synod-runtime --example groups -- [GROUPS [BUSY [IN_FLIGHT [SECONDS]]]]`
//!
//! Three nodes in one process, with a log each, on loopback. Each of the BUSY groups has IN_FLIGHT writers,
//! which write 256 bytes at a time and wait for the answer.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use synod_consensus::{Index, Outcome, RestoreError, Role, StateMachine};
use synod_engine::{ClusterId, GroupId, NodeId};
use synod_raft::{Config, Raft};
use synod_runtime::{Handle, Node, NodeConfig, Oneshot, Seed, start_groups};

/// Adds up what it is told.
#[derive(Clone, Copy, Default)]
struct Sum(u64);

impl StateMachine for Sum {
    type Response = u64;
    type Query = ();
    type Answer = u64;
    type Frozen = u64;

    fn apply(&mut self, _: Index, command: &[u8]) -> u64 {
        self.0 += command.len() as u64;
        self.0
    }
    fn read(&self, (): &()) -> u64 {
        self.0
    }
    fn freeze(&self) -> u64 {
        self.0
    }
    fn chunks(frozen: &u64) -> impl Iterator<Item = Bytes> {
        std::iter::once(Bytes::copy_from_slice(&frozen.to_le_bytes()))
    }
    fn restore(&self, mut chunks: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
        let sum = chunks.next().and_then(|chunk| chunk[..].try_into().ok());
        sum.map(|sum| Self(u64::from_le_bytes(sum))).ok_or_else(|| RestoreError("no sum".into()))
    }
}

type SumNode = Node<Sum, Oneshot<Sum>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<u32>());
    let mut next = |default| numbers.next().unwrap_or(Ok(default));
    let (groups, busy, in_flight, seconds) = (next(1000)?, next(100)?, next(10)?, next(10)?);
    let dir = tempfile::tempdir()?;
    let nodes = begin(dir.path(), groups)?;
    let begin = Instant::now();
    while nodes.iter().map(led).sum::<usize>() < groups as usize {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("{groups} groups on 3 nodes had their leaders after {:.1?}", begin.elapsed());
    let span = Duration::from_secs(seconds.into());
    tokio::time::sleep(span).await;

    let before = Reading::take(&nodes)?;
    tokio::time::sleep(span).await;
    Reading::take(&nodes)?.report("idle", &before);

    let writers = Writers::begin(&nodes, busy.min(groups), in_flight);
    tokio::time::sleep(span / 4).await;
    let (before, written) = (Reading::take(&nodes)?, writers.written());
    tokio::time::sleep(span).await;
    let (after, written) = (Reading::take(&nodes)?, writers.written() - written);
    after.report(&format!("{busy} busy with {in_flight} writers each"), &before);
    let rate = written as f64 / after.since(&before);
    println!("  {rate:.0} writes/s, all groups together");
    writers.end();
    for node in nodes {
        node.shutdown().await;
    }
    Ok(())
}

fn begin(dir: &Path, groups: u32) -> Result<Vec<SumNode>, Box<dyn Error>> {
    let voters = [NodeId(1), NodeId(2), NodeId(3)];
    let ports: Vec<_> =
        voters.iter().map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let addresses: Vec<SocketAddr> =
        ports.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    drop(ports);
    let peers: BTreeMap<_, _> = voters.into_iter().zip(addresses).collect();
    let mut nodes = Vec::new();
    for (node, address) in &peers {
        let home = dir.join(node.to_string());
        let config = NodeConfig::new(*node, ClusterId(7), home, *address, peers.clone());
        let seeds = (0..groups).map(|group| Seed {
            group: GroupId(group),
            engine: Config::new(*node, voters),
            empty: Sum::default(),
        });
        nodes.push(start_groups::<Raft, Sum, Oneshot<Sum>, _>(&config, |_| seeds)?);
    }
    Ok(nodes)
}

fn led(node: &SumNode) -> usize {
    node.groups().filter(|(_, handle)| handle.status().log.role == Role::Leader).count()
}

/// What the nodes have used and done so far.
struct Reading {
    at: Instant,
    cpu: f64,
    sent_bytes: u64,
    syncs: u64,
}

impl Reading {
    fn take(nodes: &[SumNode]) -> Result<Self, Box<dyn Error>> {
        let (mut sent_bytes, mut syncs) = (0, 0);
        for node in nodes {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &node.metrics)?;
            let value = |name: &str| {
                let value =
                    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
                value.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
            };
            sent_bytes += value("synod_peer_out_bytes_total");
            syncs += value("synod_log_syncs_total");
        }
        // User and system time of this process, in hundredths of a second.
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: f64 =
            fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        Ok(Self { at: Instant::now(), cpu: ticks / 100.0, sent_bytes, syncs })
    }

    fn since(&self, before: &Self) -> f64 {
        (self.at - before.at).as_secs_f64()
    }

    fn report(&self, what: &str, before: &Self) {
        let per_node = 3.0 * self.since(before);
        let cpu = 100.0 * (self.cpu - before.cpu) / per_node;
        let bytes = (self.sent_bytes - before.sent_bytes) as f64 / per_node;
        let syncs = (self.syncs - before.syncs) as f64 / per_node;
        println!("{what}, per node:");
        println!("  {cpu:.1} % of a core, {bytes:.0} bytes/s sent to peers, {syncs:.0} syncs/s");
    }
}

/// Everybody who writes.
struct Writers {
    written: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
}

impl Writers {
    fn begin(nodes: &[SumNode], groups: u32, in_flight: u32) -> Self {
        let writers = Self { written: Arc::default(), stopped: Arc::default() };
        for group in (0..groups).map(GroupId) {
            let handles: Vec<_> = nodes.iter().filter_map(|node| node.group(group)).collect();
            for _ in 0..in_flight {
                let (handles, written) = (handles.clone(), writers.written.clone());
                tokio::spawn(write(handles, written, writers.stopped.clone()));
            }
        }
        writers
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn end(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// Writes to whoever leads, one write after the other.
async fn write(
    handles: Vec<Handle<Sum, Oneshot<Sum>>>,
    written: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
) {
    let value = Bytes::from_static(&[7; 256]);
    let mut leader = 0;
    while !stopped.load(Ordering::Relaxed) {
        match handles[leader].write(value.clone()).await {
            Outcome::Done(_) => {
                written.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Refused(_) | Outcome::Unknown => {
                leader = (leader + 1) % handles.len();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}
