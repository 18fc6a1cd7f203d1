//! Opening a log: what an earlier life left, or a new one.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use crate::chain::SoundChain;
use crate::copy::Copier;
use crate::disk::{Directory, Disk};
use crate::error::OpenError;
use crate::log::Log;
use crate::options::Options;
use crate::recovery::{Cut, Findings, examine};
use crate::replay::Entry;
use crate::segment::{Pool, Shared, UNFINISHED, name};
use crate::supply::{Preparation, Supply};

/// What an earlier life left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// Every live record: by group, in order. All are durable.
    pub entries: Vec<Entry>,
    /// What was cut off the end, if anything was. Worth a line in the node's log: a crash explains it.
    pub cut: Option<Cut>,
}

impl Log {
    /// Opens the log in the directory `path`, or makes one there.
    ///
    /// When this returns, everything in [`Recovered`] is durable.
    ///
    /// # Errors
    /// [`OpenError`]; no durable record was lost.
    pub fn open(path: &Path, options: Options) -> Result<(Self, Recovered), OpenError> {
        let disk = Directory::open(path).map_err(|error| OpenError::Io {
            doing: "open",
            file: path.to_owned(),
            error,
        })?;
        Self::open_on(Arc::new(disk), options, Preparation::Background)
    }

    /// Judges the log in the directory `path` as a start would, and changes nothing; `None` if there is
    /// none. A torn end is not cut, but told.
    ///
    /// # Errors
    /// [`OpenError`], as [`open`](Self::open).
    pub fn examine(path: &Path) -> Result<Option<Recovered>, OpenError> {
        let disk = match Directory::existing(path) {
            Ok(disk) => disk,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(OpenError::Io { doing: "open", file: path.to_owned(), error });
            }
        };
        let found = examine(&disk)?;
        Ok(found.map(|found| {
            let cut = found.cut(&disk);
            Recovered { entries: found.chain.replay.finish().0, cut }
        }))
    }

    /// Opens the log on a disk of the caller's making.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(
        disk: Arc<dyn Disk>,
        options: Options,
        preparation: Preparation,
    ) -> Result<(Self, Recovered), OpenError> {
        options.check().map_err(OpenError::Options)?;
        let io = |doing| {
            let file = disk.path().to_owned();
            move |error| OpenError::Io { doing, file, error }
        };
        let shared = Arc::new(Shared::default());
        let mut pool = Pool {
            disk: Arc::clone(&disk),
            log: 0,
            options: options.clone(),
            spares: VecDeque::new(),
            shared: Arc::clone(&shared),
        };
        let mut found = match examine(&*disk)? {
            Some(found) => {
                found.settle(&*disk)?;
                found
            }
            None => first_segment(&mut pool).map_err(io("make a segment in"))?,
        };
        pool.log = found.log;
        shared.allocated_bytes.store(found.allocated_bytes(), Ordering::Relaxed);
        for (sequence, size_bytes) in &found.unneeded {
            pool.retire(*sequence, *size_bytes).map_err(io("remove a segment from"))?;
        }
        if found.ready.iter().any(|segment| segment.size_bytes != options.segment_bytes) {
            // Written under other bounds; the records of today may not fit.
            for segment in found.ready.drain(..).rev() {
                disk.remove(&name(segment.sequence)).map_err(io("remove a segment from"))?;
                shared.allocated_bytes.fetch_sub(segment.size_bytes, Ordering::Relaxed);
            }
        }
        let cut = found.cut(&*disk);
        let next = found.current.sequence + 1 + found.ready.len() as u64;
        let mut supply = Supply::new(pool, found.ready, next, preparation)
            .map_err(io("start the thread that makes segments in"))?;
        supply.replenish().map_err(io("make a segment in"))?;
        let SoundChain { end, number, previous, floor, replay, .. } = found.chain;
        let (entries, ledger) = replay.finish();
        let log = Self {
            disk,
            log: found.log,
            options,
            supply,
            ledger: Arc::new(Mutex::new(ledger)),
            copier: Copier::default(),
            older: found.older,
            current: found.current,
            offset: end.offset,
            number,
            previous,
            proven: number - 1,
            floor,
            written_floor: floor,
            synced_floor: floor,
            poisoned: false,
        };
        Ok((log, Recovered { entries, cut }))
    }
}

/// A new log.
fn first_segment(pool: &mut Pool) -> io::Result<Findings> {
    if pool.disk.list()?.iter().any(|name| name == UNFINISHED) {
        pool.disk.remove(UNFINISHED)?;
    }
    pool.log = RandomState::new().build_hasher().finish();
    let current = pool.prepare(1)?;
    Ok(Findings::of_a_new_log(pool.log, current))
}
