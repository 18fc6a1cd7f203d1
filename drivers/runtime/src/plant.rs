//! Builds the parts of a node out of what its directory holds, and starts them: the core with its
//! connections, the sync thread, the threads that apply, and the watch over the disk.
//!
//! The core's thread is the last to go: it ends the others, unlocks the directory, and says why the
//! node stopped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use prometheus_client::registry::Registry;
use synod_consensus::{Index, ReplicatedLog, StateMachine};
use synod_engine::{Incarnation, Position, Random};
use synod_wal::{Log, Reader};
use tokio::runtime::{self, Runtime};
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use crate::acquaintances::Acquaintances;
use crate::admissions::{Admissions, Lives};
use crate::apply::Pool;
use crate::budget::Budget;
use crate::core::{Clock, Core};
use crate::disk::Watch;
use crate::door::{Bell, Door};
use crate::group::Group;
use crate::groups::{Groups, Place};
use crate::host::Host;
use crate::hosted::{HostedLog, HostedState};
use crate::inbox::{Arrivals, Inbox, Stop};
use crate::links::Dial;
use crate::metrics::Metrics;
use crate::old_log::{self, Counted, OldLog};
use crate::outlets::{Own, Shared};
use crate::pending::Pending;
use crate::recovery::{Recovered, Recovery};
use crate::replica::Replica;
use crate::snapshots::Snapshots;
use crate::stall::Stall;
use crate::sync::{self, Desk, Journal, News, Synced};
use crate::timers::Wheel;
use crate::transport::peers::Peers;
use crate::transport::{Net, dial, listen};
use crate::{Disk, Handle, Identity, Lock, Node, NodeConfig, NodeStatus, Reply, StartError};

/// The parts of a node.
pub(crate) struct Plant<L: ReplicatedLog> {
    registry: Registry,
    metrics: Arc<Metrics>,
    runtime: Runtime,
    listener: TcpListener,
    recovery: Recovery<L>,
    net: Arc<Net<L>>,
    inbox: Arc<Inbox<L>>,
    wake: Arc<Notify>,
    random: Random,
}

