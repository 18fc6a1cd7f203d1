//! What tests of all logs say, each spelled as short as it can be.

use std::sync::Arc;

use bytes::Bytes;
use synod_consensus::{Batch, Change, Contact, Epoch, Index, Membership, Payload, Snapshot};
use synod_engine::{Blob, Incarnation, NodeId};
use synod_log::EntryId;

/// The entry at `index` of `epoch`.
#[must_use]
pub fn entry(index: u64, epoch: u64) -> EntryId {
    EntryId { index: Index(index), epoch: Epoch(epoch) }
}

/// Entries of these epochs from index `first` on. What an entry says tells its index and epoch.
#[must_use]
pub fn batches(first: u64, epochs: &[u64]) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut next = first;
    for run in epochs.chunk_by(|a, b| a == b) {
        let payloads: Vec<_> = (next..next + run.len() as u64)
            .map(|index| Payload::Command(Bytes::from(format!("{index}@{}", run[0]))))
            .collect();
        batches.push(Batch::new(Index(next), Epoch(run[0]), payloads));
        next += run.len() as u64;
    }
    batches
}

/// A snapshot of everything up to `index`, whose last entry is of `epoch`.
#[must_use]
pub fn snapshot(index: u64, epoch: u64) -> Snapshot {
    let blob = Blob { id: index, size_bytes: 1, checksum: 0 };
    Snapshot { index: Index(index), epoch: Epoch(epoch), blob }
}

/// The members of a new group.
#[must_use]
pub fn founders(nodes: impl IntoIterator<Item = u64>) -> Arc<Membership> {
    Arc::new(Membership::founded_by(&nodes.into_iter().map(NodeId).collect()))
}

/// The wish to add this node, which does not vote yet.
#[must_use]
pub fn add(node: u64) -> Change {
    let contact = Contact {
        incarnation: Incarnation(node),
        address: format!("peer{node}"),
        client_address: format!("client{node}"),
    };
    Change::Add { node: NodeId(node), contact }
}
