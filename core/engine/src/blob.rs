//! Handles to bulk bytes that never pass through an engine.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A handle to durable bulk bytes (a snapshot, a chunk) held by a node's driver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Blob {
    /// Unique among all blobs of a group; drawn by the driver that wrote it.
    pub id: u64,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Hash of all the bytes.
    pub checksum: u64,
}

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blob {:016x} ({} bytes)", self.id, self.size_bytes)
    }
}
