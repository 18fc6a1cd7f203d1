//! The directory of blobs, and who needs which of them.
//!
//! A blob is removed when nobody claims it any more, never before: the claim of a message on its way
//! to the core, of the engine's records, of the apply thread, of a transfer. The removal itself is done
//! by [`Store::sweep`] on a thread that may wait for the disk; while it is under way no claim on that
//! blob can be had, and whoever wanted one comes again later.
//!
//! What was received before a connection broke is kept for a while, since the peer goes on from there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::directory;

/// How long a part that nobody writes waits to be resumed.
const PART_PATIENCE: Duration = Duration::from_secs(600);

/// How many parts that nobody writes are kept; the oldest go first.
const MAX_IDLE_PARTS: usize = 4;

/// The directory of blobs; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    /// Every blob of which there is, or may soon be, a file.
    blobs: Mutex<BTreeMap<u64, Blob>>,
}

#[derive(Debug)]
struct Blob {
    claims: usize,
    /// When the last claim was given up.
    idle_since: Instant,
    whole: bool,
    /// Its file is being removed.
    going: bool,
}

/// A blob stays for as long as somebody holds a claim on it.
#[derive(Debug)]
pub(crate) struct Claim {
    store: Store,
    id: u64,
}

impl Store {
    /// The store in `dir`, made if it is missing. All files go but the whole blobs for which `needed`
    /// holds; those are claimed.
    pub(crate) fn open(dir: &Path, needed: impl Fn(u64) -> bool) -> io::Result<(Self, Vec<Claim>)> {
        directory::make_durably(dir)?;
        let store = Self(Arc::new(Shared { dir: dir.to_owned(), blobs: Mutex::default() }));
        let mut claims = Vec::new();
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| u64::from_str_radix(name, 16).ok());
            match id.filter(|id| needed(*id)) {
                Some(id) => {
                    let blob =
                        Blob { claims: 0, idle_since: Instant::now(), whole: true, going: false };
                    store.lock().insert(id, blob);
                    claims.extend(store.whole(id));
                }
                None => fs::remove_file(dir.join(&name))?,
            }
        }
        Ok((store, claims))
    }

    /// A claim on a blob that is whole; `None` if there is none, or no longer.
    pub(crate) fn whole(&self, id: u64) -> Option<Claim> {
        let mut blobs = self.lock();
        let blob = blobs.get_mut(&id).filter(|blob| blob.whole && !blob.going)?;
        blob.claims += 1;
        Some(Claim { store: self.clone(), id })
    }

    /// The claim on a blob that is to be written, or written on; `None` while there is a whole one,
    /// while somebody else writes it, or while an earlier one is being removed.
    pub(crate) fn part(&self, id: u64) -> Option<Claim> {
        let idle_since = Instant::now();
        let mut blobs = self.lock();
        let blob =
            blobs.entry(id).or_insert(Blob { claims: 0, idle_since, whole: false, going: false });
        if blob.whole || blob.going || blob.claims > 0 {
            return None;
        }
        blob.claims = 1;
        Some(Claim { store: self.clone(), id })
    }

    /// Removes what nobody claims: whole blobs at once, parts when they have waited too long, there
    /// are too many, or the disk is low. May wait for the disk.
    pub(crate) fn sweep(&self, now: Instant, disk_low: bool) {
        let going = self.condemn(now, disk_low);
        for id in going {
            let removed = self.remove(id);
            let mut blobs = self.lock();
            match removed {
                Ok(()) => {
                    blobs.remove(&id);
                    debug!("blob {id:016x} is removed");
                }
                Err(error) => {
                    // Tried again at the next start, not every second.
                    warn!("blob {id:016x} stays until the next start: {error}");
                }
            }
        }
    }

    /// Marks what is to go.
    fn condemn(&self, now: Instant, disk_low: bool) -> Vec<u64> {
        let mut blobs = self.lock();
        let idle = |blob: &Blob| blob.claims == 0 && !blob.going;
        let parts = blobs.iter().filter(|(_, blob)| idle(blob) && !blob.whole);
        let mut parts: Vec<(Instant, u64)> =
            parts.map(|(id, blob)| (blob.idle_since, *id)).collect();
        parts.sort_unstable();
        let surplus = parts.len().saturating_sub(MAX_IDLE_PARTS);
        let expired = |(number, (since, _)): &(usize, (Instant, u64))| {
            disk_low || *number < surplus || now.saturating_duration_since(*since) >= PART_PATIENCE
        };
        let parts = parts.into_iter().enumerate().filter(expired).map(|(_, (_, id))| id);
        let whole = blobs.iter().filter(|(_, blob)| idle(blob) && blob.whole).map(|(id, _)| *id);
        let going: Vec<u64> = parts.chain(whole).collect();
        for id in &going {
            if let Some(blob) = blobs.get_mut(id) {
                blob.going = true;
            }
        }
        going
    }

    fn remove(&self, id: u64) -> io::Result<()> {
        for path in [self.whole_path(id), self.part_path(id)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn whole_path(&self, id: u64) -> PathBuf {
        self.0.dir.join(format!("{id:016x}"))
    }

    fn part_path(&self, id: u64) -> PathBuf {
        self.0.dir.join(format!("{id:016x}.part"))
    }

    /// Never held while the disk is waited for: the core takes it too.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Blob>> {
        self.0.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// The blob's name.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Where the whole blob is.
    pub(crate) fn path(&self) -> PathBuf {
        self.store.whole_path(self.id)
    }

    /// Where the blob is while it is incomplete.
    pub(crate) fn part_path(&self) -> PathBuf {
        self.store.part_path(self.id)
    }

    /// Makes a part whole; its bytes are durable.
    pub(crate) fn finish(&self) -> io::Result<()> {
        directory::rename_durably(&self.part_path(), &self.path())?;
        if let Some(blob) = self.store.lock().get_mut(&self.id) {
            blob.whole = true;
        }
        Ok(())
    }

    /// The blob stays until the store is opened anew, whoever gives up what.
    pub(crate) fn keep(self) {
        if let Some(blob) = self.store.lock().get_mut(&self.id) {
            // Nobody holds this one, so nobody gives it up.
            blob.claims += 1;
        }
    }

    /// Removes the bytes of a part that is good for nothing.
    pub(crate) fn discard(&self) -> io::Result<()> {
        match fs::remove_file(self.part_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Clone for Claim {
    fn clone(&self) -> Self {
        if let Some(blob) = self.store.lock().get_mut(&self.id) {
            blob.claims += 1;
        }
        Self { store: self.store.clone(), id: self.id }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(blob) = self.store.lock().get_mut(&self.id) {
            blob.claims -= 1;
            blob.idle_since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let (store, claims) = Store::open(dir.path(), |_| false).unwrap();
        assert!(claims.is_empty());
        (dir, store)
    }

    fn whole(store: &Store, id: u64) -> Claim {
        let claim = store.part(id).unwrap();
        fs::write(claim.part_path(), "bytes").unwrap();
        claim.finish().unwrap();
        claim
    }

    #[test]
    fn a_whole_blob_stays_while_anybody_claims_it() {
        let (_dir, store) = store();
        let claim = whole(&store, 1);
        let (path, other) = (claim.path(), claim.clone());
        drop(claim);
        store.sweep(Instant::now(), false);
        assert!(path.exists());
        drop(other);
        assert!(path.exists(), "a claim is given up without waiting for the disk");
        store.sweep(Instant::now(), false);
        assert!(!path.exists());
        assert!(store.whole(1).is_none());
    }

    #[test]
    fn a_blob_that_is_named_again_before_the_sweep_stays() {
        let (_dir, store) = store();
        drop(whole(&store, 1));
        let again = store.whole(1).unwrap();
        store.sweep(Instant::now(), false);
        assert!(again.path().exists());
    }

    #[test]
    fn a_blob_that_is_being_removed_cannot_be_claimed_nor_written() {
        let (_dir, store) = store();
        drop(whole(&store, 1));
        assert_eq!(store.condemn(Instant::now(), false), [1]);
        assert!(store.whole(1).is_none() && store.part(1).is_none());
        assert_eq!(store.condemn(Instant::now(), false), [], "it is removed once");
    }

    #[test]
    fn a_part_is_written_by_one_and_kept_for_a_while() {
        let (_dir, store) = store();
        let claim = store.part(1).unwrap();
        fs::write(claim.part_path(), "half").unwrap();
        assert!(store.part(1).is_none(), "somebody writes it");
        let path = claim.part_path();
        drop(claim);
        store.sweep(Instant::now(), false);
        assert!(path.exists());
        store.sweep(Instant::now() + PART_PATIENCE, false);
        assert!(!path.exists());
    }

    #[test]
    fn few_parts_are_kept_and_none_while_the_disk_is_low() {
        let (dir, store) = store();
        for id in 0..MAX_IDLE_PARTS as u64 + 3 {
            let claim = store.part(id).unwrap();
            fs::write(claim.part_path(), "half").unwrap();
        }
        let count = || fs::read_dir(dir.path()).unwrap().count();
        store.sweep(Instant::now(), false);
        assert_eq!(count(), MAX_IDLE_PARTS);
        assert!(store.part(2).is_some() && !store.part_path(2).exists(), "the oldest went");
        store.sweep(Instant::now(), true);
        assert_eq!(count(), 0);
    }
}
