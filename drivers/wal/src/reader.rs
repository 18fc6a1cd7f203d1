//! Reading records back while the log is written, from a thread of the caller's.
//!
//! The ledger says in which segments a group has records; within a segment the batches are walked, from
//! where the last read of the group ended if it can go on there. Nothing is locked while files are read:
//! a segment that is given back meanwhile is known by the sequence number in each batch, and what was
//! read of it before is still what was written.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use synod_codec::hash;
use synod_engine::GroupId;

use crate::disk::{Disk, DiskFile};
use crate::format::{BATCH_HEADER_BYTES, BatchHeader, SEGMENT_HEADER_BYTES, first_record};
use crate::ledger::Ledger;
use crate::segment::name;

/// Read from a file at a time, unless a batch is longer.
const WINDOW_BYTES: usize = 256 << 10;

/// Reads records of a log that is open.
pub struct Reader {
    disk: Arc<dyn Disk>,
    log: u64,
    ledger: Arc<Mutex<Ledger>>,
    /// A few for each group, the newest last.
    cursors: BTreeMap<GroupId, Vec<Cursor>>,
}

/// Cursors of a group: as many of its followers can be late without being in each other's way.
const MAX_CURSORS: usize = 4;

/// Where a read of a group ended.
#[derive(Clone, Copy)]
struct Cursor {
    segment: u64,
    offset: u64,
    /// The position of the record before.
    position: u64,
}

impl Reader {
    pub(crate) fn new(disk: Arc<dyn Disk>, log: u64, ledger: Arc<Mutex<Ledger>>) -> Self {
        Self { disk, log, ledger, cursors: BTreeMap::new() }
    }

    /// The payloads of the records of `group` from position `first` to `last`, which are durable; `None`
    /// if some of them are gone, since a checkpoint replaced them.
    ///
    /// # Errors
    /// What the system says; and damage, as invalid data.
    pub fn read(
        &mut self,
        group: GroupId,
        first: u64,
        last: u64,
    ) -> io::Result<Option<Vec<Vec<u8>>>> {
        let mut wanted = Wanted { group, first, last, found: BTreeMap::new() };
        let cursor = self.take_cursor(group, first);
        for cursor in [cursor, None] {
            let segments = {
                let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                ledger.segments_with(group, first)
            };
            for segment in segments {
                let from = cursor.filter(|cursor| cursor.segment == segment);
                let from = from.map_or(SEGMENT_HEADER_BYTES, |cursor| cursor.offset);
                let end = self.walk(segment, from, &mut wanted)?;
                if wanted.is_complete() {
                    let end = Cursor { segment, offset: end, position: last };
                    self.keep_cursor(group, end);
                    return Ok(Some(wanted.found.into_values().collect()));
                }
            }
            if cursor.is_none() {
                break;
            }
        }
        Ok(None)
    }

    /// Takes out the cursor that is closest before `first`.
    fn take_cursor(&mut self, group: GroupId, first: u64) -> Option<Cursor> {
        let cursors = self.cursors.get_mut(&group)?;
        let before = cursors.iter().enumerate().filter(|(_, cursor)| cursor.position < first);
        let (place, _) = before.max_by_key(|(_, cursor)| cursor.position)?;
        Some(cursors.remove(place))
    }

    fn keep_cursor(&mut self, group: GroupId, cursor: Cursor) {
        let cursors = self.cursors.entry(group).or_default();
        if cursors.len() == MAX_CURSORS {
            cursors.remove(0);
        }
        cursors.push(cursor);
    }

    /// Walks the batches of a segment until all that is wanted is found, or there are no more. Where the
    /// batch begins that it ended in.
    fn walk(&self, segment: u64, from: u64, wanted: &mut Wanted) -> io::Result<u64> {
        let file = match self.disk.open(&name(segment)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(from),
            Err(error) => return Err(error),
        };
        let mut window = Window::of(file)?;
        let mut offset = from;
        loop {
            let header = window.bytes(offset, BATCH_HEADER_BYTES)?;
            let header = header.and_then(|bytes| BatchHeader::decode(bytes, self.log, segment));
            let Some((header, _)) = header else { return Ok(offset) };
            let body = offset + BATCH_HEADER_BYTES as u64;
            let Some(body) = window.bytes(body, header.length as usize)? else {
                return Ok(offset);
            };
            if wanted.take(body) && hash(body) != header.body {
                wanted.found.clear();
                let why = format!("the records of a batch of segment {segment} have changed");
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            if wanted.is_complete() {
                return Ok(offset);
            }
            offset += header.extent();
        }
    }
}

/// What is looked for, and what is found of it.
struct Wanted {
    group: GroupId,
    first: u64,
    last: u64,
    found: BTreeMap<u64, Vec<u8>>,
}

impl Wanted {
    /// Takes what it wants of a batch; whether that is anything.
    fn take(&mut self, mut body: &[u8]) -> bool {
        let mut any = false;
        while let Some(record) = first_record(body) {
            if record.group == self.group && (self.first..=self.last).contains(&record.position) {
                any = true;
                self.found.insert(record.position, record.payload.to_vec());
            }
            body = &body[record.size_bytes()..];
        }
        any
    }

    fn is_complete(&self) -> bool {
        self.found.len() as u64 == self.last + 1 - self.first
    }
}

/// A part of a file in memory.
struct Window {
    file: Box<dyn DiskFile>,
    size_bytes: u64,
    offset: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn of(file: Box<dyn DiskFile>) -> io::Result<Self> {
        let size_bytes = file.size_bytes()?;
        Ok(Self { file, size_bytes, offset: 0, bytes: Vec::new() })
    }

    /// So many bytes of the file; `None` if it ends before.
    fn bytes(&mut self, offset: u64, length: usize) -> io::Result<Option<&[u8]>> {
        if offset + length as u64 > self.size_bytes {
            return Ok(None);
        }
        let is_inside = self.offset <= offset
            && offset + length as u64 <= self.offset + self.bytes.len() as u64;
        if !is_inside {
            let left = usize::try_from(self.size_bytes - offset).unwrap_or(usize::MAX);
            self.bytes.resize(length.max(WINDOW_BYTES.min(left)), 0);
            self.offset = offset;
            self.file.read_at(&mut self.bytes, offset)?;
        }
        let start = (offset - self.offset) as usize;
        Ok(self.bytes.get(start..start + length))
    }
}
