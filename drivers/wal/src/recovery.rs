//! What a start makes of the files it finds.
//!
//! First everything is read and judged, and nothing is changed ([`examine`]); then the tail is made
//! durable ([`Findings::settle`]). The judgement turns on one question: the log stops making sense at
//! batch `n`; had batch `n` been synced? If any later header carries a mark of `n` or more, it had, and
//! this is damage. If none does, no sync that covered batch `n` was ever followed by another write, and
//! it is cut. Next: [`crate::replay`] puts the records of each group in order.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::{io, iter};

use crate::copy::Older;
use crate::disk::Disk;
use crate::error::OpenError;
use crate::format::{
    BadSegmentHeader, BatchHeader, SECTOR_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use crate::options::Options;
use crate::replay::Replay;
use crate::scan::{Image, read_whole};
use crate::segment::{Segment, UNFINISHED, name, sequence};

/// What was cut off the end of the log: written, never proven to have been synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub file: PathBuf,
    /// Where in the file, in bytes.
    pub offset: u64,
}

/// Everything a log needs to know to go on where an earlier life stopped.
pub(crate) struct Findings {
    pub(crate) log: u64,
    /// The segments from the floor on, before the current one.
    pub(crate) older: VecDeque<Older>,
    /// The segment to be written next.
    pub(crate) current: Segment,
    /// Segments behind it that are ready to be written.
    pub(crate) ready: VecDeque<Segment>,
    /// Sequence numbers and lengths of segments that are no longer needed.
    pub(crate) unneeded: Vec<(u64, u64)>,
    /// Whether a segment was being made.
    pub(crate) unfinished: bool,
    /// Where the next batch goes in `current`.
    pub(crate) offset: u64,
    /// The number of the next batch.
    pub(crate) number: u64,
    /// The checksum of the last header.
    pub(crate) previous: u64,
    /// No segment before this one is needed.
    pub(crate) floor: u64,
    pub(crate) replay: Replay,
    pub(crate) cut: Option<Cut>,
    /// Where the first batch starts that no mark proves, in `current`.
    unproven_from: u64,
    /// Segment, start and end of what holds batches that were cut, in `current` and `ready`.
    stray: Vec<(u64, u64, u64)>,
}

/// Reads the log in `disk`; `None` if there is none. Changes nothing.
pub(crate) fn examine(disk: &Arc<dyn Disk>) -> Result<Option<Findings>, OpenError> {
    let examiner = Examiner { disk };
    let names = disk.list().map_err(|error| examiner.io("list", "", error))?;
    let unfinished = names.iter().any(|name| name == UNFINISHED);
    let mut sequences: Vec<u64> = names.iter().filter_map(|name| sequence(name)).collect();
    sequences.sort_unstable();
    let Some(&last) = sequences.last() else {
        return Ok(None);
    };
    let (log, floor) = examiner.floor(&sequences)?;
    let first = sequences.partition_point(|sequence| *sequence < floor);
    let (unneeded, needed) = sequences.split_at(first);
    for (place, expected) in (floor..=last).enumerate() {
        if needed.get(place) != Some(&expected) {
            return Err(examiner.damaged(expected, 0, "the file is missing".to_owned()));
        }
    }
    let mut unneeded_files = Vec::new();
    for sequence in unneeded {
        let (_, size_bytes) = examiner.open(*sequence)?;
        unneeded_files.push((*sequence, size_bytes));
    }
    let mut reader = Reader::new(log, floor);
    let mut segments = VecDeque::new();
    let mut ends = Vec::new();
    for sequence in needed {
        let (segment, bytes) = examiner.read(*sequence, Some(log))?;
        reader.read(&examiner, &Image { bytes: &bytes, log, sequence: *sequence })?;
        ends.push(reader.end.1);
        segments.push_back(segment);
    }
    reader.judge(&examiner)?;
    let mut older = VecDeque::new();
    let current = loop {
        let segment = segments.pop_front().expect("the log ends in a segment that was read");
        if segment.sequence == reader.end.0 {
            break segment;
        }
        let Segment { sequence, size_bytes, .. } = segment;
        older.push_back(Older { sequence, size_bytes, end: ends[older.len()] });
    };
    reader.replay.check().map_err(|why| examiner.damaged(reader.end.0, reader.end.1, why))?;
    Ok(Some(Findings {
        log,
        older,
        current,
        ready: segments,
        unneeded: unneeded_files,
        unfinished,
        offset: reader.end.1,
        number: reader.number,
        previous: reader.previous,
        floor,
        cut: reader
            .strays
            .first()
            .map(|_| Cut { file: disk.path().join(name(reader.end.0)), offset: reader.end.1 }),
        unproven_from: reader.unproven_from(),
        stray: reader.stray_ranges(),
        replay: reader.replay,
    }))
}

