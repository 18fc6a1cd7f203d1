//! One node's server: what all connections share, and who is let in.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prometheus_client::registry::Registry;
use synod_consensus::{Contact, Status};
use synod_engine::{ClusterId, NodeId};
use synod_kv::message::Query;
use synod_kv::wire::{Goodbye, Leader, NodeReport};
use synod_runtime::{Call, Handle};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::addresses::Addresses;
use crate::feed::Feed;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outbox::{Outbox, ReplyTo};
use crate::readiness::Readiness;
use crate::watched::Watched;
use crate::{connection, http, ticks};

/// How soon clients are told that the members have changed.
const LOOK_AT_MEMBERS: Duration = Duration::from_millis(50);

/// How long accepting pauses when the process has run out of sockets or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster; clients of another are turned away.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// How this node is found and known.
    pub contact: Contact,
    /// Where clerks find each node that does not say so as a member, `host:port`: what clients are told
    /// of the leader.
    pub clients: BTreeMap<NodeId, String>,
    /// Every bound.
    pub limits: Limits,
}

/// The faces of one node. Clones are the same server.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    contact: Contact,
    pub(crate) limits: Limits,
    pub(crate) handle: Handle<Watched, ReplyTo>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) metrics: Metrics,
    pub(crate) registry: Mutex<Registry>,
    addresses: Arc<Addresses>,
    /// Where clients find the members, as connections were last told.
    members: watch::Sender<Arc<[String]>>,
    readiness: Readiness,
    started: Instant,
    stopping: watch::Sender<bool>,
    connections: Arc<Semaphore>,
}

impl Server {
    /// A server of the node behind `handle`, whose store shows on `feed` what happens. It publishes
    /// what is in `registry`.
    #[must_use]
    pub fn new(
        config: Config,
        handle: Handle<Watched, ReplyTo>,
        feed: Arc<Feed>,
        mut registry: Registry,
    ) -> Self {
        let Config { cluster, node, contact, clients, limits } = config;
        let members = {
            let handle = handle.clone();
            move || handle.status().log.members
        };
        let metrics = Metrics::register(&mut registry);
        let shared = Shared {
            cluster,
            node,
            limits,
            handle,
            feed,
            metrics,
            registry: Mutex::new(registry),
            contact,
            members: watch::Sender::default(),
            addresses: Arc::new(Addresses::new(clients, members)),
            readiness: Readiness::default(),
            started: Instant::now(),
            stopping: watch::Sender::new(false),
            connections: Arc::new(Semaphore::new(limits.max_connections as usize)),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Serves clerks until the server is stopped. Each connection is a task.
    pub async fn serve_clients(&self, listener: TcpListener) {
        tokio::select! {
            () = self.accept(listener) => {}
            () = self.watch_members() => {}
        }
    }

    async fn accept(&self, listener: TcpListener) {
        let mut stopping = pin!(self.shared.stopping());
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.admit(stream),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a client's connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = &mut stopping => return,
            }
        }
    }

    /// Serves `/metrics`, `/healthz`, `/readyz` and `/status` until the server is stopped.
    ///
    /// # Errors
    /// What the system says of `listener`.
    pub async fn serve_http(&self, listener: TcpListener) -> io::Result<()> {
        http::serve(&self.shared, listener).await
    }

    /// Moves the store's time on while this node leads and there are sessions; never ends.
    pub async fn keep_time(&self) {
        ticks::run(self.shared.handle.clone(), self.shared.feed.clone()).await;
    }

    /// Stops serving: requests under way are waited for within bounds, then clients are told.
    pub async fn stop(&self) {
        self.shared.stopping.send_replace(true);
        let all = self.shared.limits.max_connections;
        let closed = self.shared.connections.acquire_many(all);
        let patience = Duration::from_millis(2 * self.shared.limits.drain_ms);
        // Whoever has not gone by then is cut off with the process.
        tokio::time::timeout(patience, closed).await.ok();
    }

    /// Tells connections whenever the members change; never ends.
    async fn watch_members(&self) {
        let mut beat = tokio::time::interval(LOOK_AT_MEMBERS);
        loop {
            beat.tick().await;
            self.shared.look_at_members();
            // Asks whether the node has caught up, until it has.
            self.shared.is_ready(&self.shared.handle.status().log);
        }
    }

    fn admit(&self, stream: TcpStream) {
        let shared = self.shared.clone();
        match shared.connections.clone().try_acquire_owned() {
            Ok(place) => {
                tokio::spawn(async move {
                    shared.metrics.connections.inc();
                    connection::run(&shared, stream).await;
                    shared.metrics.connections.dec();
                    drop(place);
                });
            }
            Err(_) => {
                shared.metrics.turned_away.inc();
                let max = shared.limits.max_connections;
                connection::turn_away(&stream, &Goodbye::TooManyConnections { max });
            }
        }
    }
}

impl Shared {
    pub(crate) fn outbox(&self) -> Outbox {
        Outbox::new(self.limits.max_output_bytes, self.addresses.clone())
    }

    /// Waits until the server is being stopped.
    pub(crate) fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopping = self.stopping.subscribe();
        async move {
            // Without a sender there is no server, which is as good as stopped.
            stopping.wait_for(|stopping| *stopping).await.ok();
        }
    }

    /// Follows where clients find the members.
    pub(crate) fn members(&self) -> watch::Receiver<Arc<[String]>> {
        self.look_at_members();
        self.members.subscribe()
    }

    fn look_at_members(&self) {
        let found = self.addresses.all();
        self.members.send_if_modified(|known| {
            let is_news = **known != *found;
            if is_news {
                *known = found.into();
            }
            is_news
        });
    }

    pub(crate) fn leader(&self) -> Option<Leader> {
        let node = self.handle.status().log.leader?;
        Some(Leader { node, address: self.addresses.of(node) })
    }

    pub(crate) fn is_ready(&self, log: &Status) -> bool {
        let ask = |question| {
            let query = Query::Get { key: Bytes::new() };
            self.handle.call_all(vec![Call::Read { query, reply: ReplyTo::readiness(question) }]);
        };
        self.readiness.look(ask) && log.leader.is_some()
    }

    pub(crate) fn report(&self) -> NodeReport {
        let log = self.handle.status().log;
        NodeReport {
            is_ready: self.is_ready(&log),
            log,
            contact: self.contact.clone(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: self.started.elapsed().as_millis() as u64,
        }
    }
}
