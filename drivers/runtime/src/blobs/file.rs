//! The bytes of a snapshot: a header, chunks each with its own checksum, and an end mark.
//!
//! ```text
//!  "synodsnp" version:u32 │ length:u32 checksum:u64 bytes │ … │ 0:u32 │   little endian
//! ```
//!
//! The blob's checksum covers the whole file, so that a file is known to be the one that was written;
//! the chunks' own checksums stop damage before the state machine reads it.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use synod_codec::{Hash, hash};
use synod_consensus::StateMachine;
use synod_engine::Blob;

use super::{Claim, SYNC_EVERY_BYTES, Store};
use crate::directory;

const MAGIC: &[u8; 8] = b"synodsnp";
const VERSION: u32 = 1;
const MAX_CHUNK_BYTES: usize = 64 << 20;

/// Writes `frozen` to a new blob, durable when this returns. A failure leaves nothing behind; to be
/// `stopped` is one.
pub(crate) fn write<S: StateMachine>(
    store: &Store,
    frozen: &S::Frozen,
    stopped: &AtomicBool,
) -> io::Result<(Blob, Claim)> {
    let id = directory::random_u64()?;
    let taken = || io::Error::other(format!("blob {id:016x} is there already"));
    let claim = store.part(id).ok_or_else(taken)?;
    // A state machine may panic while it is asked for its chunks.
    let write = AssertUnwindSafe(|| write_part::<S>(&claim, frozen, stopped));
    match catch_unwind(write) {
        Ok(Ok(blob)) => Ok((blob, claim)),
        Ok(Err(error)) => {
            claim.discard()?;
            Err(error)
        }
        Err(_) => {
            claim.discard()?;
            Err(io::Error::other("the state machine panicked: a bug"))
        }
    }
}

fn write_part<S: StateMachine>(
    claim: &Claim,
    frozen: &S::Frozen,
    stopped: &AtomicBool,
) -> io::Result<Blob> {
    let file = File::create_new(claim.part_path())?;
    let mut out =
        Summing { out: BufWriter::with_capacity(1 << 18, file), hash: Hash::default(), size: 0 };
    let mut synced = 0;
    out.write(MAGIC)?;
    out.write(&VERSION.to_le_bytes())?;
    for chunk in S::chunks(frozen) {
        if stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("the node stops"));
        }
        if chunk.is_empty() {
            continue;
        }
        if chunk.len() > MAX_CHUNK_BYTES {
            return Err(io::Error::other("a chunk of a snapshot is too long"));
        }
        out.write(&(chunk.len() as u32).to_le_bytes())?;
        out.write(&hash(&chunk).to_le_bytes())?;
        out.write(&chunk)?;
        if out.size - synced > SYNC_EVERY_BYTES as u64 {
            out.out.flush()?;
            out.out.get_ref().sync_data()?;
            synced = out.size;
        }
    }
    out.write(&0u32.to_le_bytes())?;
    let file = out.out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    claim.finish()?;
    Ok(Blob { id: claim.id(), size_bytes: out.size, checksum: out.hash.finish() })
}

/// A file whose bytes are summed up on their way.
struct Summing<F> {
    out: F,
    hash: Hash,
    size: u64,
}

impl<F: Write> Summing<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

impl<F: Read> Summing<F> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.out.read_exact(bytes)?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }
}

/// The state that `blob` holds, which `claim` is on, in a machine configured like `machine`.
///
/// # Errors
/// What is wrong with the file: it is missing, damaged, or not this service's.
pub(crate) fn read<S: StateMachine>(machine: &S, claim: &Claim, blob: Blob) -> Result<S, String> {
    let path = claim.path();
    let file = File::open(&path).map_err(|error| error.to_string());
    let read =
        file.and_then(|file| read_snapshot(machine, BufReader::with_capacity(1 << 18, file), blob));
    read.map_err(|what| format!("snapshot {}: {what}", path.display()))
}

