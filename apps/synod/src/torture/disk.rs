//! A disk of its own for each node: a file with a file system in it, mounted, where the system lets us. It can be
//! filled to the last byte, and made to stand still (frozen), with nobody else's files on it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Beside the 256 MiB that a node keeps free by default, room for its log and snapshots. The file is sparse.
const SIZE_BYTES: u64 = 1 << 30;

/// The least that a file system gives.
const BLOCK_BYTES: u64 = 4096;

/// A mounted file system. Taken down when dropped.
#[derive(Debug)]
pub(super) struct Disk {
    mount: PathBuf,
}

impl Disk {
    /// Makes one in the file `image` and mounts it at `mount`.
    pub(super) fn make(image: &Path, mount: &Path) -> Result<Self, String> {
        let file = File::create_new(image).map_err(|error| error.to_string())?;
        file.set_len(SIZE_BYTES).map_err(|error| error.to_string())?;
        run("mkfs.ext4", &["-q".as_ref(), image])?;
        Self::open(image, mount)
    }

    /// Mounts the one in the file `image` at `mount`.
    pub(super) fn open(image: &Path, mount: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(mount).map_err(|error| error.to_string())?;
        // An earlier torture may have been ended by force; else it is not there.
        run("fsfreeze", &["-u".as_ref(), mount]).ok();
        run("umount", &[mount]).ok();
        run("mount", &["-o".as_ref(), "loop".as_ref(), image, mount])?;
        let disk = Self { mount: mount.to_owned() };
        disk.free();
        Ok(disk)
    }

    /// Takes all that is left, without writing to it.
    pub(super) fn fill(&self) -> io::Result<()> {
        let ballast = File::create(self.ballast())?;
        let (mut taken, mut piece) = (0, SIZE_BYTES);
        while piece >= BLOCK_BYTES {
            match fallocate(&ballast, FallocateFlags::empty(), taken, piece) {
                Ok(()) => taken += piece,
                Err(Errno::NOSPC) => piece /= 2,
                Err(other) => return Err(other.into()),
            }
        }
        Ok(())
    }

    /// Gives it all back.
    pub(super) fn free(&self) {
        // It is only there while the disk is full.
        std::fs::remove_file(self.ballast()).ok();
    }

    /// From now on whoever writes or syncs waits.
    pub(super) fn freeze(&self) -> Result<(), String> {
        run("fsfreeze", &["-f".as_ref(), &self.mount])
    }

    /// Whoever waits goes on.
    pub(super) fn thaw(&self) -> Result<(), String> {
        run("fsfreeze", &["-u".as_ref(), &self.mount])
    }

    fn ballast(&self) -> PathBuf {
        self.mount.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Frozen or not; lazily, should a process still be ending on it.
        self.thaw().ok();
        run("umount", &["-l".as_ref(), &self.mount]).ok();
    }
}

/// Runs a program of the system.
fn run(program: &str, arguments: &[&Path]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{program}: {}", said.lines().next().unwrap_or("it failed")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_can_be_full_and_empty_again_where_one_can_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let disk = match Disk::make(&dir.path().join("image"), &dir.path().join("disk")) {
            Ok(disk) => disk,
            Err(why) => return println!("skipped: {why}"),
        };
        let other = dir.path().join("disk/other");
        disk.fill().unwrap();
        assert!(std::fs::write(&other, [7; 8_192]).is_err());
        disk.free();
        std::fs::write(&other, [7; 8_192]).unwrap();
        drop(disk);
        assert!(!other.exists(), "it is not mounted any more");
    }
}
