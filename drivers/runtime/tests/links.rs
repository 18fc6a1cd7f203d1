//! Stories of the link between two nodes: a peer that falls silent, one that only says that it is
//! there, and what is still asked when a node stops.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

#[allow(dead_code, reason = "not every story needs every helper")]
mod story;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use story::{CLUSTER, LineNode, addresses, begin, config, until};
use synod_codec::frame;
use synod_engine::{Incarnation, NodeId};
use tempfile::TempDir;

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const READY: u8 = 4;
const BEAT: u8 = 17;

const PATIENCE: Duration = Duration::from_millis(400);

/// Node 2 of two, alone, with little patience; so it hears of nobody, and asks for votes.
fn alone() -> (TempDir, LineNode, SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(2);
    let mut config = config(2, dir.path(), &addresses);
    config.limits.link_timeout_ms = PATIENCE.as_millis() as u64;
    (dir, begin(&config).unwrap(), addresses[1])
}

fn introduce(kind: u8, body: &impl serde::Serialize, out: &mut Vec<u8>) {
    frame::write(kind, 0, out, |out| {
        out.extend_from_slice(b"synod/p2");
        out.extend_from_slice(&2u16.to_le_bytes());
        synod_codec::encode(body, out);
    });
}

/// A link by node 1, which is in name only.
fn link(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut out = Vec::new();
    introduce(HELLO, &(CLUSTER, NodeId(1), NodeId(2), Incarnation(7), 0u8), &mut out);
    introduce(READY, &(), &mut out);
    stream.write_all(&out).unwrap();
    stream
}

fn is_connected(node: &LineNode) -> bool {
    node.handle().status().peers.iter().any(|peer| peer.node == NodeId(1) && peer.version.is_some())
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_taken_for_gone() {
    let (_dir, node, address) = alone();
    let begin = Instant::now();
    let mut silent = link(address);
    silent.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    until("it is connected", || is_connected(&node)).await;
    let mut said = Vec::new();
    // The end, or a reset.
    drop(silent.read_to_end(&mut said));
    let took = begin.elapsed();
    assert!(took >= PATIENCE && took < 3 * PATIENCE, "{took:?}");
    until("all know", || !is_connected(&node)).await;
    let mut said = BytesMut::from(&said[..]);
    let first = frame::read(&mut said, 1 << 20).unwrap().unwrap();
    assert_eq!(first.kind, WELCOME);
}

#[tokio::test]
async fn a_peer_that_says_that_it_is_there_is_not() {
    let (_dir, node, address) = alone();
    let mut there = link(address);
    there.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    until("it is connected", || is_connected(&node)).await;
    let mut beat = Vec::new();
    frame::write(BEAT, 0, &mut beat, |_| {});
    let mut heard = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < 4 * PATIENCE {
        there.write_all(&beat).unwrap();
        match there.read_to_end(&mut heard) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("it hung up: {other:?}"),
        }
        tokio::time::sleep(PATIENCE / 8).await;
    }
    assert!(is_connected(&node));
}
