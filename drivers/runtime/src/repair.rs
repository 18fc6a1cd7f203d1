//! Brings back a node whose log or snapshots are damaged: as a newcomer, since it may have forgotten
//! what it promised.
//!
//! [`examine`] judges a directory as a start would, and changes nothing. [`give_up`] moves what is there
//! aside, deletes nothing, and gives the directory a new incarnation. The peers refuse that incarnation,
//! and so count the node in no quorum, until a change of members names it: see
//! [`Contact`](synod_consensus::Contact).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use synod_codec::Hash;
use synod_engine::{Blob, ClusterId, GroupId, Incarnation, Record as _};
use synod_wal::{Cut, Entry, Log, OpenError};

use crate::hosted::HostedLog;
use crate::{Identity, IdentityError, Lock, directory};

/// What a directory is like.
#[derive(Debug)]
pub struct Checkup {
    /// Whose it is.
    pub identity: Identity,
    /// How many live records its log has; 0 if it cannot be read.
    pub records: usize,
    /// A torn end of the log, which the next start would cut: no damage.
    pub torn: Option<Cut>,
    /// Everything that keeps it from being used.
    pub damage: Vec<Damage>,
}

/// Something that is not what was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Which file, or directory.
    pub file: PathBuf,
    /// Where in the file, if that is known, in bytes.
    pub offset: Option<u64>,
    /// What is wrong.
    pub why: String,
}

/// What became of a directory that was given up.
#[derive(Debug)]
pub struct Renewed {
    /// Who the node is now.
    pub identity: Identity,
    /// Where its old log and snapshots are; `None` if there was nothing left of them.
    pub aside: Option<PathBuf>,
}

/// Why a directory cannot be examined or repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Who it belongs to is not known, or another process uses it. Nothing was changed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log cannot be read, which need not be damage. Nothing was changed.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// Something else failed. What was moved aside by then stays there; try again.
    #[error("{path}: {error}; nothing was deleted")]
    Io {
        /// What was being read, moved or written.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Judges the locked directory: its log, what the engines make of the records, and every snapshot that
/// they name, byte by byte. `engine` configures the engine of each group.
///
/// # Errors
/// [`RepairError`]; damage is none. Nothing was changed.
pub fn examine<L: HostedLog>(
    lock: &Lock,
    engine: impl Fn(&Identity, GroupId) -> L::Config,
) -> Result<Checkup, RepairError> {
    let missing = || IdentityError::Damaged {
        file: lock.dir().join("identity.toml"),
        why: "it is missing".into(),
    };
    let identity = lock.read()?.ok_or_else(missing)?;
    let (log, blobs) = (lock.dir().join("log"), lock.dir().join("blobs"));
    let mut checkup = Checkup { identity, records: 0, torn: None, damage: Vec::new() };
    let recovered = match Log::examine(&log) {
        Ok(Some(recovered)) => recovered,
        Ok(None) if checkup.identity.log_begun => {
            let why = "it is empty or gone, though this node had a log".into();
            checkup.damage.push(Damage { file: log, offset: None, why });
            return Ok(checkup);
        }
        Ok(None) => return Ok(checkup),
        Err(OpenError::Damaged { file, offset, why }) => {
            checkup.damage.push(Damage { file, offset: Some(offset), why });
            return Ok(checkup);
        }
        Err(error) => return Err(error.into()),
    };
    checkup.records = recovered.entries.len();
    checkup.torn = recovered.cut;
    let config = |group| engine(&checkup.identity, group);
    match replay::<L>(&recovered.entries, config) {
        Err(why) => checkup.damage.push(Damage { file: log, offset: None, why }),
        Ok(needed) => {
            for blob in needed.into_values() {
                let file = blobs.join(format!("{:016x}", blob.id));
                if let Err(why) = check(&file, blob) {
                    checkup.damage.push(Damage { file, offset: None, why });
                }
            }
        }
    }
    Ok(checkup)
}

/// The blobs that the engines need after these records.
fn replay<L: HostedLog>(
    entries: &[Entry],
    config: impl Fn(GroupId) -> L::Config,
) -> Result<BTreeMap<u64, Blob>, String> {
    let mut groups: BTreeMap<GroupId, (L, BTreeMap<u64, Blob>)> = BTreeMap::new();
    for entry in entries {
        let (engine, needed) = groups
            .entry(entry.group)
            .or_insert_with(|| (L::new(config(entry.group)), BTreeMap::new()));
        let fault = |why: String| format!("record {} of {}: {why}", entry.position, entry.group);
        let record: L::Record =
            synod_codec::decode(&entry.payload).map_err(|error| fault(error.to_string()))?;
        if record.checkpoint().is_some() {
            needed.clear();
        }
        needed.extend(record.blob().map(|blob| (blob.id, blob)));
        engine.replay(record).map_err(|error| fault(error.to_string()))?;
    }
    Ok(groups.into_values().flat_map(|(_, needed)| needed).collect())
}

/// Whether the file is the blob.
fn check(path: &Path, blob: Blob) -> Result<(), String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let (mut hash, mut size, mut piece) = (Hash::default(), 0, vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece).map_err(|error| error.to_string())? {
            0 => break,
            read => {
                hash.update(&piece[..read]);
                size += read as u64;
            }
        }
    }
    if size != blob.size_bytes {
        return Err(format!("it has {size} bytes of {}", blob.size_bytes));
    }
    if hash.finish() != blob.checksum {
        return Err("its bytes are not what was written".into());
    }
    Ok(())
}

/// Moves the log and the snapshots of the locked directory to `damaged-N` beside them, and makes the
/// node a newcomer: the same node of the same cluster, or of `cluster` if one is named, under a new
/// incarnation, member of nothing.
///
/// If it fails half-way, the node does not start, since its log is gone; do it again.
///
/// # Errors
/// [`RepairError`]; nothing was deleted.
pub fn give_up(lock: &Lock, cluster: Option<ClusterId>) -> Result<Renewed, RepairError> {
    let dir = lock.dir();
    let missing =
        || IdentityError::Damaged { file: dir.join("identity.toml"), why: "it is missing".into() };
    let mut identity = lock.read()?.ok_or_else(missing)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| RepairError::Io { path, error }
    };
    let there = ["log", "blobs"].into_iter().filter(|name| dir.join(name).exists());
    let there: Vec<_> = there.collect();
    let aside = if there.is_empty() {
        None
    } else {
        let aside = (1..).map(|number| dir.join(format!("damaged-{number}")));
        let aside = aside.into_iter().find(|path| !path.exists()).expect("numbers do not end");
        directory::make_durably(&aside).map_err(failed(&aside))?;
        for name in there {
            fs::rename(dir.join(name), aside.join(name)).map_err(failed(&dir.join(name)))?;
        }
        for changed in [&aside, dir] {
            File::open(changed).and_then(|dir| dir.sync_all()).map_err(failed(changed))?;
        }
        Some(aside)
    };
    // Last: with the old incarnation and no log the node does not start.
    let incarnation = Incarnation::newcomer(directory::random_u64().map_err(failed(dir))?);
    if let Some(cluster) = cluster {
        identity = identity.refounded(cluster);
    }
    let identity = identity.reborn(incarnation);
    identity.write(dir).map_err(failed(&dir.join("identity.toml")))?;
    Ok(Renewed { identity, aside })
}