impl<L: HostedLog> Plant<L> {
    pub(crate) fn build(
        config: &NodeConfig,
        identity: Identity,
        groups: Groups,
        recovery: Recovery<L>,
        listener: TcpListener,
    ) -> Result<Self, StartError> {
        let io = |error| StartError::Io { path: config.dir.clone(), error };
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::new(&mut registry, &groups));
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(io)?;
        let wake = Arc::new(Notify::new());
        let inbox = Arc::new(Inbox::new(wake.clone(), config.limits.max_inbox_bytes));
        let peers = Peers::new(config.node, &config.peers, config.limits.max_outbox_bytes);
        let net = Net {
            me: config.node,
            groups,
            admissions: Admissions::new(
                recovery
                    .groups
                    .iter()
                    .map(|group| Lives::of(&group.engine.status().members))
                    .collect(),
            ),
            acquaintances: Acquaintances::new(config.dir.clone(), identity.clone()),
            identity,
            store: recovery.store.clone(),
            peers,
            inbox: inbox.clone(),
            metrics: metrics.clone(),
            limits: config.limits.clone(),
            newest_version: config.peer_version,
            transfers: Arc::default(),
            sessions: AtomicU64::new(1),
            disk_low: AtomicBool::new(false),
            stopped: Arc::default(),
        };
        let random = Random::new(crate::directory::random_u64().map_err(io)?);
        let net = Arc::new(net);
        Ok(Self { registry, metrics, runtime, listener, recovery, net, inbox, wake, random })
    }

    /// Starts the threads; `empty` are the state machines before the first command, place by place.
    pub(crate) fn start<S: HostedState, R: Reply<S>>(
        mut self,
        config: &NodeConfig,
        identity: Identity,
        lock: Lock,
        empty: Vec<S>,
    ) -> Result<Node<S, R>, StartError> {
        let io = |error| StartError::Io { path: config.dir.clone(), error };
        let peer_address = self.listener.local_addr().map_err(io)?;
        let watch = self.watch(config);
        let disk = watch.look(Disk::Ample);
        let metrics = std::mem::take(&mut self.registry);
        let runtime = self.runtime.handle().clone();
        self.connections().map_err(io)?;
        let (net, inbox) = (self.net.clone(), self.inbox.clone());
        let (core_runtime, core, workers) =
            self.assemble(config, &identity, (watch, disk), empty).map_err(io)?;
        let doors = core.groups.iter().map(|group| group.own.door.clone());
        let handles = net.groups.iter().zip(doors.map(Handle::new)).collect();
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
            handles,
            identity,
            peer_address,
            runtime,
            stopped,
            stop: Box::new(move |stop| inbox.stop(stop)),
            thread: Some(thread.map_err(io)?),
        })
    }

    /// Makes the core, and starts the threads that work for it.
    fn assemble<S: HostedState, R: Reply<S>>(
        mut self,
        config: &NodeConfig,
        identity: &Identity,
        (watch, disk): (Watch<L>, Disk),
        empty: Vec<S>,
    ) -> io::Result<Assembled<L, S, R>> {
        let limits = &config.limits;
        let count = self.net.groups.len();
        let pool = Arc::new(Pool::new(self.replicas(empty), limits.max_unapplied));
        let bell = Arc::new(Bell::new(limits, count, self.wake.clone()));
        let recovered = std::mem::take(&mut self.recovery.groups);
        let counted = self.net.groups.iter().zip(recovered.iter().map(Recovered::before)).collect();
        let groups = recovered.into_iter().enumerate();
        let groups = groups.map(|(place, group)| {
            self.group(Place(place), group, &bell, (identity.incarnation, disk))
        });
        let groups: Vec<_> = groups.collect();
        let log = self.recovery.log;
        let (reader, old_log) = (log.reader(), Arc::new(OldLog::default()));
        let journal = Journal::new(log.batch(), vec![log.batch(), log.batch()]);
        let desk = journal.desk();
        let workers =
            Workers::start(desk, log, pool.clone(), (self.inbox.clone(), self.metrics.clone()))?;
        let workers = workers.apply(limits.apply_threads.clamp(1, count))?.watch(watch, disk)?;
        let workers = workers.read(old_log.clone(), reader, counted)?;
        let shared = Shared {
            journal,
            persisted: Position::default(),
            links: BTreeMap::new(),
            // All of them, as far as the core is concerned.
            regrouped: (0..count).map(Place).collect(),
            is_leader_news: false,
            net: self.net,
            works: Vec::new(),
            pool,
            snapshots: Snapshots::default(),
            old_log,
            unanswered: Budget::new(limits.max_unanswered_requests, count),
            answers: Vec::new(),
            metrics: self.metrics.clone(),
        };
        shared.disk_low(disk == Disk::Low);
        let (net, mut random) = (shared.net.clone(), self.random.fork());
        let dial: Dial = Box::new(move |peer| {
            tokio::spawn(dial::keep(net.clone(), peer, random.fork()));
        });
        let core = Core {
            groups,
            shared,
            inbox: self.inbox,
            bell,
            wake: self.wake,
            limits: limits.clone(),
            metrics: self.metrics,
            disk,
            free: disk,
            log_full: false,
            clock: Clock::start(),
            taken: Arrivals::default(),
            calling: VecDeque::new(),
            dirty: Vec::new(),
            wheel: Wheel::new(count),
            stall: Stall::new(Duration::from_millis(limits.stall_handover_ms)),
            awaited: VecDeque::new(),
            durable: Position::default(),
            was_applying: false,
            unpublished: VecDeque::new(),
            departing: VecDeque::new(),
            dial,
        };
        Ok((self.runtime, core, workers))
    }

    /// What is to be applied to, place by place.
    fn replicas<S: StateMachine, R>(&self, empty: Vec<S>) -> Vec<Replica<L, S, R>> {
        let replica = |(place, state)| Replica {
            place: Place(place),
            state,
            inbox: self.inbox.clone(),
            store: self.recovery.store.clone(),
            metrics: self.metrics.clone(),
            applied: Index::ZERO,
            answers: Vec::new(),
            writer: None,
            stopped: self.net.stopped.clone(),
        };
        empty.into_iter().enumerate().map(replica).collect()
    }

    /// The core's part of the group at `place`.
    fn group<S: HostedState, R: Reply<S>>(
        &mut self,
        place: Place,
        Recovered { engine, ledger, .. }: Recovered<L>,
        bell: &Arc<Bell>,
        (incarnation, disk): (Incarnation, Disk),
    ) -> Group<L, S, R> {
        let status = NodeStatus { log: engine.status(), incarnation, disk, peers: Vec::new() };
        let others = match status.log.members.is_empty() {
            true => self.net.peers.hinted().collect(),
            false => Vec::new(),
        };
        let own = Own {
            group: self.net.groups.name(place),
            place,
            pending: Pending::default(),
            blobs: ledger,
            door: Arc::new(Door::new(place, bell.clone(), status.clone())),
            members: status.log.members.clone(),
            lives: Lives::of(&status.log.members),
            strange: BTreeSet::new(),
            leader: None,
            is_urgent: false,
        };
        Group::new(Host::new(self.net.me, others, engine, self.random.fork()), own, status)
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

    /// Starts to listen.
    fn connections(&mut self) -> io::Result<()> {
        self.listener.set_nonblocking(true)?;
        let _guard = self.runtime.enter();
        let listener = tokio::net::TcpListener::from_std(self.listener.try_clone()?)?;
        tokio::spawn(listen::run(self.net.clone(), listener));
        Ok(())
    }
}

