//! What a node's directory holds, as a start finds it: the engine of its last life, the log to go on
//! with, and the blobs that its records name.
//!
//! Next: [`crate::plant`], which makes a node of it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use synod_consensus::ReplicatedLog;
use synod_engine::{Blob, GroupId, Record as _};
use synod_wal::{Log, Options, Preparation};
use tracing::info;

use crate::blobs::{Store, ledger::Ledger};
use crate::directory;
use crate::transport::GROUP;
use crate::{Limits, NodeConfig, StartError};

/// An engine as it was when its last life ended, and the log to go on with.
pub(crate) struct Recovery<L: ReplicatedLog> {
    pub(crate) engine: L,
    pub(crate) log: Log,
    pub(crate) store: Store,
    pub(crate) ledger: Ledger,
}

impl<L> Recovery<L>
where
    L: ReplicatedLog,
    L::Record: DeserializeOwned,
{
    /// Replays the log in the directory.
    pub(crate) fn of(config: &NodeConfig, engine: L::Config) -> Result<Self, StartError> {
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
        let mut engine = L::new(engine);
        let mut ledger = Ledger::default();
        let mut needed = BTreeMap::new();
        for (number, entry) in recovered.entries.iter().enumerate() {
            if entry.group != GroupId(GROUP) {
                return Err(replay(format!("it holds records of {}", entry.group)));
            }
            let record: L::Record = synod_codec::decode(&entry.payload)
                .map_err(|error| replay(format!("record {}: {error}", number + 1)))?;
            if record.checkpoint().is_some() {
                needed.clear();
            }
            needed.extend(record.blob().map(|blob| (blob.id, blob)));
            engine.replay(record).map_err(|error| replay(error.to_string()))?;
        }
        let dir = config.dir.join("blobs");
        let (store, claims) = Store::open(&dir, |id| needed.contains_key(&id)).map_err(io(&dir))?;
        for claim in claims {
            ledger.learned(claim);
        }
        for blob in needed.into_values() {
            check(&dir, &ledger, blob)?;
        }
        info!(records = recovered.entries.len(), "replayed");
        Ok(Self { engine, log, store, ledger })
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
        ..Options::default()
    }
}
