//! A network between nodes of one machine that can be cut, in one direction or both, in three ways, and
//! slowed down.
//!
//! Each node is reached by the others through a listener of this network, which passes on what it is
//! sent to where the node really listens. Who dialled is read in its hello. So each direction between
//! each two nodes has a fate and a pace of its own, whichever of them dialled. It runs on a thread of its
//! own: whoever uses it may block theirs. Who uses it: `torture`, and the tests of processes.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::BytesMut;
use synod_codec::frame;
use synod_engine::{ClusterId, Incarnation, NodeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

/// What becomes of bytes on their way from one node to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// They arrive.
    Passes,
    /// They wait, and arrive when the network is whole again: a cut that TCP survives.
    Hangs,
    /// They are lost without a trace. The connection is of no use afterwards, and ends.
    Vanishes,
    /// The connection is reset, and every new one at once.
    Breaks,
}

/// How bytes travel on a way that is slow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// How long each piece waits before it goes on.
    pub delay: Duration,
    /// How many bytes go on in a second.
    pub bytes_per_second: u64,
}

impl Pace {
    /// How long a piece of so many bytes takes.
    fn time(self, bytes: usize) -> Duration {
        self.delay + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second.max(1) as f64)
    }
}

/// From which node to which.
pub type Way = (usize, usize);

/// The most bytes that are passed on at once.
const PIECE_BYTES: usize = 64 << 10;

/// The network between the nodes. Ends with this value, and all connections with it.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
    handle: Handle,
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

#[derive(Debug)]
struct Shared {
    /// Ways that are not here are whole.
    fates: watch::Sender<BTreeMap<Way, Fate>>,
    /// Ways that are not here are as fast as the machine.
    paces: watch::Sender<BTreeMap<Way, Pace>>,
}

impl Network {
    /// A network that is whole, and reaches nobody yet.
    ///
    /// # Errors
    /// If the system gives it no thread or no events.
    pub fn start() -> io::Result<Self> {
        let (fates, paces) = (watch::channel(BTreeMap::new()).0, watch::channel(BTreeMap::new()).0);
        let shared = Arc::new(Shared { fates, paces });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let run = move || drop(runtime.block_on(stopped));
        let thread = std::thread::Builder::new().name("network".into()).spawn(run)?;
        Ok(Self { shared, handle, thread: Some((stop, thread)) })
    }

    /// Passes on whatever is sent to `node`, which listens at `to`; where the others reach it.
    ///
    /// # Errors
    /// If no port is free.
    pub fn lead_to(&self, node: usize, to: SocketAddr) -> io::Result<SocketAddr> {
        self.lead(node, SocketAddr::from(([127, 0, 0, 1], 0)), to)
    }

