//! Following the batches from segment to segment, as far as they hang together, and judging what lies
//! behind. Next: [`crate::recovery`] acts on it.

use std::collections::VecDeque;

use crate::format::{BatchHeader, SECTOR_BYTES, SEGMENT_HEADER_BYTES};
use crate::replay::Replay;
use crate::scan::Image;
use crate::segment::name;

/// A place in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// What is wrong, and where.
pub(crate) struct Damage {
    pub(crate) place: Place,
    pub(crate) why: String,
}

/// The batches read so far.
pub(crate) struct Chain {
    /// What the next batch must be; `None` before the first if segments before it are gone.
    expected: Option<Expected>,
    /// Behind the last batch that belongs.
    end: Place,
    /// What the last batch that belongs says is needed.
    floor: u64,
    /// Batches that belong and that no mark proves: their numbers and places.
    unproven: VecDeque<(u64, Place)>,
    /// Headers behind the end.
    strays: Vec<(Place, BatchHeader)>,
    replay: Replay,
}

struct Expected {
    number: u64,
    /// The checksum of the header before it.
    previous: u64,
}

/// A chain that was read to its end and found sound.
pub(crate) struct SoundChain {
    /// Behind the last batch.
    pub(crate) end: Place,
    /// The number of the next batch.
    pub(crate) number: u64,
    /// The checksum of the last header.
    pub(crate) previous: u64,
    /// No segment before this one is needed, says the last batch.
    pub(crate) floor: u64,
    /// Where the first batch starts that no mark proves, in the segment of the end.
    pub(crate) unproven_from: u64,
    /// What must be cleared: a place, and the offset up to which.
    pub(crate) strays: Vec<(Place, u64)>,
    pub(crate) replay: Replay,
}

impl Chain {
    /// A chain whose first batch is the first one of the segment `floor`.
    pub(crate) fn new(floor: u64) -> Self {
        Self {
            expected: (floor == 1).then_some(Expected { number: 1, previous: 0 }),
            end: Place { segment: floor, offset: SEGMENT_HEADER_BYTES },
            floor,
            unproven: VecDeque::new(),
            strays: Vec::new(),
            replay: Replay::default(),
        }
    }

    /// Reads the next segment; returns where its last batch that belongs ends.
    pub(crate) fn read(&mut self, image: &Image<'_>) -> Result<u64, Damage> {
        let segment = image.sequence;
        let mut offset = SEGMENT_HEADER_BYTES;
        while self.strays.is_empty()
            && let Some(batch) = image.batch_at(offset)
            && self.continues(&batch.header, segment)
        {
            let place = Place { segment, offset };
            for record in batch.records() {
                let record = record.ok_or_else(|| Damage {
                    place,
                    why: format!("a record does not fit batch {}", batch.header.number),
                })?;
                self.replay.take(record, segment);
            }
            self.unproven.push_back((batch.header.number, place));
            while self.unproven.front().is_some_and(|(number, _)| *number <= batch.header.proven) {
                self.unproven.pop_front();
            }
            let number = batch.header.number + 1;
            self.expected = Some(Expected { number, previous: batch.checksum });
            offset += batch.header.extent();
            self.end = Place { segment, offset };
            self.floor = batch.header.floor;
        }
        for (offset, header) in image.headers_from(offset) {
            self.strays.push((Place { segment, offset }, header));
        }
        Ok(offset)
    }

    fn continues(&self, header: &BatchHeader, segment: u64) -> bool {
        match &self.expected {
            Some(next) => header.number == next.number && header.previous == next.previous,
            None => segment == self.end.segment,
        }
    }

    /// Whether the chain ends where writing ended, or where something was lost.
    pub(crate) fn finish(mut self) -> Result<SoundChain, Damage> {
        let Some(Expected { number, previous }) = self.expected else {
            let why = "the first batch that is needed is not there as it was written".to_owned();
            return Err(Damage { place: self.end, why });
        };
        if let Some((place, header)) = self.strays.iter().find(|(_, h)| h.proven >= number) {
            let why = format!(
                "batch {number} is not there as it was written, yet it had been synced: batch {} at \
                 offset {} of {} says so",
                header.number,
                place.offset,
                name(place.segment)
            );
            return Err(Damage { place: self.suspect(number), why });
        }
        self.replay.check().map_err(|why| Damage { place: self.end, why })?;
        let mut unproven = self.unproven.iter().map(|(_, place)| *place);
        let unproven = unproven.find(|place| place.segment == self.end.segment);
        Ok(SoundChain {
            end: self.end,
            number,
            previous,
            floor: self.floor,
            unproven_from: unproven.map_or(self.end.offset, |place| place.offset),
            strays: self.stray_ranges(),
            replay: self.replay,
        })
    }

    /// Where the missing batch stood: behind the last one that belongs, or, if nothing but the start
    /// of the next segment speaks against it, there.
    fn suspect(&self, number: u64) -> Place {
        let next = Place { segment: self.end.segment + 1, offset: SEGMENT_HEADER_BYTES };
        match self.strays.first() {
            Some((place, _)) if place.segment == self.end.segment => self.end,
            Some((place, header)) if *place == next && header.number != number => self.end,
            _ => next,
        }
    }

    fn stray_ranges(&self) -> Vec<(Place, u64)> {
        let mut ranges: Vec<(Place, u64)> = Vec::new();
        for (place, _) in &self.strays {
            let to = place.offset + SECTOR_BYTES;
            match ranges.last_mut() {
                Some((from, end)) if from.segment == place.segment => *end = to,
                _ => ranges.push((*place, to)),
            }
        }
        ranges
    }
}
