//! Nodes as child processes, in a directory of their own, killed when the test ends.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use synod::engines::EngineName;
use synod_clerk::{Clerk, NodeReport, Options, Reads, status_of};
use synod_consensus::Role;
use tempfile::TempDir;

use synod::network::Network;

/// Longest wait for anything; far beyond what any of it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The id of every cluster, in the files.
const CLUSTER: &str = "cluster = \"00000000000000c1\"\n";

/// Nodes of one cluster.
pub(crate) struct Cluster {
    engine: EngineName,
    dir: TempDir,
    pub(crate) clients: Vec<String>,
    pub(crate) https: Vec<String>,
    /// The `[[node]]`s of the files.
    members: String,
    running: BTreeMap<usize, Child>,
    /// What is between the nodes, if it can be cut.
    network: Option<Arc<Network>>,
}

impl Cluster {
    /// Makes the files of `nodes` nodes, with `knobs` in each of their files, and starts none.
    pub(crate) fn make(nodes: usize, knobs: &str) -> Self {
        Self::make_on(EngineName::Raft, nodes, knobs)
    }

    /// The same, on this engine.
    pub(crate) fn make_on(engine: EngineName, nodes: usize, knobs: &str) -> Self {
        Self::make_in(None, engine, nodes, knobs)
    }

