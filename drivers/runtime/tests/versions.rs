//! Stories of two versions in one cluster.
//!
//! The bytes here were written by the program that released a version. They never change: a test that
//! fails tells of a version that is no longer spoken as it was.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

#[allow(dead_code, reason = "not every story needs every helper")]
mod story;
#[allow(dead_code, reason = "not every story needs every helper")]
mod stranger;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use story::{CLUSTER, LineNode, addresses, begin, config, lines, until, write};
use stranger::{MESSAGE, MESSAGES, WELCOME, admit, hello, hello_of, lonely, ready, say};
use synod_codec::frame::{self, Frame};
use synod_engine::Incarnation;
use synod_runtime::{NodeConfig, PeerVersion, StartError};

/// Node 1 of cluster 5eed, in life 7, calls node 2 and speaks version 2.
const HELLO_2: &str = "1f000000f45d18633b6a9d7c01010000000073796e6f642f70320200edbd0101020700";
/// Node 2, in life 9, takes the call.
const WELCOME_2: &str = "190000006d90cf43f66516fd01020000000073796e6f642f7032020009";
/// It is content with the welcome.
const READY_2: &str = "180000006e82321b4138774701040000000073796e6f642f70320200";
/// Version 2 is the newest that the other side speaks.
const REFUSED_2: &str = "1a000000633a35df652afbf101030000000073796e6f642f703202000202";

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of the next frame of a peer.
fn next_bytes(stream: &mut TcpStream) -> Vec<u8> {
    let mut frame = vec![0; 4];
    stream.read_exact(&mut frame).expect("the peer hung up");
    let length = u32::from_le_bytes(frame[..4].try_into().unwrap());
    assert!(length < 1 << 20);
    frame.resize(4 + length as usize, 0);
    stream.read_exact(&mut frame[4..]).expect("the peer hung up");
    frame
}

/// The next frame of a peer.
fn next(stream: &mut TcpStream) -> Frame {
    frame::read(&mut BytesMut::from(&next_bytes(stream)[..]), 1 << 20).unwrap().unwrap()
}

/// What a node answers in `version` that takes the call, and lives for the `life`th time.
fn welcome(version: u16, life: Incarnation) -> Vec<u8> {
    let mut welcome = Vec::new();
    frame::write(WELCOME, 0, &mut welcome, |out| {
        out.extend_from_slice(b"synod/p2");
        out.extend_from_slice(&version.to_le_bytes());
        synod_codec::encode(&life, out);
    });
    welcome
}

/// Calls the node with these bytes; its answer, and the first frame that follows.
async fn call(said: Vec<u8>) -> (Incarnation, Vec<u8>, Frame) {
    let (_dir, node, address) = lonely();
    admit(&node).await;
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(&said).unwrap();
    let heard = tokio::task::spawn_blocking(move || (next_bytes(&mut stream), next(&mut stream)));
    let (welcome, first) = heard.await.unwrap();
    (node.identity().incarnation, welcome, first)
}

#[test]
fn the_bytes_of_version_2_are_those_that_the_stories_speak() {
    assert_eq!(hex(&hello(2, CLUSTER, 1, 2)), HELLO_2);
    assert_eq!(hex(&ready(2)), READY_2);
    assert_eq!(hex(&welcome(2, Incarnation(9))), WELCOME_2);
}

#[tokio::test]
async fn who_calls_in_the_bytes_of_version_2_is_answered_in_them() {
    let (life, answer, first) = call([bytes(HELLO_2), bytes(READY_2)].concat()).await;
    assert_eq!(hex(&answer), hex(&welcome(2, life)));
    assert_eq!(first.kind, MESSAGE);
}

#[tokio::test]
async fn who_calls_in_version_3_is_answered_in_that() {
    let (life, answer, first) = call([hello(3, CLUSTER, 1, 2), ready(3)].concat()).await;
    assert_eq!(hex(&answer), hex(&welcome(3, life)));
    assert_eq!(first.kind, MESSAGES);
}

