//! The bulk bytes that a node keeps on its disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use synod_engine::Blob;

/// The bytes of a blob, in the pieces in which they were written.
pub type Pieces = Arc<[Bytes]>;

/// A node's durable blobs. Even a disk that lies about records keeps them.
#[derive(Default)]
pub(crate) struct Blobs(BTreeMap<u64, Pieces>);

impl Blobs {
    pub(crate) fn insert(&mut self, blob: Blob, pieces: Pieces) {
        self.0.insert(blob.id, pieces);
    }

    pub(crate) fn get(&self, blob: Blob) -> Option<&Pieces> {
        self.0.get(&blob.id)
    }

    pub(crate) fn remove(&mut self, blob: Blob) {
        self.0.remove(&blob.id);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Drops all blobs but those in `named`.
    pub(crate) fn keep(&mut self, named: impl Iterator<Item = Blob>) {
        let named: Vec<u64> = named.map(|blob| blob.id).collect();
        self.0.retain(|id, _| named.contains(id));
    }
}

/// The handle of these bytes, under this id.
pub(crate) fn handle(id: u64, pieces: &[Bytes]) -> Blob {
    let checksum = pieces.iter().fold(0, |sum, piece| synod_codec::hash_chained(sum, piece));
    let size_bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
    Blob { id, size_bytes, checksum }
}
