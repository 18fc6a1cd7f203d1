//! The bytes of a segment.
//!
//! ```text
//! segment   ├ header, 4096 bytes ┼ batch ┼ batch ┼ … ┼ zeros, or bytes of an earlier use ┤
//! batch     ├ header, 64 bytes ┼ records ┼ nothing, up to the next multiple of 512 ┤
//! record    ├ length u32 ┼ group u32 ┼ position u64 ┼ kind u8 ┼ payload ┤      little endian
//! ```
//!
//! A batch header never crosses a sector, so it is never torn, and its checksum covers it alone: it
//! can be found and believed behind a batch that is damaged. It names the segment's sequence number
//! (bytes of an earlier use name another), the checksum of the header before it (the chain), and
//! what had been synced when it was written (the mark). Next: [`crate::scan`] reads this.

use synod_codec::{hash, hash_chained};
use synod_engine::GroupId;

/// The format written; the only one read.
pub(crate) const FORMAT: u32 = 1;
/// Batches start at multiples of this.
pub(crate) const SECTOR_BYTES: u64 = 512;
/// Writes end at multiples of this where they can, so that no page must be read to be changed.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// Where the first batch of a segment starts.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 4096;
/// Bytes of a batch before its records.
pub(crate) const BATCH_HEADER_BYTES: usize = 64;
/// Bytes of a record before its payload.
pub(crate) const RECORD_HEADER_BYTES: usize = 25;
/// Where a record's position stands.
const POSITION_AT: usize = 8;

const MAGIC: [u8; 8] = *b"synodwal";

/// The first bytes of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    /// Drawn when the log was made; the same in all its segments.
    pub(crate) log: u64,
    /// One more than that of the segment before it.
    pub(crate) sequence: u64,
    /// Length of the file.
    pub(crate) size_bytes: u64,
}

/// Why a segment header was refused.
pub(crate) enum BadSegmentHeader {
    Version(u32),
    Damaged,
}

impl SegmentHeader {
    const LENGTH: usize = 48;

    pub(crate) fn encode(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.log.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.size_bytes.to_le_bytes());
        let checksum = hash(&bytes[..40]);
        bytes[40..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadSegmentHeader> {
        if bytes.len() < Self::LENGTH || bytes[..8] != MAGIC {
            return Err(BadSegmentHeader::Damaged);
        }
        let format = u32_at(bytes, 8);
        if format != FORMAT {
            return Err(BadSegmentHeader::Version(format));
        }
        if hash(&bytes[..40]) != u64_at(bytes, 40) {
            return Err(BadSegmentHeader::Damaged);
        }
        Ok(Self {
            log: u64_at(bytes, 16),
            sequence: u64_at(bytes, 24),
            size_bytes: u64_at(bytes, 32),
        })
    }
}

/// The first bytes of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BatchHeader {
    /// Hash of the records.
    pub(crate) body: u64,
    /// The segment it was written to.
    pub(crate) sequence: u64,
    /// Its place in the log, counted from 1.
    pub(crate) number: u64,
    /// The mark: every batch up to this number had been synced when this one was written.
    pub(crate) proven: u64,
    /// [`checksum`](Self::checksum) of the batch before it; 0 before the first.
    pub(crate) previous: u64,
    /// No segment before this one was needed any more when this batch was written.
    pub(crate) floor: u64,
    /// Bytes of the records.
    pub(crate) length: u32,
    /// How many records.
    pub(crate) records: u32,
}

impl BatchHeader {
    /// The bytes, and the checksum among them that the next batch names.
    pub(crate) fn encode(&self, log: u64) -> ([u8; BATCH_HEADER_BYTES], u64) {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        bytes[8..16].copy_from_slice(&self.body.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.proven.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.previous.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.floor.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.length.to_le_bytes());
        bytes[60..].copy_from_slice(&self.records.to_le_bytes());
        let checksum = hash_chained(log, &bytes[8..]);
        bytes[..8].copy_from_slice(&checksum.to_le_bytes());
        (bytes, checksum)
    }

    /// The header that `bytes` start with, and its checksum, if it is one of this log and segment.
    pub(crate) fn decode(bytes: &[u8], log: u64, sequence: u64) -> Option<(Self, u64)> {
        let bytes = bytes.first_chunk::<BATCH_HEADER_BYTES>()?;
        if u64_at(bytes, 16) != sequence {
            return None;
        }
        let checksum = u64_at(bytes, 0);
        if hash_chained(log, &bytes[8..]) != checksum {
            return None;
        }
        let header = Self {
            body: u64_at(bytes, 8),
            sequence,
            number: u64_at(bytes, 24),
            proven: u64_at(bytes, 32),
            previous: u64_at(bytes, 40),
            floor: u64_at(bytes, 48),
            length: u32_at(bytes, 56),
            records: u32_at(bytes, 60),
        };
        Some((header, checksum))
    }

