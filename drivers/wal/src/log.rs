//! The log itself: batches in, one sync for each. How it is opened: [`crate::opening`].

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synod_codec::hash;
use synod_engine::GroupId;

use crate::batch::Batch;
use crate::copy::{Copier, Older};
use crate::disk::Disk;
use crate::error::SyncError;
use crate::format::{
    BATCH_HEADER_BYTES, BatchHeader, PAGE_BYTES, SECTOR_BYTES, SEGMENT_HEADER_BYTES, first_record,
    set_position,
};
use crate::ledger::Ledger;
use crate::options::Options;
use crate::reader::Reader;
use crate::segment::Segment;
use crate::supply::{Supply, is_full};

/// Kept free at the end of each segment: room for a batch without records, which says that segments
/// are free when that is what it takes to go on.
const FLOOR_BYTES: u64 = SECTOR_BYTES;

/// A write-ahead log, open for writing.
///
/// Nothing keeps a second process from opening the same directory: lock it.
pub struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) log: u64,
    pub(crate) options: Options,
    pub(crate) supply: Supply,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) copier: Copier,
    /// The segments before the current one, oldest first.
    pub(crate) older: VecDeque<Older>,
    pub(crate) current: Segment,
    /// Where the next batch goes in the current segment.
    pub(crate) offset: u64,
    /// The number of the next batch.
    pub(crate) number: u64,
    /// The checksum of the last header.
    pub(crate) previous: u64,
    /// Every batch up to this number has been synced.
    pub(crate) proven: u64,
    /// The floor that the next batch carries.
    pub(crate) floor: u64,
    /// The floor of the last batch that was written, and of the last that was synced.
    pub(crate) written_floor: u64,
    pub(crate) synced_floor: u64,
    pub(crate) poisoned: bool,
}

/// How much space there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// Bytes of all files of the log.
    pub allocated_bytes: u64,
    /// Bytes of live records.
    pub live_bytes: u64,
    /// Bytes that can still be written without taking anything from the disk.
    pub room_bytes: u64,
    /// Bytes that the disk can still give.
    pub free_bytes: u64,
    /// Whether the next segment could not be made. Refuse what can be refused: `room_bytes` is all
    /// there is, for what cannot. Each [`Log::sync`], of an empty batch too, tries again.
    pub short: bool,
}

impl Log {
    /// An empty batch with this log's bounds.
    #[must_use]
    pub fn batch(&self) -> Batch {
        let max = usize::try_from(self.options.max_record_bytes).unwrap_or(usize::MAX);
        Batch::new(max)
    }

    /// Makes the records of `batch` durable, after all earlier ones, and empties it.
    ///
    /// # Errors
    /// [`SyncError::Full`] leaves what was not written in the batch; the others end this log.
    pub fn sync(&mut self, batch: &mut Batch) -> Result<(), SyncError> {
        if self.poisoned {
            return Err(SyncError::Poisoned);
        }
        let result = self.write_and_sync(batch);
        if matches!(&result, Err(error) if !matches!(error, SyncError::Full(_))) {
            self.poisoned = true;
        }
        result
    }

    /// The position of the last durable record of `group`; 0 if it has none.
    #[must_use]
    pub fn position(&self, group: GroupId) -> u64 {
        self.ledger().last(group)
    }

    /// Reads durable records back, from another thread, while this log is written.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.disk), self.log, Arc::clone(&self.ledger))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// The group with the most live bytes, and how many: where a checkpoint frees the most.
    #[must_use]
    pub fn largest_group(&self) -> Option<(GroupId, u64)> {
        self.ledger().largest()
    }

    /// The groups that hold three quarters of what is live, the largest first, `most` at most: their
    /// checkpoints would make the log shorter. None while that is not needed: as long as the log is not
    /// large, or as copying forward is enough.
    #[must_use]
    pub fn crowding_groups(&self, most: usize) -> Vec<GroupId> {
        let (used, live) = (self.used_bytes(), self.ledger().live_bytes());
        if !self.is_large(used) || live <= used / 2 {
            return Vec::new();
        }
        let mut held = 0;
        let groups = self.ledger().by_size().into_iter().take(most).take_while(|(size, _)| {
            let more = held < live / 4 * 3;
            held += size;
            more
        });
        groups.map(|(_, group)| group).collect()
    }

