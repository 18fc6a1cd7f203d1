//! A disk in memory that does everything a real one may do in a crash.
//!
//! Like a real one it has two sides: what the system shows (its cache) and what would survive. A power
//! failure leaves any subset of the sectors written since the last sync, in any of the versions they
//! had, and any subset of the directory's changes. A failed sync marks everything as written and writes
//! only some of it, as Linux may.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use synod_engine::Random;
use synod_wal::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

/// A disk, shared by whoever holds a clone.
#[derive(Clone)]
pub(crate) struct FaultyDisk {
    state: Arc<Mutex<State>>,
    /// Handles of an earlier life are dead.
    life: u64,
}

struct State {
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since the last sync of the directory, each applied whole.
    renames: Vec<Vec<(String, Option<usize>)>>,
    capacity_bytes: u64,
    /// How many more operations succeed before the process dies.
    fuse: Option<u64>,
    /// How many more syncs of files succeed before one fails.
    syncs_before_failure: Option<u64>,
    life: u64,
    random: Random,
}

#[derive(Default, Clone)]
struct Content {
    shown: Vec<u8>,
    durable: Vec<u8>,
    /// Every version that a sector had since the last sync, oldest first.
    unsynced: BTreeMap<usize, Vec<Vec<u8>>>,
}

/// What ends a life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Crash {
    /// The process is killed: the system keeps what it was given.
    Kill,
    /// Everything that was not synced is gone.
    PowerLosingAll,
    /// Any subset of 512-byte sectors survives.
    PowerTearingSectors,
    /// Any subset of 4-KiB pages survives.
    PowerTearingPages,
}

impl FaultyDisk {
    pub(crate) fn new(seed: u64) -> Self {
        let state = State {
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            renames: Vec::new(),
            capacity_bytes: u64::MAX,
            fuse: None,
            syncs_before_failure: None,
            life: 0,
            random: Random::new(seed),
        };
        Self { state: Arc::new(Mutex::new(state)), life: 0 }
    }

    /// The disk as the log takes it.
    pub(crate) fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Another disk with the same content, and its own future.
    pub(crate) fn fork(&self) -> Self {
        let state = self.state();
        let copy = State {
            files: state.files.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            renames: state.renames.clone(),
            capacity_bytes: state.capacity_bytes,
            fuse: None,
            syncs_before_failure: None,
            life: 0,
            random: state.random.clone(),
        };
        Self { state: Arc::new(Mutex::new(copy)), life: 0 }
    }

    /// The process dies in the middle of the operation after `operations` more.
    pub(crate) fn die_after(&self, operations: u64) {
        self.state().fuse = Some(operations);
    }

    /// How many operations are left before the process dies.
    pub(crate) fn operations_left(&self) -> u64 {
        self.state().fuse.unwrap_or(u64::MAX)
    }

    /// Whether the process has died.
    pub(crate) fn died(&self) -> bool {
        self.state().fuse == Some(0)
    }

    /// The sync of a file after `syncs` more fails.
    pub(crate) fn fail_sync_after(&self, syncs: u64) {
        self.state().syncs_before_failure = Some(syncs);
    }

