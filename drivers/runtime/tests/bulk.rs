//! Stories of a snapshot on its way: broken off and resumed, damaged, sent twice, of a fake leader.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

#[allow(dead_code, reason = "not every story needs every helper")]
mod story;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use story::{CLUSTER, LineNode, addresses, begin, config, until};
use synod_codec::frame::{self, Frame};
use synod_codec::hash;
use synod_consensus::{Epoch, Index, Membership, Snapshot};
use synod_engine::{Blob, Incarnation, NodeId};
use synod_raft::Message;
use synod_runtime::{Disk, FreeSpace};
use tempfile::TempDir;

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const READY: u8 = 4;
const OFFER: u8 = 32;
const RESUME: u8 = 33;
const CHUNK: u8 = 34;
const DONE: u8 = 35;
const FAILED: u8 = 36;

/// A leader in name only: it speaks the protocol of bulk bytes.
struct Fake {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Fake {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut fake = Self { stream, buffer: BytesMut::new() };
        fake.introduce(HELLO, &(CLUSTER, NodeId(1), NodeId(2), Incarnation(7), 1u8));
        assert_eq!(fake.next().kind, WELCOME);
        fake.introduce(READY, &());
        fake
    }

    fn introduce(&mut self, kind: u8, body: &impl serde::Serialize) {
        let mut bytes = b"synod/p2".to_vec();
        bytes.extend_from_slice(&2u16.to_le_bytes());
        synod_codec::encode(body, &mut bytes);
        self.send(kind, &bytes);
    }

    fn send(&mut self, kind: u8, payload: &[u8]) {
        let mut out = Vec::new();
        frame::write(kind, 0, &mut out, |out| out.extend_from_slice(payload));
        self.stream.write_all(&out).unwrap();
    }

    fn next(&mut self) -> Frame {
        let mut piece = [0; 1024];
        loop {
            if let Some(frame) = frame::read(&mut self.buffer, 1 << 20).unwrap() {
                return frame;
            }
            let read = self.stream.read(&mut piece).unwrap();
            assert!(read > 0, "closed");
            self.buffer.extend_from_slice(&piece[..read]);
        }
    }

    /// Offers; returns from where it is to be sent.
    fn offer(&mut self, message: &Message) -> u64 {
        let mut bytes = Vec::new();
        synod_codec::encode(message, &mut bytes);
        self.send(OFFER, &bytes);
        let resume = self.next();
        assert_eq!(resume.kind, RESUME, "{:?}", resume.payload);
        synod_codec::decode(&resume.payload).unwrap()
    }
}

