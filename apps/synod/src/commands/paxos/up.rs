//! `synod paxos up`: a few nodes, each a process of its own, that print into one terminal.

use std::collections::BTreeMap;
use std::process::{ExitStatus, Stdio};

use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

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
    let (mut running, mut ends, since_us) = (BTreeMap::new(), JoinSet::new(), now_us());
    for node in 1..=args.nodes {
        let mut child = spawn(args, log_format, (node, since_us), &peers)?;
        running.insert(node, child.id().expect("it has not been waited for"));
        ends.spawn(async move { (node, child.wait().await) });
    }
    show(args, &running, &peers);
    let stopped = loop {
        tokio::select! {
            Some(Ok((node, status))) = ends.join_next() => {
                let (how, exit) = how_ended(status);
                running.remove(&node);
                tell_end(args, node, &how);
                if running.is_empty() {
                    let what = format!("every node has ended; the last was node {node}: {how}");
                    return Err(Failure::new(exit, what));
                }
            }
            _ = terminate.recv() => break "SIGTERM",
            _ = interrupt.recv() => break "SIGINT",
        }
    };
    if !args.show.json {
        say!("stopping ({stopped})");
    }
    for pid in running.values() {
        // Ctrl-C has reached it too; asked twice, it stops once.
        if let Some(pid) = Pid::from_raw(*pid as i32) {
            kill_process(pid, Signal::TERM).ok();
        }
    }
    // One that had hardly begun dies of the signal, and loses nothing.
    while ends.join_next().await.is_some() {}
    Ok(Exit::Done)
}

/// How a node ended, in words and as an exit code.
fn how_ended(status: std::io::Result<ExitStatus>) -> (String, Exit) {
    match status {
        Ok(status) => {
            let known = [Exit::Usage, Exit::Data, Exit::Address];
            let exit = known.into_iter().find(|exit| status.code() == Some(*exit as i32));
            (status.to_string(), exit.unwrap_or(Exit::Fatal))
        }
        Err(error) => (error.to_string(), Exit::Fatal),
    }
}

fn tell_end(args: &UpArgs, node: u64, how: &str) {
    if args.show.json {
        tell(&json!({ "event": "ended", "node": node, "how": how }));
    } else {
        let yellow = anstyle::AnsiColor::Yellow.on_default();
        say!("{yellow}node {node} ended: {how}{yellow:#}");
    }
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

fn show(args: &UpArgs, running: &BTreeMap<u64, u32>, peers: &str) {
    if args.show.json {
        for (node, pid) in running {
            tell(&json!({ "event": "started", "node": node, "pid": pid, "peers": peers }));
        }
        return;
    }
    let strong = anstyle::Style::new().bold();
    for (node, pid) in running {
        say!("node {node}, pid {pid}, in {}", args.dir.join(format!("node{node}")).display());
    }
    say!("\nIn another terminal:\n");
    let at = if peers == super::USUAL { String::new() } else { format!(" --peers {peers}") };
    for line in ["propose red", "propose blue --node 2", "status"] {
        say!("  {strong}synod paxos {line}{at}{strong:#}");
    }
    if running.len() > 2
        && let Some(pid) = running.values().last()
    {
        say!("  {strong}kill -9 {pid}{strong:#}    a node dies, the others go on");
    }
    say!("\nCtrl-C stops the nodes; the same command starts them again, with what they know.\n");
}
