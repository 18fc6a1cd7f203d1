//! Metrics, health and status over HTTP: for machines that watch nodes.
//!
//! | route | answers |
//! |---|---|
//! | `/healthz` | 200 while the process serves |
//! | `/readyz` | 200 while the node knows a leader and has caught up; else 503 |
//! | `/metrics` | all counters, in Prometheus's text format |
//! | `/status` | how the node is, as JSON |

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use prometheus_client::encoding::text;
use serde::Serialize;
use synod_runtime::{Disk, NodeStatus};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Sleep, sleep};

use crate::server::Shared;

pub(crate) async fn serve(shared: &Arc<Shared>, listener: TcpListener) -> io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get("ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .with_state(shared.clone());
    let places = Arc::new(Semaphore::new(shared.limits.max_http_connections));
    let lifetime = Duration::from_millis(shared.limits.http_timeout_ms);
    let bounded = Bounded { listener, places, lifetime, visitors: VecDeque::new() };
    let served = async { axum::serve(bounded, routes).await };
    tokio::select! {
        result = served => result,
        () = shared.stopping() => Ok(()),
    }
}

async fn readyz(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    let log = shared.handle.status().log;
    match log.leader {
        _ if shared.is_ready(&log) => (StatusCode::OK, "ready\n"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "catching up\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "no leader is known\n"),
    }
}

/// OpenMetrics for those who ask for it; the same words as plain text for everybody else, to whom they
/// are as good: browsers, curl, scrapers of the older text format.
async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let mut out = String::new();
    let registry = shared.registry.lock().unwrap_or_else(PoisonError::into_inner);
    match text::encode(&mut out, &registry) {
        Ok(()) => {
            let accepts = headers.get_all(header::ACCEPT).iter();
            let mut accepts = accepts.filter_map(|value| value.to_str().ok());
            let kind = match accepts.any(|kinds| kinds.contains("application/openmetrics-text")) {
                true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
                false => "text/plain; version=0.0.4; charset=utf-8",
            };
            ([(header::CONTENT_TYPE, kind)], out).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    let NodeStatus { incarnation, disk, peers, .. } = shared.handle.status();
    let report = shared.report();
    let document = Document {
        cluster: format!("{:016x}", shared.cluster.0),
        node: report.log.node.0,
        incarnation: format!("{:016x}", incarnation.0),
        role: report.log.role.to_string(),
        leader: report.log.leader.map(|node| node.0),
        term: report.log.epoch.0,
        last: report.log.last.0,
        commit: report.log.commit.0,
        applied: report.log.applied.0,
        snapshot: report.log.snapshot.0,
        voters: report.log.members.quorum().iter().map(|node| node.0).collect(),
        ready: report.is_ready,
        disk: match disk {
            Disk::Ample => "ample",
            Disk::Low => "low",
        },
        peers: peers
            .iter()
            .map(|peer| Peer {
                node: peer.node.0,
                connected: peer.version.is_some(),
                version: peer.version.map(|version| version.0),
            })
            .collect(),
        pid: report.pid,
        version: report.version,
        uptime_ms: report.uptime_ms,
    };
    match serde_json::to_string(&document) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[derive(Serialize)]
struct Document {
    cluster: String,
    node: u64,
    incarnation: String,
    role: String,
    leader: Option<u64>,
    term: u64,
    last: u64,
    commit: u64,
    applied: u64,
    snapshot: u64,
    voters: Vec<u64>,
    ready: bool,
    disk: &'static str,
    peers: Vec<Peer>,
    pid: u32,
    version: String,
    uptime_ms: u64,
}

#[derive(Serialize)]
struct Peer {
    node: u64,
    connected: bool,
    /// The version of the protocol between nodes that the two speak.
    version: Option<u16>,
}

/// A listener that bounds how many connections there are and how long each lasts. One more takes the
/// place of the oldest: pages are short, so the oldest is one that idles, and nobody keeps a health check
/// out by holding connections open.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    lifetime: Duration,
    /// Ends the connections that there are, the oldest first, and some that are gone.
    visitors: VecDeque<oneshot::Sender<()>>,
}

/// A connection that gives back its place, and breaks when its time is up or its place is wanted.
struct Visitor {
    stream: TcpStream,
    until: Pin<Box<Sleep>>,
    stays: oneshot::Receiver<()>,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl Bounded {
    /// A place, the one of the oldest connection if there is no other.
    async fn place(&mut self) -> OwnedSemaphorePermit {
        self.visitors.retain(|visitor| !visitor.is_closed());
        if self.places.available_permits() == 0 {
            self.visitors.pop_front();
        }
        self.places.clone().acquire_owned().await.expect("the semaphore is never closed")
    }
}

impl Listener for Bounded {
    type Io = Visitor;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Visitor, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let place = self.place().await;
        let (ends, stays) = oneshot::channel();
        self.visitors.push_back(ends);
        let until = Box::pin(sleep(self.lifetime));
        (Visitor { stream, until, stays, is_over: false, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl Visitor {
    fn must_go(&mut self, context: &mut Context<'_>) -> bool {
        self.is_over = self.is_over
            || self.until.as_mut().poll(context).is_ready()
            || Pin::new(&mut self.stays).poll(context).is_ready();
        self.is_over
    }
}

impl AsyncRead for Visitor {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.must_go(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.must_go(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