    /// Bytes from the start of this batch to where the next one starts.
    pub(crate) fn extent(&self) -> u64 {
        extent(self.length as usize)
    }
}

/// Bytes from the start of a batch with `length` bytes of records to where the next one starts.
pub(crate) fn extent(length: usize) -> u64 {
    ((BATCH_HEADER_BYTES + length) as u64).next_multiple_of(SECTOR_BYTES)
}

/// What a record is to the ones before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It adds to them.
    Fact,
    /// It replaces all earlier ones of its group but the `keeps` right before it.
    Checkpoint {
        /// How many.
        keeps: u64,
    },
}

/// A record as it stands in a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RawRecord<'a> {
    pub(crate) group: GroupId,
    pub(crate) position: u64,
    pub(crate) kind: Kind,
    pub(crate) payload: &'a [u8],
}

impl RawRecord<'_> {
    /// Bytes that it takes in a batch.
    pub(crate) fn size_bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.payload.len()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        begin_record(out, self.group, self.position, self.kind);
        out.extend_from_slice(self.payload);
        end_record(out, self.payload.len());
    }
}

/// Appends the header of a record whose payload follows.
pub(crate) fn begin_record(out: &mut Vec<u8>, group: GroupId, position: u64, kind: Kind) {
    let mut header = [0; RECORD_HEADER_BYTES];
    header[4..8].copy_from_slice(&group.0.to_le_bytes());
    header[POSITION_AT..POSITION_AT + 8].copy_from_slice(&position.to_le_bytes());
    if let Kind::Checkpoint { keeps } = kind {
        header[16] = 1;
        header[17..25].copy_from_slice(&keeps.to_le_bytes());
    }
    out.extend_from_slice(&header);
}

/// Fills in the length of the record that `out` ends with.
pub(crate) fn end_record(out: &mut [u8], payload_bytes: usize) {
    let start = out.len() - payload_bytes - RECORD_HEADER_BYTES;
    let length = u32::try_from(payload_bytes).expect("records are bounded below 4 GiB");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Sets the position of the record at the start of `bytes`.
pub(crate) fn set_position(bytes: &mut [u8], position: u64) {
    bytes[POSITION_AT..POSITION_AT + 8].copy_from_slice(&position.to_le_bytes());
}

/// The record at the start of `bytes`, if there is a whole one.
pub(crate) fn first_record(bytes: &[u8]) -> Option<RawRecord<'_>> {
    let header = bytes.first_chunk::<RECORD_HEADER_BYTES>()?;
    let length = u32_at(header, 0) as usize;
    let kind = match header[16] {
        0 => Kind::Fact,
        1 => Kind::Checkpoint { keeps: u64_at(header, 17) },
        _ => return None,
    };
    Some(RawRecord {
        group: GroupId(u32_at(header, 4)),
        position: u64_at(header, POSITION_AT),
        kind,
        payload: bytes.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES.checked_add(length)?)?,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_header_comes_back_only_for_its_own_log_and_segment() {
        let header = BatchHeader {
            body: 1,
            sequence: 2,
            number: 3,
            proven: 4,
            previous: 5,
            floor: 6,
            length: 7,
            records: 8,
        };
        let (bytes, checksum) = header.encode(9);
        assert_eq!(BatchHeader::decode(&bytes, 9, 2), Some((header, checksum)));
        assert_eq!(BatchHeader::decode(&bytes, 8, 2), None);
        assert_eq!(BatchHeader::decode(&bytes, 9, 3), None);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BatchHeader::decode(&bad, 9, 2), None, "bit {bit} went unnoticed");
        }
        assert_eq!(BatchHeader::decode(&[0; BATCH_HEADER_BYTES], 9, 0), None);
    }

    #[test]
    fn a_record_comes_back_and_a_piece_of_one_does_not() {
        let record = RawRecord {
            group: GroupId(3),
            position: 4,
            kind: Kind::Checkpoint { keeps: 2 },
            payload: b"state",
        };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        assert_eq!(bytes.len(), record.size_bytes());
        assert_eq!(first_record(&bytes), Some(record));
        for end in 0..bytes.len() {
            assert_eq!(first_record(&bytes[..end]), None);
        }
    }
}