    /// Bytes of the segments that are written, or have been.
    fn used_bytes(&self) -> u64 {
        self.older.iter().map(|older| older.size_bytes).sum::<u64>() + self.current.size_bytes
    }

    fn is_large(&self, used: u64) -> bool {
        used > self.options.copy_above_bytes || self.supply.is_short()
    }

    /// How much space there is.
    ///
    /// # Errors
    /// What the system says when asked for the free space of the disk.
    pub fn space(&self) -> io::Result<Space> {
        Ok(Space {
            allocated_bytes: self.supply.allocated_bytes(),
            live_bytes: self.ledger().live_bytes(),
            room_bytes: self.left_bytes() + self.supply.ready_bytes(),
            free_bytes: self.disk.free_bytes()?,
            short: self.supply.is_short(),
        })
    }

    fn write_and_sync(&mut self, batch: &mut Batch) -> Result<(), SyncError> {
        let size_bytes = batch.size_bytes();
        let result = self.write(batch);
        if let Ok(()) | Err(SyncError::Full(_)) = result {
            self.copy_forward(size_bytes - batch.size_bytes())?;
            self.make_durable()?;
            self.reclaim()?;
        }
        result
    }

    /// Writes all records of `batch`, in as many pieces as it takes.
    fn write(&mut self, batch: &mut Batch) -> Result<(), SyncError> {
        while !batch.is_empty() {
            let piece = batch.piece(self.room());
            if piece.is_empty() {
                let fresh = self.offset == SEGMENT_HEADER_BYTES
                    && self.current.size_bytes >= self.options.segment_bytes;
                assert!(!fresh, "a batch holds records within the bounds of the log that made it");
                self.roll()?;
                continue;
            }
            let last = batch.ends_with(&piece);
            let padding = if last { self.padding(piece.len()) } else { 0 };
            let bytes = batch.with_header(&piece, padding);
            let records = &mut bytes[BATCH_HEADER_BYTES..][..piece.len()];
            let count = number_records(&self.ledger, self.current.sequence, records);
            self.write_batch(bytes, piece.len(), count)?;
            batch.written(&piece, count as usize);
        }
        Ok(())
    }

    /// Bytes of records that the current segment can take.
    fn left_bytes(&self) -> u64 {
        let used = self.offset + BATCH_HEADER_BYTES as u64 + FLOOR_BYTES;
        self.current.size_bytes.saturating_sub(used)
    }

