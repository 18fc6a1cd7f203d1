//! Files that are there whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Replaces `path` by `bytes`; durable when it returns.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename_durably(&part, path)
}

/// Makes the directory `path` and what is missing above it; durable when it returns.
pub(crate) fn make_durably(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let missing: Vec<&Path> = path.ancestors().take_while(|level| !level.exists()).collect();
    std::fs::create_dir_all(&path)?;
    missing
        .iter()
        .filter_map(|level| level.parent())
        .try_for_each(|dir| File::open(dir)?.sync_all())
}

/// Renames `from`, whose bytes are durable, to `to` in the same directory; durable when it returns.
pub(crate) fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    let dir = to.parent().ok_or_else(|| io::Error::other("a file has a directory"))?;
    File::open(dir)?.sync_all()
}

/// 64 bits that nobody drew before.
pub(crate) fn random_u64() -> io::Result<u64> {
    let mut bytes = [0; 8];
    let mut filled = 0;
    while filled < bytes.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut bytes[filled..], flags)?;
    }
    Ok(u64::from_le_bytes(bytes))
}