/// The bytes of a snapshot with these lines.
fn file(lines: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"synodsnp".to_vec();
    bytes.extend_from_slice(&1u32.to_le_bytes());
    for line in lines {
        bytes.extend_from_slice(&(line.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&hash(line).to_le_bytes());
        bytes.extend_from_slice(line);
    }
    bytes.extend_from_slice(&0u32.to_le_bytes());
    bytes
}

fn install(bytes: &[u8]) -> Message {
    offer_of(0xb10b, 50, 5, bytes)
}

/// The offer, in a leader's term, of blob `id` with the state up to `index`.
fn offer_of(id: u64, index: u64, term: u64, bytes: &[u8]) -> Message {
    let blob = Blob { id, size_bytes: bytes.len() as u64, checksum: hash(bytes) };
    let snapshot = Snapshot { index: Index(index), epoch: Epoch(3), blob };
    let voters = synod_raft::Config::new(NodeId(1), [NodeId(1), NodeId(2), NodeId(3)]);
    let members = Arc::new(Membership::founded_by(&voters.part.initial_voters.unwrap()));
    Message::Install { term: Epoch(term), snapshot, members }
}

/// Node 2 of three, alone.
fn alone() -> (TempDir, LineNode, SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(3);
    let node = begin(&config(2, dir.path(), &addresses)).unwrap();
    (dir, node, addresses[1])
}

fn lines() -> Vec<Vec<u8>> {
    (0..50u8).map(|number| vec![number; 20_000]).collect()
}

#[tokio::test]
async fn a_snapshot_that_was_broken_off_is_resumed() {
    let (dir, node, address) = alone();
    let bytes = file(&lines());
    let message = install(&bytes);
    let (first, rest) = bytes.split_at(400_000);
    let mut fake = Fake::connect(address);
    assert_eq!(fake.offer(&message), 0);
    for chunk in first.chunks(100_000) {
        fake.send(CHUNK, chunk);
    }
    let part = dir.path().join("blobs/000000000000b10b.part");
    until("half is there", || {
        std::fs::metadata(&part).is_ok_and(|file| file.len() == first.len() as u64)
    })
    .await;
    drop(fake);
    assert_eq!(node.handle().status().log.applied, Index(0), "nothing is delivered early");
    let mut fake = loop {
        // The node has to notice that the first connection is gone.
        let mut fake = Fake::connect(address);
        let mut offer = Vec::new();
        synod_codec::encode(&message, &mut offer);
        fake.send(OFFER, &offer);
        let mut probe = [0; 1];
        if fake.stream.peek(&mut probe).is_ok_and(|read| read > 0) {
            let resume = fake.next();
            assert_eq!(resume.kind, RESUME);
            let offset: u64 = synod_codec::decode(&resume.payload).unwrap();
            assert_eq!(offset, first.len() as u64);
            break fake;
        }
    };
    for chunk in rest.chunks(100_000) {
        fake.send(CHUNK, chunk);
    }
    assert_eq!(fake.next().kind, DONE);
    let handle = node.handle();
    until("it is installed", || handle.status().log.applied == Index(50)).await;
    assert!(!part.exists());
    node.shutdown().await;
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_asked_for_anew() {
    let (dir, node, address) = alone();
    let bytes = file(&lines());
    let message = install(&bytes);
    let mut wrong = bytes.clone();
    wrong[bytes.len() / 2] ^= 1;
    let mut fake = Fake::connect(address);
    assert_eq!(fake.offer(&message), 0);
    for chunk in wrong.chunks(250_000) {
        fake.send(CHUNK, chunk);
    }
    assert_eq!(fake.next().kind, FAILED);
    assert_eq!(std::fs::read_dir(dir.path().join("blobs")).unwrap().count(), 0);
    assert_eq!(node.handle().status().log.applied, Index(0));
    drop(fake);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut fake = Fake::connect(address);
    assert_eq!(fake.offer(&message), 0);
    for chunk in bytes.chunks(250_000) {
        fake.send(CHUNK, chunk);
    }
    assert_eq!(fake.next().kind, DONE);
    let handle = node.handle();
    until("it is installed", || handle.status().log.applied == Index(50)).await;
    drop(fake);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut fake = Fake::connect(address);
    assert_eq!(fake.offer(&message), bytes.len() as u64, "what is there is not sent again");
    assert_eq!(fake.next().kind, DONE);
}

/// Streams the whole of it, or what the node lacks, until the node has it; it may have to clear an
/// earlier copy away first.
async fn stream(address: SocketAddr, message: &Message, bytes: &[u8]) {
    for _ in 0..1000 {
        let mut fake = Fake::connect(address);
        let mut offer = Vec::new();
        synod_codec::encode(message, &mut offer);
        fake.send(OFFER, &offer);
        let mut peek = [0; 1];
        if !fake.stream.peek(&mut peek).is_ok_and(|read| read > 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let resume = fake.next();
        if resume.kind == FAILED {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let offset: u64 = synod_codec::decode(&resume.payload).unwrap();
        for chunk in bytes[offset as usize..].chunks(250_000) {
            fake.send(CHUNK, chunk);
        }
        assert_eq!(fake.next().kind, DONE);
        return;
    }
    panic!("it is never taken");
}

#[tokio::test]
async fn a_snapshot_that_is_offered_again_while_it_is_cleared_away_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(3);
    let config = config(2, dir.path(), &addresses);
    let node = begin(&config).unwrap();
    let (address, bytes) = (addresses[1], file(&lines()));
    let handle = node.handle();
    let mut index = 0;
    for round in 0..20u64 {
        index += 10;
        let (first, second) = (index, index + 1);
        // A leader that lost its place offers one, and another checkpoint replaces it...
        stream(address, &offer_of(round, second, 4, &bytes), &bytes).await;
        stream(address, &offer_of(1000 + round, first, 5, &bytes), &bytes).await;
        // ...just when it is offered again by a leader that has it.
        stream(address, &offer_of(round, second, 5, &bytes), &bytes).await;
        let applied = || handle.status().log.applied;
        until("it is installed", || applied() == Index(second)).await;
    }
    node.shutdown().await;
    begin(&config).unwrap().shutdown().await;
}

#[tokio::test]
async fn a_snapshot_outlives_the_stop_of_its_node() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(3);
    let mut config = config(2, dir.path(), &addresses);
    // Somebody looks for what is to be removed all the time, and while the node stops.
    config.limits.disk_watch_ms = 1;
    let node = begin(&config).unwrap();
    let bytes = file(&lines());
    stream(addresses[1], &install(&bytes), &bytes).await;
    let handle = node.handle();
    until("it is installed", || handle.status().log.applied == Index(50)).await;
    node.shutdown().await;
    for _ in 0..100 {
        let node = begin(&config).unwrap();
        assert_eq!(node.handle().status().log.applied, Index(50));
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_snapshot_whose_message_is_dropped_goes_while_the_node_runs() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(3);
    let mut config = config(2, dir.path(), &addresses);
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let reported = free.clone();
    config.free_space = FreeSpace::of(move |_| Ok(reported.load(Ordering::Relaxed)));
    let node = begin(&config).unwrap();
    let handle = node.handle();
    let bytes = file(&lines());
    let mut fake = Fake::connect(addresses[1]);
    assert_eq!(fake.offer(&install(&bytes)), 0);
    free.store(0, Ordering::Relaxed);
    until("the disk is low", || handle.status().disk == Disk::Low).await;
    for chunk in bytes.chunks(250_000) {
        fake.send(CHUNK, chunk);
    }
    assert_eq!(fake.next().kind, DONE);
    let blobs = || std::fs::read_dir(dir.path().join("blobs")).unwrap().count();
    until("it is swept away", || blobs() == 0).await;
    assert_eq!(handle.status().log.applied, Index(0));
    // So is what a connection that breaks leaves.
    free.store(u64::MAX, Ordering::Relaxed);
    until("the disk has room", || handle.status().disk == Disk::Ample).await;
    drop(fake);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut fake = Fake::connect(addresses[1]);
    assert_eq!(fake.offer(&install(&bytes)), 0);
    fake.send(CHUNK, &bytes[..1000]);
    until("a piece is there", || blobs() == 1).await;
    drop(fake);
    free.store(0, Ordering::Relaxed);
    until("it is swept away", || blobs() == 0).await;
}

#[tokio::test]
async fn a_stop_breaks_a_transfer_off_and_nothing_is_written_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(3);
    let config = config(2, dir.path(), &addresses);
    let node = begin(&config).unwrap();
    let bytes = file(&lines());
    let mut fake = Fake::connect(addresses[1]);
    assert_eq!(fake.offer(&install(&bytes)), 0);
    fake.send(CHUNK, &bytes[..1000]);
    let part = dir.path().join("blobs/000000000000b10b.part");
    until("a piece is there", || part.exists()).await;
    // The fake says no more: its thread waits for `link_timeout_ms`, ten seconds.
    let begun = std::time::Instant::now();
    node.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    let length = || std::fs::metadata(&part).unwrap().len();
    let before = length();
    let mut out = Vec::new();
    frame::write(CHUNK, 0, &mut out, |out| out.extend_from_slice(&bytes[1000..]));
    drop(fake.stream.write_all(&out));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(length(), before);
    begin(&config).unwrap().shutdown().await;
}

#[tokio::test]
async fn an_oversized_snapshot_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(3);
    let mut config = config(2, dir.path(), &addresses);
    config.limits.max_blob_bytes = 1000;
    let _node = begin(&config).unwrap();
    let bytes = file(&lines());
    let mut fake = Fake::connect(addresses[1]);
    let mut offer = Vec::new();
    synod_codec::encode(&install(&bytes), &mut offer);
    fake.send(OFFER, &offer);
    let failed = fake.next();
    assert_eq!(failed.kind, FAILED);
    assert!(String::from_utf8_lossy(&failed.payload).contains("at most 1000 bytes"));
    assert_eq!(std::fs::read_dir(dir.path().join("blobs")).unwrap().count(), 0);
}
