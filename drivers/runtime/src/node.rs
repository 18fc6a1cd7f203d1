//! A node: what [`start`] makes of a configuration, an engine and an empty state machine.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use prometheus_client::registry::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_consensus::{ReplicatedLog, StateMachine};
use synod_engine::{Engine, Sound};
use tokio::sync::watch;

use crate::{Handle, Identity, IdentityError, Lock, NodeConfig, Reply};

/// A running node. Dropped without [`shutdown`](Self::shutdown) it stops as if it were killed.
pub struct Node<S: StateMachine, R> {
    /// What the node counts and measures; take it (`std::mem::take`) or add to it, and serve it.
    pub metrics: Registry,
    handle: Handle<S, R>,
    identity: Identity,
    peer_address: SocketAddr,
    stopped: watch::Receiver<Option<StopReason>>,
}

/// Why a node stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// It was asked to.
    Shutdown,
    /// It could not go on: a failed sync, damage, a bug. Nothing that was acknowledged is lost.
    Fatal(String),
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The directory cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The address for peers cannot be used; nothing was changed.
    #[error("cannot listen on {address}: {error}; is another process using it?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The log holds records that this engine cannot take in: damage, or another version's.
    #[error("the log in {dir} cannot be replayed: {why}; nothing was changed")]
    Replay {
        /// Where the log is.
        dir: PathBuf,
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
/// [`StartError`]; nothing that the directory held was changed.
pub fn start<L, S, R>(
    config: &NodeConfig,
    engine: impl FnOnce(&Identity) -> L::Config,
    empty: S,
) -> Result<Node<S, R>, StartError>
where
    L: ReplicatedLog + Engine<Rules = Sound> + Send + 'static,
    L::Config: Send,
    L::Timer: Send,
    L::Message: Serialize + DeserializeOwned + Send,
    L::Record: Serialize + DeserializeOwned + Send,
    S: StateMachine + Send + 'static,
    S::Query: Send,
    S::Frozen: Send,
    R: Reply<S>,
{
    let lock = Lock::take(&config.dir)?;
    let identity = lock.identity(config.cluster, config.node)?;
    let _ = (engine(&identity), empty);
    let why = "replay is on its way".to_owned();
    Err(StartError::Replay { dir: config.dir.clone(), why })
}

impl<S: StateMachine, R: Reply<S>> Node<S, R> {
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

    /// Waits until the node stops, whyever.
    pub async fn stopped(&self) -> StopReason {
        let mut stopped = self.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(StopReason::Shutdown),
            Err(_) => StopReason::Fatal("the core thread ended without a word".into()),
        }
    }

    /// Stops the node gracefully: what was begun is made durable and answered. Waits for its threads.
    pub async fn shutdown(self) -> StopReason {
        self.stopped().await
    }
}
