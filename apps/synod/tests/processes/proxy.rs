//! The network between the nodes, which a test can cut: in one direction or both, in three ways.
//!
//! Each node is reached by the others through a listener of this network, which passes on what it is
//! sent to where the node really listens. Who dialled is learned from the system: the process at the
//! other end of the connection. So each direction between each two nodes has a fate of its own,
//! whichever of them dialled. It runs on a thread of its own: tests may block theirs.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

/// What becomes of bytes on their way from one node to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// They arrive.
    Passes,
    /// They wait, and arrive when the network is whole again: a cut that TCP survives.
    Hangs,
    /// They are lost without a trace. The connection is of no use afterwards, and ends.
    Vanishes,
    /// The connection is reset, and every new one at once.
    Breaks,
}

/// From which node to which.
type Way = (usize, usize);

/// The network between the nodes.
pub(crate) struct Network {
    shared: Arc<Shared>,
    handle: Handle,
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

struct Shared {
    /// Ways that are not here are whole.
    fates: watch::Sender<BTreeMap<Way, Fate>>,
    /// Which node runs in which process.
    nodes: Mutex<BTreeMap<u32, usize>>,
}

impl Network {
    pub(crate) fn new() -> Self {
        let fates = watch::channel(BTreeMap::new()).0;
        let shared = Arc::new(Shared { fates, nodes: Mutex::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || drop(runtime.block_on(stopped)));
        Self { shared, handle, thread: Some((stop, thread)) }
    }

    /// Passes on whatever is sent to `node`, which listens at `to`; where the others reach it.
    pub(crate) fn lead_to(&self, node: usize, to: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = self.shared.clone();
        self.handle.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, dialler) = listener.accept().await.unwrap();
                // One that has hung up already, or a test's own.
                let Some(from) = shared.who(dialler, address) else { continue };
                let shared = shared.clone();
                tokio::spawn(async move { shared.relay((from, node), stream, to).await.ok() });
            }
        });
        address
    }

    /// The process of a node.
    pub(crate) fn runs_as(&self, node: usize, pid: u32) {
        self.shared.nodes.lock().unwrap().insert(pid, node);
    }

    /// Decides what becomes of bytes on each of these ways from now on.
    pub(crate) fn cut(&self, ways: impl IntoIterator<Item = Way>, fate: Fate) {
        self.shared.fates.send_modify(|fates| {
            fates.extend(ways.into_iter().map(|way| (way, fate)));
        });
    }

    /// Cuts `node` off from `others`, both ways.
    pub(crate) fn isolate(&self, node: usize, others: &[usize], fate: Fate) {
        let others = others.iter().filter(|other| **other != node);
        self.cut(others.flat_map(|other| [(node, *other), (*other, node)]), fate);
    }

    /// Of these nodes only those linked here can talk to each other.
    pub(crate) fn shape(&self, nodes: &[usize], links: &[(usize, usize)], fate: Fate) {
        let is_linked = |a, b| links.contains(&(a, b)) || links.contains(&(b, a));
        let ways = nodes.iter().flat_map(|a| nodes.iter().map(|b| (*a, *b)));
        self.cut(ways.filter(|(a, b)| a != b && !is_linked(*a, *b)), fate);
    }

    /// Makes it whole again.
    pub(crate) fn heal(&self) {
        self.shared.fates.send_modify(BTreeMap::clear);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            thread.join().ok();
        }
    }
}

impl Shared {
    /// The node whose process has the connection from `local` to `remote`.
    fn who(&self, local: SocketAddr, remote: SocketAddr) -> Option<usize> {
        let connections = std::fs::read_to_string("/proc/net/tcp").ok()?;
        let inode = connections.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            (address(fields[1]) == Some(local) && address(fields[2]) == Some(remote))
                .then(|| format!("socket:[{}]", fields[9]))
        })?;
        let nodes = self.nodes.lock().unwrap().clone();
        let has = |pid: &u32| {
            let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
            let mut links = files.flatten().flat_map(|file| std::fs::read_link(file.path()));
            links.any(|link| link.as_os_str() == inode.as_str())
        };
        nodes.into_iter().find(|(pid, _)| has(pid)).map(|(_, node)| node)
    }

    async fn relay(&self, (from, to): Way, stream: TcpStream, at: SocketAddr) -> io::Result<()> {
        // The greeting of a connection goes both ways.
        self.passes((from, to)).await?;
        self.passes((to, from)).await?;
        let onward = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        onward.set_nodelay(true)?;
        let ((here, back), (there, forth)) = (stream.into_split(), onward.into_split());
        tokio::try_join!(self.pump((from, to), here, forth), self.pump((to, from), there, back))?;
        Ok(())
    }

    /// Waits until bytes pass on this way.
    async fn passes(&self, way: Way) -> io::Result<()> {
        match self.decided(way, |fate| matches!(fate, Fate::Passes | Fate::Breaks)).await {
            Fate::Breaks => Err(io::ErrorKind::ConnectionReset.into()),
            Fate::Passes | Fate::Hangs | Fate::Vanishes => Ok(()),
        }
    }

    /// Waits for a fate of this kind.
    async fn decided(&self, way: Way, is_awaited: impl Fn(Fate) -> bool) -> Fate {
        let fate = |fates: &BTreeMap<Way, Fate>| fates.get(&way).copied().unwrap_or(Fate::Passes);
        let mut fates = self.fates.subscribe();
        let fates = fates.wait_for(|fates| is_awaited(fate(fates))).await;
        fate(&fates.expect("the network lives as long as this task"))
    }

    /// Passes on one direction of a connection until it ends, or is of no use any more.
    async fn pump(
        &self,
        way: Way,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
    ) -> io::Result<()> {
        let moving = async {
            let mut buffer = vec![0; 64 << 10];
            let mut is_torn = false;
            loop {
                self.decided(way, |fate| fate != Fate::Hangs).await;
                let count = from.read(&mut buffer).await?;
                match self.decided(way, |fate| fate != Fate::Hangs).await {
                    Fate::Vanishes => {
                        is_torn = true;
                        self.decided(way, |fate| count > 0 || fate != Fate::Vanishes).await;
                    }
                    _ if is_torn => return Err(io::ErrorKind::ConnectionReset.into()),
                    _ if count == 0 => return to.shutdown().await,
                    Fate::Passes | Fate::Hangs | Fate::Breaks => {
                        to.write_all(&buffer[..count]).await?;
                    }
                }
            }
        };
        tokio::select! {
            ended = moving => ended,
            _ = self.decided(way, |fate| fate == Fate::Breaks) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

/// An address as the system spells it: the bytes of a number in the machine's order.
fn address(hexadecimal: &str) -> Option<SocketAddr> {
    let (ip, port) = hexadecimal.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?;
    let ip = Ipv4Addr::from(ip.to_ne_bytes());
    Some(SocketAddrV4::new(ip, u16::from_str_radix(port, 16).ok()?).into())
}
