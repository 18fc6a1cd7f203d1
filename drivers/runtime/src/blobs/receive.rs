//! Receives a blob from a peer and delivers its message once every byte is durable.
//!
//! What arrived before a connection broke is kept, and asked for no more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use serde::de::DeserializeOwned;
use synod_codec::Hash;
use synod_engine::{Blob, Engine, Message as _, NodeId};
use tokio::net::TcpStream;
use tracing::{debug, error, info};

use super::Direction;
use super::stream::{CHUNK_BYTES, Stream};
use crate::inbox::Arrived;
use crate::transport::{Net, kind};

/// The disk gets its part in pieces, so that no other sync waits long behind this one.
const SYNC_EVERY_BYTES: usize = 4 << 20;

/// Serves a connection for bulk bytes, on a thread of its own.
pub(crate) fn accept<E>(net: &Arc<Net<E>>, from: NodeId, stream: TcpStream, buffer: BytesMut)
where
    E: Engine + 'static,
    E::Message: DeserializeOwned + Send,
    E::Output: Send,
{
    // One at a time from anybody: two senders of the same blob would write the same file.
    if !net.transfers.begin(Direction::In, net.me) {
        debug!(%from, "not received: another blob is on its way");
        return;
    }
    let thread_net = net.clone();
    let transfer = move || {
        let net = thread_net;
        match serve(&net, from, stream, buffer) {
            Ok(blob) => info!(%from, %blob, "received"),
            Err(error) => info!(%from, "a blob was not received: {error}"),
        }
        net.transfers.end(Direction::In, net.me);
    };
    if let Err(error) = thread::Builder::new().name("synod-blob-in".into()).spawn(transfer) {
        error!("no thread to receive a blob: {error}");
        net.transfers.end(Direction::In, net.me);
    }
}

fn serve<E>(net: &Net<E>, from: NodeId, stream: TcpStream, buffer: BytesMut) -> io::Result<Blob>
where
    E: Engine,
    E::Message: DeserializeOwned,
{
    let socket = stream.into_std()?;
    socket.set_nonblocking(false)?;
    let patience = Duration::from_millis(net.limits.link_timeout_ms.max(1));
    socket.set_read_timeout(Some(patience))?;
    socket.set_write_timeout(Some(patience))?;
    let mut stream = Stream::new(socket, buffer);
    let received = receive(net, &mut stream);
    match received {
        Ok((blob, message)) => {
            net.inbox.put(|arrivals| {
                arrivals.messages.push_back(Arrived { from, session: None, message });
            });
            stream.send(kind::DONE, |_| {})?;
            Ok(blob)
        }
        Err(error) => {
            let told = stream.send(kind::FAILED, |out| {
                out.extend(error.to_string().bytes().take(256));
            });
            // Whoever cannot be told finds out by itself.
            drop(told);
            Err(error)
        }
    }
}

fn receive<E>(net: &Net<E>, stream: &mut Stream) -> io::Result<(Blob, E::Message)>
where
    E: Engine,
    E::Message: DeserializeOwned,
{
    let offer = stream.next(net.limits.max_message_bytes)?;
    if offer.kind != kind::OFFER {
        return Err(io::Error::other(format!("a frame of kind {} comes first", offer.kind)));
    }
    let message: E::Message = synod_codec::decode(&offer.payload).map_err(io::Error::other)?;
    let blob = message.attachment().ok_or_else(|| io::Error::other("nothing is attached"))?;
    if blob.size_bytes > net.limits.max_blob_bytes {
        let max = net.limits.max_blob_bytes;
        return Err(io::Error::other(format!("{blob} where at most {max} bytes are taken")));
    }
    if net.disk_low.load(Ordering::Relaxed) {
        return Err(io::Error::other("the disk is low"));
    }
    let whole = net.store.whole(blob.id);
    if fs::metadata(&whole).is_ok_and(|file| file.len() == blob.size_bytes) {
        resume(stream, blob.size_bytes)?;
        return Ok((blob, message));
    }
    let mut part = Part::open(net, blob)?;
    resume(stream, part.size)?;
    while part.size < blob.size_bytes {
        if net.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("the node stops"));
        }
        let frame = stream.next(CHUNK_BYTES)?;
        if frame.kind != kind::CHUNK || frame.payload.is_empty() {
            return Err(io::Error::other(format!("a frame of kind {}", frame.kind)));
        }
        net.metrics.bytes_in.inc_by(frame.payload.len() as u64);
        part.write(&frame.payload).map_err(|error| forget(net, blob, error))?;
    }
    if (part.size, part.hash.finish()) != (blob.size_bytes, blob.checksum) {
        net.store.remove(blob.id)?;
        return Err(io::Error::other("its bytes are not what they should be"));
    }
    part.file.sync_all().map_err(|error| forget(net, blob, error))?;
    net.store.finish(blob.id)?;
    Ok((blob, message))
}

/// What could not be written is not resumed: a failed sync is told once, and the pages that it lost
/// look clean from then on.
fn forget<E: Engine>(net: &Net<E>, blob: Blob, error: io::Error) -> io::Error {
    net.store.remove(blob.id).err().unwrap_or(error)
}

fn resume(stream: &mut Stream, offset: u64) -> io::Result<()> {
    stream.send(kind::RESUME, |out| synod_codec::encode(&offset, out))
}

/// A blob of which the first `size` bytes are there.
struct Part {
    file: File,
    hash: Hash,
    size: u64,
    unsynced: usize,
}

impl Part {
    /// What an earlier connection left, if there is any.
    fn open<E: Engine>(net: &Net<E>, blob: Blob) -> io::Result<Self> {
        let path = net.store.part(blob.id);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut part =
            Self { file: file.try_clone()?, hash: Hash::default(), size: 0, unsynced: 0 };
        let mut piece = vec![0; CHUNK_BYTES];
        loop {
            match file.read(&mut piece)? {
                0 => break,
                read => {
                    part.hash.update(&piece[..read]);
                    part.size += read as u64;
                }
            }
        }
        if part.size > blob.size_bytes {
            part.file.set_len(0)?;
            io::Seek::rewind(&mut part.file)?;
            part = Self { hash: Hash::default(), size: 0, ..part };
        }
        Ok(part)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        self.unsynced += bytes.len();
        if self.unsynced >= SYNC_EVERY_BYTES {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(())
    }
}
