//! What a start makes of the files it finds.
//!
//! First everything is read and judged, and nothing is changed ([`examine`]); then the tail is made
//! durable ([`Findings::settle`]). The judgement turns on one question: the log stops making sense at
//! batch `n`; had batch `n` been synced? If any later header carries a mark of `n` or more, it had, and
//! this is damage. If none does, no sync that covered batch `n` was ever followed by another write, and
//! it is cut. Next: [`crate::chain`] follows the batches, [`crate::replay`] puts the records of each
//! group in order.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::{io, iter};

use crate::chain::{Chain, Damage, Place, SoundChain};
use crate::copy::Older;
use crate::disk::Disk;
use crate::error::OpenError;
use crate::format::{BadSegmentHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
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
    /// The segments that the log still counts on, before the current one.
    pub(crate) older: VecDeque<Older>,
    /// The segment to be written next.
    pub(crate) current: Segment,
    /// Segments behind it that are ready to be written.
    pub(crate) ready: VecDeque<Segment>,
    /// Sequence numbers and lengths of segments that are no longer needed.
    pub(crate) unneeded: Vec<(u64, u64)>,
    /// Whether a segment was being made.
    unfinished: bool,
    pub(crate) chain: SoundChain,
}

/// Reads the log in `disk`; `None` if there is none. Changes nothing.
pub(crate) fn examine(disk: &dyn Disk) -> Result<Option<Findings>, OpenError> {
    let examiner = Examiner { disk };
    let names = disk.list().map_err(|error| examiner.io("list", "", error))?;
    let unfinished = names.iter().any(|name| name == UNFINISHED);
    let mut sequences: Vec<u64> = names.iter().filter_map(|name| sequence(name)).collect();
    sequences.sort_unstable();
    let Some(&last) = sequences.last() else {
        return Ok(None);
    };
    let (log, floor) = examiner.floor(&sequences)?;
    let (unneeded, needed) =
        sequences.split_at(sequences.partition_point(|sequence| *sequence < floor));
    if let Some(missing) = (floor..=last).zip(needed).find(|(expected, there)| expected != *there) {
        return Err(examiner.damaged(missing.0, 0, "the file is missing".to_owned()));
    }
    let mut chain = Chain::new(floor);
    let mut segments = VecDeque::new();
    for &sequence in needed {
        let (segment, _, bytes) = examiner.read(sequence, Some(log))?;
        let image = Image { bytes: &bytes, log, sequence };
        let end = chain.read(&image).map_err(|damage| examiner.blame(damage))?;
        segments.push_back((segment, end));
    }
    let chain = chain.finish().map_err(|damage| examiner.blame(damage))?;
    let (mut older, mut unneeded_files) = (VecDeque::new(), Vec::new());
    for &sequence in unneeded {
        let Segment { size_bytes, .. } = examiner.open(sequence)?;
        if sequence < chain.floor {
            unneeded_files.push((sequence, size_bytes));
        } else {
            // Only a batch that is cut says that this one is free. It stays until a durable one does.
            older.push_back(Older { sequence, size_bytes, end: SEGMENT_HEADER_BYTES });
        }
    }
    let current = loop {
        let (segment, end) = segments.pop_front().expect("the log ends in a segment that was read");
        if segment.sequence == chain.end.segment {
            break segment;
        }
        let Segment { sequence, size_bytes, .. } = segment;
        older.push_back(Older { sequence, size_bytes, end });
    };
    let ready = segments.into_iter().map(|(segment, _)| segment).collect();
    Ok(Some(Findings { log, older, current, ready, unneeded: unneeded_files, unfinished, chain }))
}

impl Findings {
    /// What there is to know of a log that was just made.
    pub(crate) fn of_a_new_log(log: u64, current: Segment) -> Self {
        let chain = SoundChain {
            end: Place { segment: 1, offset: SEGMENT_HEADER_BYTES },
            number: 1,
            previous: 0,
            floor: 1,
            unproven_from: SEGMENT_HEADER_BYTES,
            strays: Vec::new(),
            replay: Replay::default(),
        };
        Self {
            log,
            older: VecDeque::new(),
            current,
            ready: VecDeque::new(),
            unneeded: Vec::new(),
            unfinished: false,
            chain,
        }
    }

