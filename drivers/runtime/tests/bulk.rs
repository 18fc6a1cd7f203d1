//! Stories of a snapshot on its way: broken off and resumed, damaged, sent twice, of a fake leader.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

#[allow(dead_code, reason = "not every story needs every helper")]
mod story;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use story::{CLUSTER, LineNode, addresses, begin, config, until};
use synod_codec::frame::{self, Frame};
use synod_codec::hash;
use synod_consensus::{Epoch, Index, Snapshot};
use synod_engine::{Blob, Incarnation, NodeId};
use synod_raft::Message;
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
        bytes.extend_from_slice(&1u16.to_le_bytes());
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
    let blob = Blob { id: 0xb10b, size_bytes: bytes.len() as u64, checksum: hash(bytes) };
    let snapshot = Snapshot { index: Index(50), epoch: Epoch(3), blob };
    let voters = synod_raft::Config::new(NodeId(1), [NodeId(1), NodeId(2), NodeId(3)]);
    let voters = voters.initial_voters.unwrap();
    Message::Install { term: Epoch(5), snapshot, voters }
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
