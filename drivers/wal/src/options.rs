//! Every bound of a log.

use crate::format::{BATCH_HEADER_BYTES, RECORD_HEADER_BYTES, SECTOR_BYTES, SEGMENT_HEADER_BYTES};

const MIB: u64 = 1 << 20;

/// The bounds of a log, checked when it is opened. They may change from one life to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Length of a segment file. Default 64 MiB: half a second of a busy node, so that a roll is
    /// rare, and little enough to read at a start.
    pub segment_bytes: u64,
    /// Longest payload of one record. Default 32 MiB: a checkpoint holds everything behind a snapshot.
    pub max_record_bytes: u64,
    /// Most bytes of records under one checksum; what is synced together is cut into such batches.
    /// Default 48 MiB.
    pub max_batch_bytes: u64,
    /// Live records are copied forward out of the oldest segment while the log takes more than this
    /// and more than half of it is dead. Default 512 MiB.
    pub copy_above_bytes: u64,
    /// The log never allocates more than this, as if the disk were full. Default 16 GiB.
    pub max_log_bytes: u64,
    /// How many segments without live records are kept for reuse; others are removed. Default 2.
    pub max_spare_segments: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * MIB,
            max_record_bytes: 32 * MIB,
            max_batch_bytes: 48 * MIB,
            copy_above_bytes: 512 * MIB,
            max_log_bytes: 16 * 1024 * MIB,
            max_spare_segments: 2,
        }
    }
}

impl Options {
    /// The longest segment that is read.
    pub(crate) const MAX_SEGMENT_BYTES: u64 = 1024 * MIB;

    pub(crate) fn check(&self) -> Result<(), String> {
        let record = self.max_record_bytes.saturating_add(RECORD_HEADER_BYTES as u64);
        let batch = self.max_batch_bytes.saturating_add(BATCH_HEADER_BYTES as u64 + SECTOR_BYTES);
        if !self.segment_bytes.is_multiple_of(4096) || self.segment_bytes > Self::MAX_SEGMENT_BYTES
        {
            return Err(format!(
                "segment_bytes is {}; it must be a multiple of 4096 and at most 1 GiB",
                self.segment_bytes
            ));
        }
        if record > self.max_batch_bytes {
            return Err(format!(
                "max_batch_bytes is {}; a record takes up to {record}",
                self.max_batch_bytes
            ));
        }
        if SEGMENT_HEADER_BYTES.saturating_add(batch) > self.segment_bytes {
            return Err(format!(
                "segment_bytes is {}; a batch takes up to {batch} and the segment's header \
                 {SEGMENT_HEADER_BYTES}",
                self.segment_bytes
            ));
        }
        if self.max_log_bytes < 3 * self.segment_bytes {
            return Err(format!(
                "max_log_bytes is {}; three segments take {}",
                self.max_log_bytes,
                3 * self.segment_bytes
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_sound_and_bounds_that_cannot_hold_are_refused() {
        assert_eq!(Options::default().check(), Ok(()));
        let wrong: [fn(&mut Options); 4] = [
            |options| options.segment_bytes += 1,
            |options| options.max_record_bytes = u64::MAX,
            |options| options.max_batch_bytes = options.segment_bytes,
            |options| options.max_log_bytes = options.segment_bytes,
        ];
        for spoil in wrong {
            let mut options = Options::default();
            spoil(&mut options);
            assert!(options.check().is_err(), "{options:?}");
        }
    }
}
