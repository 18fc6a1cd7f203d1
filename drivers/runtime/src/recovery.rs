//! What a node's directory holds, as a start finds it: the engines of its last life, the log to go on
//! with, and the blobs that their records name.
//!
//! Next: [`crate::plant`], which makes a node of it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use synod_consensus::ReplicatedLog;
use synod_engine::{Blob, Record as _};
use synod_wal::{Entry, Log, Options, Preparation};
use tracing::info;

use crate::blobs::{Store, ledger::Ledger};
use crate::directory;
use crate::groups::{Groups, Place};
use crate::hosted::HostedLog;
use crate::{Limits, NodeConfig, StartError};

/// All groups as they were when the last life ended, and the log to go on with.
pub(crate) struct Recovery<L: ReplicatedLog> {
    /// Place by place.
    pub(crate) groups: Vec<Recovered<L>>,
    pub(crate) log: Log,
    pub(crate) store: Store,
}

/// A group as it was when its last life ended.
pub(crate) struct Recovered<L: ReplicatedLog> {
    pub(crate) engine: L,
    pub(crate) ledger: Ledger,
    needed: BTreeMap<u64, Blob>,
    /// The position of the record before the first that the engine counts.
    before: Option<u64>,
}

impl<L: HostedLog> Recovery<L> {
    /// Replays the log in the directory into new engines, one for each of `groups`.
    pub(crate) fn of(
        config: &NodeConfig,
        groups: &Groups,
        engines: Vec<L::Config>,
    ) -> Result<Self, StartError> {
        let dir = config.dir.join("log");
        let io = |path: &PathBuf| {
            let path = path.clone();
            move |error: io::Error| StartError::Io { path, error }
        };
        directory::make_durably(&dir).map_err(io(&dir))?;
        let disk = config.log_disk.open(&dir).map_err(io(&dir))?;
        let options = log_options(&config.limits);
        let (log, recovered) = Log::open_on(disk, options, Preparation::Background)?;
        if let Some(cut) = &recovered.cut {
            let file = cut.file.display();
            info!("the torn end of the log was cut: {file} from byte {}", cut.offset);
        }
        let replay = |why: String| StartError::Replay { dir: dir.clone(), why };
        let mut hosted: Vec<_> = engines.into_iter().map(Recovered::new).collect();
        let records = recovered.entries.len();
        // One after the other, so that they are not in memory twice.
        for entry in recovered.entries {
            let Some(Place(place)) = groups.place(entry.group) else {
                let group = entry.group;
                return Err(replay(format!("it holds records of {group}, which is not hosted")));
            };
            hosted[place].replay(&entry).map_err(|why| {
                replay(format!("record {} of {}: {why}", entry.position, entry.group))
            })?;
        }
        let dir = config.dir.join("blobs");
        let needed = |id| hosted.iter().any(|group| group.needed.contains_key(&id));
        let (store, claims) = Store::open(&dir, needed).map_err(io(&dir))?;
        for claim in &claims {
            let needing = hosted.iter_mut().filter(|group| group.needed.contains_key(&claim.id()));
            needing.for_each(|group| group.ledger.learned(claim.clone()));
        }
        for group in &hosted {
            group.needed.values().try_for_each(|blob| check(&dir, &group.ledger, *blob))?;
        }
        for (group, name) in hosted.iter_mut().zip(groups.iter()) {
            group.before.get_or_insert(log.position(name));
        }
        info!(records, groups = groups.len(), "replayed");
        Ok(Self { groups: hosted, log, store })
    }
}

impl<L: HostedLog> Recovered<L> {
    fn new(engine: L::Config) -> Self {
        Self {
            engine: L::new(engine),
            ledger: Ledger::default(),
            needed: BTreeMap::new(),
            before: None,
        }
    }

    /// The position in the log of the record before the first that the engine counts.
    pub(crate) fn before(&self) -> u64 {
        self.before.unwrap_or(0)
    }

    fn replay(&mut self, entry: &Entry) -> Result<(), String> {
        self.before.get_or_insert(entry.position - 1);
        let record: L::Record =
            synod_codec::decode(&entry.payload).map_err(|error| error.to_string())?;
        if record.checkpoint().is_some() {
            self.needed.clear();
        }
        self.needed.extend(record.blob().map(|blob| (blob.id, blob)));
        self.engine.replay(record).map_err(|error| error.to_string())
    }
}

/// What a record names is there, as long as it was. Whether it is what was written shows when it is
/// read.
fn check(dir: &Path, ledger: &Ledger, blob: Blob) -> Result<(), StartError> {
    let damaged = |why: String| StartError::Damaged { dir: dir.to_owned(), blob, why };
    let claim = ledger.claim(blob.id).ok_or_else(|| damaged("it is missing".into()))?;
    let length = std::fs::metadata(claim.path()).map_err(|error| damaged(error.to_string()))?.len();
    if length == blob.size_bytes {
        return Ok(());
    }
    Err(damaged(format!("it has {length} bytes")))
}

fn log_options(limits: &Limits) -> Options {
    Options {
        segment_bytes: limits.log_segment_bytes,
        max_batch_bytes: limits.log_segment_bytes.saturating_sub(64 << 10),
        max_record_bytes: limits.max_record_bytes(),
        max_spare_segments: limits.log_spare_segments,
        copy_above_bytes: limits.log_trim_above_bytes,
        ..Options::default()
    }
}