    /// Bytes of records that the next batch can take.
    fn room(&self) -> usize {
        let room = self.left_bytes().min(self.options.max_batch_bytes);
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    /// Bytes from the end of a batch to the end of its page: a page that is written whole need not be
    /// read first.
    fn padding(&self, records_bytes: usize) -> usize {
        let end = self.offset + (BATCH_HEADER_BYTES + records_bytes) as u64;
        let page_end = end.next_multiple_of(PAGE_BYTES).min(self.current.size_bytes);
        usize::try_from(page_end - end).expect("less than a page")
    }

    /// Writes a batch: `bytes` is the room for its header, its records, and padding.
    fn write_batch(
        &mut self,
        bytes: &mut [u8],
        records_bytes: usize,
        records: u32,
    ) -> Result<(), SyncError> {
        let header = BatchHeader {
            body: hash(&bytes[BATCH_HEADER_BYTES..][..records_bytes]),
            sequence: self.current.sequence,
            number: self.number,
            proven: self.proven,
            previous: self.previous,
            floor: self.floor,
            length: u32::try_from(records_bytes).expect("batches are bounded below 4 GiB"),
            records,
        };
        let (header_bytes, checksum) = header.encode(self.log);
        bytes[..BATCH_HEADER_BYTES].copy_from_slice(&header_bytes);
        let written = self.current.file.write_at(bytes, self.offset);
        written.map_err(|error| SyncError::Io { doing: "write to the log", error })?;
        self.number += 1;
        self.previous = checksum;
        self.offset += header.extent();
        self.written_floor = self.floor;
        Ok(())
    }

    /// Carries some live records of the oldest segment along, if the log is large and mostly dead.
    fn copy_forward(&mut self, written: usize) -> Result<(), SyncError> {
        let Some(oldest) = self.older.front().copied() else { return Ok(()) };
        let used = self.used_bytes();
        if !self.is_large(used)
            || self.ledger().live_bytes() > used / 2
            || self.ledger().oldest_segment() != Some(oldest.sequence)
        {
            return Ok(());
        }
        let room = self.room();
        let mut copier = std::mem::take(&mut self.copier);
        let done = {
            let ledger = lock(&self.ledger);
            copier.gather(&*self.disk, self.log, oldest, &ledger, room, written)?
        };
        if copier.records > 0 {
            let mut ledger = lock(&self.ledger);
            let mut rest = &copier.copied[BATCH_HEADER_BYTES..];
            while let Some(record) = first_record(rest) {
                let size = record.size_bytes();
                ledger.add(record.group, record.position, self.current.sequence, size as u64);
                rest = &rest[size..];
            }
            drop(ledger);
            let records_bytes = copier.copied.len() - BATCH_HEADER_BYTES;
            self.write_batch(&mut copier.copied, records_bytes, copier.records)?;
        }
        if done {
            self.ledger().abandon(oldest.sequence);
        }
        self.copier = copier;
        Ok(())
    }

    /// Goes on to the next segment. Everything in this one is synced first, so that batches which are
    /// not proven lie in one segment only.
    fn roll(&mut self) -> Result<(), SyncError> {
        self.make_durable()?;
        let next = self.supply.take().map_err(|error| {
            if is_full(&error) {
                SyncError::Full(error)
            } else {
                SyncError::Io { doing: "make the next segment", error }
            }
        })?;
        let Segment { sequence, size_bytes, .. } = std::mem::replace(&mut self.current, next);
        self.older.push_back(Older { sequence, size_bytes, end: self.offset });
        self.offset = SEGMENT_HEADER_BYTES;
        Ok(())
    }

    fn make_durable(&mut self) -> Result<(), SyncError> {
        if self.proven + 1 < self.number {
            let synced = self.current.file.sync();
            synced.map_err(|error| SyncError::Io { doing: "sync the log", error })?;
            self.proven = self.number - 1;
            self.synced_floor = self.written_floor;
        }
        Ok(())
    }

    /// Gives segments back that a durable floor says are not needed, and sees to the next one.
    fn reclaim(&mut self) -> Result<(), SyncError> {
        let io = |doing| move |error| SyncError::Io { doing, error };
        let needed = self.ledger().oldest_segment();
        let needed = needed.unwrap_or(self.current.sequence);
        self.floor = self.floor.max(needed.min(self.current.sequence));
        let waiting = self.floor > self.synced_floor && self.supply.is_short();
        if waiting && self.offset + FLOOR_BYTES <= self.current.size_bytes {
            // No batch may come before there is room for one: say now what is free.
            self.write_batch(&mut [0; BATCH_HEADER_BYTES], 0, 0)?;
            self.make_durable()?;
        }
        while let Some(oldest) = self.older.front()
            && oldest.sequence < self.synced_floor
        {
            let retired = self.supply.retire(oldest.sequence, oldest.size_bytes);
            retired.map_err(io("retire a segment"))?;
            self.older.pop_front();
        }
        self.supply.replenish().map_err(io("make the next segment"))
    }
}

/// The ledger; its readers leave it as it is.
fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives each of `records` its position.
fn number_records(ledger: &Mutex<Ledger>, segment: u64, mut records: &mut [u8]) -> u32 {
    let mut ledger = lock(ledger);
    let mut count = 0;
    while let Some(record) = first_record(records) {
        let size = record.size_bytes();
        let position = ledger.append(record.group, record.kind, segment, size as u64);
        set_position(records, position);
        records = &mut records[size..];
        count += 1;
    }
    count
}
