//! `synod node`: one node, until a signal or a failure stops it.

use std::net::SocketAddr;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use synod_engine::Sound;
use synod_native::{ReplyTo, Server, Watched};
use synod_runtime::{Identity, NodeConfig, StartError, StopReason};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;

use crate::cli::{LogFormat, NodeArgs};
use crate::commands::block_on;
use crate::config::{Node, resolve};
use crate::engines::{Wired, with_engine};
use crate::exit::{Exit, Failure, Result};

/// Connections that the system accepts before we do.
const BACKLOG: u32 = 1_024;

type Running = synod_runtime::Node<Watched, ReplyTo>;

pub(crate) fn run(args: &NodeArgs, log_format: LogFormat) -> Result<Exit> {
    if let Some(parent) = args.parent {
        die_with(parent)?;
    }
    start_logging(log_format);
    let config = Node::read(&args.config)?;
    if let Some(engine) = args.engine.filter(|engine| *engine != config.engine) {
        let what = format!(
            "{} says engine {}, not {engine}; nothing was changed; a cluster keeps the engine that it was \
             made with",
            args.config.display(),
            config.engine
        );
        return Err(Failure::usage(what));
    }
    match block_on(live(&config)) {
        Err(failure) if log_format == LogFormat::Json => {
            tracing::error!(node = config.id, "{}", failure.what);
            Ok(failure.exit)
        }
        result => result,
    }
}

async fn live(config: &Node) -> Result<Exit> {
    allow_connections(config.limits.native().max_connections);
    let (client, peer, http) = config.listen();
    let clients = bind(client, "clients")?;
    let http = http.map(|address| bind(address, "metrics and health")).transpose()?;
    let store = Watched::default();
    let feed = store.feed();
    let mut node = start(config, resolve(peer)?, store)?;
    let clients = {
        // Clients are served on the core's thread: that saves two changes of thread per request.
        let _core = node.runtime().enter();
        listen(clients)?
    };
    let http = http.map(listen).transpose()?;
    let handle = node.handle();
    let registry = std::mem::take(&mut node.metrics);
    let server_config = synod_native::Config {
        cluster: config.cluster(),
        node: config.id(),
        contact: config.contact(node.identity().incarnation),
        clients: config.clients(),
        limits: config.limits.native(),
    };
    let server = Server::new(server_config, handle, feed, registry);
    tracing::info!(node = config.id, pid = std::process::id(), client, peer, "serving");
    let serving = node.runtime().spawn({
        let server = server.clone();
        async move { server.serve_clients(clients).await }
    });
    let observing = http.map(|listener| {
        let server = server.clone();
        tokio::spawn(async move { server.serve_http(listener).await })
    });
    let keeping_time = tokio::spawn({
        let server = server.clone();
        async move { server.keep_time().await }
    });
    let asked = asked_to_stop();
    let reason = tokio::select! {
        signal = asked => {
            tracing::info!(node = config.id, signal = signal?, "stopping");
            server.stop().await;
            keeping_time.abort();
            node.shutdown().await
        }
        reason = node.stopped() => reason,
    };
    serving.abort();
    observing.iter().for_each(JoinHandle::abort);
    match reason {
        StopReason::Shutdown => {
            tracing::info!(node = config.id, "stopped");
            Ok(Exit::Done)
        }
        StopReason::Damaged(what) => {
            let what = format!(
                "{what}; the node stopped, nothing was changed; restore the file, or run `synod repair` \
                 so that the node joins anew"
            );
            Err(Failure::new(Exit::Data, what))
        }
        StopReason::Fatal(what) => {
            let what = format!("{what}; the node stopped; nothing that was acknowledged is lost");
            Err(Failure::new(Exit::Fatal, what))
        }
    }
}

/// Asks the system for as many open files as all clients may take, and some for the node itself. If it
/// allows fewer, connections beyond are not accepted, and peers may not be either.
fn allow_connections(clients: u32) {
    /// The log's files, snapshots, peers, health checks.
    const OWN: u64 = 512;
    let wanted = u64::from(clients) + OWN;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let allowed = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum });
    if raised.is_err() || allowed < wanted {
        tracing::warn!(
            wanted,
            allowed,
            "the system allows fewer open files than max_connections and the node may need: raise its \
             limit (ulimit -n), or lower max_connections"
        );
    }
}

fn start(config: &Node, peer: SocketAddr, store: Watched) -> Result<Running> {
    let node = NodeConfig {
        limits: config.limits.runtime(),
        peer_version: config.limits.peer_version(),
        engine: config.engine.written(),
        joins: config.join,
        ..NodeConfig::new(config.id(), config.cluster(), &config.dir, peer, config.peers()?)
    };
    let part = |identity: &Identity| {
        let part = config.part(Some(identity.incarnation));
        // One that was repaired may have promised what it no longer knows.
        if identity.is_repaired() { part.reborn(identity.incarnation) } else { part }
    };
    let started = with_engine!(config.engine, Log => {
        let engine = |identity: &Identity| Log::config(part(identity), &config.knobs(), Sound);
        synod_runtime::start::<Log, _, _>(&node, engine, store)
    });
    started.map_err(|error| {
        let exit = match &error {
            StartError::Listen { .. } => Exit::Address,
            _ => Exit::Data,
        };
        Failure::new(exit, error)
    })
}

/// Takes an address without listening yet: whoever connects while the log is replayed is told at once
/// that nobody serves, and can ask another node.
fn bind(address: &str, whom: &str) -> Result<TcpSocket> {
    let at = resolve(address)?;
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let bound = socket.and_then(|socket| {
        // A node that was just stopped leaves connections behind that hold the address for a while.
        socket.set_reuseaddr(true)?;
        socket.bind(at)?;
        Ok(socket)
    });
    bound.map_err(|error| {
        let what = format!(
            "cannot listen on {address} for {whom}: {error}; nothing was changed; is another node \
             or program using it?"
        );
        Failure::new(Exit::Address, what)
    })
}

fn listen(socket: TcpSocket) -> Result<TcpListener> {
    let listening = socket.listen(BACKLOG);
    listening.map_err(|error| Failure::new(Exit::Address, format!("cannot listen: {error}")))
}

/// Waits for SIGTERM or SIGINT.
pub(super) async fn asked_to_stop() -> Result<&'static str> {
    let listen = |kind| {
        signal(kind).map_err(|error| {
            Failure::new(Exit::Fatal, format!("cannot listen for signals: {error}"))
        })
    };
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}

/// Has the system, where it can (Linux), kill this process when `parent` dies, which it may have done
/// already.
pub(super) fn die_with(parent: i32) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        let cannot =
            |error| Failure::new(Exit::Fatal, format!("cannot follow the parent: {error}"));
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(cannot)?;
    }
    match rustix::process::getppid() {
        Some(pid) if pid.as_raw_nonzero().get() == parent => Ok(()),
        _ => Err(Failure::new(Exit::Fatal, "the parent is gone; nothing was changed")),
    }
}

pub(super) fn start_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_env("SYNOD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
