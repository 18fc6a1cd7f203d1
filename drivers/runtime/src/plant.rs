//! Builds the parts of a node out of what its directory holds, and starts them: the core with its
//! connections, the sync thread, the apply thread, and the watch over the disk.
//!
//! The core's thread is the last to go: it ends the others, unlocks the directory, and says why the
//! node stopped.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use prometheus_client::registry::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_consensus::{Index, ReplicatedLog, StateMachine};
use synod_engine::{Position, Random};
use synod_wal::Log;
use tokio::runtime::{self, Runtime};
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use crate::acquaintances::Acquaintances;
use crate::core::{Clock, Core};
use crate::disk::Watch;
use crate::handle::Door;
use crate::host::Host;
use crate::inbox::{Arrivals, Inbox, Stop};
use crate::metrics::Metrics;
use crate::outlets::NodeOutlets;
use crate::pending::Pending;
use crate::recovery::Recovery;
use crate::replica::{Queue, Replica};
use crate::sync::{self, Desk, Journal};
use crate::transport::outbox::Outbox;
use crate::transport::{Net, Peer, dial, listen};
use crate::{Disk, Handle, Identity, Lock, Node, NodeConfig, NodeStatus, Reply, StartError};

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
            acquaintances: Acquaintances::new(config.dir.clone(), identity.clone()),
            identity,
            store: recovery.store.clone(),
            peers: peers.collect(),
            inbox: inbox.clone(),
            metrics: metrics.clone(),
            limits: config.limits.clone(),
            transfers: Arc::default(),
            sessions: AtomicU64::new(1),
            disk_low: AtomicBool::new(false),
            stopped: Arc::default(),
        };
        let random = Random::new(crate::directory::random_u64().map_err(io)?);
        let (net, queue) = (Arc::new(net), Arc::new(Queue::default()));
        Ok(Self { registry, metrics, runtime, listener, recovery, net, inbox, wake, queue, random })
    }

    /// Starts the threads.
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
        let metrics = std::mem::take(&mut self.registry);
        let runtime = self.runtime.handle().clone();
        self.connections().map_err(io)?;
        let (net, inbox) = (self.net.clone(), self.inbox.clone());
        let (core_runtime, core, workers) =
            self.assemble(config, door.clone(), status, watch, empty).map_err(io)?;
        let (said, stopped) = watch::channel(None);
        let thread = spawn("synod-core", move || {
            let stop = core_runtime.block_on(async { tokio::spawn(core.run()).await });
            let stop = stop.unwrap_or_else(|error| {
                Stop::Fatal(format!("the core panicked, which is a bug: {error}"))
            });
            net.stop();
            core_runtime.shutdown_background();
            // Nobody touches the directory once it is unlocked.
            net.transfers.end();
            net.acquaintances.close();
            workers.end(stop != Stop::Gracefully);
            drop(lock);
            match &stop {
                Stop::Damaged(why) | Stop::Fatal(why) => error!("stopped: {why}"),
                Stop::Gracefully | Stop::Abruptly => info!("stopped"),
            }
            said.send_replace(Some(stop.into()));
        });
        Ok(Node {
            metrics,
            handle: Handle::new(door),
            identity,
            peer_address,
            runtime,
            stopped,
            stop: Box::new(move |stop| inbox.stop(stop)),
            thread: Some(thread.map_err(io)?),
        })
    }

    /// Makes the core, and starts the threads that work for it.
    fn assemble(
        self,
        config: &NodeConfig,
        door: Arc<Door<S, R>>,
        status: NodeStatus,
        watch: Watch<L>,
        empty: S,
    ) -> io::Result<Assembled<L, S, R>> {
        let disk = status.disk;
        let Recovery { engine, log, store, ledger } = self.recovery;
        let journal = Journal::new(log.batch(), vec![log.batch(), log.batch()]);
        let replica = Replica {
            state: empty,
            queue: self.queue.clone(),
            inbox: self.inbox.clone(),
            store,
            metrics: self.metrics.clone(),
            applied: Index::ZERO,
            answers: Vec::new(),
            writer: None,
            stopped: self.net.stopped.clone(),
        };
        let workers = Workers::start(journal.desk(), log, replica, watch, disk)?;
        let peers = || self.net.peers.iter();
        let outboxes = peers().map(|(node, peer)| (*node, (peer.outbox.clone(), false)));
        let outlets = NodeOutlets {
            journal,
            outboxes: outboxes.collect(),
            net: self.net.clone(),
            works: Vec::new(),
            queue: self.queue,
            pending: Pending::default(),
            answers: Vec::new(),
            blobs: ledger,
            door: door.clone(),
            metrics: self.metrics.clone(),
        };
        outlets.disk_low(disk == Disk::Low);
        let others = peers().map(|(node, _)| *node).collect();
        let core = Core {
            host: Host::new(config.node, others, engine, self.random),
            outlets,
            inbox: self.inbox,
            door,
            wake: self.wake,
            limits: config.limits.clone(),
            metrics: self.metrics,
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
        Ok((self.runtime, core, workers))
    }

    fn watch(&self, config: &NodeConfig) -> Watch<L> {
        Watch {
            dir: config.dir.clone(),
            free: config.free_space.clone(),
            store: self.recovery.store.clone(),
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

/// The core, where it runs, and who works for it.
type Assembled<L, S, R> = (Runtime, Core<L, S, R>, Workers<S, R>);

/// The threads that work for the core.
struct Workers<S: StateMachine, R> {
    desk: Arc<Desk>,
    queue: Arc<Queue<S, R>>,
    /// The watch ends when this is dropped.
    unwatch: mpsc::Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

impl<S, R> Workers<S, R>
where
    S: StateMachine + Send + 'static,
    S::Query: Send,
    S::Response: Send,
    S::Answer: Send,
    S::Frozen: Send,
    R: Reply<S>,
{
    fn start<L>(
        desk: Arc<Desk>,
        mut log: Log,
        replica: Replica<L, S, R>,
        watch: Watch<L>,
        disk: Disk,
    ) -> io::Result<Self>
    where
        L: ReplicatedLog + 'static,
        L::Message: Send,
        L::Record: Send,
    {
        let queue = replica.queue.clone();
        let (inbox, metrics) = (replica.inbox.clone(), replica.metrics.clone());
        let (unwatch, unwatched) = mpsc::channel();
        let at = desk.clone();
        let threads = vec![
            spawn("synod-sync", move || sync::run(&mut log, &at, &inbox, &metrics))?,
            spawn("synod-apply", move || replica.run())?,
            spawn("synod-disk", move || watch.run(disk, &unwatched))?,
        ];
        Ok(Self { desk, queue, unwatch, threads })
    }

    /// Ends them; what waits is still done, unless it is `lost`.
    fn end(self, lost: bool) {
        self.desk.close(lost);
        self.queue.close(lost);
        drop(self.unwatch);
        for thread in self.threads {
            if thread.join().is_err() {
                warn!("a thread of the node panicked");
            }
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(work)
}