/// The core, where it runs, and who works for it.
type Assembled<L, S, R> = (Runtime, Core<L, S, R>, Workers<L, S, R>);

/// The threads that work for the core.
struct Workers<L: ReplicatedLog, S: StateMachine, R> {
    desk: Arc<Desk>,
    pool: Arc<Pool<L, S, R>>,
    inbox: Arc<Inbox<L>>,
    /// The watch ends when this is dropped.
    unwatch: Option<mpsc::Sender<()>>,
    old_log: Option<Arc<OldLog>>,
    threads: Vec<JoinHandle<()>>,
}

impl<L: HostedLog, S: HostedState, R: Reply<S>> Workers<L, S, R> {
    fn start(
        desk: Arc<Desk>,
        mut log: Log,
        pool: Arc<Pool<L, S, R>>,
        (inbox, metrics): (Arc<Inbox<L>>, Arc<Metrics>),
    ) -> io::Result<Self> {
        let (at, to) = (desk.clone(), inbox.clone());
        let tell = move |news| tell(&to, &metrics, news);
        let sync = spawn("synod-sync", move || sync::run(&mut log, &at, tell))?;
        Ok(Self { desk, pool, inbox, unwatch: None, old_log: None, threads: vec![sync] })
    }

    fn apply(mut self, threads: usize) -> io::Result<Self> {
        for _ in 0..threads {
            let (pool, inbox) = (self.pool.clone(), self.inbox.clone());
            self.threads.push(spawn("synod-apply", move || pool.run(&inbox))?);
        }
        Ok(self)
    }

    fn watch(mut self, watch: Watch<L>, disk: Disk) -> io::Result<Self> {
        let (unwatch, unwatched) = mpsc::channel();
        self.unwatch = Some(unwatch);
        self.threads.push(spawn("synod-disk", move || watch.run(disk, &unwatched))?);
        Ok(self)
    }

    fn read(
        mut self,
        old_log: Arc<OldLog>,
        mut reader: Reader,
        counted: Vec<Counted>,
    ) -> io::Result<Self> {
        let (wishes, inbox) = (old_log.clone(), self.inbox.clone());
        self.old_log = Some(old_log);
        let read = move || old_log::run(&wishes, &mut reader, &counted, &inbox);
        self.threads.push(spawn("synod-read", read)?);
        Ok(self)
    }

    /// Ends them; what waits is still done, unless it is `lost`.
    fn end(self, lost: bool) {
        self.desk.close(lost);
        self.pool.close(lost);
        drop(self.unwatch);
        self.old_log.iter().for_each(|old_log| old_log.close());
        for thread in self.threads {
            if thread.join().is_err() {
                warn!("a thread of the node panicked");
            }
        }
        self.pool.finish();
    }
}

/// What the core hears from the sync thread.
fn tell<L: ReplicatedLog>(inbox: &Inbox<L>, metrics: &Metrics, news: News) {
    match news {
        News::Full => inbox.put(|arrivals| arrivals.log_full = Some(true)),
        News::Durable(Synced { position, records, bytes, took, waited, crowding }) => {
            metrics.synced(took, records, bytes);
            inbox.put(|arrivals| {
                arrivals.crowding.extend(crowding);
                arrivals.durable = position;
                if waited {
                    arrivals.log_full = Some(false);
                }
            });
        }
        News::Failed(why) => inbox.stop(Stop::Fatal(why)),
    }
}

pub(crate) fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(work)
}
