//! A node: what [`start`] makes of a configuration, an engine and its user.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;

use synod_engine::{GroupId, NodeId, Random, Token};
use synod_wal::{Log, Preparation};
use tokio::runtime;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::acquaintances::Acquaintances;
use crate::core::Clock;
use crate::host::Host;
use crate::hosted::HostedEngine;
use crate::inbox::Stop;
use crate::plant::spawn;
use crate::solo::core::{Core, Me, Out, Peer};
use crate::solo::counts::{Counters, Counts};
use crate::solo::mail::{Asked, Busy, Mail, Waiting};
use crate::solo::{Config, User};
use crate::sync::{self, Journal, News};
use crate::{Identity, Lock, StartError, StopReason, directory};

/// What its directory calls its engine: no log opens the directory of one that is none.
const ENGINE: &str = "solo";

/// A running node. Dropped without [`shutdown`](Self::shutdown) it stops as if it were killed.
pub struct Node<E: HostedEngine> {
    identity: Identity,
    address: SocketAddr,
    counters: Arc<Counters>,
    mail: Arc<Mail<E>>,
    stopped: watch::Receiver<Option<StopReason>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a node: locks and checks its directory, replays its log into the engine, binds its port, and
/// runs. All rules of the engine are kept.
///
/// # Errors
/// [`StartError`]; nothing that was acknowledged is lost.
pub fn start<E: HostedEngine, U: User<E>>(
    config: &Config,
    engine: impl FnOnce(&Identity) -> E::Config,
    user: U,
) -> Result<Node<E>, StartError> {
    let io = |error| StartError::Io { path: config.dir.clone(), error };
    let lock = Lock::take(&config.dir)?;
    let mut identity = lock.identity(config.cluster, config.node, Some(ENGINE), false)?;
    let listen = |error| StartError::Listen { address: config.listen, error };
    let socket = UdpSocket::bind(config.listen).map_err(listen)?;
    socket.set_nonblocking(true).map_err(io)?;
    let address = socket.local_addr().map_err(io)?;
    let (engine, log) = replay::<E>(config, engine(&identity))?;
    lock.log_begun(&mut identity)?;

    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(io)?;
    let socket = {
        let _guard = runtime.enter();
        tokio::net::UdpSocket::from_std(socket).map_err(io)?
    };
    let mail = Arc::new(Mail::new(config.limits.max_queued_requests));
    let counters = Arc::new(Counters::default());
    let acquaintances = Arc::new(Acquaintances::new(config.dir.clone(), identity.clone()));
    let peers = config.peers.iter().filter(|(node, _)| **node != config.node);
    let peers: BTreeMap<NodeId, Peer> = peers
        .map(|(node, address)| (*node, Peer { address: *address, met: acquaintances.first(*node) }))
        .collect();
    let random = Random::new(directory::random_u64().map_err(io)?);
    let journal = Journal::new(log.batch(), vec![log.batch(), log.batch()]);
    let desk = journal.desk();
    let core = Core {
        host: Host::new(config.node, peers.keys().copied().collect(), engine, random),
        out: Out {
            me: Me { cluster: config.cluster, node: config.node, life: identity.incarnation },
            user,
            journal,
            socket,
            peers,
            max_datagram_bytes: config.limits.max_datagram_bytes,
            counters: counters.clone(),
            bytes: Vec::new(),
            mail: mail.clone(),
        },
        acquaintances: acquaintances.clone(),
        meeting: BTreeSet::new(),
        strange: BTreeSet::new(),
        mail: mail.clone(),
        limits: config.limits.clone(),
        clock: Clock::start(),
        waiting: Waiting::default(),
        buffer: vec![0; config.limits.max_datagram_bytes + 1],
    };
    let (said, stopped) = watch::channel(None);
    let sync = spawn("synod-sync", {
        let (mut log, desk, mail) = (log, desk.clone(), mail.clone());
        move || sync::run(&mut log, &desk, |news| tell(&mail, news))
    });
    let sync = sync.map_err(io)?;
    let thread = spawn("synod-solo", move || {
        let stop = runtime.block_on(async { tokio::spawn(core.run()).await });
        let stop = stop.unwrap_or_else(|error| {
            Stop::Fatal(format!("the core panicked, which is a bug: {error}"))
        });
        runtime.shutdown_background();
        // Nobody touches the directory once it is unlocked.
        acquaintances.close();
        desk.close(stop != Stop::Gracefully);
        if sync.join().is_err() {
            warn!("the sync thread panicked");
        }
        drop(lock);
        match &stop {
            Stop::Damaged(why) | Stop::Fatal(why) => error!("stopped: {why}"),
            Stop::Gracefully | Stop::Abruptly => info!("stopped"),
        }
        said.send_replace(Some(stop.into()));
    });
    let thread = Some(thread.map_err(io)?);
    Ok(Node { identity, address, counters, mail, stopped, thread })
}

/// The engine as its last life left it, and the log to go on with.
fn replay<E: HostedEngine>(config: &Config, engine: E::Config) -> Result<(E, Log), StartError> {
    let dir = config.dir.join("log");
    let io = |error| StartError::Io { path: dir.clone(), error };
    directory::make_durably(&dir).map_err(io)?;
    let disk = config.log_disk.open(&dir).map_err(io)?;
    let (log, recovered) = Log::open_on(disk, config.limits.log(), Preparation::Background)?;
    if let Some(cut) = &recovered.cut {
        info!("the torn end of the log was cut: {} from byte {}", cut.file.display(), cut.offset);
    }
    let mut engine = E::new(engine);
    for entry in recovered.entries {
        let replay = |why: &dyn std::fmt::Display| StartError::Replay {
            dir: dir.clone(),
            why: format!("record {}: {why}", entry.position),
        };
        if entry.group != GroupId(0) {
            return Err(replay(&format!("it is of {}, which is not hosted", entry.group)));
        }
        let record = synod_codec::decode(&entry.payload).map_err(|error| replay(&error))?;
        engine.replay(record).map_err(|error| replay(&error))?;
    }
    Ok((engine, log))
}

/// What the core hears from the sync thread. While the disk is full nothing is durable, and the core sees
/// that by itself.
fn tell<E: HostedEngine>(mail: &Mail<E>, news: News) {
    match news {
        News::Full => {}
        News::Durable(synced) => mail.put(|waiting| waiting.durable = synced.position),
        News::Failed(why) => mail.stop(Stop::Fatal(why)),
    }
}

impl<E: HostedEngine> Node<E> {
    /// Asks the engine for something. Whatever comes of it, the user is told under this token.
    ///
    /// # Errors
    /// [`Busy`], if too many requests wait; nothing was changed.
    pub fn request(&self, token: Token, request: E::Request) -> Result<(), Busy> {
        self.mail.ask(Asked::Request(token, request))
    }

    /// Nobody waits for this request any more.
    ///
    /// # Errors
    /// [`Busy`], if too many requests wait; nothing was changed.
    pub fn cancel(&self, token: Token) -> Result<(), Busy> {
        self.mail.ask(Asked::Cancel(token))
    }

    /// Whose directory it runs on.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where it receives datagrams.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What became of datagrams so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counters.now()
    }

    /// Waits until the node stops, whyever.
    pub async fn stopped(&self) -> StopReason {
        let mut stopped = self.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(StopReason::Shutdown),
            Err(_) => StopReason::Fatal("the core thread ended without a word: a bug".into()),
        }
    }

    /// Stops the node gracefully: takes no more input, makes durable and says what was begun, and waits
    /// for its threads.
    pub async fn shutdown(&self) -> StopReason {
        self.mail.stop(Stop::Gracefully);
        self.stopped().await
    }
}

impl<E: HostedEngine> Drop for Node<E> {
    fn drop(&mut self) {
        self.mail.stop(Stop::Abruptly);
        if let Some(thread) = self.thread.take() {
            // What a panic there said has been printed; the node is gone either way.
            drop(thread.join());
        }
    }
}
