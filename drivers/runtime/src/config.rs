//! What a node is told when it starts: who it is, where its directory and its peers are, and every
//! bound.
//!
//! Next: [`start`](crate::start).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use synod_engine::{ClusterId, NodeId};

use crate::{FreeSpace, LogDisk, PeerVersion};

/// Who a node is, and where everything is.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// This node.
    pub node: NodeId,
    /// Its cluster. Written into a new directory; a directory of another cluster is refused.
    pub cluster: ClusterId,
    /// Which engine its groups run, by its name. Written into a new directory; a directory of another
    /// engine is refused, and so is a peer. `None`: the engine of directories and peers that name none.
    pub engine: Option<&'static str>,
    /// Where everything durable is. Made if it is missing.
    pub dir: PathBuf,
    /// Where peers connect to. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// Where the members of the first hour listen, and whom a new node may ask to be let in. An entry
    /// for this node itself is ignored. Who is a member is said by the log, not here.
    pub peers: BTreeMap<NodeId, SocketAddr>,
    /// Whether a new directory is to join groups that others founded, rather than found them with its
    /// peers: its incarnation shows it.
    pub joins: bool,
    /// Every bound.
    pub limits: Limits,
    /// How the free space is found out.
    pub free_space: FreeSpace,
    /// Where the log is written.
    pub log_disk: LogDisk,
    /// The newest version of the protocol between nodes that is spoken; an older one than
    /// [`PeerVersion::NEWEST`] while nodes of an older program may have to be put back.
    pub peer_version: PeerVersion,
}

impl NodeConfig {
    /// A node with default bounds.
    pub fn new(
        node: NodeId,
        cluster: ClusterId,
        dir: impl Into<PathBuf>,
        listen: SocketAddr,
        peers: BTreeMap<NodeId, SocketAddr>,
    ) -> Self {
        Self {
            node,
            cluster,
            engine: None,
            dir: dir.into(),
            listen,
            peers,
            joins: false,
            limits: Limits::default(),
            free_space: FreeSpace::default(),
            log_disk: LogDisk::default(),
            peer_version: PeerVersion::NEWEST,
        }
    }
}

