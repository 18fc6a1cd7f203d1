//! Whom this node knows: its peers by their incarnations, written down in `identity.toml`, so that one
//! that lost its data does not pass for the one that promised.
//!
//! Writing waits for the disk. So it is done on threads that may wait, and holds up neither the core
//! nor the handshake of a peer that is known already.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use synod_engine::{Incarnation, NodeId};

use crate::Identity;

/// The peers that this node has met.
#[derive(Debug)]
pub(crate) struct Acquaintances {
    dir: PathBuf,
    /// What the file says. Never held while the disk is waited for.
    known: Mutex<Identity>,
    /// Whoever writes the file holds this. True once the directory is no longer ours.
    writing: Mutex<bool>,
}

/// What [`Acquaintances::meet`] says of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Acquaintance {
    /// It is who it was, or was met for the first time and is now remembered.
    Known,
    /// It once had this incarnation and has another now: its directory was replaced.
    Replaced {
        /// What it was.
        known: Incarnation,
    },
}

impl Acquaintances {
    /// Those that `identity` knows, which was read from `dir`.
    pub(crate) fn new(dir: PathBuf, identity: Identity) -> Self {
        Self { dir, known: Mutex::new(identity), writing: Mutex::new(false) }
    }

    /// Whether `peer` is who it was. A peer met for the first time is remembered durably: may wait for
    /// the disk.
    pub(crate) fn meet(&self, peer: NodeId, incarnation: Incarnation) -> io::Result<Acquaintance> {
        if let Some(acquaintance) = self.recall(peer, incarnation) {
            return Ok(acquaintance);
        }
        let closed = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return Err(io::Error::other("the node stops"));
        }
        if let Some(acquaintance) = self.recall(peer, incarnation) {
            return Ok(acquaintance);
        }
        let next = self.known().with_peer(peer, incarnation);
        next.write(&self.dir)?;
        *self.known() = next;
        Ok(Acquaintance::Known)
    }

    /// The life of `peer` that was met first. Does not wait.
    pub(crate) fn first(&self, peer: NodeId) -> Option<Incarnation> {
        self.known().peer(peer)
    }

    /// The directory is about to be unlocked: waits for who writes, and lets nobody write again.
    pub(crate) fn close(&self) {
        *self.writing.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    fn recall(&self, peer: NodeId, incarnation: Incarnation) -> Option<Acquaintance> {
        let known = self.known().peer(peer)?;
        let same = known == incarnation;
        Some(if same { Acquaintance::Known } else { Acquaintance::Replaced { known } })
    }

    fn known(&self) -> MutexGuard<'_, Identity> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use synod_engine::ClusterId;

    use super::*;
    use crate::Lock;

    fn acquaintances(dir: &std::path::Path) -> (Lock, Acquaintances) {
        let lock = Lock::take(dir).unwrap();
        let identity = lock.identity(ClusterId(1), NodeId(1), None, false).unwrap();
        (lock, Acquaintances::new(dir.to_owned(), identity))
    }

    #[test]
    fn who_is_known_need_not_wait_for_who_is_being_written_down() {
        let dir = tempfile::tempdir().unwrap();
        let (_lock, acquaintances) = acquaintances(dir.path());
        assert_eq!(acquaintances.meet(NodeId(2), Incarnation(7)).unwrap(), Acquaintance::Known);
        let slow_disk = acquaintances.writing.lock().unwrap();
        assert_eq!(acquaintances.meet(NodeId(2), Incarnation(7)).unwrap(), Acquaintance::Known);
        let replaced = Acquaintance::Replaced { known: Incarnation(7) };
        assert_eq!(acquaintances.meet(NodeId(2), Incarnation(8)).unwrap(), replaced);
        drop(slow_disk);
    }

    #[test]
    fn nobody_is_written_down_once_the_directory_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let (_lock, acquaintances) = acquaintances(dir.path());
        let before = std::fs::read(dir.path().join("identity.toml")).unwrap();
        acquaintances.close();
        assert!(acquaintances.meet(NodeId(2), Incarnation(7)).is_err());
        assert_eq!(std::fs::read(dir.path().join("identity.toml")).unwrap(), before);
    }
}
