//! Makes one survivor of a lost majority a cluster of its own, between two of its lives.
//!
//! What the engine does about it is the caller's to say; here it is made durable, and the old members are
//! fenced off: the directory gets a new cluster id *first*, so that whatever happens then, nobody who
//! knows the old one talks to this node again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use synod_engine::{ClusterId, Context, Effect, GroupId, Instant, Random, Record as _};
use synod_wal::{Kind, Log, OpenError};

use crate::groups::Groups;
use crate::hosted::HostedLog;
use crate::recovery::Recovery;
use crate::{Identity, IdentityError, Lock, NodeConfig, directory};

/// Why nothing could be forced.
#[derive(Debug, thiserror::Error)]
pub enum ForceError {
    /// Who the directory belongs to is not known, or another process uses it. Nothing was changed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log cannot be read. Nothing was changed.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The engine sees nothing to do. Nothing was changed.
    #[error("{0}; nothing was changed")]
    Refused(String),
    /// The records cannot be replayed or written. The cluster id may be new already; try again.
    #[error("{0}; try again, or repair the node")]
    Records(String),
    /// Something else failed. The cluster id may be new already; try again.
    #[error("{path}: {error}; try again")]
    Io {
        /// What was being read or written.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Has every group's engine do `act`, makes what it persists durable, and gives the directory a new
/// cluster id. Returns who the directory belongs to now.
///
/// # Errors
/// [`ForceError`]
pub fn force<L, W>(
    lock: &Lock,
    engine: impl Fn(&Identity, GroupId) -> L::Config,
    act: impl Fn(&mut L, &mut Context<'_, L>) -> Result<(), W>,
) -> Result<Identity, ForceError>
where
    L: HostedLog,
    W: Display,
{
    let dir = lock.dir();
    let missing =
        || IdentityError::Damaged { file: dir.join("identity.toml"), why: "it is missing".into() };
    let identity = lock.read()?.ok_or_else(missing)?;
    let entries = Log::examine(&dir.join("log"))?.map(|recovered| recovered.entries);
    let groups: BTreeSet<_> = entries.unwrap_or_default().iter().map(|entry| entry.group).collect();
    let nothing = || ForceError::Refused("its log is empty: there is nothing to recover".into());
    let groups = Groups::new(groups.into_iter().collect()).ok_or_else(nothing)?;
    let engines = groups.iter().map(|group| engine(&identity, group)).collect();
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (node, cluster) = (identity.node, identity.cluster);
    let config = NodeConfig::new(node, cluster, dir, nowhere, BTreeMap::new());
    let mut recovery = Recovery::<L>::of(&config, &groups, engines)
        .map_err(|error| ForceError::Records(error.to_string()))?;
    let mut batch = recovery.log.batch();
    for (group, recovered) in groups.iter().zip(&mut recovery.groups) {
        let (mut random, mut effects) = (Random::new(0), Vec::new());
        let mut context = Context::new(Instant::START, &mut random, &mut effects);
        act(&mut recovered.engine, &mut context)
            .map_err(|why| ForceError::Refused(why.to_string()))?;
        for effect in effects {
            let Effect::Persist(record) = effect else { continue };
            let kind = record.checkpoint().map_or(Kind::Fact, |keeps| Kind::Checkpoint { keeps });
            batch
                .append_with(group, kind, |out| synod_codec::encode(&record, out))
                .map_err(|error| ForceError::Records(error.to_string()))?;
        }
    }
    let cluster = directory::random_u64().map_err(failed(dir))?;
    let identity = identity.refounded(ClusterId(cluster));
    identity.write(dir).map_err(failed(&dir.join("identity.toml")))?;
    let synced = recovery.log.sync(&mut batch);
    synced.map_err(|error| ForceError::Records(error.to_string()))?;
    Ok(identity)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ForceError {
    let path = path.to_owned();
    move |error| ForceError::Io { path, error }
}
