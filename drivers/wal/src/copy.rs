//! Copying live records out of the oldest segment.
//!
//! A group that writes little would hold its segment, and with it every later one, for ever. So while
//! the log is large and mostly dead, each sync also carries some live records of the oldest segment to
//! the end of the log, under their old positions. Once all are there, nothing in the segment is live.

use std::io;

use synod_codec::hash;

use crate::disk::{Disk, DiskFile};
use crate::error::SyncError;
use crate::format::{BATCH_HEADER_BYTES, BatchHeader, SEGMENT_HEADER_BYTES, first_record};
use crate::ledger::Ledger;
use crate::segment::name;

/// Read from the oldest segment with one sync, by whole batches; or twice what the sync itself writes.
const READ_BYTES: u64 = 4 << 20;
/// Copied with one sync, at most; or as much as the sync itself writes, or one longer record.
const COPY_BYTES: usize = 1 << 20;

/// Where the copying stands.
#[derive(Default)]
pub(crate) struct Copier {
    source: Option<Source>,
    /// Room for a batch header, and the records to be written with the next sync.
    pub(crate) copied: Vec<u8>,
    pub(crate) records: u32,
}

/// A segment behind the current one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Older {
    pub(crate) sequence: u64,
    pub(crate) size_bytes: u64,
    /// Where its last batch ends.
    pub(crate) end: u64,
}

struct Source {
    segment: Older,
    file: Box<dyn DiskFile>,
    /// Where the next batch starts.
    offset: u64,
    /// The records of the batch before it.
    body: Vec<u8>,
    /// Where in `body` the next record starts.
    at: usize,
}

impl Copier {
    /// Gathers live records of `oldest` into [`copied`](Self::copied), `room` bytes at most, for a sync
    /// that writes `written` bytes besides. True if these are the last.
    pub(crate) fn gather(
        &mut self,
        disk: &dyn Disk,
        log: u64,
        oldest: Older,
        ledger: &Ledger,
        room: usize,
        written: usize,
    ) -> Result<bool, SyncError> {
        self.copied.clear();
        self.copied.resize(BATCH_HEADER_BYTES, 0);
        self.records = 0;
        let source = match &mut self.source {
            Some(source) if source.segment.sequence == oldest.sequence => source,
            source => source.insert(Source::open(disk, oldest)?),
        };
        let stop = source.offset + READ_BYTES.max(2 * written as u64);
        let most = COPY_BYTES.max(written);
        loop {
            while let Some(record) = first_record(&source.body[source.at..]) {
                if ledger.is_live(record.group, record.position) {
                    let gathered = self.copied.len() - BATCH_HEADER_BYTES;
                    let enough = self.records > 0 && gathered + record.size_bytes() > most;
                    if enough || gathered + record.size_bytes() > room {
                        return Ok(false);
                    }
                    record.encode(&mut self.copied);
                    self.records += 1;
                }
                source.at += record.size_bytes();
            }
            if source.offset >= source.segment.end {
                self.source = None;
                return Ok(true);
            }
            if source.offset >= stop {
                return Ok(false);
            }
            source.next_batch(disk, log)?;
        }
    }
}

impl Source {
    fn open(disk: &dyn Disk, segment: Older) -> Result<Self, SyncError> {
        let file = disk.open(&name(segment.sequence)).map_err(unreadable)?;
        Ok(Self { segment, file, offset: SEGMENT_HEADER_BYTES, body: Vec::new(), at: 0 })
    }

    fn next_batch(&mut self, disk: &dyn Disk, log: u64) -> Result<(), SyncError> {
        let mut header = [0; BATCH_HEADER_BYTES];
        self.file.read_at(&mut header, self.offset).map_err(unreadable)?;
        let Some((header, _)) = BatchHeader::decode(&header, log, self.segment.sequence) else {
            return Err(self.damaged(disk, "the header of a batch has changed"));
        };
        if self.offset + header.extent() > self.segment.end {
            return Err(self.damaged(disk, "a batch goes beyond the last one"));
        }
        self.body.resize(header.length as usize, 0);
        self.at = 0;
        let body_at = self.offset + BATCH_HEADER_BYTES as u64;
        self.file.read_at(&mut self.body, body_at).map_err(unreadable)?;
        if hash(&self.body) != header.body {
            return Err(self.damaged(disk, "the records of a batch have changed"));
        }
        self.offset += header.extent();
        Ok(())
    }

    fn damaged(&self, disk: &dyn Disk, why: &str) -> SyncError {
        let file = disk.path().join(name(self.segment.sequence));
        SyncError::Damaged { file, offset: self.offset, why: why.to_owned() }
    }
}

fn unreadable(error: io::Error) -> SyncError {
    SyncError::Io { doing: "read a segment to copy it forward", error }
}
