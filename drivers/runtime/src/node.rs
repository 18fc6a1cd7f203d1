//! A node: what [`start`] makes of a configuration, an engine and an empty state machine, and
//! [`start_groups`] of many.
//!
//! Next: [`crate::plant`], which builds and starts its parts.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::JoinHandle;

use prometheus_client::registry::Registry;
use synod_consensus::StateMachine;
use synod_engine::{Blob, Engine, GroupId, Sound};
use tokio::sync::watch;

use crate::groups::{Groups, Seed};
use crate::hosted::{HostedLog, HostedState};
use crate::inbox::Stop;
use crate::plant::Plant;
use crate::recovery::Recovery;
use crate::{Handle, Identity, IdentityError, Lock, NodeConfig, PeerVersion, Reply};

/// A running node. Dropped without [`shutdown`](Self::shutdown) it stops as if it were killed.
pub struct Node<S: StateMachine, R> {
    /// What the node counts and measures; take it (`std::mem::take`) or add to it, and serve it.
    pub metrics: Registry,
    pub(crate) handles: BTreeMap<GroupId, Handle<S, R>>,
    pub(crate) identity: Identity,
    pub(crate) peer_address: SocketAddr,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) stopped: watch::Receiver<Option<StopReason>>,
    pub(crate) stop: Box<dyn Fn(Stop) + Send + Sync>,
    pub(crate) thread: Option<JoinHandle<()>>,
}

/// Why a node stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// It was asked to.
    Shutdown,
    /// What it had written is not there any more: a snapshot cannot be read. Nothing was changed.
    Damaged(String),
    /// It could not go on: a failed sync, a bug. Nothing that was acknowledged is lost.
    Fatal(String),
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The directory cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The bounds contradict each other; nothing was changed.
    #[error("{0}")]
    Limits(String),
    /// The version of the protocol between nodes is not spoken by this program; nothing was changed.
    #[error(
        "version {0} of the protocol between nodes is not spoken here, but {oldest} to {newest} are; nothing \
         was changed",
        oldest = PeerVersion::OLDEST,
        newest = PeerVersion::NEWEST
    )]
    Version(PeerVersion),
    /// The groups cannot be told apart: one is named twice, or there is none; nothing was changed.
    #[error("a node hosts one group at least, and each once; nothing was changed")]
    Groups,
    /// The address for peers cannot be used; nothing was changed.
    #[error("cannot listen on {address}: {error}; is another process using it?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The log cannot be opened.
    #[error(transparent)]
    Log(#[from] synod_wal::OpenError),
    /// The log holds records that this engine cannot take in: damage, or another version's.
    #[error("the log in {dir} cannot be replayed: {why}; nothing was changed")]
    Replay {
        /// Where the log is.
        dir: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A snapshot that the log needs is not what was written. Nothing was changed.
    #[error(
        "{blob} in {dir} is damaged: {why}; nothing was changed; restore the file, or run `synod \
         repair` so that the node joins anew"
    )]
    Damaged {
        /// The directory of snapshots.
        dir: PathBuf,
        /// What the log says of it.
        blob: Blob,
        /// What is wrong.
        why: String,
    },
    /// Something else failed.
    #[error("{path}: {error}")]
    Io {
        /// What was being read or written.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Starts a node that hosts one group, [`GroupId`] 0: see [`start_groups`].
///
/// `engine` configures the engine, whose rules are all kept; `empty` is the state machine before the
/// first command.
///
/// # Errors
/// [`StartError`]; nothing that was acknowledged is lost.
pub fn start<L, S, R>(
    config: &NodeConfig,
    engine: impl FnOnce(&Identity) -> L::Config,
    empty: S,
) -> Result<Node<S, R>, StartError>
where
    L: HostedLog + Engine<Rules = Sound>,
    S: HostedState,
    R: Reply<S>,
{
    let seed = |identity: &_| [Seed { group: GroupId(0), engine: engine(identity), empty }];
    start_groups::<L, S, R, _>(config, seed)
}

/// Starts a node that hosts many groups: locks and checks its directory, replays its log, binds its
/// port, and runs.
///
/// The groups share the connections to peers, the log with its syncs, and the threads. Each has its own
/// engine, state machine and [`Handle`]. All groups that the directory has records of must be among
/// `groups`; new ones may be added at each start, in any order.
///
/// # Errors
/// [`StartError`]; nothing that was acknowledged is lost.
pub fn start_groups<L, S, R, G>(
    config: &NodeConfig,
    groups: impl FnOnce(&Identity) -> G,
) -> Result<Node<S, R>, StartError>
where
    G: IntoIterator<Item = Seed<L, S>>,
    L: HostedLog + Engine<Rules = Sound>,
    S: HostedState,
    R: Reply<S>,
{
    config.limits.check().map_err(StartError::Limits)?;
    if !PeerVersion::SPOKEN.contains(&config.peer_version) {
        return Err(StartError::Version(config.peer_version));
    }
    let lock = Lock::take(&config.dir)?;
    let mut identity = lock.identity(config.cluster, config.node, config.engine, config.joins)?;
    let mut seeds: Vec<_> = groups(&identity).into_iter().collect();
    seeds.sort_by_key(|seed| seed.group);
    let groups = Groups::new(seeds.iter().map(|seed| seed.group).collect());
    let groups = groups.ok_or(StartError::Groups)?;
    let listener = std::net::TcpListener::bind(config.listen)
        .map_err(|error| StartError::Listen { address: config.listen, error })?;
    let (engines, empty) = seeds.into_iter().map(|seed| (seed.engine, seed.empty)).unzip();
    let recovered = Recovery::<L>::of(config, &groups, engines)?;
    lock.log_begun(&mut identity)?;
    let plant = Plant::build(config, identity.clone(), groups, recovered, listener)?;
    plant.start(config, identity, lock, empty)
}

impl<S: StateMachine, R> Node<S, R> {
    /// Takes requests to the first of its groups: the only one, if it was started with [`start`].
    #[must_use]
    pub fn handle(&self) -> Handle<S, R> {
        self.handles.values().next().cloned().expect("a node hosts one group at least")
    }

    /// Takes requests to `group`; `None` if this node does not host it.
    #[must_use]
    pub fn group(&self, group: GroupId) -> Option<Handle<S, R>> {
        self.handles.get(&group).cloned()
    }

    /// The groups that it hosts, with what takes requests to each.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (GroupId, &Handle<S, R>)> {
        self.handles.iter().map(|(group, handle)| (*group, handle))
    }

    /// Whose directory it runs on.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where peers connect to.
    #[must_use]
    pub fn peer_address(&self) -> SocketAddr {
        self.peer_address
    }

    /// The runtime of the core's own thread. A server whose connections are served there saves two
    /// changes of thread per request, and must not block. Its tasks end with the node.
    #[must_use]
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    /// Waits until the node stops, whyever.
    pub async fn stopped(&self) -> StopReason {
        let mut stopped = self.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(StopReason::Shutdown),
            Err(_) => StopReason::Fatal("the core thread ended without a word: a bug".into()),
        }
    }

    /// Stops the node gracefully: takes no more requests, makes durable and answers what was begun,
    /// and waits for its threads.
    pub async fn shutdown(self) -> StopReason {
        (self.stop)(Stop::Gracefully);
        self.stopped().await
    }
}

impl<S: StateMachine, R> Drop for Node<S, R> {
    fn drop(&mut self) {
        (self.stop)(Stop::Abruptly);
        if let Some(thread) = self.thread.take() {
            // What a panic there said has been printed; the node is gone either way.
            drop(thread.join());
        }
    }
}
