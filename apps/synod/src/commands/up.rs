//! `synod up`: a whole local cluster, one child process per node.
//!
//! `layout` makes or reads the cluster's directory; `children` starts and watches the processes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use synod_clerk::{Options, status_of};
use synod_consensus::Role;
use synod_engine::ClusterId;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::cli::{LogFormat, UpArgs};
use crate::config::Cluster;
use crate::exit::{Exit, Failure, Result};
use crate::output::{say, table, tell};
use crate::place::Sign;

mod children;
pub(crate) mod layout;

use children::{Children, Ended};

/// How often the nodes are asked whether they are ready.
const ASK_EVERY: Duration = Duration::from_millis(50);

pub(crate) async fn run(args: UpArgs, log_format: LogFormat) -> Result<Exit> {
    let json = args.json;
    serve(args, log_format).await.map_err(|failure| failure.in_json(json))
}

async fn serve(args: UpArgs, log_format: LogFormat) -> Result<Exit> {
    let cluster = layout::prepare(&args.dir, (args.nodes, args.engine), args.port)?;
    let _hold = layout::hold(&args.dir)?;
    let cannot = |error| Failure::new(Exit::Fatal, format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut children = Children::new(&args.dir, log_format, args.restart);
    for node in &cluster.nodes {
        children.start(node.id)?;
    }
    let file = args.dir.canonicalize().unwrap_or(args.dir.clone()).join(layout::CLUSTER_FILE);
    let _sign = Sign::put_up(&file);
    if args.json {
        tell_cluster(&cluster, &children, &args.dir);
    } else {
        show_cluster(&cluster, &children, &args.dir);
    }
    let mut is_ready = false;
    loop {
        tokio::select! {
            leader = leader(&cluster, children.pids()), if !is_ready => {
                is_ready = true;
                if args.json {
                    tell(&json!({ "event": "ready", "leader": leader }));
                } else {
                    show_how_to_use(leader, &cluster, &children);
                }
            }
            ended = children.ended() => {
                report(&ended, args.json, &children);
                if children.is_empty() {
                    let Ended { node, how, .. } = &ended;
                    let what = format!("every node has ended; the last was node {node}, {how}");
                    return Err(Failure::new(ended.exit, what));
                }
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    if !args.json {
        say!("stopping");
    }
    // Whoever asks twice does not want to wait.
    tokio::select! {
        () = children.stop() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    children.kill();
    if args.json {
        tell(&json!({ "event": "stopped" }));
    }
    Ok(Exit::Done)
}

/// Waits until one of these processes leads and every one of them that can be reached is ready.
/// Whatever else answers at an address is not meant.
async fn leader(cluster: &Cluster, pids: BTreeMap<u64, u32>) -> u64 {
    let id = Some(ClusterId(cluster.cluster));
    let options = Options { cluster: id, open_timeout_ms: 500, ..Options::default() };
    loop {
        let mut leader = None;
        let mut is_ready = true;
        for node in &cluster.nodes {
            if let Ok(report) = status_of(&node.client, &options).await
                && pids.get(&node.id) == Some(&report.pid)
            {
                is_ready &= report.is_ready;
                if report.log.role == Role::Leader {
                    leader = Some(node.id);
                }
            }
        }
        match leader {
            Some(leader) if is_ready => return leader,
            _ => sleep(ASK_EVERY).await,
        }
    }
}

fn tell_cluster(cluster: &Cluster, children: &Children, dir: &Path) {
    let nodes = cluster.nodes.iter().map(|node| {
        json!({
            "node": node.id,
            "pid": children.pid(node.id),
            "client": node.client,
            "peer": node.peer,
            "http": node.http,
            "log": layout::log_file(dir, node.id),
        })
    });
    let nodes: Vec<_> = nodes.collect();
    let cluster_id = format!("{:016x}", cluster.cluster);
    let engine = cluster.engine;
    tell(&json!({
        "event": "started",
        "cluster": cluster_id,
        "engine": engine,
        "dir": dir,
        "nodes": nodes,
    }));
}

fn show_cluster(cluster: &Cluster, children: &Children, dir: &Path) {
    let count = cluster.nodes.len();
    let engine = cluster.engine;
    say!("cluster {:016x}, {count} nodes on {engine}, in {}\n", cluster.cluster, dir.display());
    let mut table = table(&["node", "pid", "clients", "metrics and health", "log"]);
    for node in &cluster.nodes {
        let pid = children.pid(node.id).map_or("-".to_owned(), |pid| pid.to_string());
        let http = node.http.as_ref().map_or("-".to_owned(), |http| format!("http://{http}"));
        let log = layout::log_file(dir, node.id).display().to_string();
        table.add_row([node.id.to_string(), pid, node.client.clone(), http, log]);
    }
    say!("{table}\n");
}

fn show_how_to_use(leader: u64, cluster: &Cluster, children: &Children) {
    let strong = anstyle::Style::new().bold();
    say!("ready: node {leader} leads. In another terminal:\n");
    for line in ["synod kv put greeting hello", "synod kv get greeting", "synod status"] {
        say!("  {strong}{line}{strong:#}");
    }
    if let Some(pid) = children.pid(leader)
        && cluster.nodes.len() > 2
    {
        say!("  {strong}kill -9 {pid}{strong:#}    the leader dies, writes go on");
    }
    say!("\nCtrl-C stops the cluster; the same command starts it again with its data.");
}

fn report(ended: &Ended, json: bool, children: &Children) {
    if json {
        let restarted = children.pid(ended.node);
        tell(&json!({
            "event": "ended",
            "node": ended.node,
            "pid": ended.pid,
            "how": ended.how,
            "restarted": restarted,
        }));
        return;
    }
    let yellow = anstyle::AnsiColor::Yellow.on_default();
    let Ended { node, pid, how, .. } = ended;
    say!("{yellow}node {node} (pid {pid}) ended: {how}{yellow:#}");
    match children.pid(*node) {
        Some(pid) => say!("node {node} runs again, pid {pid}"),
        None => say!("{} of {} nodes run", children.len(), children.started()),
    }
}
