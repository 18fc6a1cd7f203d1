//! A follower is away while much is written: memory does not grow, and when it comes back it is served
//! from the others' disks, without a snapshot.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

#[allow(dead_code, reason = "each story uses its part")]
mod story;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use story::{addresses, config, raft, until};
use synod_consensus::{Index, Outcome, RestoreError, Role, StateMachine};
use synod_raft::Raft;
use synod_runtime::{Node, NodeConfig, Oneshot, start};

/// A state that does not grow: how many commands there were.
#[derive(Clone, Default)]
struct Count(u64);

impl StateMachine for Count {
    type Response = u64;
    type Query = ();
    type Answer = u64;
    type Frozen = u64;

    fn apply(&mut self, _: Index, _: &[u8]) -> u64 {
        self.0 += 1;
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

    fn restore(&self, chunks: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
        let bytes: Vec<u8> = chunks.flatten().collect();
        let bytes = bytes.try_into().map_err(|_| RestoreError("not a count".into()))?;
        Ok(Self(u64::from_le_bytes(bytes)))
    }
}

type CountNode = Node<Count, Oneshot<Count>>;

const COMMAND_BYTES: usize = 64 << 10;
const MIB: usize = 1 << 20;

fn begin(config: &NodeConfig) -> CountNode {
    let mut raft = raft(config);
    (raft.bounds.max_cached_log_bytes, raft.bounds.keep_log_bytes) = (MIB, 256 * MIB);
    (raft.bounds.snapshot_every, raft.bounds.snapshot_every_bytes) = (u64::MAX, 512 * MIB);
    raft.bounds.max_append_bytes = 256 << 10;
    start::<Raft, Count, Oneshot<Count>>(config, |_| raft, Count::default()).unwrap()
}

/// Writes so many commands at whichever node leads, a few at a time; those that failed, again.
async fn write(nodes: &[CountNode], commands: usize) {
    let begin = Instant::now();
    let command = Bytes::from(vec![7; COMMAND_BYTES]);
    let mut left = commands;
    while left > 0 {
        assert!(begin.elapsed() < Duration::from_secs(60), "{left} commands are not written");
        let leads = |node: &&CountNode| node.handle().status().log.role == Role::Leader;
        let Some(leader) = nodes.iter().find(leads) else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let handle = Arc::new(leader.handle());
        let writes: Vec<_> = (0..left.min(16))
            .map(|_| {
                let (handle, command) = (handle.clone(), command.clone());
                tokio::spawn(async move { handle.write(command).await })
            })
            .collect();
        for write in writes {
            left -= usize::from(matches!(write.await.unwrap(), Outcome::Done(_)));
        }
    }
}

/// Memory of this process that is in use.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = status.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test]
async fn a_follower_that_was_away_costs_no_memory_and_is_served_from_disk() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let addresses = addresses(3);
    let config = |node: u64| config(node, dirs[node as usize - 1].path(), &addresses);
    let nodes = [begin(&config(1)), begin(&config(2))];
    write(&nodes, 160).await;
    let before = resident_bytes();
    write(&nodes, 2_560).await;
    let grown = resident_bytes().saturating_sub(before);
    let written = 2_560 * COMMAND_BYTES;
    println!("{} MiB written, {} MiB grown", written / MIB, grown / MIB);
    assert!(grown < written / 2, "{grown} bytes more for {written} bytes of log, in two nodes");
    let late = begin(&config(3));
    let (leader, handle) = (nodes[0].handle(), late.handle());
    until("it has caught up", || {
        handle.status().log.applied >= leader.status().log.commit
            && handle.status().log.applied.0 > 2_720
    })
    .await;
    assert_eq!(handle.status().log.snapshot, Index(0), "by the log");
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < written / 2, "{grown} bytes more, in three nodes");
}
