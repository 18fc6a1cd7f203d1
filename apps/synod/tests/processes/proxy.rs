//! The network between the nodes, which a test can cut: in one direction or both, in three ways.
//!
//! Each node is reached by the others through a listener of this network, which passes on what it is
//! sent to where the node really listens. Who dialled is read in its hello. So each direction between
//! each two nodes has a fate of its own, whichever of them dialled. It runs on a thread of its own: tests
//! may block theirs.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

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
}

impl Network {
    pub(crate) fn new() -> Self {
        let fates = watch::channel(BTreeMap::new()).0;
        let shared = Arc::new(Shared { fates });
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
                let (stream, _) = listener.accept().await.unwrap();
                let shared = shared.clone();
                tokio::spawn(async move { shared.relay(stream, (node, to)).await.ok() });
            }
        });
        address
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
                    self.decided(way, |fate| fate != Fate::Hangs).await;
                    from.read_buf(&mut chunk).await?;
                }
                let count = chunk.len();
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
