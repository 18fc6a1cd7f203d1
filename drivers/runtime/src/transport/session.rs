//! One session of a link: frames both ways, until either side ends it.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::BytesMut;
use synod_codec::frame;
use synod_engine::{Class, Engine, Incarnation, Message as _, NodeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tracing::{debug, info};

use super::outbox::{Load, Outbox};
use super::pulse::Pulse;
use super::version::PeerVersion;
use super::{Net, kind, lane};
use crate::hosted::HostedLog;
use crate::inbox::{Arrived, Control};

/// Bytes read at a time.
const READ_BYTES: usize = 128 << 10;

/// Bytes of ordinary messages written before control messages get their turn again.
const SLICE_BYTES: usize = 128 << 10;

/// Who is at the other end of a session, and how the two speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Speaker {
    pub(crate) peer: NodeId,
    /// The life of its directory.
    pub(crate) life: Incarnation,
    pub(crate) version: PeerVersion,
}

/// Serves a connection whose handshake is done, until it ends. `caller` dialled; `buffer` holds what was
/// already read.
///
/// There is one session at a time. Where both nodes dialled, the connection of the one with the lower id
/// stays, as both see it.
pub(crate) async fn serve<E: HostedLog>(
    net: &Arc<Net<E>>,
    speaker: Speaker,
    caller: NodeId,
    stream: TcpStream,
    buffer: BytesMut,
) {
    let Speaker { peer, life, version } = speaker;
    let Some(outbox) = net.peers.caller(peer).map(|peer| peer.outbox.clone()) else { return };
    if caller > net.me.min(peer) && outbox.is_open() {
        debug!(%peer, "connected already");
        return;
    }
    let session = net.session();
    let replaced = outbox.open(session, version);
    net.inbox.put(|arrivals| {
        if let Some(replaced) = replaced {
            arrivals.control.push_back(Control::Closed { peer, session: replaced });
        }
        arrivals.control.push_back(Control::Opened { peer, session, life });
    });
    net.metrics.sessions.inc();
    info!(%peer, %version, "connected");
    let (reader, writer) = stream.into_split();
    let pulse = Pulse::default();
    let mut reader = Reader { net, speaker, session, pulse: &pulse, stream: reader, buffer };
    // Whatever ends first ends the others: a writer may be stuck, a reader may have nothing to read.
    let ended = tokio::select! {
        ended = reader.run() => ended,
        ended = write(net, &outbox, (session, &pulse), writer) => ended,
        ended = pulse.beat(&outbox, session, net.link_timeout()) => ended,
        () = outbox.ended(session) => Ok(()),
    };
    if outbox.close(session) {
        net.inbox.put(|arrivals| {
            arrivals.control.push_back(Control::Closed { peer, session });
        });
    }
    match ended {
        Ok(()) => info!(%peer, "disconnected"),
        Err(error) => info!(%peer, "disconnected: {error}"),
    }
}

struct Reader<'a, E: Engine> {
    net: &'a Net<E>,
    speaker: Speaker,
    session: u64,
    pulse: &'a Pulse,
    stream: OwnedReadHalf,
    buffer: BytesMut,
}

