//! The directory that a log lives in, as little of it as the log needs.
//!
//! [`Directory`] is the real one. Tests put one in its place that loses, tears and fails writes.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags, fallocate, statvfs};

/// One directory, no deeper. Errors are what the system says.
pub trait Disk: Send + Sync {
    /// Where it is, for messages.
    fn path(&self) -> &Path;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a file that exists, to read and write.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Makes an empty file, in place of one of the same name.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file, in place of one of the new name. Not durable before [`sync`](Self::sync).
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. Not durable before [`sync`](Self::sync).
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes durable which files there are and what they are called.
    fn sync(&self) -> io::Result<()>;
    /// Bytes that may still be allocated.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// One open file. Errors are what the system says.
pub trait DiskFile: Send {
    /// Its length.
    fn size_bytes(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset` on.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all `bytes` from `offset` on.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Writes all `bytes` from `offset` on, which nobody reads soon: past the system's memory, where that
    /// is possible. Cheapest if both are multiples of a page and the bytes begin at one in memory.
    fn fill_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(bytes, offset)
    }
    /// Makes the file `size_bytes` long and takes all its blocks from the disk.
    fn allocate(&self, size_bytes: u64) -> io::Result<()>;
    /// Makes everything written durable.
    fn sync(&self) -> io::Result<()>;
}

/// A real directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    handle: File,
}

impl Directory {
    /// Opens the directory, making it if there is none.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = &std::path::absolute(path)?;
        let new: Vec<&Path> = path.ancestors().take_while(|level| !level.exists()).collect();
        fs::create_dir_all(path)?;
        for parent in new.iter().filter_map(|level| level.parent()) {
            File::open(parent)?.sync_all()?;
        }
        Self::existing(path)
    }

    /// Opens a directory that is there.
    pub(crate) fn existing(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), handle: File::open(path)? })
    }
}

impl Disk for Directory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path.join(name))?;
        Ok(Box::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let path = self.path.join(name);
        let file = options.open(&path)?;
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(OFlags::DIRECT.bits().cast_signed());
        // Not every file system can.
        let direct = options.open(path).ok();
        Ok(Box::new(NewFile { file, direct }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let status = statvfs(&self.path)?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }
}

/// A file that is about to be filled.
struct NewFile {
    file: File,
    /// The same file, written to past the page cache: 64 MiB cost 10 ms of processor time that way and
    /// 150 ms the other.
    direct: Option<File>,
}

impl DiskFile for NewFile {
    fn size_bytes(&self) -> io::Result<u64> {
        self.file.size_bytes()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        DiskFile::read_at(&self.file, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        DiskFile::write_at(&self.file, bytes, offset)
    }

    fn fill_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let direct = self.direct.as_ref().map(|file| file.write_all_at(bytes, offset));
        match direct {
            Some(Err(error)) if error.kind() != io::ErrorKind::InvalidInput => Err(error),
            Some(Ok(())) => Ok(()),
            // Not aligned as this device wants it, or not supported after all.
            Some(Err(_)) | None => DiskFile::write_at(&self.file, bytes, offset),
        }
    }

    fn allocate(&self, size_bytes: u64) -> io::Result<()> {
        self.file.allocate(size_bytes)
    }

    fn sync(&self) -> io::Result<()> {
        DiskFile::sync(&self.file)
    }
}

impl DiskFile for File {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn allocate(&self, size_bytes: u64) -> io::Result<()> {
        match fallocate(self, FallocateFlags::empty(), 0, size_bytes) {
            Err(rustix::io::Errno::OPNOTSUPP) => self.set_len(size_bytes),
            result => Ok(result?),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
