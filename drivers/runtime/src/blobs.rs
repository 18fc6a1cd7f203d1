//! Bulk bytes (snapshots): files that engines know by handles only.
//!
//! `DIR/blobs/ID` is a whole, durable blob; `ID.part` is one being written or received, and becomes
//! `ID` by a rename after its bytes are synced. A blob that no record names any more is removed when
//! the checkpoint that replaced it is durable, and at a start.
//!
//! Next: [`file`] (the bytes of a snapshot), [`ledger`] (which are needed), [`send`] and [`receive`]
//! (from node to node, on connections of their own, so that no heartbeat waits for bulk).

pub(crate) mod file;
pub(crate) mod ledger;
pub(crate) mod receive;
pub(crate) mod send;
mod stream;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use synod_engine::NodeId;

use crate::directory;

/// The directory of blobs.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    dir: PathBuf,
}

impl Store {
    /// The store in `dir`, made if it is missing; all blobs but `needed` are removed.
    pub(crate) fn open(dir: &Path, needed: &BTreeSet<u64>) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let store = Self { dir: dir.to_owned() };
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| u64::from_str_radix(name, 16).ok());
            if id.is_none_or(|id| !needed.contains(&id)) {
                fs::remove_file(dir.join(&name))?;
            }
        }
        Ok(store)
    }

    /// Where the whole blob is.
    pub(crate) fn whole(&self, id: u64) -> PathBuf {
        self.dir.join(format!("{id:016x}"))
    }

    /// Where the blob is while it is incomplete.
    pub(crate) fn part(&self, id: u64) -> PathBuf {
        self.dir.join(format!("{id:016x}.part"))
    }

    /// Makes a part whole; its bytes are durable.
    pub(crate) fn finish(&self, id: u64) -> io::Result<()> {
        directory::rename_durably(&self.part(id), &self.whole(id))
    }

    /// Removes a blob, whole or not, if it is there.
    pub(crate) fn remove(&self, id: u64) -> io::Result<()> {
        for path in [self.whole(id), self.part(id)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// The transfers that are under way: at most one to each peer, and one to this node.
#[derive(Default)]
pub(crate) struct Transfers(Mutex<BTreeSet<(Direction, NodeId)>>);

/// Which way a blob goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Direction {
    In,
    Out,
}

impl Transfers {
    /// Whether a transfer may begin; it then counts until it [`end`](Self::end)s.
    pub(crate) fn begin(&self, direction: Direction, peer: NodeId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((direction, peer))
    }

    pub(crate) fn end(&self, direction: Direction, peer: NodeId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(direction, peer));
    }
}
