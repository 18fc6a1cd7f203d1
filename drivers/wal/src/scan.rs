//! Reading the batches of one segment.

use std::io;

use crate::disk::DiskFile;
use crate::format::{BATCH_HEADER_BYTES, BatchHeader, RawRecord, SECTOR_BYTES, first_record};
use synod_codec::hash;

/// The bytes of a segment, of which log it is, and which of its segments.
pub(crate) struct Image<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) log: u64,
    pub(crate) sequence: u64,
}

/// A batch whose header and records are as they were written.
#[derive(Clone, Copy)]
pub(crate) struct Sound<'a> {
    pub(crate) header: BatchHeader,
    pub(crate) checksum: u64,
    pub(crate) body: &'a [u8],
}

impl<'a> Image<'a> {
    /// The batch header at `offset`, whatever became of its records.
    pub(crate) fn header_at(&self, offset: u64) -> Option<(BatchHeader, u64)> {
        let bytes = self.bytes.get(usize::try_from(offset).ok()?..)?;
        BatchHeader::decode(bytes, self.log, self.sequence)
    }

    /// The batch at `offset`, if its header and its records are sound.
    pub(crate) fn batch_at(&self, offset: u64) -> Option<Sound<'a>> {
        let (header, checksum) = self.header_at(offset)?;
        let body = offset as usize + BATCH_HEADER_BYTES;
        let body = self.bytes.get(body..body.checked_add(header.length as usize)?)?;
        (hash(body) == header.body).then_some(Sound { header, checksum, body })
    }

    /// Every batch header from `offset` on, in order, wherever one could start.
    pub(crate) fn headers_from(&self, offset: u64) -> Vec<(u64, BatchHeader)> {
        let mut found = Vec::new();
        let mut at = offset.next_multiple_of(SECTOR_BYTES);
        while at < self.bytes.len() as u64 {
            if let Some((header, _)) = self.header_at(at) {
                found.push((at, header));
            }
            at += SECTOR_BYTES;
        }
        found
    }
}

impl<'a> Sound<'a> {
    /// Its records; `None` in place of the first one that does not fit the batch.
    pub(crate) fn records(&self) -> impl Iterator<Item = Option<RawRecord<'a>>> {
        let mut rest = self.body;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let record = first_record(rest);
            rest = record.map_or(&[], |record| &rest[record.size_bytes()..]);
            Some(record)
        })
    }
}

/// The whole content of a file.
pub(crate) fn read_whole(file: &dyn DiskFile, size_bytes: u64) -> io::Result<Vec<u8>> {
    let size = usize::try_from(size_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; size];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}
