//! One file of the log, and the pool that makes and reuses them.
//!
//! `0000000000000007.wal` is the segment with sequence number 7. A segment gets that name only once
//! it has its full length, every block written and a durable header. A segment that is no longer
//! needed stays as it is until its file becomes a later one: header first, then the name.
//! [`crate::supply`] has this done ahead of need.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::disk::{Disk, DiskFile};
use crate::format::{PAGE_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::options::Options;

/// The name of a segment that is being made.
pub(crate) const UNFINISHED: &str = "unfinished.tmp";

/// New segments are written and synced in pieces of this size, so that other syncs get through.
const FILL_BYTES: u64 = 1 << 20;

/// The file name of the segment with this sequence number.
pub(crate) fn name(sequence: u64) -> String {
    format!("{sequence:016x}.wal")
}

/// The sequence number that a file name stands for.
pub(crate) fn sequence(file: &str) -> Option<u64> {
    let digits = file.strip_suffix(".wal")?;
    let sequence = u64::from_str_radix(digits, 16).ok()?;
    (name(sequence) == file).then_some(sequence)
}

/// A segment that is ready to be written.
pub(crate) struct Segment {
    pub(crate) sequence: u64,
    pub(crate) size_bytes: u64,
    pub(crate) file: Box<dyn DiskFile>,
}

/// Makes segments, from files that are free or from new ones.
pub(crate) struct Pool {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) log: u64,
    pub(crate) options: Options,
    /// Segments that are no longer needed, all of the length that is wanted.
    pub(crate) spares: VecDeque<u64>,
    pub(crate) shared: Arc<Shared>,
}

/// What the pool shows to other threads, and is told by them.
#[derive(Default)]
pub(crate) struct Shared {
    /// Bytes of all files of the log.
    pub(crate) allocated_bytes: AtomicU64,
    /// Set when the log is closed: what is being made is no longer wanted.
    pub(crate) closed: AtomicBool,
}

impl Pool {
    /// Makes the segment with this sequence number.
    ///
    /// Nothing that exists is harmed if it fails, a full disk included.
    pub(crate) fn prepare(&mut self, sequence: u64) -> io::Result<Segment> {
        let (file, from) = match self.spares.front() {
            Some(spare) => (self.disk.open(&name(*spare))?, name(*spare)),
            None => (self.allocate()?, UNFINISHED.to_owned()),
        };
        let size_bytes = self.options.segment_bytes;
        let header = SegmentHeader { log: self.log, sequence, size_bytes };
        let mut bytes = vec![0; SEGMENT_HEADER_BYTES as usize];
        let encoded = header.encode();
        bytes[..encoded.len()].copy_from_slice(&encoded);
        file.write_at(&bytes, 0)?;
        file.sync()?;
        self.disk.rename(&from, &name(sequence))?;
        self.spares.pop_front();
        self.disk.sync()?;
        Ok(Segment { sequence, size_bytes, file })
    }

    /// A file of the full length with every block written: a sync of such blocks changes no metadata.
    fn allocate(&self) -> io::Result<Box<dyn DiskFile>> {
        let size_bytes = self.options.segment_bytes;
        let allocated = self.shared.allocated_bytes.load(Ordering::Relaxed);
        if allocated + size_bytes > self.options.max_log_bytes {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("the log may take {} bytes", self.options.max_log_bytes),
            ));
        }
        if self.disk.free_bytes()? < size_bytes {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("fewer than {size_bytes} bytes are free"),
            ));
        }
        let file = self.disk.create(UNFINISHED)?;
        if let Err(error) = self.fill(&*file, size_bytes) {
            drop(file);
            self.disk.remove(UNFINISHED)?;
            return Err(error);
        }
        self.shared.allocated_bytes.fetch_add(size_bytes, Ordering::Relaxed);
        Ok(file)
    }

    fn fill(&self, file: &dyn DiskFile, size_bytes: u64) -> io::Result<()> {
        file.allocate(size_bytes)?;
        let length = FILL_BYTES.min(size_bytes) as usize;
        let zeros = vec![0; length + PAGE_BYTES as usize];
        let zeros = &zeros[zeros.as_ptr().align_offset(PAGE_BYTES as usize)..][..length];
        let mut offset = 0;
        while offset < size_bytes {
            if self.shared.closed.load(Ordering::Relaxed) {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "the log was closed"));
            }
            let length = (size_bytes - offset).min(FILL_BYTES);
            file.fill_at(&zeros[..length as usize], offset)?;
            file.sync()?;
            offset += length;
        }
        Ok(())
    }

    /// Takes back a segment that is no longer needed.
    pub(crate) fn retire(&mut self, sequence: u64, size_bytes: u64) -> io::Result<()> {
        let wanted = size_bytes == self.options.segment_bytes
            && self.spares.len() < self.options.max_spare_segments;
        if wanted {
            self.spares.push_back(sequence);
        } else {
            self.disk.remove(&name(sequence))?;
            self.shared.allocated_bytes.fetch_sub(size_bytes, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_segments_are_read_as_such() {
        assert_eq!(sequence(&name(0x1f)), Some(0x1f));
        for other in ["1f.wal", "000000000000001F.wal", "unfinished.tmp", "00000000000000001f.wal"]
        {
            assert_eq!(sequence(other), None, "{other}");
        }
    }
}
