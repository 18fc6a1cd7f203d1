//! Streams a blob, with the message that it is attached to, to a peer: from where the peer has it.
//!
//! A transfer has a thread and a connection of its own. If it fails, it is over: the engine sends the
//! message again, and the peer keeps what it got.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use synod_engine::{Blob, Engine, GroupId, NodeId};
use tracing::{debug, error, info};

use super::stream::{CHUNK_BYTES, Stream};
use super::{Claim, Direction, Transfer};
use crate::acquaintances::Acquaintance;
use crate::hosted::HostedLog;
use crate::transport::handshake::{self, Purpose};
use crate::transport::version::PeerVersion;
use crate::transport::{Net, kind, tune};

/// Bulk bytes are sent as this version does: no later one says it otherwise.
const VERSION: PeerVersion = PeerVersion::OLDEST;

/// Sends `message` of `group` with its attachment `blob`, unless another blob is on its way to this
/// peer.
pub(crate) fn send<E: HostedLog>(
    net: &Arc<Net<E>>,
    group: GroupId,
    to: NodeId,
    message: &E::Message,
    blob: Blob,
) {
    if net.peers.get(to).is_none() {
        return;
    }
    let Some(claim) = net.store.whole(blob.id) else {
        debug!(%to, %blob, "not sent: it is no longer needed here");
        return;
    };
    let Some(transfer) = net.transfers.begin(Direction::Out, to) else {
        debug!(%to, %blob, "not sent: another blob is on its way");
        return;
    };
    let mut encoded = Vec::new();
    synod_codec::encode(message, &mut encoded);
    let net = net.clone();
    let send = move || match stream(&net, &transfer, (group, to), &encoded, blob, &claim) {
        Ok(()) => info!(%to, %blob, "sent"),
        Err(error) => info!(%to, %blob, "not sent: {error}"),
    };
    if let Err(error) = thread::Builder::new().name("synod-blob-out".into()).spawn(send) {
        error!("no thread to send {blob}: {error}");
    }
}

fn stream<E: Engine>(
    net: &Net<E>,
    transfer: &Transfer,
    to: (GroupId, NodeId),
    message: &[u8],
    blob: Blob,
    claim: &Claim,
) -> io::Result<()> {
    let mut file = File::open(claim.path())?;
    let mut stream = connect(net, transfer, to)?;
    stream.send(kind::OFFER, |out| out.extend_from_slice(message))?;
    let resume = expect(&mut stream, kind::RESUME)?;
    let offset: u64 = synod_codec::decode(&resume).map_err(io::Error::other)?;
    if offset > blob.size_bytes {
        return Err(io::Error::other("the peer has more than there is"));
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut left = blob.size_bytes - offset;
    let mut chunk = vec![0; CHUNK_BYTES];
    while left > 0 {
        if net.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("the node stops"));
        }
        let length = left.min(CHUNK_BYTES as u64) as usize;
        file.read_exact(&mut chunk[..length])?;
        stream.send(kind::CHUNK, |out| out.extend_from_slice(&chunk[..length]))?;
        net.metrics.bytes_out.inc_by(length as u64);
        left -= length as u64;
    }
    expect(&mut stream, kind::DONE).map(drop)
}

/// Waits for a frame of this kind; a peer that failed says why.
fn expect(stream: &mut Stream, kind: u8) -> io::Result<bytes::Bytes> {
    let frame = stream.next(1 << 10)?;
    match frame.kind {
        got if got == kind => Ok(frame.payload),
        kind::FAILED => Err(io::Error::other(String::from_utf8_lossy(&frame.payload).into_owned())),
        other => Err(io::Error::other(format!("the peer answered with a frame of kind {other}"))),
    }
}

fn connect<E: Engine>(
    net: &Net<E>,
    transfer: &Transfer,
    (group, to): (GroupId, NodeId),
) -> io::Result<Stream> {
    let failed = |failure: handshake::Failure| io::Error::other(failure.to_string());
    let nowhere = || io::Error::other("nobody knows where it is");
    let peer = net.peers.get(to).ok_or_else(nowhere)?;
    let address = peer.address.as_deref().ok_or_else(nowhere)?;
    let address = address.to_socket_addrs()?.next().ok_or_else(nowhere)?;
    let socket = TcpStream::connect_timeout(&address, net.handshake_timeout())?;
    transfer.uses(&socket)?;
    // The peer syncs what it got before it answers.
    let patience = Duration::from_millis(net.limits.bulk_timeout_ms.max(1));
    tune(&socket, patience)?;
    socket.set_read_timeout(Some(patience))?;
    socket.set_write_timeout(Some(patience))?;
    let mut stream = Stream::new(socket, BytesMut::new(), group);
    handshake::write_hello(net, to, Purpose::Blob, VERSION, &mut stream.out);
    io::Write::write_all(&mut stream.socket, &stream.out)?;
    let welcome = handshake::answer(stream.next(handshake::MAX_BYTES)?, VERSION).map_err(failed)?;
    match net.recognise(to, welcome.incarnation)? {
        Acquaintance::Known => {
            stream.out.clear();
            handshake::write(kind::READY, VERSION, &(), &mut stream.out);
            io::Write::write_all(&mut stream.socket, &stream.out)?;
            Ok(stream)
        }
        Acquaintance::Replaced { .. } => Err(io::Error::other("the peer's directory was replaced")),
    }
}