impl Findings {
    /// What there is to know of a log that was just made.
    pub(crate) fn of_a_new_log(log: u64, current: Segment) -> Self {
        Self {
            log,
            older: VecDeque::new(),
            current,
            ready: VecDeque::new(),
            unneeded: Vec::new(),
            unfinished: false,
            offset: SEGMENT_HEADER_BYTES,
            number: 1,
            previous: 0,
            floor: 1,
            replay: Replay::default(),
            cut: None,
            unproven_from: SEGMENT_HEADER_BYTES,
            stray: Vec::new(),
        }
    }

    /// Makes the whole log durable, and what was cut unreadable. Safe to be interrupted and repeated.
    ///
    /// Batches that no mark proves are written again before the sync: if the sync of an earlier life
    /// failed, the system may take them for written though they are only in its memory.
    pub(crate) fn settle(&self, disk: &Arc<dyn Disk>) -> Result<(), OpenError> {
        let io = |doing, sequence| {
            move |error| OpenError::Io { doing, file: disk.path().join(name(sequence)), error }
        };
        for (sequence, from, to) in &self.stray {
            let mut segments = iter::once(&self.current).chain(&self.ready);
            let segment = segments.find(|segment| segment.sequence == *sequence);
            let segment = segment.expect("what is cut lies behind the end of the log");
            let zeros = vec![0; usize::try_from(to - from).expect("a segment fits in memory")];
            segment.file.write_at(&zeros, *from).map_err(io("clear the tail of", *sequence))?;
            segment.file.sync().map_err(io("sync", *sequence))?;
        }
        let length = usize::try_from(self.offset - self.unproven_from).expect("fits in memory");
        let mut tail = vec![0; length];
        let Segment { file, sequence, .. } = &self.current;
        file.read_at(&mut tail, self.unproven_from).map_err(io("read", *sequence))?;
        file.write_at(&tail, self.unproven_from).map_err(io("write", *sequence))?;
        file.sync().map_err(io("sync", *sequence))?;
        if self.unfinished {
            let file = disk.path().join(UNFINISHED);
            disk.remove(UNFINISHED).map_err(|error| OpenError::Io {
                doing: "remove",
                file,
                error,
            })?;
        }
        disk.sync().map_err(|error| OpenError::Io {
            doing: "sync",
            file: disk.path().to_owned(),
            error,
        })
    }
}

/// The files, and how to complain about them.
struct Examiner<'a> {
    disk: &'a Arc<dyn Disk>,
}

impl Examiner<'_> {
    fn io(&self, doing: &'static str, file: &str, error: io::Error) -> OpenError {
        OpenError::Io { doing, file: self.disk.path().join(file), error }
    }

    fn damaged(&self, sequence: u64, offset: u64, why: String) -> OpenError {
        OpenError::Damaged { file: self.disk.path().join(name(sequence)), offset, why }
    }

    fn open(&self, sequence: u64) -> Result<(Segment, u64), OpenError> {
        let file_name = name(sequence);
        let file =
            self.disk.open(&file_name).map_err(|error| self.io("open", &file_name, error))?;
        let size_bytes =
            file.size_bytes().map_err(|error| self.io("measure", &file_name, error))?;
        Ok((Segment { sequence, size_bytes, file }, size_bytes))
    }

    /// A segment with a sound header, and all its bytes.
    fn read(&self, sequence: u64, log: Option<u64>) -> Result<(Segment, Vec<u8>), OpenError> {
        let (segment, size_bytes) = self.open(sequence)?;
        if !(SEGMENT_HEADER_BYTES..=Options::MAX_SEGMENT_BYTES).contains(&size_bytes) {
            return Err(self.damaged(sequence, 0, format!("the file has {size_bytes} bytes")));
        }
        let bytes = read_whole(&*segment.file, size_bytes)
            .map_err(|error| self.io("read", &name(sequence), error))?;
        let header = SegmentHeader::decode(&bytes).map_err(|bad| match bad {
            BadSegmentHeader::Damaged => {
                self.damaged(sequence, 0, "this is not the header of a segment".to_owned())
            }
            BadSegmentHeader::Version(found) => {
                OpenError::Version { file: self.disk.path().join(name(sequence)), found }
            }
        })?;
        if header.sequence != sequence || header.size_bytes != size_bytes {
            let why = format!(
                "the header is that of segment {} with {} bytes, the file that of segment \
                 {sequence} with {size_bytes}",
                header.sequence, header.size_bytes
            );
            return Err(self.damaged(sequence, 0, why));
        }
        if log.is_some_and(|log| log != header.log) {
            return Err(self.damaged(sequence, 0, "the file belongs to another log".to_owned()));
        }
        Ok((segment, bytes))
    }

    /// Which log this is, and the first segment that is needed: the floor in the last segment that
    /// holds any batch. A floor is true from when it is written, whether or not its batch survives.
    fn floor(&self, sequences: &[u64]) -> Result<(u64, u64), OpenError> {
        let mut log = None;
        for sequence in sequences.iter().rev() {
            let (segment, bytes) = self.read(*sequence, log)?;
            let header = SegmentHeader::decode(&bytes).ok().expect("read checks the header");
            log = Some(header.log);
            let image = Image { bytes: &bytes, log: header.log, sequence: segment.sequence };
            let headers = image.headers_from(SEGMENT_HEADER_BYTES);
            if let Some(floor) = headers.iter().map(|(_, header)| header.floor).max() {
                return Ok((header.log, floor));
            }
        }
        match (log, sequences.first()) {
            (Some(log), Some(1)) => Ok((log, 1)),
            _ => Err(self.damaged(
                sequences.first().copied().unwrap_or(1),
                SEGMENT_HEADER_BYTES,
                "segments before this one were written, and no segment holds a batch".to_owned(),
            )),
        }
    }
}

