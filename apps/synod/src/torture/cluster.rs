//! The nodes: their files, their processes, and what is done to these.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use synod_clerk::Options;
use synod_engine::ClusterId;
use tokio::process::Command;
use tokio::sync::watch;

use super::disk::Disk;
use super::ports;
use crate::commands::up::layout::{self, CLUSTER_FILE, Hold};
use crate::config::{self, Listen, Member, Node, resolve};
use crate::engines::EngineName;
use crate::exit::{Exit, Failure, Result};
use crate::network::Network;

/// A cluster of processes that belong to this one, and the network between them.
#[derive(Debug)]
pub(super) struct Cluster {
    dir: PathBuf,
    program: PathBuf,
    described: config::Cluster,
    network: Network,
    processes: Mutex<BTreeMap<u64, Process>>,
    /// Where each node keeps its data.
    data: BTreeMap<u64, PathBuf>,
    /// Disks of their own, if they have some. Taken down after the processes.
    disks: BTreeMap<u64, Disk>,
    _hold: Hold,
}

/// A node that was started.
#[derive(Clone, Debug)]
struct Process {
    pid: u32,
    ended: watch::Receiver<Option<ExitStatus>>,
    /// Whether it may end: somebody told it to, or broke what it needs.
    may_end: bool,
}

impl Cluster {
    /// Makes the files of a new cluster in `dir`, with one node to spare; on disks of their own if that is
    /// wanted and can be done.
    pub(super) fn make(
        dir: &Path,
        engine: EngineName,
        founders: u64,
        wants_disks: bool,
    ) -> Result<(Self, Option<String>)> {
        let cannot = cannot_use(dir);
        if dir.exists() && std::fs::read_dir(dir).map_err(&cannot)?.next().is_some() {
            let what = format!(
                "{} is not empty; nothing was changed; go on there with --resume, or choose another \
                 directory with --dir",
                dir.display()
            );
            return Err(Failure::new(Exit::Data, what));
        }
        let count = founders + 1;
        let ports = ports::free(4 * count as usize)?;
        let address = |port: u16| format!("127.0.0.1:{port}");
        let mut nodes = Vec::new();
        let mut listens = Vec::new();
        for (id, ports) in (1..=count).zip(ports.chunks(4)) {
            let [client, peer, http, listen] =
                [ports[0], ports[1], ports[2], ports[3]].map(address);
            nodes.push(Member { id, client, peer, http: Some(http) });
            listens.push(Listen { peer: Some(listen), ..Listen::default() });
        }
        std::fs::create_dir_all(dir).map_err(&cannot)?;
        let dir = &dir.canonicalize().map_err(&cannot)?;
        let cluster = u64::from(std::process::id()) << 32 | u64::from(ports[0]);
        let no_disks = wants_disks.then(|| make_disks(dir, count).err()).flatten();
        let has_disks = wants_disks && no_disks.is_none();
        for (member, listen) in nodes.iter().zip(listens) {
            let join = member.id > founders;
            let known = nodes.iter().filter(|other| join || other.id <= founders);
            let node = Node {
                id: member.id,
                dir: match has_disks {
                    true => mount(dir, member.id).join("data"),
                    false => dir.join(format!("node{}", member.id)),
                },
                cluster,
                join,
                listen,
                engine,
                log: Default::default(),
                limits: Default::default(),
                nodes: known.cloned().collect(),
            };
            let file = layout::node_file(dir, member.id);
            std::fs::write(file, node.to_toml()).map_err(&cannot)?;
        }
        let described = config::Cluster { cluster, engine, nodes };
        std::fs::write(dir.join(CLUSTER_FILE), described.to_toml()).map_err(&cannot)?;
        Ok((Self::open(dir)?, no_disks))
    }

    /// The cluster that was made in `dir`, with no node started.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let dir = dir.canonicalize().map_err(cannot_use(dir))?;
        let described = config::Cluster::read(&dir.join(CLUSTER_FILE))?;
        let hold = layout::hold(&dir)?;
        let program = std::env::current_exe().map_err(cannot_use(&dir))?;
        let network = Network::start().map_err(cannot_use(&dir))?;
        let (mut data, mut disks) = (BTreeMap::new(), BTreeMap::new());
        for member in &described.nodes {
            if image(&dir, member.id).exists() {
                let disk = Disk::open(&image(&dir, member.id), &mount(&dir, member.id));
                let disk = disk.map_err(|why| Failure::new(Exit::Data, why))?;
                disks.insert(member.id, disk);
            }
            let file = Node::read(&layout::node_file(&dir, member.id))?;
            let (at, to) = (resolve(&member.peer)?, resolve(file.listen().1)?);
            lead(&network, member.id, at, to)?;
            data.insert(member.id, file.dir);
        }
        let processes = Mutex::default();
        Ok(Self { dir, program, described, network, processes, data, disks, _hold: hold })
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    /// All ids, that of the spare included.
    pub(super) fn nodes(&self) -> impl Iterator<Item = u64> {
        self.described.nodes.iter().map(|member| member.id)
    }

    /// Where a node serves clients.
    pub(super) fn client(&self, node: u64) -> &str {
        let member = self.described.nodes.iter().find(|member| member.id == node);
        &member.expect("only nodes of this cluster are asked for").client
    }

    /// How its servers are called.
    pub(super) fn options(&self) -> Options {
        Options { cluster: Some(ClusterId(self.described.cluster)), ..Options::default() }
    }

    /// Where a node keeps its data.
    pub(super) fn data(&self, node: u64) -> &Path {
        &self.data[&node]
    }

    /// The disk of a node, if it has one of its own.
    pub(super) fn disk(&self, node: u64) -> Option<&Disk> {
        self.disks.get(&node)
    }

