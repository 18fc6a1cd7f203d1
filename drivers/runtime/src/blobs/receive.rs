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
use synod_codec::Hash;
use synod_engine::{Blob, GroupId, Incarnation, Message as _, NodeId};
use tokio::net::TcpStream;
use tracing::{debug, error, info};

use super::stream::{CHUNK_BYTES, Stream};
use super::{Claim, Direction, SYNC_EVERY_BYTES, Transfer};
use crate::groups::Place;
use crate::hosted::HostedLog;
use crate::inbox::Arrived;
use crate::transport::{NO_GROUP, Net, kind};

/// Serves a connection for bulk bytes, on a thread of its own.
pub(crate) fn accept<E: HostedLog>(
    net: &Arc<Net<E>>,
    (from, life): (NodeId, Incarnation),
    stream: TcpStream,
    buffer: BytesMut,
) {
    // One at a time from anybody: two senders of the same blob would write the same file.
    let Some(transfer) = net.transfers.begin(Direction::In, net.me) else {
        debug!(%from, "not received: another blob is on its way");
        return;
    };
    let net = net.clone();
    let receive = move || match serve(&net, &transfer, (from, life), stream, buffer) {
        Ok(blob) => info!(%from, %blob, "received"),
        Err(error) => info!(%from, "a blob was not received: {error}"),
    };
    if let Err(error) = thread::Builder::new().name("synod-blob-in".into()).spawn(receive) {
        error!("no thread to receive a blob: {error}");
    }
}

fn serve<E: HostedLog>(
    net: &Net<E>,
    transfer: &Transfer,
    (from, life): (NodeId, Incarnation),
    stream: TcpStream,
    buffer: BytesMut,
) -> io::Result<Blob> {
    let socket = stream.into_std()?;
    socket.set_nonblocking(false)?;
    let patience = Duration::from_millis(net.limits.bulk_timeout_ms.max(1));
    socket.set_read_timeout(Some(patience))?;
    socket.set_write_timeout(Some(patience))?;
    transfer.uses(&socket)?;
    let mut stream = Stream::new(socket, buffer, GroupId(NO_GROUP));
    let received = receive(net, (from, life), &mut stream);
    match received {
        Ok((place, blob, claim, message)) => {
            net.inbox.put(|arrivals| {
                let claim = Some(claim);
                let arrived = Arrived { place, from, session: None, message, claim };
                arrivals.messages.push_back(arrived);
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

/// What was received, and for which group.
type Received<M> = (Place, Blob, Claim, M);

fn receive<E: HostedLog>(
    net: &Net<E>,
    (from, life): (NodeId, Incarnation),
    stream: &mut Stream,
) -> io::Result<Received<E::Message>> {
    let offer = stream.next(net.limits.max_message_bytes)?;
    if offer.kind != kind::OFFER {
        return Err(io::Error::other(format!("a frame of kind {} comes first", offer.kind)));
    }
    stream.group = GroupId(offer.group);
    let unknown = || io::Error::other(format!("{} is not hosted here", GroupId(offer.group)));
    let place = net.groups.place(GroupId(offer.group)).ok_or_else(unknown)?;
    let message: E::Message = synod_codec::decode(&offer.payload).map_err(io::Error::other)?;
    let first = net.acquaintances.first(from);
    if message.counts() && !net.admissions.counts(place, from, life, first) {
        return Err(io::Error::other("the members of the group name another life of you"));
    }
    let blob = message.attachment().ok_or_else(|| io::Error::other("nothing is attached"))?;
    if blob.size_bytes > net.limits.max_blob_bytes {
        let max = net.limits.max_blob_bytes;
        return Err(io::Error::other(format!("{blob} where at most {max} bytes are taken")));
    }
    if net.disk_low.load(Ordering::Relaxed) {
        return Err(io::Error::other("the disk is low"));
    }
    if let Some(claim) = net.store.whole(blob.id) {
        if fs::metadata(claim.path())?.len() != blob.size_bytes {
            return Err(io::Error::other("another blob has its name"));
        }
        resume(stream, blob.size_bytes)?;
        return Ok((place, blob, claim, message));
    }
    let busy = || io::Error::other("an earlier copy is not cleared away yet");
    let claim = net.store.part(blob.id).ok_or_else(busy)?;
    let mut part = Part::open(&claim, blob)?;
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
        part.write(&frame.payload)?;
    }
    part.finish(blob)?;
    Ok((place, blob, claim, message))
}

fn resume(stream: &mut Stream, offset: u64) -> io::Result<()> {
    stream.send(kind::RESUME, |out| synod_codec::encode(&offset, out))
}

/// A blob of which the first `size` bytes are there.
///
/// What could not be written is not resumed: a failed sync is told once, and the pages that it lost
/// look clean from then on.
struct Part<'a, F = File> {
    claim: &'a Claim,
    file: F,
    hash: Hash,
    size: u64,
    unsynced: usize,
}

/// A file that can be made durable.
trait Durable: Write {
    fn sync(&mut self) -> io::Result<()>;
}

impl Durable for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl<'a> Part<'a> {
    /// What an earlier connection left, if there is any.
    fn open(claim: &'a Claim, blob: Blob) -> io::Result<Self> {
        let path = claim.part_path();
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut part =
            Self { claim, file: file.try_clone()?, hash: Hash::default(), size: 0, unsynced: 0 };
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
}

impl<F: Durable> Part<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes);
        self.keep_or_discard(written)?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        self.unsynced += bytes.len();
        if self.unsynced >= SYNC_EVERY_BYTES {
            let synced = self.file.sync();
            self.keep_or_discard(synced)?;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// All bytes are there; makes a whole blob of it if they are the right ones.
    fn finish(mut self, blob: Blob) -> io::Result<()> {
        if (self.size, self.hash.finish()) != (blob.size_bytes, blob.checksum) {
            self.claim.discard()?;
            return Err(io::Error::other("its bytes are not what they should be"));
        }
        let synced = self.file.sync();
        self.keep_or_discard(synced)?;
        self.claim.finish()
    }

    fn keep_or_discard(&self, result: io::Result<()>) -> io::Result<()> {
        result.map_err(|error| self.claim.discard().err().unwrap_or(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::Store;

    /// A file on a disk that is broken from the `sound`-th sync on.
    struct Broken {
        file: File,
        sound: usize,
    }

    impl Write for Broken {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.file.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            self.file.flush()
        }
    }

    impl Durable for Broken {
        fn sync(&mut self) -> io::Result<()> {
            self.sound = self.sound.checked_sub(1).ok_or(io::ErrorKind::InvalidData)?;
            self.file.sync()
        }
    }

    #[test]
    fn a_part_whose_sync_failed_is_not_resumed() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), |_| false).unwrap();
        for sound in [0, 1] {
            let claim = store.part(1).unwrap();
            let file = File::create(claim.part_path()).unwrap();
            let file = Broken { file, sound };
            let mut part =
                Part { claim: &claim, file, hash: Hash::default(), size: 0, unsynced: 0 };
            let bytes = vec![7; SYNC_EVERY_BYTES];
            let mut hash = Hash::default();
            hash.update(&bytes);
            let blob = Blob { id: 1, size_bytes: bytes.len() as u64, checksum: hash.finish() };
            let failed = part.write(&bytes).and_then(|()| part.finish(blob));
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "sound {sound}");
        }
    }
}
