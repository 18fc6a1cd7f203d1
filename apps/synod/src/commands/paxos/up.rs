//! `synod paxos up`: a few nodes, each a process of its own, that print into one terminal.

use std::process::Stdio;

use clap::ValueEnum;
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::UpArgs;
use super::onlooker::now_us;
use crate::cli::LogFormat;
use crate::commands::block_on;
use crate::exit::{Exit, Failure, Result};
use crate::output::{say, tell};

pub(super) fn run(args: &UpArgs, log_format: LogFormat) -> Result<Exit> {
    block_on(serve(args, log_format)).map_err(|failure| failure.in_json(args.show.json))
}

async fn serve(args: &UpArgs, log_format: LogFormat) -> Result<Exit> {
    let last = args.port.checked_add(args.nodes as u16 - 1);
    if args.port == 0 || last.is_none() {
        return Err(Failure::usage("--port leaves no room for all nodes; nothing was changed"));
    }
    let cannot = |error| Failure::new(Exit::Fatal, format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let peers = (0..args.nodes).map(|node| {
        let port = u64::from(args.port) + node;
        format!("{}=127.0.0.1:{port}", node + 1)
    });
    let peers = peers.collect::<Vec<_>>().join(",");
    let (mut children, since_us) = (Vec::new(), now_us());
    for node in 1..=args.nodes {
        children.push((node, spawn(args, log_format, (node, since_us), &peers)?));
    }
    show(args, &children, &peers);
    let stopped = tokio::select! {
        ended = all_ended(&mut children) => return ended,
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    if !args.show.json {
        say!("stopping ({stopped})");
    }
    for (_, child) in &children {
        // Ctrl-C has reached it too; asked twice, it stops once.
        if let Some(pid) = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid as i32)) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
    }
    // One that had hardly begun dies of the signal, and loses nothing.
    all_ended(&mut children).await.ok();
    Ok(Exit::Done)
}

fn spawn(
    args: &UpArgs,
    log_format: LogFormat,
    (node, since_us): (u64, u64),
    peers: &str,
) -> Result<Child> {
    let cannot = |error: std::io::Error| {
        Failure::new(Exit::Fatal, format!("node {node} cannot be started: {error}"))
    };
    let name = |value: Option<clap::builder::PossibleValue>| {
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    };
    let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
    command
        .args(["--log-format", &name(log_format.to_possible_value()), "paxos", "node"])
        .args(["--id", &node.to_string(), "--peers", peers, "--dir"])
        .arg(args.dir.join(format!("node{node}")))
        .args(["--learning", &name(args.show.learning.to_possible_value())])
        .args(["--parent", &std::process::id().to_string()])
        .args(["--since-us", &since_us.to_string()])
        .args(args.show.json.then_some("--json"))
        .env("SYNOD_LOG", std::env::var("SYNOD_LOG").unwrap_or_else(|_| "warn".into()))
        .stdin(Stdio::null());
    command.spawn().map_err(cannot)
}

fn show(args: &UpArgs, children: &[(u64, Child)], peers: &str) {
    if args.show.json {
        for (node, child) in children {
            tell(&json!({ "event": "started", "node": node, "pid": child.id(), "peers": peers }));
        }
        return;
    }
    let strong = anstyle::Style::new().bold();
    for (node, child) in children {
        let pid = child.id().map_or("-".to_owned(), |pid| pid.to_string());
        say!("node {node}, pid {pid}, in {}", args.dir.join(format!("node{node}")).display());
    }
    say!("\nIn another terminal:\n");
    let at = if peers == super::USUAL { String::new() } else { format!(" --peers {peers}") };
    for line in ["propose red", "propose blue --node 2", "status"] {
        say!("  {strong}synod paxos {line}{at}{strong:#}");
    }
    say!("\nCtrl-C stops the nodes; the same command starts them again, with what they know.\n");
}

/// Waits until every node has ended; tells how the first one failed, if one did.
async fn all_ended(children: &mut [(u64, Child)]) -> Result<Exit> {
    let mut failed = None;
    for (node, child) in children {
        let status = child.wait().await;
        let how = match status {
            Ok(status) if status.success() => continue,
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        failed.get_or_insert(format!("node {node} ended: {how}"));
    }
    match failed {
        Some(what) => Err(Failure::new(Exit::Fatal, what)),
        None => Ok(Exit::Done),
    }
}