    /// Whether all nodes have disks of their own.
    pub(super) fn has_disks(&self) -> bool {
        !self.disks.is_empty()
    }

    /// A node's configuration.
    pub(super) fn file(&self, node: u64) -> PathBuf {
        layout::node_file(&self.dir, node)
    }

    /// Starts a node. What it says goes on at the end of its file.
    pub(super) fn start(&self, node: u64) -> Result<()> {
        let log = layout::log_file(&self.dir, node);
        let cannot = |error: std::io::Error| {
            Failure::new(Exit::Fatal, format!("node {node} cannot be started: {error}"))
        };
        let log = OpenOptions::new().append(true).create(true).open(log).map_err(cannot)?;
        let mut command = self.program();
        command.args(["node", "--config"]).arg(layout::node_file(&self.dir, node));
        command.args(["--parent", &std::process::id().to_string()]);
        let mut child = command.stdout(Stdio::null()).stderr(log).spawn().map_err(cannot)?;
        let pid = child.id().expect("it has not been waited for");
        let (tell, ended) = watch::channel(None);
        tokio::spawn(async move {
            // Nobody else waits for it, so waiting cannot fail.
            let status = child.wait().await.unwrap_or_default();
            tell.send_replace(Some(status));
        });
        let before = self.lock().insert(node, Process { pid, ended, may_end: false });
        assert!(before.is_none(), "node {node} was started twice");
        Ok(())
    }

    /// The nodes that were started and not ended.
    pub(super) fn running(&self) -> Vec<u64> {
        self.lock().keys().copied().collect()
    }

    /// Sends a signal to a node that runs.
    pub(super) fn signal(&self, node: u64, signal: Signal) {
        if let Some(process) = self.lock().get(&node)
            && process.ended.borrow().is_none()
            && let Some(pid) = Pid::from_raw(process.pid as i32)
        {
            // It may be ending by itself just now.
            kill_process(pid, signal).ok();
        }
    }

    /// From now on it is no surprise if this node ends.
    pub(super) fn let_end(&self, node: u64) {
        if let Some(process) = self.lock().get_mut(&node) {
            process.may_end = true;
        }
    }

    /// Waits until a node, which may end, has; how.
    pub(super) async fn ended(&self, node: u64) -> Option<ExitStatus> {
        let mut process = self.lock().get(&node)?.clone();
        let status = *process.ended.wait_for(Option::is_some).await.ok()?;
        self.lock().remove(&node);
        status
    }

    /// Ends a node with this signal.
    pub(super) async fn end(&self, node: u64, signal: Signal) -> Option<ExitStatus> {
        self.let_end(node);
        self.signal(node, signal);
        self.ended(node).await
    }

    /// A node that ended though it had no reason to, and what it said last.
    pub(super) fn casualty(&self) -> Option<String> {
        let processes = self.lock();
        let (node, process) = processes
            .iter()
            .find(|(_, process)| !process.may_end && process.ended.borrow().is_some())?;
        Some(self.obituary(*node, (*process.ended.borrow())?))
    }

    /// How a node ended, in words, and what it said last.
    pub(super) fn obituary(&self, node: u64, status: ExitStatus) -> String {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => status.to_string(),
        };
        let said = layout::last_line(&layout::log_file(&self.dir, node)).unwrap_or_default();
        format!("node {node} ended with {how}: {said}")
    }

    /// Runs a command about this cluster, as people do.
    pub(super) async fn synod(&self, arguments: &[&str]) -> std::io::Result<Output> {
        let mut command = self.program();
        command.env("SYNOD_CLUSTER", self.dir.join(CLUSTER_FILE)).args(arguments);
        command.kill_on_drop(true).output().await
    }

    /// Asks all nodes to stop, and waits until they have.
    pub(super) async fn stop(&self) {
        for node in self.running() {
            self.let_end(node);
            self.signal(node, Signal::CONT);
            self.signal(node, Signal::TERM);
        }
        for node in self.running() {
            self.ended(node).await;
        }
    }

    /// This program, in the cluster's directory, knowing of no other cluster.
    fn program(&self) -> Command {
        let mut command = Command::new(&self.program);
        // Ctrl-C is for this process; it passes on what it means.
        command.current_dir(&self.dir).stdin(Stdio::null()).process_group(0);
        command
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.running() {
            self.signal(node, Signal::KILL);
        }
    }
}

/// Makes a disk for each node, or none at all and says why.
fn make_disks(dir: &Path, count: u64) -> std::result::Result<(), String> {
    // Whoever opens the cluster mounts them anew.
    let made =
        (1..=count).try_for_each(|node| Disk::make(&image(dir, node), &mount(dir, node)).map(drop));
    if made.is_err() {
        for node in 1..=count {
            // Some of them were never made.
            std::fs::remove_file(image(dir, node)).ok();
            std::fs::remove_dir(mount(dir, node)).ok();
        }
    }
    made
}

fn image(dir: &Path, node: u64) -> PathBuf {
    dir.join(format!("disk{node}.img"))
}

fn mount(dir: &Path, node: u64) -> PathBuf {
    dir.join(format!("disk{node}"))
}

fn lead(network: &Network, node: u64, at: SocketAddr, to: SocketAddr) -> Result<()> {
    let led = network.lead(node as usize, at, to);
    led.map(drop).map_err(|error| {
        let what = format!("the way to node {node} cannot begin at {at}: {error}");
        Failure::new(Exit::Address, what)
    })
}

fn cannot_use(dir: &Path) -> impl Fn(std::io::Error) -> Failure {
    let dir = dir.display().to_string();
    move |error| {
        Failure::new(Exit::Data, format!("{dir} cannot be used: {error}; nothing was changed"))
    }
}