    fn make_in(
        network: Option<Arc<Network>>,
        engine: EngineName,
        nodes: usize,
        knobs: &str,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clients, https) = (Vec::new(), Vec::new());
        let (members, running) = (String::new(), BTreeMap::new());
        let mut cluster = Self { engine, dir, clients, https, members, running, network };
        let listen: Vec<_> = (0..nodes).map(|_| cluster.enlist()).collect();
        cluster.describe();
        for (id, listen) in (1..).zip(listen) {
            cluster.write_config(id, knobs, &listen);
        }
        cluster
    }

    /// Finds addresses for one node more; its `[listen]`.
    fn enlist(&mut self) -> String {
        let first = three_ports();
        let [client, listen, http] =
            [0, 1, 2].map(|next| SocketAddr::from(([127, 0, 0, 1], first + next)));
        let id = self.clients.len() + 1;
        let lead = |network: &Arc<Network>| network.lead_to(id, listen).unwrap();
        let peer: SocketAddr = self.network.as_ref().map_or(listen, lead);
        self.members += &format!(
            "[[node]]\nid = {id}\nclient = \"{client}\"\npeer = \"{peer}\"\nhttp = \"{http}\"\n"
        );
        self.clients.push(client.to_string());
        self.https.push(http.to_string());
        match self.network {
            Some(_) => format!("[listen]\npeer = \"{listen}\"\n"),
            None => String::new(),
        }
    }

    /// Writes down where the nodes are.
    fn describe(&self) {
        std::fs::write(self.path("cluster.toml"), format!("{CLUSTER}{}", self.members)).unwrap();
    }

    fn write_config(&self, id: usize, knobs: &str, listen: &str) {
        let engine = self.engine.name();
        let head = format!("id = {id}\ndir = \"node{id}\"\nengine = \"{engine}\"\n{CLUSTER}");
        let text = format!("{head}{knobs}\n{listen}{}", self.members);
        std::fs::write(self.config(id), text).unwrap();
    }

    /// Starts one node more, which waits to be taken in; its id.
    pub(crate) fn join(&mut self) -> usize {
        self.join_with("")
    }

    /// The same, with `knobs` in its file.
    pub(crate) fn join_with(&mut self, knobs: &str) -> usize {
        let listen = self.enlist();
        let id = self.clients.len();
        self.describe();
        self.write_config(id, &format!("join = true\n{knobs}"), &listen);
        self.run(id);
        id
    }

    /// Starts `nodes` nodes and waits until one leads and all are ready.
    pub(crate) async fn start(nodes: usize) -> Self {
        Self::start_with(nodes, "").await
    }

    /// The same, with `knobs` in each node's file.
    pub(crate) async fn start_with(nodes: usize, knobs: &str) -> Self {
        Self::start_on(EngineName::Raft, nodes, knobs).await
    }

    /// The same, on this engine.
    pub(crate) async fn start_on(engine: EngineName, nodes: usize, knobs: &str) -> Self {
        let mut cluster = Self::make_on(engine, nodes, knobs);
        cluster.run_all();
        cluster.ready().await;
        cluster
    }

    /// The same, with a network between them that can be cut.
    pub(crate) async fn start_in_network(engine: EngineName, nodes: usize, knobs: &str) -> Self {
        let network = Some(Arc::new(Network::start().unwrap()));
        let mut cluster = Self::make_in(network, engine, nodes, knobs);
        cluster.run_all();
        cluster.ready().await;
        cluster
    }

    /// What is between the nodes.
    pub(crate) fn network(&self) -> &Arc<Network> {
        self.network.as_ref().expect("it was started in one")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn config(&self, node: usize) -> PathBuf {
        self.path(&format!("node{node}.toml"))
    }

    pub(crate) fn run_all(&mut self) {
        (1..=self.clients.len()).for_each(|node| self.run(node));
    }

    /// Starts a node.
    pub(crate) fn run(&mut self, node: usize) {
        self.run_program(node, Path::new(env!("CARGO_BIN_EXE_synod")));
    }

    /// Starts a node with another program than the one under test.
    pub(crate) fn run_program(&mut self, node: usize, program: &Path) {
        let log = self.path(&format!("node{node}.log"));
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = synod_of(program, self.dir.path());
        command.args(["node", "--config"]).arg(self.config(node));
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        assert!(self.running.insert(node, child).is_none(), "node {node} runs already");
    }

    pub(crate) fn signal(&self, node: usize, signal: Signal) {
        let pid = Pid::from_raw(self.running[&node].id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, node: usize) {
        let mut child = self.running.remove(&node).expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn kill_all(&mut self) {
        let nodes: Vec<_> = self.running.keys().copied().collect();
        nodes.into_iter().for_each(|node| self.kill(node));
    }

    /// Waits for a node to end by itself; its exit code.
    pub(crate) async fn ended(&mut self, node: usize) -> Option<i32> {
        let mut child = self.running.remove(&node).expect("it runs");
        let status = until("the node ends", async || child.try_wait().unwrap()).await;
        status.code()
    }

    /// Waits until all nodes that run are ready and one leads; which.
    pub(crate) async fn ready(&mut self) -> usize {
        let mut nodes: Vec<usize> = self.running.keys().copied().collect();
        until("a node leads and all are ready", async || {
            let mut leader = None;
            for node in &mut nodes {
                let report = self.status(*node).await?;
                if !report.is_ready {
                    return None;
                }
                if report.log.role == Role::Leader {
                    leader = Some(*node);
                }
            }
            leader
        })
        .await
    }

    /// Waits until a node leads, ready or not.
    pub(crate) async fn led(&self) {
        until("a node leads", async || {
            for node in self.running.keys() {
                if self.status(*node).await?.log.role == Role::Leader {
                    return Some(());
                }
            }
            None
        })
        .await;
    }

    /// How a node says it is.
    pub(crate) async fn status(&self, node: usize) -> Option<NodeReport> {
        status_of(&self.clients[node - 1], &Options::default()).await.ok()
    }

    /// A clerk with such a time limit for each call.
    pub(crate) async fn clerk(&self, timeout: Duration) -> Clerk {
        let options = Options { timeout_ms: timeout.as_millis() as u64, ..Options::default() };
        Clerk::connect(self.clients.clone(), options).await.unwrap()
    }

    /// A clerk that was told of this node only, and reads through it, linearizably, for as long as it is
    /// willing.
    pub(crate) async fn reader(&self, node: usize, timeout: Duration) -> Clerk {
        let options = Options { timeout_ms: timeout.as_millis() as u64, ..Options::default() };
        let clerk = Clerk::connect([self.clients[node - 1].clone()], options).await.unwrap();
        clerk.with_reads(Reads::LinearizableAnywhere)
    }

    /// Runs a command about this cluster. Nothing else in the test goes on meanwhile.
    pub(crate) fn synod(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    /// Runs a command about this cluster while the test's other tasks go on.
    pub(crate) async fn synod_aside(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap()
    }

    /// A command about this cluster.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = synod(self.dir.path());
        command.env("SYNOD_CLUSTER", self.path("cluster.toml")).args(arguments);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in 1..=self.clients.len() {
                let log = std::fs::read_to_string(self.path(&format!("node{node}.log")));
                eprintln!("== node {node}\n{}", log.unwrap_or_default());
            }
        }
        self.kill_all();
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The first of three ports in a row that are free, each given out once. Below those that the system gives
/// to connections: a node that is down for a moment finds its own free again.
pub(crate) fn three_ports() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(89);
    let is_free = |port| {
        let address = ("127.0.0.1", port);
        TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
    };
    loop {
        let next = start.wrapping_add(NEXT.fetch_add(3, Ordering::Relaxed));
        let first = 10_000 + (next % 22_000) as u16;
        if (first..first + 3).all(is_free) {
            return first;
        }
    }
}

/// The binary, in a directory, knowing of no cluster.
pub(crate) fn synod(dir: &Path) -> Command {
    synod_of(Path::new(env!("CARGO_BIN_EXE_synod")), dir)
}

fn synod_of(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).env("XDG_RUNTIME_DIR", dir);
    command.env_remove("SYNOD_CLUSTER").env_remove("SYNOD_LOG").stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// Waits until `look` finds something; fails the test if it never does.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
