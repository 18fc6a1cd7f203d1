//! Builds the parts of a node out of what its directory holds, and starts them: the core with its
//! connections, the sync thread, the apply thread, and the watch over the disk.
//!
//! The core's thread is the last to go: it ends the others, unlocks the directory, and says why the
//! node stopped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use prometheus_client::registry::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_consensus::{Index, ReplicatedLog, StateMachine};
use synod_engine::{GroupId, NodeId, Position, Random, Record as _};
use synod_wal::{Log, Options};
use tokio::runtime::{self, Runtime};
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use crate::blobs::{Store, Transfers, ledger::Ledger};
use crate::core::{Clock, Core};
use crate::disk::Watch;
use crate::handle::Door;
use crate::host::Host;
use crate::inbox::{Arrivals, Inbox, Stop};
use crate::metrics::Metrics;
use crate::outlets::NodeOutlets;
use crate::pending::Pending;
use crate::replica::{Queue, Replica};
use crate::sync::{self, Journal};
use crate::transport::outbox::Outbox;
use crate::transport::{GROUP, Net, Peer, dial, listen};
use crate::{
    Disk, Handle, Identity, Limits, Lock, Node, NodeConfig, NodeStatus, Reply, StartError,
};

/// An engine as it was when its last life ended, and the log to go on with.
pub(crate) struct Recovery<L: ReplicatedLog> {
    engine: L,
    log: Log,
    store: Store,
    ledger: Ledger,
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
        std::fs::create_dir_all(&dir).map_err(io(&dir))?;
        let (log, recovered) = Log::open(&dir, log_options(&config.limits))?;
        if let Some(cut) = &recovered.cut {
            let file = cut.file.display();
            info!("the torn end of the log was cut: {file} from byte {}", cut.offset);
        }
        let replay = |why: String| StartError::Replay { dir: dir.clone(), why };
        let mut engine = L::new(engine);
        let mut ledger = Ledger::default();
        let mut needed = BTreeSet::new();
        for (number, entry) in recovered.entries.iter().enumerate() {
            if entry.group != GroupId(GROUP) {
                return Err(replay(format!("it holds records of {}", entry.group)));
            }
            let record: L::Record = synod_codec::decode(&entry.payload)
                .map_err(|error| replay(format!("record {}: {error}", number + 1)))?;
            if record.checkpoint().is_some() {
                needed.clear();
            }
            needed.extend(record.blob().map(|blob| blob.id));
            engine.replay(record).map_err(|error| replay(error.to_string()))?;
        }
        needed.iter().for_each(|id| ledger.learned(*id));
        let dir = config.dir.join("blobs");
        let store = Store::open(&dir, &needed).map_err(io(&dir))?;
        info!(records = recovered.entries.len(), "replayed");
        Ok(Self { engine, log, store, ledger })
    }
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

/// The parts of a node.
pub(crate) struct Plant<L: ReplicatedLog, S: StateMachine, R> {
    registry: Registry,
    metrics: Arc<Metrics>,
    runtime: Runtime,
    listener: TcpListener,
    recovery: Recovery<L>,
    net: Arc<Net<L>>,
    inbox: Arc<Inbox<L>>,
    wake: Arc<Notify>,
    queue: Arc<Queue<S, R>>,
    random: Random,
}

