//! Records on their way to the log.
//!
//! A [`Batch`] is filled where records are made and handed to [`Log::sync`](crate::Log::sync), which
//! may run on another thread; one may be filled while another is synced. Its buffer is kept: nothing
//! is allocated per record.

use std::ops::Range;

use synod_engine::GroupId;
use thiserror::Error;

use crate::format::{BATCH_HEADER_BYTES, Kind, begin_record, end_record, first_record};

/// What an empty batch holds on to of a buffer that was longer.
const KEPT_BYTES: usize = 4 << 20;

/// Records to be made durable together, in order.
#[derive(Debug)]
pub struct Batch {
    /// Room for a batch header, then records, each with position 0.
    bytes: Vec<u8>,
    /// Where the first record stands that is not yet written.
    start: usize,
    records: usize,
    max_record_bytes: usize,
}

/// A record that is too long; it was not appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error(
    "a record of {size_bytes} bytes where at most {max_bytes} are allowed; nothing was appended"
)]
pub struct RecordTooLarge {
    /// The length of its payload.
    pub size_bytes: usize,
    /// The bound: [`Options::max_record_bytes`](crate::Options::max_record_bytes).
    pub max_bytes: usize,
}

impl Batch {
    /// An empty batch for records of up to `max_record_bytes`.
    pub(crate) fn new(max_record_bytes: usize) -> Self {
        let bytes = vec![0; BATCH_HEADER_BYTES];
        Self { bytes, start: BATCH_HEADER_BYTES, records: 0, max_record_bytes }
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`RecordTooLarge`]; nothing was appended.
    pub fn append(
        &mut self,
        group: GroupId,
        kind: Kind,
        payload: &[u8],
    ) -> Result<(), RecordTooLarge> {
        self.append_with(group, kind, |out| out.extend_from_slice(payload))
    }

    /// Appends a record whose payload is what `write` appends.
    ///
    /// # Errors
    /// [`RecordTooLarge`]; nothing was appended.
    pub fn append_with(
        &mut self,
        group: GroupId,
        kind: Kind,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), RecordTooLarge> {
        let start = self.bytes.len();
        begin_record(&mut self.bytes, group, 0, kind);
        let payload = self.bytes.len();
        write(&mut self.bytes);
        let size_bytes = self.bytes.len() - payload;
        if size_bytes > self.max_record_bytes {
            self.bytes.truncate(start);
            return Err(RecordTooLarge { size_bytes, max_bytes: self.max_record_bytes });
        }
        end_record(&mut self.bytes, size_bytes);
        self.records += 1;
        Ok(())
    }

    /// How many records are in it.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records
    }

    /// Whether there is nothing to sync.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes that its records take in the log.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// The records that come next and take at most `room` bytes together, with the room for a header
    /// before them. Empty if not even one fits.
    pub(crate) fn piece(&self, room: usize) -> Range<usize> {
        let mut end = self.start;
        if self.bytes.len() - self.start <= room {
            end = self.bytes.len();
        } else {
            while let Some(record) = first_record(&self.bytes[end..]) {
                if end + record.size_bytes() - self.start > room {
                    break;
                }
                end += record.size_bytes();
            }
        }
        self.start..end
    }

    /// Whether this piece is the last.
    pub(crate) fn ends_with(&self, piece: &Range<usize>) -> bool {
        piece.end == self.bytes.len()
    }

    /// The room for a header, the records of a piece, and `padding` bytes of zeros, which only the
    /// last piece has. The header goes where earlier pieces stood.
    pub(crate) fn with_header(&mut self, piece: &Range<usize>, padding: usize) -> &mut [u8] {
        self.bytes.resize(self.bytes.len() + padding, 0);
        &mut self.bytes[piece.start - BATCH_HEADER_BYTES..piece.end + padding]
    }

    /// Takes note that a piece with this many records is written.
    pub(crate) fn written(&mut self, piece: &Range<usize>, records: usize) {
        self.start = piece.end;
        self.records -= records;
        if self.records == 0 {
            self.bytes.truncate(BATCH_HEADER_BYTES);
            self.bytes.shrink_to(KEPT_BYTES);
            self.start = BATCH_HEADER_BYTES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::RECORD_HEADER_BYTES;

    #[test]
    fn a_record_beyond_the_bound_leaves_the_batch_as_it_was() {
        let mut batch = Batch::new(3);
        batch.append(GroupId(1), Kind::Fact, b"abc").unwrap();
        let size = batch.size_bytes();
        let error = batch.append(GroupId(1), Kind::Fact, b"abcd").unwrap_err();
        assert_eq!(error, RecordTooLarge { size_bytes: 4, max_bytes: 3 });
        assert_eq!((batch.size_bytes(), batch.records()), (size, 1));
    }

    #[test]
    fn pieces_end_between_records() {
        let mut batch = Batch::new(10);
        for _ in 0..3 {
            batch.append(GroupId(1), Kind::Fact, b"abc").unwrap();
        }
        let one = RECORD_HEADER_BYTES + 3;
        assert_eq!(batch.piece(one - 1).len(), 0);
        assert_eq!(batch.piece(2 * one + 1).len(), 2 * one);
        assert_eq!(batch.piece(3 * one).len(), 3 * one);
    }
}
