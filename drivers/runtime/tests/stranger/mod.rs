//! Somebody who speaks to a node byte by byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use synod_codec::frame::{self, Frame};
use synod_consensus::{Change, Contact, Outcome};
use synod_engine::{ClusterId, Incarnation, NodeId};
use synod_runtime::Operation;
use tempfile::TempDir;

use crate::story::{self, LineNode, addresses, config, write};

pub(crate) const HELLO: u8 = 1;
pub(crate) const WELCOME: u8 = 2;
pub(crate) const REFUSED: u8 = 3;
pub(crate) const READY: u8 = 4;
pub(crate) const MESSAGE: u8 = 16;
pub(crate) const MESSAGES: u8 = 18;

/// A cluster of one, whose configuration lists a second node that never comes.
pub(crate) fn lonely() -> (TempDir, LineNode, SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(2);
    let node = lonely_in(&dir, &addresses);
    (dir, node, addresses[1])
}

/// The same, in this directory.
pub(crate) fn lonely_in(dir: &TempDir, addresses: &[SocketAddr]) -> LineNode {
    let mut config = config(2, dir.path(), addresses);
    config.limits.handshake_timeout_ms = 200;
    let mut raft = story::raft(&config);
    raft.part.initial_voters = synod_raft::Config::new(NodeId(2), [NodeId(2)]).part.initial_voters;
    story::begin_with(&config, raft).unwrap()
}

/// Node 1 becomes a member, in the life that says hello here. It is a learner: nobody waits for it.
pub(crate) async fn admit(node: &LineNode) {
    write(&[node], "it leads").await;
    let contact = Contact {
        incarnation: Incarnation(7),
        address: "127.0.0.1:1".into(),
        client_address: String::new(),
    };
    let change = vec![Change::Add { node: NodeId(1), contact }];
    assert_eq!(node.handle().operate(Operation::Change(change)).await, Outcome::Done(()));
}

/// What follows a welcome: this peer is content.
pub(crate) fn ready(version: u16) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(READY, 0, &mut out, |out| {
        out.extend_from_slice(b"synod/p2");
        out.extend_from_slice(&version.to_le_bytes());
    });
    out
}

pub(crate) fn hello(version: u16, cluster: ClusterId, from: u64, to: u64) -> Vec<u8> {
    hello_of(Incarnation(7), version, cluster, from, to)
}

/// The call of a node in this life.
pub(crate) fn hello_of(
    life: Incarnation,
    version: u16,
    cluster: ClusterId,
    from: u64,
    to: u64,
) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(HELLO, 0, &mut out, |out| {
        out.extend_from_slice(b"synod/p2");
        out.extend_from_slice(&version.to_le_bytes());
        let purpose = 0u8;
        let hello = (cluster, NodeId(from), NodeId(to), life, purpose);
        synod_codec::encode(&hello, out);
    });
    out
}

/// Sends `bytes` and returns what comes back until the node closes the connection; `None` if it has
/// not closed it within five seconds.
pub(crate) fn say(address: SocketAddr, bytes: &[u8]) -> Option<Vec<Frame>> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // The node may have closed it already.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
        Ok(_) | Err(_) => {}
    }
    let mut answer = BytesMut::from(&answer[..]);
    let mut frames = Vec::new();
    while let Some(frame) = frame::read(&mut answer, 1 << 20).unwrap() {
        frames.push(frame);
    }
    Some(frames)
}