impl<L, S, R> Plant<L, S, R>
where
    L: ReplicatedLog + Send + 'static,
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
    pub(crate) fn build(
        config: &NodeConfig,
        identity: Identity,
        recovery: Recovery<L>,
        listener: TcpListener,
    ) -> Result<Self, StartError> {
        let io = |error| StartError::Io { path: config.dir.clone(), error };
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::new(&mut registry));
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(io)?;
        let wake = Arc::new(Notify::new());
        let inbox = Arc::new(Inbox::new(wake.clone(), config.limits.max_inbox_bytes));
        let others = config.peers.iter().filter(|(node, _)| **node != config.node);
        let peers = others.map(|(node, address)| {
            let outbox = Arc::new(Outbox::new(config.limits.max_outbox_bytes));
            (*node, Peer { address: *address, outbox })
        });
        let net = Net {
            me: config.node,
            identity: Mutex::new(identity),
            dir: config.dir.clone(),
            store: recovery.store.clone(),
            peers: peers.collect(),
            inbox: inbox.clone(),
            metrics: metrics.clone(),
            limits: config.limits.clone(),
            transfers: Transfers::default(),
            sessions: AtomicU64::new(1),
            disk_low: AtomicBool::new(false),
            stopped: Arc::default(),
        };
        let random = Random::new(crate::directory::random_u64().map_err(io)?);
        let (net, queue) = (Arc::new(net), Arc::new(Queue::default()));
        Ok(Self { registry, metrics, runtime, listener, recovery, net, inbox, wake, queue, random })
    }

    pub(crate) fn start(
        mut self,
        config: &NodeConfig,
        identity: Identity,
        lock: Lock,
        empty: S,
    ) -> Result<Node<S, R>, StartError> {
        let io = |error| StartError::Io { path: config.dir.clone(), error };
        let peer_address = self.listener.local_addr().map_err(io)?;
        let watch = self.watch(config);
        let disk = watch.look(Disk::Ample);
        let status = NodeStatus {
            log: self.recovery.engine.status(),
            incarnation: identity.incarnation,
            disk,
            peers: Vec::new(),
        };
        let door = Door::new(config.limits.clone(), self.wake.clone(), status.clone());
        let door = Arc::new(door);
        let (metrics, inbox, net) = (self.metrics.clone(), self.inbox.clone(), self.net.clone());
        let registry = std::mem::take(&mut self.registry);
        let handle = self.runtime.handle().clone();
        self.connections().map_err(io)?;

        let Recovery { engine, mut log, store, ledger } = self.recovery;
        let journal = Journal::new(log.batch(), vec![log.batch(), log.batch()]);
        let desk = journal.desk();
        let sync_inbox = inbox.clone();
        let sync_desk = desk.clone();
        let sync_metrics = metrics.clone();
        let sync = spawn("synod-sync", move || {
            sync::run(&mut log, &sync_desk, &sync_inbox, &sync_metrics);
        });
        let replica = Replica {
            state: empty,
            queue: self.queue.clone(),
            inbox: inbox.clone(),
            store,
            metrics: metrics.clone(),
            applied: Index::ZERO,
            answers: Vec::new(),
            writer: None,
            stopped: net.stopped.clone(),
        };
        let apply = spawn("synod-apply", move || replica.run());
        let (unwatch, unwatched) = mpsc::channel();
        let watching = spawn("synod-disk", move || watch.run(disk, &unwatched));

        let others: Vec<NodeId> = net.peers.keys().copied().collect();
        let outboxes = net.peers.iter().map(|(node, peer)| (*node, (peer.outbox.clone(), false)));
        let outlets = NodeOutlets {
            journal,
            outboxes: outboxes.collect(),
            net: net.clone(),
            works: Vec::new(),
            queue: self.queue.clone(),
            pending: Pending::default(),
            answers: Vec::new(),
            blobs: ledger,
            door: door.clone(),
            metrics: metrics.clone(),
        };
        outlets.disk_low(disk == Disk::Low);
        let core = Core {
            host: Host::new(config.node, others, engine, self.random),
            outlets,
            inbox: inbox.clone(),
            door: door.clone(),
            wake: self.wake,
            limits: config.limits.clone(),
            metrics,
            disk,
            free: disk,
            log_full: false,
            status,
            clock: Clock::start(),
            taken: Arrivals::default(),
            calls: VecDeque::new(),
            sessions: BTreeMap::new(),
            durable: Position::default(),
            applied: 0,
            published: None,
        };
        let (said, stopped) = watch::channel(None);
        let (runtime, queue) = (self.runtime, self.queue);
        let thread = spawn("synod-core", move || {
            let stop = runtime.block_on(async { tokio::spawn(core.run()).await });
            let stop = stop.unwrap_or_else(|error| {
                Stop::Fatal(format!(
                    "the core panicked: a bug; nothing acknowledged is lost: {error}"
                ))
            });
            net.stopped.store(true, Ordering::Relaxed);
            for peer in net.peers.values() {
                peer.outbox.close_any();
            }
            runtime.shutdown_background();
            let lost = stop != Stop::Gracefully;
            desk.close(lost);
            queue.close(lost);
            drop(unwatch);
            for thread in [sync, apply, watching].into_iter().flatten() {
                if thread.join().is_err() {
                    warn!("a thread of the node panicked");
                }
            }
            drop(lock);
            match &stop {
                Stop::Fatal(why) => error!("stopped: {why}"),
                Stop::Gracefully | Stop::Abruptly => info!("stopped"),
            }
            said.send_replace(Some(stop.into()));
        });
        Ok(Node {
            metrics: registry,
            handle: Handle::new(door),
            identity,
            peer_address,
            runtime: handle,
            stopped,
            stop: Box::new(move |stop| inbox.stop(stop)),
            thread: Some(thread.map_err(io)?),
        })
    }

    fn watch(&self, config: &NodeConfig) -> Watch<L> {
        Watch {
            dir: config.dir.clone(),
            free: config.free_space.clone(),
            limits: config.limits.clone(),
            inbox: self.inbox.clone(),
            metrics: self.metrics.clone(),
        }
    }

    /// Starts to listen and to dial.
    fn connections(&mut self) -> io::Result<()> {
        self.listener.set_nonblocking(true)?;
        let _guard = self.runtime.enter();
        let listener = tokio::net::TcpListener::from_std(self.listener.try_clone()?)?;
        tokio::spawn(listen::run(self.net.clone(), listener));
        let mut random = self.random.fork();
        for peer in self.net.peers.keys().filter(|peer| **peer > self.net.me) {
            tokio::spawn(dial::keep(self.net.clone(), *peer, random.fork()));
        }
        Ok(())
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(work)
}
