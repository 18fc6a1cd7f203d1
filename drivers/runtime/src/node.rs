//! A node: what [`start`] makes of a configuration, an engine and an empty state machine.
//!
//! Next: [`crate::plant`], which builds and starts its parts.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::JoinHandle;

use prometheus_client::registry::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_consensus::{ReplicatedLog, StateMachine};
use synod_engine::{Blob, Engine, Sound};
use tokio::sync::watch;

use crate::inbox::Stop;
use crate::plant::Plant;
use crate::recovery::Recovery;
use crate::{Handle, Identity, IdentityError, Lock, NodeConfig, Reply};

/// A running node. Dropped without [`shutdown`](Self::shutdown) it stops as if it were killed.
pub struct Node<S: StateMachine, R> {
    /// What the node counts and measures; take it (`std::mem::take`) or add to it, and serve it.
    pub metrics: Registry,
    pub(crate) handle: Handle<S, R>,
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

/// Starts a node: locks and checks its directory, replays its log, binds its port, and runs.
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
    L: ReplicatedLog + Engine<Rules = Sound> + Send + 'static,
    L::Timer: Send,
    L::Message: Serialize + DeserializeOwned + Send,
    L::Record: Serialize + DeserializeOwned + Send,
    S: StateMachine + Send + 'static,
    S::Query: Send,
    S::Response: Send,
    S::Answer: Send,
    S::Frozen: Send,
    R: Reply<S>,
{
    config.limits.check().map_err(StartError::Limits)?;
    let lock = Lock::take(&config.dir)?;
    let mut identity = lock.identity(config.cluster, config.node)?;
    let listener = std::net::TcpListener::bind(config.listen)
        .map_err(|error| StartError::Listen { address: config.listen, error })?;
    let recovered = Recovery::<L>::of(config, engine(&identity))?;
    lock.log_begun(&mut identity)?;
    let plant = Plant::<L, S, R>::build(config, identity.clone(), recovered, listener)?;
    plant.start(config, identity, lock, empty)
}

impl<S: StateMachine, R> Node<S, R> {
    /// Takes requests to the node.
    #[must_use]
    pub fn handle(&self) -> Handle<S, R> {
        self.handle.clone()
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