    /// Only this many bytes fit.
    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.state().capacity_bytes = bytes;
    }

    /// Ends this life; what is returned is the disk of the next.
    pub(crate) fn crash(&self, crash: Crash) -> Self {
        let mut state = self.state();
        state.life += 1;
        state.fuse = None;
        state.syncs_before_failure = None;
        if crash != Crash::Kill {
            state.lose_power(crash);
        }
        Self { state: Arc::clone(&self.state), life: state.life }
    }

    /// The names and contents of all files.
    pub(crate) fn content(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let content =
            |(name, file): (&String, &usize)| (name.clone(), state.files[*file].shown.clone());
        state.names.iter().map(content).collect()
    }

    /// Turns one bit over, durably.
    pub(crate) fn flip(&self, name: &str, bit: u64) {
        let mut state = self.state();
        let file = state.names[name];
        let (byte, mask) = ((bit / 8) as usize, 1 << (bit % 8));
        state.files[file].shown[byte] ^= mask;
        state.files[file].durable[byte] ^= mask;
    }

    /// Puts `bytes` in place of what was there, durably.
    pub(crate) fn overwrite(&self, name: &str, offset: usize, bytes: &[u8]) {
        let mut state = self.state();
        let file = state.names[name];
        state.files[file].shown[offset..offset + bytes.len()].copy_from_slice(bytes);
        state.files[file].durable[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Removes a file behind the log's back.
    pub(crate) fn lose(&self, name: &str) {
        let mut state = self.state();
        state.names.remove(name);
        state.durable_names.remove(name);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the disk")
    }

    /// The state, for one operation of a process that lives.
    fn operate(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.life != self.life {
            return Err(io::Error::other("a handle of an earlier life"));
        }
        match &mut state.fuse {
            Some(0) => return Err(io::Error::other("the process is dead")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(state)
    }
}

impl State {
    fn dies_now(&self) -> bool {
        self.fuse == Some(0)
    }

    fn change_names(&mut self, changes: Vec<(String, Option<usize>)>) {
        apply(&mut self.names, &changes);
        self.renames.push(changes);
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|file| self.files[*file].shown.len() as u64).sum()
    }

    fn lose_power(&mut self, crash: Crash) {
        let State { files, random, .. } = self;
        for content in files.iter_mut() {
            content.lose_power(crash, random);
        }
        for changes in std::mem::take(&mut self.renames) {
            if crash != Crash::PowerLosingAll && self.random.below(2) == 0 {
                apply(&mut self.durable_names, &changes);
            }
        }
        self.names = self.durable_names.clone();
    }
}

impl Content {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.shown.len() < end {
            self.shown.resize(end, 0);
        }
        self.shown[offset..end].copy_from_slice(bytes);
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let to = ((sector + 1) * SECTOR).min(self.shown.len());
            let version = self.shown[sector * SECTOR..to].to_vec();
            self.unsynced.entry(sector).or_default().push(version);
        }
    }

    fn lose_power(&mut self, crash: Crash, random: &mut Random) {
        let unsynced = std::mem::take(&mut self.unsynced);
        if crash != Crash::PowerLosingAll && !unsynced.is_empty() {
            if self.durable.len() < self.shown.len() && random.below(2) == 0 {
                self.durable.resize(self.shown.len(), 0);
            }
            let mut page = (usize::MAX, false);
            for (sector, versions) in unsynced {
                if page.0 != sector / 8 || crash == Crash::PowerTearingSectors {
                    page = (sector / 8, random.below(2) == 0);
                }
                if page.1 {
                    let version = match crash {
                        Crash::PowerTearingPages => versions.len() - 1,
                        _ => random.below(versions.len() as u64) as usize,
                    };
                    let start = sector * SECTOR;
                    let end = (start + versions[version].len()).min(self.durable.len());
                    if start < end {
                        self.durable[start..end].copy_from_slice(&versions[version][..end - start]);
                    }
                }
            }
        }
        self.shown = self.durable.clone();
    }

    /// Writes what is known to be unwritten, and no more.
    fn sync(&mut self) {
        self.durable.resize(self.shown.len(), 0);
        for (sector, versions) in std::mem::take(&mut self.unsynced) {
            let newest = versions.last().expect("an unsynced sector was written");
            self.durable[sector * SECTOR..][..newest.len()].copy_from_slice(newest);
        }
    }
}

fn apply(names: &mut BTreeMap<String, usize>, changes: &[(String, Option<usize>)]) {
    for (name, file) in changes {
        match file {
            Some(file) => names.insert(name.clone(), *file),
            None => names.remove(name),
        };
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for FaultyDisk {
    fn path(&self) -> &Path {
        Path::new("/memory")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.operate()?.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = *self.operate()?.names.get(name).ok_or_else(missing)?;
        Ok(Box::new(FaultyFile { disk: self.clone(), file }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.operate()?;
        state.files.push(Content::default());
        let file = state.files.len() - 1;
        state.change_names(vec![(name.to_owned(), Some(file))]);
        Ok(Box::new(FaultyFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.operate()?;
        let file = *state.names.get(from).ok_or_else(missing)?;
        state.change_names(vec![(from.to_owned(), None), (to.to_owned(), Some(file))]);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.operate()?;
        state.names.get(name).ok_or_else(missing)?;
        state.change_names(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.operate()?;
        if state.dies_now() {
            return Err(io::Error::other("died in a sync of the directory"));
        }
        state.renames.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.operate()?;
        Ok(state.capacity_bytes.saturating_sub(state.used_bytes()))
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    file: usize,
}

impl DiskFile for FaultyFile {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.operate()?.files[self.file].shown.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disk.operate()?;
        let offset = offset as usize;
        let bytes = state.files[self.file].shown.get(offset..offset + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.operate()?;
        if state.dies_now() {
            let written = state.random.below(bytes.len() as u64 + 1) as usize;
            state.files[self.file].write(&bytes[..written], offset as usize);
            return Err(io::Error::other("died in a write"));
        }
        state.files[self.file].write(bytes, offset as usize);
        Ok(())
    }

    fn allocate(&self, size_bytes: u64) -> io::Result<()> {
        let mut state = self.disk.operate()?;
        let size = state.files[self.file].shown.len() as u64;
        let grows_by = size_bytes.saturating_sub(size);
        if state.used_bytes() + grows_by > state.capacity_bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.files[self.file].shown.resize(size_bytes.max(size) as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.operate()?;
        if state.dies_now() {
            return Err(io::Error::other("died in a sync"));
        }
        match &mut state.syncs_before_failure {
            Some(0) => {
                state.syncs_before_failure = None;
                let State { files, random, .. } = &mut *state;
                let unsynced = &mut files[self.file].unsynced;
                unsynced.retain(|_, _| random.below(2) == 0);
                files[self.file].sync();
                return Err(io::Error::from_raw_os_error(5));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        state.files[self.file].sync();
        Ok(())
    }
}