    /// Makes the whole log durable, and what was cut unreadable. Safe to be interrupted and repeated.
    ///
    /// Batches that no mark proves are written again before the sync: if the sync of an earlier life
    /// failed, the system may take them for written though they are only in its memory.
    pub(crate) fn settle(&self, disk: &dyn Disk) -> Result<(), OpenError> {
        let examiner = Examiner { disk };
        let io =
            |doing, segment: &Segment, error| examiner.io(doing, &name(segment.sequence), error);
        for (from, to) in &self.chain.strays {
            let mut segments = iter::once(&self.current).chain(&self.ready);
            let segment = segments.find(|segment| segment.sequence == from.segment);
            let segment = segment.expect("what is cut lies behind the end of the log");
            let zeros = vec![0; length(from.offset, *to)];
            segment
                .file
                .write_at(&zeros, from.offset)
                .and_then(|()| segment.file.sync())
                .map_err(|error| io("clear the tail of", segment, error))?;
        }
        let SoundChain { unproven_from, end, .. } = self.chain;
        let mut tail = vec![0; length(unproven_from, end.offset)];
        let current = &self.current;
        let read = current.file.read_at(&mut tail, unproven_from);
        read.map_err(|error| io("read", current, error))?;
        let written = current.file.write_at(&tail, unproven_from);
        written.map_err(|error| io("write", current, error))?;
        current.file.sync().map_err(|error| io("sync", current, error))?;
        if self.unfinished {
            let removed = disk.remove(UNFINISHED);
            removed.map_err(|error| examiner.io("remove", UNFINISHED, error))?;
        }
        disk.sync().map_err(|error| examiner.io("sync", "", error))
    }

    /// Bytes of all segments.
    pub(crate) fn allocated_bytes(&self) -> u64 {
        let older = self.older.iter().map(|older| older.size_bytes);
        let ready = self.ready.iter().map(|segment| segment.size_bytes);
        let unneeded = self.unneeded.iter().map(|(_, size_bytes)| *size_bytes);
        self.current.size_bytes + older.chain(ready).chain(unneeded).sum::<u64>()
    }

    /// What was cut, if anything was.
    pub(crate) fn cut(&self, disk: &dyn Disk) -> Option<Cut> {
        let Place { segment, offset } = self.chain.end;
        let cut = Cut { file: disk.path().join(name(segment)), offset };
        (!self.chain.strays.is_empty()).then_some(cut)
    }
}

fn length(from: u64, to: u64) -> usize {
    usize::try_from(to - from).expect("a segment that was read fits in memory")
}

/// The files, and how to complain about them.
struct Examiner<'a> {
    disk: &'a dyn Disk,
}

impl Examiner<'_> {
    fn io(&self, doing: &'static str, file: &str, error: io::Error) -> OpenError {
        OpenError::Io { doing, file: self.disk.path().join(file), error }
    }

    fn damaged(&self, sequence: u64, offset: u64, why: String) -> OpenError {
        OpenError::Damaged { file: self.disk.path().join(name(sequence)), offset, why }
    }

    fn blame(&self, damage: Damage) -> OpenError {
        self.damaged(damage.place.segment, damage.place.offset, damage.why)
    }

    fn open(&self, sequence: u64) -> Result<Segment, OpenError> {
        let name = name(sequence);
        let file = self.disk.open(&name).map_err(|error| self.io("open", &name, error))?;
        let size_bytes = file.size_bytes().map_err(|error| self.io("measure", &name, error))?;
        Ok(Segment { sequence, size_bytes, file })
    }

    /// A segment with a sound header, and all its bytes.
    fn read(
        &self,
        sequence: u64,
        log: Option<u64>,
    ) -> Result<(Segment, SegmentHeader, Vec<u8>), OpenError> {
        let segment = self.open(sequence)?;
        let size_bytes = segment.size_bytes;
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
        Ok((segment, header, bytes))
    }

    /// Which log this is, and the first segment that is needed: the floor in the last segment that
    /// holds any batch. A floor is true from when it is written, whether or not its batch survives.
    fn floor(&self, sequences: &[u64]) -> Result<(u64, u64), OpenError> {
        let mut log = None;
        for &sequence in sequences.iter().rev() {
            let (_, header, bytes) = self.read(sequence, log)?;
            log = Some(header.log);
            let image = Image { bytes: &bytes, log: header.log, sequence };
            let headers = image.headers_from(SEGMENT_HEADER_BYTES);
            if let Some(floor) = headers.iter().map(|(_, header)| header.floor).max() {
                return Ok((header.log, floor.min(sequence)));
            }
        }
        let first = sequences.first().copied().unwrap_or(1);
        match log {
            Some(log) if first == 1 => Ok((log, 1)),
            _ => {
                let why = "segments before this one were written, and no segment holds a batch";
                Err(self.damaged(first, SEGMENT_HEADER_BYTES, why.to_owned()))
            }
        }
    }
}
