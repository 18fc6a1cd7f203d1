//! A disk that fails, stalls and panics when it is told to.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use synod_runtime::LogDisk;
use synod_wal::disk::{Directory, Disk, DiskFile};

/// What a disk is made to do.
#[derive(Clone, Default)]
pub(crate) struct Rig {
    pub(crate) stalls: Arc<AtomicBool>,
    pub(crate) fails: Arc<AtomicBool>,
    pub(crate) panics: Arc<AtomicBool>,
}

impl Rig {
    /// Keep this as long as the story goes on, and drop it before the node.
    pub(crate) fn relief(&self) -> Relief {
        Relief(self.stalls.clone())
    }

    /// The disk that is made to.
    pub(crate) fn disk(&self) -> LogDisk {
        let rig = self.clone();
        LogDisk::of(move |path| {
            let directory = Directory::open(path)?;
            Ok(Arc::new(RiggedDisk { directory, rig: rig.clone() }))
        })
    }
}

/// Ends a stall when the story ends, however it does: a node cannot go while its disk is busy.
pub(crate) struct Relief(Arc<AtomicBool>);

impl Drop for Relief {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

struct RiggedDisk {
    directory: Directory,
    rig: Rig,
}

struct RiggedFile {
    file: Box<dyn DiskFile>,
    rig: Rig,
}

impl RiggedDisk {
    fn rigged(&self, file: io::Result<Box<dyn DiskFile>>) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RiggedFile { file: file?, rig: self.rig.clone() }))
    }
}

impl Disk for RiggedDisk {
    fn path(&self) -> &Path {
        self.directory.path()
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.directory.list()
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.rigged(self.directory.open(name))
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.rigged(self.directory.create(name))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.directory.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.directory.remove(name)
    }
    fn sync(&self) -> io::Result<()> {
        self.directory.sync()
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.directory.free_bytes()
    }
}

impl DiskFile for RiggedFile {
    fn size_bytes(&self) -> io::Result<u64> {
        self.file.size_bytes()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }
    fn allocate(&self, size_bytes: u64) -> io::Result<()> {
        self.file.allocate(size_bytes)
    }
    fn sync(&self) -> io::Result<()> {
        while self.rig.stalls.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(2));
        }
        assert!(!self.rig.panics.load(Ordering::Relaxed), "a bug");
        if self.rig.fails.load(Ordering::Relaxed) {
            return Err(io::Error::other("the disk is broken"));
        }
        self.file.sync()
    }
}