    /// Passes on whatever is sent to `at` to `node`, which listens at `to`; where the others reach it.
    ///
    /// # Errors
    /// If `at` cannot be listened on.
    pub fn lead(&self, node: usize, at: SocketAddr, to: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(at)?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let _here = self.handle.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let shared = self.shared.clone();
        self.handle.spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let shared = shared.clone();
                        // Whoever is cut off dials again.
                        tokio::spawn(async move { shared.relay(stream, (node, to)).await.ok() });
                    }
                    // Too many open files, for one: it passes.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        Ok(address)
    }

    /// Decides what becomes of bytes on each of these ways from now on.
    pub fn cut(&self, ways: impl IntoIterator<Item = Way>, fate: Fate) {
        self.shared.fates.send_modify(|fates| {
            fates.extend(ways.into_iter().map(|way| (way, fate)));
        });
    }

    /// Cuts `node` off from `others`, both ways.
    pub fn isolate(&self, node: usize, others: &[usize], fate: Fate) {
        let others = others.iter().filter(|other| **other != node);
        self.cut(others.flat_map(|other| [(node, *other), (*other, node)]), fate);
    }

    /// Of these nodes only those linked here can talk to each other.
    pub fn shape(&self, nodes: &[usize], links: &[Way], fate: Fate) {
        let is_linked = |a, b| links.contains(&(a, b)) || links.contains(&(b, a));
        let ways = nodes.iter().flat_map(|a| nodes.iter().map(|b| (*a, *b)));
        self.cut(ways.filter(|(a, b)| a != b && !is_linked(*a, *b)), fate);
    }

    /// Slows these ways down.
    pub fn slow(&self, ways: impl IntoIterator<Item = Way>, pace: Pace) {
        self.shared.paces.send_modify(|paces| {
            paces.extend(ways.into_iter().map(|way| (way, pace)));
        });
    }

    /// Makes it whole again. What is slow stays slow.
    pub fn heal(&self) {
        self.shared.fates.send_modify(BTreeMap::clear);
    }

    /// Makes all of it fast again.
    pub fn hurry(&self) {
        self.shared.paces.send_modify(BTreeMap::clear);
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
    /// Passes on a connection to the node `to`, which listens at `at`.
    async fn relay(&self, mut stream: TcpStream, (to, at): (usize, SocketAddr)) -> io::Result<()> {
        let (from, hello) = introduction(&mut stream).await?;
        // The greeting of a connection goes both ways.
        self.passes((from, to)).await?;
        self.passes((to, from)).await?;
        let onward = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        onward.set_nodelay(true)?;
        let ((here, back), (there, forth)) = (stream.into_split(), onward.into_split());
        let nothing = BytesMut::new();
        tokio::try_join!(
            self.pump((from, to), hello, here, forth),
            self.pump((to, from), nothing, there, back)
        )?;
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

    /// Passes on one direction of a connection, of which `chunk` was read, until it ends, or is of no use
    /// any more.
    async fn pump(
        &self,
        way: Way,
        mut chunk: BytesMut,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
    ) -> io::Result<()> {
        let moving = async {
            let mut is_torn = false;
            loop {
                if chunk.is_empty() {
                    chunk.reserve(PIECE_BYTES);
                    self.decided(way, |fate| fate != Fate::Hangs).await;
                    from.read_buf(&mut chunk).await?;
                }
                let count = chunk.len();
                let pace = self.paces.borrow().get(&way).copied();
                if let Some(pace) = pace {
                    tokio::time::sleep(pace.time(count)).await;
                }
                match self.decided(way, |fate| fate != Fate::Hangs).await {
                    Fate::Vanishes => {
                        is_torn = true;
                        self.decided(way, |fate| count > 0 || fate != Fate::Vanishes).await;
                    }
                    _ if is_torn => return Err(io::ErrorKind::ConnectionReset.into()),
                    _ if count == 0 => return to.shutdown().await,
                    Fate::Passes | Fate::Hangs | Fate::Breaks => {
                        to.write_all(&chunk).await?;
                    }
                }
                chunk.clear();
            }
        };
        tokio::select! {
            ended = moving => ended,
            _ = self.decided(way, |fate| fate == Fate::Breaks) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

/// Cluster, who, whom, incarnation, what for.
type Greeting = (ClusterId, NodeId, NodeId, Incarnation, u8);

/// What the dialler says first, and who it says it is.
async fn introduction(stream: &mut TcpStream) -> io::Result<(usize, BytesMut)> {
    let mut said = BytesMut::new();
    loop {
        if let Some(hello) = frame::read(&mut said.clone(), 1 << 10).map_err(io::Error::other)? {
            // After the magic and the version: the greeting, and the engine if that says its name.
            let (_, NodeId(who), ..) = synod_codec::decode::<Greeting>(&hello.payload[10..])
                .or_else(|_| {
                    synod_codec::decode::<(_, String)>(&hello.payload[10..]).map(|said| said.0)
                })
                .map_err(io::Error::other)?;
            return Ok((who as usize, said));
        }
        if stream.read_buf(&mut said).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
