//! What the stories are told with: a state machine that keeps lines, and nodes that run Raft.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use synod_consensus::{Index, RestoreError, StateMachine};
use synod_engine::{ClusterId, NodeId};
use synod_raft::{Config, Raft};
use synod_runtime::{Node, NodeConfig, Oneshot, Outcome, StartError, start};

/// A state machine with an odd number of these lines panics when its snapshot is written.
#[allow(dead_code, reason = "not every story has one")]
pub(crate) const POISON: &str = "poison";

/// A state machine that keeps every command as a line, and answers how many there are.
#[derive(Clone, Default)]
pub(crate) struct Lines(Vec<Bytes>);

impl StateMachine for Lines {
    type Response = usize;
    type Query = ();
    type Answer = Vec<Bytes>;
    type Frozen = Vec<Bytes>;

    fn apply(&mut self, _: Index, command: &[u8]) -> usize {
        self.0.push(Bytes::copy_from_slice(command));
        self.0.len()
    }

    /// Some are, so that every story has both.
    fn is_brief(&self, command: &[u8]) -> bool {
        command.last().is_some_and(|last| last % 2 == 0)
    }

    fn read(&self, (): &()) -> Vec<Bytes> {
        self.0.clone()
    }

    fn freeze(&self) -> Vec<Bytes> {
        self.0.clone()
    }

    fn chunks(frozen: &Vec<Bytes>) -> impl Iterator<Item = Bytes> {
        let poison = frozen.iter().filter(|line| **line == POISON.as_bytes()).count();
        assert!(poison.is_multiple_of(2), "an odd number of poisonous lines");
        frozen.iter().cloned()
    }

    fn restore(&self, chunks: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
        Ok(Self(chunks.collect()))
    }
}

pub(crate) type LineNode = Node<Lines, Oneshot<Lines>>;

pub(crate) const CLUSTER: ClusterId = ClusterId(0x5eed);

/// A configuration with small files, for node `node` of a cluster that listens at `addresses`.
pub(crate) fn config(node: u64, dir: &Path, addresses: &[SocketAddr]) -> NodeConfig {
    let ids = (1..).map(NodeId);
    let peers: BTreeMap<NodeId, SocketAddr> = ids.zip(addresses.iter().copied()).collect();
    let listen = addresses[node as usize - 1];
    let mut config = NodeConfig::new(NodeId(node), CLUSTER, dir, listen, peers);
    config.limits.log_segment_bytes = 4 << 20;
    config.limits.max_message_bytes = 2 << 20;
    config.limits.max_command_bytes_per_turn = 1 << 20;
    config.limits.disk_watch_ms = 20;
    config.limits.disk_reserve_bytes = 1 << 20;
    config
}

/// Addresses that nobody listens at, each given out once. Below the ports that the system gives to
/// connections: a node that is down for a moment finds its own free again.
pub(crate) fn addresses(count: usize) -> Vec<SocketAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    let next = || 10_000 + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 22_000;
    let address = || SocketAddr::from(([127, 0, 0, 1], next() as u16));
    let free = std::iter::repeat_with(address).filter(|address| TcpListener::bind(address).is_ok());
    free.take(count).collect()
}

/// A Raft with short timeouts.
pub(crate) fn raft(config: &NodeConfig) -> Config {
    let mut raft = Config::new(config.node, config.peers.keys().copied());
    raft.timing.election_timeout_min_ms = 150;
    raft.timing.election_timeout_max_ms = 300;
    raft.timing.heartbeat_ms = 30;
    raft
}

pub(crate) fn begin(config: &NodeConfig) -> Result<LineNode, StartError> {
    begin_with(config, raft(config))
}

pub(crate) fn begin_with(config: &NodeConfig, raft: Config) -> Result<LineNode, StartError> {
    start::<Raft, Lines, Oneshot<Lines>>(config, |_| raft, Lines::default())
}

/// Writes `line` on whichever node leads, until it is done.
pub(crate) async fn write(nodes: &[&LineNode], line: &str) -> usize {
    let begin = Instant::now();
    loop {
        for node in nodes {
            let line = Bytes::copy_from_slice(line.as_bytes());
            if let Outcome::Done(count) = node.handle().write(line).await {
                return count;
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "nobody takes {line:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// All lines, read from whichever node leads.
pub(crate) async fn lines(nodes: &[&LineNode]) -> Vec<String> {
    let begin = Instant::now();
    loop {
        for node in nodes {
            if let Outcome::Done(lines) = node.handle().query(()).await {
                let text = |line: &Bytes| String::from_utf8_lossy(line).into_owned();
                return lines.iter().map(text).collect();
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "nobody answers");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until `holds`, for at most 20 seconds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
