//! Stories of strangers at the door: garbage, oversized frames, wrong cluster, wrong node, silence.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

#[allow(dead_code, reason = "not every story needs every helper")]
mod story;
#[allow(dead_code, reason = "not every story needs every helper")]
mod stranger;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use story::{CLUSTER, addresses, begin, config, until, write};
use stranger::{HELLO, MESSAGE, REFUSED, WELCOME, admit, hello, lonely, lonely_in, ready, say};
use synod_codec::frame::{self, Frame};
use synod_engine::{ClusterId, Incarnation, NodeId};

/// The variant of the refusal, as it is numbered on the wire.
fn refusal(frames: Option<Vec<Frame>>) -> u8 {
    let frames = frames.unwrap();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].kind, REFUSED);
    frames[0].payload[10]
}

#[tokio::test]
async fn whoever_does_not_belong_is_told_why() {
    let (_dir, node, address) = lonely();
    write(&[&node], "it leads").await;
    assert_eq!(refusal(say(address, &hello(2, ClusterId(9), 1, 2))), 0, "wrong cluster");
    assert_eq!(refusal(say(address, &hello(2, CLUSTER, 1, 3))), 1, "wrong node");
    assert_eq!(refusal(say(address, &hello(9, CLUSTER, 1, 2))), 2, "unknown version");
    assert_eq!(refusal(say(address, &hello(2, CLUSTER, 5, 2))), 3, "stranger");
    assert_eq!(refusal(say(address, &hello(2, CLUSTER, 1, 2))), 3, "listed, but no member");
    let mut another = Vec::new();
    frame::write(HELLO, 0, &mut another, |out| {
        out.extend_from_slice(b"synod/p2");
        out.extend_from_slice(&2u16.to_le_bytes());
        let hello = (CLUSTER, NodeId(1), NodeId(2), Incarnation(7), 0u8);
        synod_codec::encode(&(hello, "viewstamped"), out);
    });
    assert_eq!(refusal(say(address, &another)), 6, "another engine");
    write(&[&node], "unharmed").await;
}

#[tokio::test]
async fn garbage_is_not_answered_and_does_no_harm() {
    let (_dir, node, address) = lonely();
    let mut oversized = u32::MAX.to_le_bytes().to_vec();
    oversized.extend_from_slice(&[0; 64]);
    let mut not_a_hello = Vec::new();
    frame::write(MESSAGE, 0, &mut not_a_hello, |out| out.extend_from_slice(b"boo"));
    let mut flipped = hello(2, CLUSTER, 1, 2);
    *flipped.last_mut().unwrap() ^= 1;
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), oversized, not_a_hello, flipped] {
        assert_eq!(say(address, &bytes), Some(Vec::new()), "{bytes:?}");
    }
    write(&[&node], "unharmed").await;
}

#[tokio::test]
async fn silence_is_not_waited_for() {
    let (_dir, node, address) = lonely();
    let begin = Instant::now();
    assert_eq!(say(address, b""), Some(Vec::new()));
    assert!(begin.elapsed() < Duration::from_secs(3));
    write(&[&node], "unharmed").await;
}

#[tokio::test]
async fn garbage_after_the_handshake_ends_the_session() {
    let (_dir, node, address) = lonely();
    admit(&node).await;
    let mut oversized = u32::MAX.to_le_bytes().to_vec();
    oversized.extend_from_slice(&[0; 64]);
    let mut malformed = Vec::new();
    frame::write(MESSAGE, 0, &mut malformed, |out| out.extend_from_slice(&[0xff; 40]));
    for garbage in [oversized, malformed] {
        let bytes = [hello(2, CLUSTER, 1, 2), ready(2), garbage].concat();
        let frames = say(address, &bytes).unwrap();
        assert_eq!(frames[0].kind, WELCOME);
    }
    write(&[&node], "unharmed").await;
}

#[tokio::test]
async fn a_message_for_a_group_that_is_not_hosted_here_is_dropped_and_harms_no_other() {
    let (_dir, node, address) = lonely();
    admit(&node).await;
    let mut stream = TcpStream::connect(address).unwrap();
    let mut other_group = Vec::new();
    frame::write(MESSAGE, 3, &mut other_group, |out| out.extend_from_slice(&[0; 4]));
    stream.write_all(&[hello(2, CLUSTER, 1, 2), ready(2), other_group.clone()].concat()).unwrap();
    let dropped = |count: u32| {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &node.metrics).unwrap();
        text.lines().any(|line| line == format!("synod_peer_messages_dropped_total {count}"))
    };
    until("it is dropped", || dropped(1)).await;
    stream.write_all(&other_group).unwrap();
    until("the session goes on", || dropped(2)).await;
    write(&[&node], "unharmed").await;
}

/// The hello of node 1 in a life in which it never was admitted.
fn reborn(life: Incarnation) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(HELLO, 0, &mut out, |out| {
        out.extend_from_slice(b"synod/p2");
        out.extend_from_slice(&2u16.to_le_bytes());
        synod_codec::encode(&(CLUSTER, NodeId(1), NodeId(2), life, 0u8), out);
    });
    out
}

#[tokio::test]
async fn a_peer_that_comes_back_as_another_is_refused_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(2);
    let node = lonely_in(&dir, &addresses);
    admit(&node).await;
    assert_eq!(
        refusal(say(addresses[1], &reborn(Incarnation::newcomer(8)))),
        4,
        "known by another incarnation"
    );
    node.shutdown().await;
    let node = lonely_in(&dir, &addresses);
    write(&[&node], "it leads again").await;
    assert_eq!(
        refusal(say(addresses[1], &reborn(Incarnation::newcomer(8)))),
        4,
        "known by another incarnation"
    );
}

#[tokio::test]
async fn who_knows_no_leader_hears_a_peer_that_comes_back_as_another_unless_it_was_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(2);
    let _waits_for_the_other = begin(&config(2, dir.path(), &addresses)).unwrap();
    for hello in [hello(2, CLUSTER, 1, 2), reborn(Incarnation::newcomer(8))] {
        let mut stream = TcpStream::connect(addresses[1]).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(&hello).unwrap();
        let mut welcome = [0; 18];
        stream.read_exact(&mut welcome).unwrap();
        assert_eq!(welcome[13], WELCOME);
    }
    let emptied = reborn(Incarnation::founder(8));
    assert_eq!(refusal(say(addresses[1], &emptied)), 4, "it takes itself for a founder");
}