impl<E: HostedLog> Reader<'_, E> {
    async fn run(&mut self) -> io::Result<()> {
        let mut control = Vec::new();
        let mut messages = Vec::new();
        loop {
            let bytes = self.parse(&mut control, &mut messages)?;
            if bytes > 0 {
                self.net.inbox.put(|arrivals| {
                    arrivals.bytes += bytes;
                    arrivals.control.extend(control.drain(..).map(Control::Message));
                    arrivals.messages.extend(messages.drain(..));
                });
                self.pulse.deaf(true);
                self.net.inbox.room().await;
                self.pulse.deaf(false);
            }
            self.buffer.reserve(READ_BYTES);
            let read = self.stream.read_buf(&mut self.buffer).await?;
            if read == 0 {
                return Ok(());
            }
            self.pulse.heard();
            self.net.metrics.bytes_in.inc_by(read as u64);
            if read >= READ_BYTES {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes all whole messages out of the buffer; returns their bytes.
    fn parse(
        &mut self,
        control: &mut Vec<Arrived<E>>,
        messages: &mut Vec<Arrived<E>>,
    ) -> io::Result<usize> {
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let Speaker { peer: from, version, .. } = self.speaker;
        let max_bytes = lane::max_payload_bytes(self.net.limits.max_message_bytes);
        let mut bytes = 0;
        while let Some(frame) =
            frame::read(&mut self.buffer, max_bytes).map_err(|error| wrong(error.to_string()))?
        {
            if frame.kind == kind::BEAT {
                continue;
            }
            for message in lane::split(version, frame) {
                let (group, encoded) = message.map_err(wrong)?;
                let Some(place) = self.net.groups.place(group) else {
                    // A peer may host more groups than this node: they must not suffer for it.
                    self.net.metrics.dropped.inc();
                    continue;
                };
                let message: E::Message = synod_codec::decode(&encoded)
                    .map_err(|error| wrong(format!("a message of {group}: {error}")))?;
                if message.attachment().is_some() {
                    return Err(wrong("a message whose attachment did not come along".into()));
                }
                bytes += encoded.len() + frame::OVERHEAD_BYTES;
                let queue =
                    if is_control(message.class()) { &mut *control } else { &mut *messages };
                let session = Some(self.session);
                queue.push(Arrived { place, from, session, message, claim: None });
            }
        }
        Ok(bytes)
    }
}

/// Whether messages of this class go before others.
pub(crate) fn is_control(class: Class) -> bool {
    match class {
        Class::Ordered { lane } => lane == 0,
        Class::Datagram => true,
    }
}

/// Writes what waits in the outbox until the session ends.
async fn write<E: Engine>(
    net: &Net<E>,
    outbox: &Outbox,
    (session, pulse): (u64, &Pulse),
    mut stream: OwnedWriteHalf,
) -> io::Result<()> {
    let mut load = Load::default();
    let (mut at, mut written) = (0, 0);
    while outbox.take(session, &mut load, &mut written).await {
        let end = slice_end(&load.bulk, at);
        written = load.control.len() + end - at;
        write_both(&mut stream, &load.control, &load.bulk[at..end]).await?;
        pulse.said();
        net.metrics.bytes_out.inc_by(written as u64);
        at = end;
        if at == load.bulk.len() {
            load.bulk.clear();
            at = 0;
        }
    }
    debug!("the session was ended at this side");
    Ok(())
}

/// Where the slice that begins at `at` ends: between two frames.
fn slice_end(frames: &[u8], at: usize) -> usize {
    if frames.len() - at <= SLICE_BYTES {
        return frames.len();
    }
    let mut end = at;
    while end - at < SLICE_BYTES {
        let Some(length) = frames[end..].first_chunk() else { return frames.len() };
        end = (end + size_of::<u32>() + u32::from_le_bytes(*length) as usize).min(frames.len());
    }
    end
}

async fn write_both(stream: &mut OwnedWriteHalf, first: &[u8], second: &[u8]) -> io::Result<()> {
    let mut at = 0;
    while !first.is_empty() && !second.is_empty() && at < first.len() {
        let slices = [IoSlice::new(&first[at..]), IoSlice::new(second)];
        match stream.write_vectored(&slices).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => at += written,
        }
    }
    if at < first.len() {
        return stream.write_all(&first[at..]).await;
    }
    stream.write_all(&second[at - first.len()..]).await
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use synod_consensus::Membership;
    use synod_engine::{ClusterId, GroupId};
    use synod_raft::Raft;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;
    use crate::acquaintances::Acquaintances;
    use crate::admissions::{Admissions, Lives};
    use crate::blobs::Store;
    use crate::groups::Groups;
    use crate::inbox::{Arrivals, Inbox};
    use crate::metrics::Metrics;
    use crate::transport::peers::Peers;
    use crate::{Limits, Lock};

    const PEER: NodeId = NodeId(2);
    const SPEAKER: Speaker =
        Speaker { peer: PEER, life: Incarnation(7), version: PeerVersion::NEWEST };

    /// Node 1, which knows a node 2, with its directory.
    fn net() -> (Arc<Net<Raft>>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path()).unwrap();
        let identity = lock.identity(ClusterId(1), NodeId(1), None, false).unwrap();
        let limits = Limits { link_timeout_ms: 60_000, ..Limits::default() };
        let groups = Groups::new(vec![GroupId(0)]).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let net = Net {
            me: NodeId(1),
            admissions: Admissions::new(vec![Lives::default()]),
            acquaintances: Acquaintances::new(dir.path().to_owned(), identity.clone()),
            identity,
            store: Store::open(dir.path(), |_| false).unwrap().0,
            peers: Peers::new(NodeId(1), &[(PEER, address)].into(), limits.max_outbox_bytes),
            inbox: Arc::new(Inbox::new(Arc::default(), limits.max_inbox_bytes)),
            metrics: Arc::new(Metrics::new(
                &mut prometheus_client::registry::Registry::default(),
                &groups,
            )),
            groups,
            limits,
            newest_version: PeerVersion::NEWEST,
            transfers: Arc::default(),
            sessions: std::sync::atomic::AtomicU64::new(1),
            disk_low: false.into(),
            stopped: Arc::default(),
        };
        net.peers.update([Membership::default()].iter());
        (Arc::new(net), dir)
    }

    /// Both ends of a connection.
    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (here, there) = tokio::join!(TcpStream::connect(address), listener.accept());
        (here.unwrap(), there.unwrap().0)
    }

    #[tokio::test]
    async fn a_session_that_is_ended_while_its_writer_is_stuck_lets_go_of_its_connection() {
        let (net, _dir) = net();
        let outbox = net.peers.get(PEER).unwrap().outbox.clone();
        let (here, mut there) = connection().await;
        let serving = tokio::spawn({
            let net = net.clone();
            async move { serve(&net, SPEAKER, PEER, here, BytesMut::new()).await }
        });
        while !outbox.is_open() {
            tokio::task::yield_now().await;
        }
        // The peer reads nothing: soon the writer is stuck, and then the outbox is full.
        let chunk = |out: &mut Vec<u8>| out.resize(out.len() + (1 << 20), 7);
        while outbox.push(1, false, GroupId(0), 2 << 20, chunk)
            == crate::transport::outbox::Sent::Queued
        {
            outbox.wake();
            tokio::task::yield_now().await;
        }
        assert!(!serving.is_finished());
        assert!(outbox.close(1));
        let patience = Duration::from_secs(5);
        timeout(patience, serving).await.expect("it is torn down").unwrap();
        let mut rest = Vec::new();
        let ended = timeout(patience, there.read_to_end(&mut rest)).await;
        ended.expect("the peer learns of it").ok();
        let mut arrived = Arrivals::default();
        net.inbox.take(&mut arrived);
        let opened =
            |control: &Control<Raft>| matches!(control, Control::Opened { peer: PEER, .. });
        assert!(arrived.control.len() == 1 && arrived.control.iter().all(opened));
    }

    #[tokio::test]
    async fn beats_are_not_messages() {
        let (net, _dir) = net();
        let (here, mut there) = connection().await;
        let mut beats = Vec::new();
        (0..3).for_each(|_| frame::write(kind::BEAT, 0, &mut beats, |_| {}));
        there.write_all(&beats).await.unwrap();
        drop(there);
        serve(&net, SPEAKER, PEER, here, BytesMut::new()).await;
        let mut arrived = Arrivals::default();
        net.inbox.take(&mut arrived);
        assert_eq!((arrived.control.len(), arrived.messages.len()), (2, 0), "opened and closed");
    }

    #[test]
    fn slices_end_between_frames() {
        let mut frames = Vec::new();
        let mut ends = vec![0];
        for _ in 0..10 {
            frame::write(kind::MESSAGE, 0, &mut frames, |out| out.extend([7; SLICE_BYTES / 3]));
            ends.push(frames.len());
        }
        let mut at = 0;
        while at < frames.len() {
            let end = slice_end(&frames, at);
            assert!(ends.contains(&end) && end > at && end - at < 2 * SLICE_BYTES);
            at = end;
        }
        assert_eq!(slice_end(&frames, at), at);
    }
}