/// Follows the chain of batches through the segments.
struct Reader {
    floor: u64,
    log: u64,
    /// The number and chain that the next batch must have.
    number: u64,
    previous: u64,
    /// Whether any batch was accepted, so that `number` and `previous` are known.
    anchored: bool,
    /// Segment and offset behind the last accepted batch.
    end: (u64, u64),
    /// Number, segment and offset of accepted batches that no mark has proven.
    unproven: VecDeque<(u64, u64, u64)>,
    /// Headers that do not continue the chain: segment, offset, header.
    strays: Vec<(u64, u64, BatchHeader)>,
    replay: Replay,
}

impl Reader {
    fn new(log: u64, floor: u64) -> Self {
        Self {
            floor,
            log,
            number: 1,
            previous: 0,
            anchored: floor == 1,
            end: (floor, SEGMENT_HEADER_BYTES),
            unproven: VecDeque::new(),
            strays: Vec::new(),
            replay: Replay::default(),
        }
    }

    fn read(&mut self, examiner: &Examiner<'_>, image: &Image<'_>) -> Result<(), OpenError> {
        debug_assert_eq!(image.log, self.log, "every segment read belongs to this log");
        let mut offset = SEGMENT_HEADER_BYTES;
        while self.strays.is_empty()
            && let Some(batch) = image.batch_at(offset)
            && self.continues(&batch.header, image.sequence)
        {
            for record in batch.records() {
                let Some(record) = record else {
                    let why = format!("a record does not fit batch {}", batch.header.number);
                    return Err(examiner.damaged(image.sequence, offset, why));
                };
                self.replay.take(record, image.sequence);
            }
            self.unproven.push_back((batch.header.number, image.sequence, offset));
            while self.unproven.front().is_some_and(|(number, ..)| *number <= batch.header.proven) {
                self.unproven.pop_front();
            }
            self.number = batch.header.number + 1;
            self.previous = batch.checksum;
            self.anchored = true;
            offset += batch.header.extent();
            self.end = (image.sequence, offset);
        }
        let strays = image.headers_from(offset).into_iter();
        self.strays.extend(strays.map(|(at, header)| (image.sequence, at, header)));
        Ok(())
    }

    fn continues(&self, header: &BatchHeader, sequence: u64) -> bool {
        if self.anchored {
            header.number == self.number && header.previous == self.previous
        } else {
            sequence == self.floor
        }
    }

    /// Whether the chain ends where writing ended, or where something was lost.
    fn judge(&self, examiner: &Examiner<'_>) -> Result<(), OpenError> {
        let proof =
            self.strays.iter().find(|(.., header)| !self.anchored || header.proven >= self.number);
        let Some((sequence, offset, header)) = proof else { return Ok(()) };
        let (file, at) = self.suspect();
        let why = format!(
            "batch {} is not there as it was written, yet it had been synced: batch {} at offset \
             {offset} of {} says so",
            self.number,
            header.number,
            name(*sequence)
        );
        Err(examiner.damaged(file, at, why))
    }

    /// Where the batch should be that does not continue the chain.
    fn suspect(&self) -> (u64, u64) {
        let (segment, offset) = self.end;
        let next_segment = (segment + 1, SEGMENT_HEADER_BYTES);
        match self.strays.first() {
            Some((sequence, at, header))
                if *sequence > segment
                    && ((*sequence, *at) != next_segment || header.number == self.number) =>
            {
                next_segment
            }
            _ => (segment, offset),
        }
    }

    fn unproven_from(&self) -> u64 {
        let (segment, end) = self.end;
        let here = self.unproven.iter().find(|(_, sequence, _)| *sequence == segment);
        here.map_or(end, |(.., offset)| *offset)
    }

    /// Segment, start and end of what must be cleared.
    fn stray_ranges(&self) -> Vec<(u64, u64, u64)> {
        let mut ranges: Vec<(u64, u64, u64)> = Vec::new();
        for (sequence, at, _) in &self.strays {
            match ranges.last_mut() {
                Some((last, _, to)) if last == sequence => *to = at + SECTOR_BYTES,
                _ => ranges.push((*sequence, *at, at + SECTOR_BYTES)),
            }
        }
        ranges
    }
}