/// Bounds of all queues, with what happens beyond them. Where groups share a queue, one of them may
/// take as much of it as it leaves to the others.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A longer command is refused as too large.
    pub max_command_bytes: usize,
    /// Requests that the core has not taken in yet; beyond it they are refused as busy.
    pub max_queued_requests: usize,
    /// The same in bytes of commands.
    pub max_queued_request_bytes: usize,
    /// Requests without an answer yet; beyond it they are refused as busy.
    pub max_unanswered_requests: usize,
    /// Bytes of records on their way to the disk; beyond it proposals are refused as busy, and beyond
    /// twice of it so are the entries of a leader, who will send them again.
    pub max_undurable_bytes: usize,
    /// Entries and reads that the state machine has not taken in yet; beyond it requests are refused
    /// as busy.
    pub max_unapplied: usize,
    /// Threads that apply commands, for all groups together. One fewer groups may be stuck in a slow
    /// state machine before others wait.
    pub apply_threads: usize,
    /// A longer message between peers ends the connection. Above the engine's longest.
    pub max_message_bytes: usize,
    /// Bytes waiting to be sent to one peer; beyond it the session ends and begins anew.
    pub max_outbox_bytes: usize,
    /// Bytes received from peers that the core has not taken in yet; beyond it nothing is read.
    pub max_inbox_bytes: usize,
    /// Longer bulk bytes (a snapshot) are refused.
    pub max_blob_bytes: u64,
    /// Inputs of one kind taken in at a time, so that none waits long for another kind.
    pub max_inputs_per_turn: usize,
    /// Bytes of commands taken in at a time: what a leader's engine makes one record of.
    pub max_command_bytes_per_turn: usize,
    /// Connections of peers that have not introduced themselves yet; beyond it new ones wait.
    pub max_handshakes: usize,
    /// How long a peer has to connect and introduce itself, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// The first pause before a peer is dialled again, in milliseconds; it doubles, with jitter.
    pub redial_min_ms: u64,
    /// The longest pause before a peer is dialled again, in milliseconds.
    pub redial_max_ms: u64,
    /// A peer of whom nothing was heard for so long is taken for gone and the session ends, in
    /// milliseconds: it died, it is paused, or the network is cut in either direction. Either side says
    /// something four times as often.
    pub link_timeout_ms: u64,
    /// How long the link to a node lives on that was removed from the members, so that it hears of it,
    /// in milliseconds.
    pub departure_ms: u64,
    /// A transfer of bulk bytes in which nothing moves for so long ends, in milliseconds. The receiver
    /// syncs what it got in the meantime.
    pub bulk_timeout_ms: u64,
    /// Free space of the directory's file system below which proposals are refused, in bytes. What is
    /// left is kept for votes and for the log's own upkeep.
    pub disk_reserve_bytes: u64,
    /// How often the free space is looked at, in milliseconds.
    pub disk_watch_ms: u64,
    /// A record that is not durable after so long is a disk that stalls: whoever leads hands over, in
    /// milliseconds. Shorter stalls cost nothing but memory; handing over costs an election.
    pub stall_handover_ms: u64,
    /// The size of a file of the log, in bytes.
    pub log_segment_bytes: u64,
    /// While the log takes more, live records are copied out of its oldest file, or, if most of it is
    /// live, the groups that hold most of it are asked for snapshots, in bytes.
    pub log_trim_above_bytes: u64,
    /// Files of the log that are kept for reuse when their records are dead. What a snapshot makes
    /// free at once is written again before the next: making new files costs as much as writing them.
    pub log_spare_segments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_command_bytes: 2 << 20,
            max_queued_requests: 1 << 16,
            max_queued_request_bytes: 64 << 20,
            max_unanswered_requests: 1 << 17,
            max_undurable_bytes: 64 << 20,
            max_unapplied: 1 << 18,
            apply_threads: 4,
            max_message_bytes: 8 << 20,
            max_outbox_bytes: 64 << 20,
            max_inbox_bytes: 16 << 20,
            max_blob_bytes: 64 << 30,
            max_inputs_per_turn: 4096,
            max_command_bytes_per_turn: 8 << 20,
            max_handshakes: 64,
            handshake_timeout_ms: 1000,
            redial_min_ms: 20,
            redial_max_ms: 500,
            link_timeout_ms: 1_500,
            departure_ms: 5_000,
            bulk_timeout_ms: 10_000,
            disk_reserve_bytes: 256 << 20,
            disk_watch_ms: 1000,
            stall_handover_ms: 10_000,
            log_segment_bytes: 64 << 20,
            log_trim_above_bytes: 1 << 30,
            log_spare_segments: 8,
        }
    }
}

impl Limits {
    /// The longest record that the log takes: one fills a file, less the headers.
    pub(crate) fn max_record_bytes(&self) -> u64 {
        self.log_segment_bytes.saturating_sub(128 << 10)
    }

    /// Checks the bounds against each other: whatever is let in must fit in a record.
    pub(crate) fn check(&self) -> Result<(), String> {
        let max = usize::try_from(self.max_record_bytes()).unwrap_or(usize::MAX);
        let turn = self.max_command_bytes_per_turn.saturating_add(self.max_command_bytes);
        // Each command has some bytes of bookkeeping in the record that holds it.
        let bookkeeping = self.max_inputs_per_turn.saturating_mul(16);
        let faults = [
            (self.max_message_bytes > max, "max_message_bytes"),
            (
                turn.saturating_add(bookkeeping) > max,
                "max_command_bytes_per_turn and max_command_bytes together",
            ),
        ];
        match faults.into_iter().find(|(fault, _)| *fault) {
            Some((_, what)) => Err(format!(
                "{what} must stay below log_segment_bytes ({}): what is let in must fit in the log",
                self.log_segment_bytes
            )),
            None => Ok(()),
        }
    }
}