/// The state that these bytes of `blob` hold, in a machine configured like `machine`.
///
/// # Errors
/// What is wrong with the bytes: they cannot be read, are damaged, or not this service's.
pub fn read_snapshot<S: StateMachine>(
    machine: &S,
    input: impl Read,
    blob: Blob,
) -> Result<S, String> {
    let input = Summing { out: input, hash: Hash::default(), size: 0 };
    let reader = RefCell::new(Chunks { input });
    reader.borrow_mut().header()?;
    let failure = RefCell::new(None);
    let mut ended = false;
    let chunks = std::iter::from_fn(|| {
        if ended {
            return None;
        }
        let chunk = reader.borrow_mut().next().unwrap_or_else(|error| {
            *failure.borrow_mut() = Some(error);
            None
        });
        ended = chunk.is_none();
        chunk
    });
    let mut chunks = chunks.fuse();
    let restored = machine.restore(chunks.by_ref());
    chunks.by_ref().for_each(drop);
    drop(chunks);
    if let Some(failure) = failure.take() {
        return Err(failure);
    }
    let Summing { hash, size, .. } = reader.into_inner().input;
    if (size, hash.finish()) != (blob.size_bytes, blob.checksum) {
        return Err("it is not the file that was written".into());
    }
    restored.map_err(|error| error.to_string())
}

struct Chunks<F> {
    input: Summing<F>,
}

impl<F: Read> Chunks<F> {
    fn header(&mut self) -> Result<(), String> {
        let mut magic = [0; 8];
        let mut version = [0; 4];
        let read = self.input.read(&mut magic).and_then(|()| self.input.read(&mut version));
        read.map_err(|error| error.to_string())?;
        if &magic != MAGIC {
            return Err("it is not a snapshot".into());
        }
        match u32::from_le_bytes(version) {
            VERSION => Ok(()),
            other => Err(format!("it has format {other}; this version reads format {VERSION}")),
        }
    }

    fn next(&mut self) -> Result<Option<Bytes>, String> {
        let mut length = [0; 4];
        self.input.read(&mut length).map_err(|error| error.to_string())?;
        let length = u32::from_le_bytes(length) as usize;
        if length == 0 {
            return Ok(None);
        }
        if length > MAX_CHUNK_BYTES {
            return Err(format!("a chunk of {length} bytes at byte {}", self.input.size));
        }
        let at = self.input.size;
        let mut checksum = [0; 8];
        self.input.read(&mut checksum).map_err(|error| error.to_string())?;
        let mut bytes = vec![0; length];
        self.input.read(&mut bytes).map_err(|error| error.to_string())?;
        if hash(&bytes) != u64::from_le_bytes(checksum) {
            return Err(format!("the chunk at byte {at} is damaged"));
        }
        Ok(Some(bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use synod_consensus::{Index, RestoreError};

    use super::*;

    /// Its chunks are its state. A line of "panic" is a bug.
    struct Lines(Vec<Bytes>);

    impl StateMachine for Lines {
        type Response = ();
        type Query = ();
        type Answer = ();
        type Frozen = Vec<Bytes>;

        fn apply(&mut self, _: Index, command: &[u8]) {
            self.0.push(Bytes::copy_from_slice(command));
        }
        fn read(&self, (): &()) {}
        fn freeze(&self) -> Vec<Bytes> {
            self.0.clone()
        }
        fn chunks(frozen: &Vec<Bytes>) -> impl Iterator<Item = Bytes> {
            frozen.iter().inspect(|line| assert_ne!(&line[..], b"panic")).cloned()
        }
        fn restore(&self, chunks: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
            Ok(Self(chunks.collect()))
        }
    }

    #[test]
    fn a_state_machine_that_panics_is_a_failed_snapshot_that_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), |_| false).unwrap();
        let lines = vec![Bytes::from_static(b"one"), Bytes::from_static(b"panic")];
        let failed = write::<Lines>(&store, &lines, &AtomicBool::new(false)).map(drop);
        assert!(failed.unwrap_err().to_string().contains("panicked"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_snapshot_comes_back_and_any_damaged_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), |_| false).unwrap();
        let lines = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        let (blob, claim) = write::<Lines>(&store, &lines, &AtomicBool::new(false)).unwrap();
        assert_eq!(read(&Lines(Vec::new()), &claim, blob).unwrap().0, lines);
        let path = claim.path();
        let good = std::fs::read(&path).unwrap();
        assert_eq!(good.len() as u64, blob.size_bytes);
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 0x40;
            std::fs::write(&path, &bad).unwrap();
            assert!(read(&Lines(Vec::new()), &claim, blob).is_err(), "byte {place} went unnoticed");
        }
        std::fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(read(&Lines(Vec::new()), &claim, blob).is_err());
    }
}
