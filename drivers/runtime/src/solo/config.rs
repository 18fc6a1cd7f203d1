//! What a node is told when it starts: who it is, where its directory and its peers are, and every
//! bound.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use synod_engine::{ClusterId, NodeId};
use synod_wal::Options;

use crate::LogDisk;

/// Who a node is, and where everything is.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// What tells its group from others. Written into a new directory; a directory of another is refused.
    pub cluster: ClusterId,
    /// Where everything durable is. Made if it is missing.
    pub dir: PathBuf,
    /// Where datagrams are received. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// Where the other members of the group receive theirs. An entry for this node itself is ignored.
    pub peers: BTreeMap<NodeId, SocketAddr>,
    /// Every bound.
    pub limits: Limits,
    /// Where the log is written.
    pub log_disk: LogDisk,
}

impl Config {
    /// A node with default bounds.
    pub fn new(
        node: NodeId,
        cluster: ClusterId,
        dir: impl Into<PathBuf>,
        listen: SocketAddr,
        peers: BTreeMap<NodeId, SocketAddr>,
    ) -> Self {
        let (dir, limits, log_disk) = (dir.into(), Limits::default(), LogDisk::default());
        Self { node, cluster, dir, listen, peers, limits, log_disk }
    }
}

/// Bounds of all queues.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A longer datagram is neither sent nor received. What fits a packet: one that is cut up by the
    /// network is lost if any piece is.
    pub max_datagram_bytes: usize,
    /// Requests that the core has not taken in yet; beyond it they are refused.
    pub max_queued_requests: usize,
    /// Datagrams taken in at a time, so that nothing else waits long.
    pub max_inputs_per_turn: usize,
    /// Bytes of records on their way to the disk; beyond it datagrams are dropped and requests wait.
    pub max_undurable_bytes: usize,
    /// Effects that wait for the disk; beyond it the same.
    pub max_held: usize,
    /// Length of a file of the log.
    pub log_segment_bytes: u64,
    /// The log never takes more of the disk than this.
    pub max_log_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_datagram_bytes: 1_400,
            max_queued_requests: 1_024,
            max_inputs_per_turn: 256,
            max_undurable_bytes: 256 << 10,
            max_held: 10_000,
            log_segment_bytes: 1 << 20,
            max_log_bytes: 64 << 20,
        }
    }
}

impl Limits {
    /// How the log is kept. A record takes no more than a quarter of a file.
    pub(crate) fn log(&self) -> Options {
        Options {
            segment_bytes: self.log_segment_bytes,
            max_record_bytes: self.log_segment_bytes / 4,
            max_batch_bytes: self.log_segment_bytes / 2,
            copy_above_bytes: self.max_log_bytes / 2,
            max_log_bytes: self.max_log_bytes,
            max_spare_segments: 1,
        }
    }
}