#[tokio::test]
async fn a_version_that_nobody_speaks_is_refused_and_the_newest_is_named() {
    let (_dir, node, address) = lonely();
    for unknown in [0, 1, PeerVersion::NEWEST.0 + 1, u16::MAX] {
        let frames = say(address, &hello(unknown, CLUSTER, 1, 2)).unwrap();
        let named = &frames[0].payload[8..10];
        assert_eq!(named, PeerVersion::NEWEST.0.to_le_bytes(), "to version {unknown}");
    }
    write(&[&node], "unharmed").await;
}

/// Node 2 listens here as a program of version 2 does; node 1 must come to speak that with it.
#[tokio::test]
async fn whoever_refuses_a_newer_version_is_called_again_in_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let old = listener.local_addr().unwrap();
    let config = config(1, dir.path(), &[addresses(1)[0], old]);
    let node = begin(&config).unwrap();
    let life = node.identity().incarnation;
    let met = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let offered = next(&mut stream);
        assert_eq!(offered.payload[8..10], PeerVersion::NEWEST.0.to_le_bytes());
        stream.write_all(&bytes(REFUSED_2)).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        assert_eq!(hex(&next_bytes(&mut stream)), hex(&hello_of(life, 2, CLUSTER, 1, 2)));
        stream.write_all(&bytes(WELCOME_2)).unwrap();
        assert_eq!(hex(&next_bytes(&mut stream)), READY_2);
        next(&mut stream).kind
    });
    assert_eq!(met.await.unwrap(), MESSAGE, "it asks for votes, in version 2");
}

#[test]
fn a_node_that_is_told_to_speak_an_unknown_version_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    for unknown in [PeerVersion(PeerVersion::OLDEST.0 - 1), PeerVersion(PeerVersion::NEWEST.0 + 1)]
    {
        let config = NodeConfig { peer_version: unknown, ..config(1, dir.path(), &addresses(1)) };
        let refused = begin(&config).map(drop).unwrap_err();
        assert!(matches!(refused, StartError::Version(version) if version == unknown));
    }
}

#[tokio::test]
async fn a_cluster_is_upgraded_node_by_node_and_back_and_loses_nothing() {
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let addresses = addresses(3);
    let start = |node: usize, version: u16| {
        let config = config(node as u64 + 1, dirs[node].path(), &addresses);
        begin(&NodeConfig { peer_version: PeerVersion(version), ..config }).unwrap()
    };
    let mut versions = [2, 2, 2];
    let mut nodes: Vec<LineNode> = (0..3).map(|node| start(node, 2)).collect();
    let mut count = 0;
    for (node, version) in [(0, 3), (1, 3), (2, 3), (1, 2), (1, 3)] {
        write_some(&nodes, &mut count).await;
        nodes.remove(node).shutdown().await;
        write_some(&nodes, &mut count).await;
        nodes.insert(node, start(node, version));
        versions[node] = version;
        until("each pair speaks the newest that both know", || {
            (0..3).all(|me| {
                let with = |peer: usize| Some(PeerVersion(versions[me].min(versions[peer])));
                let status = nodes[me].handle().status();
                let spoken = status.peers.iter().map(|peer| peer.version);
                spoken.eq((0..3).filter(|peer| *peer != me).map(with))
            })
        })
        .await;
    }
    write_some(&nodes, &mut count).await;
    let wrote: Vec<String> = (0..count).map(|line| line.to_string()).collect();
    assert_eq!(lines(&nodes.iter().collect::<Vec<_>>()).await, wrote);
}

/// Writes some more lines, each the number of lines before it.
async fn write_some(nodes: &[LineNode], count: &mut usize) {
    let nodes: Vec<_> = nodes.iter().collect();
    for _ in 0..10 {
        *count += 1;
        assert_eq!(write(&nodes, &(*count - 1).to_string()).await, *count);
    }
}
