//! How two nodes introduce themselves, and why one may refuse the other.
//!
//! The dialler says [`Hello`]; the other side answers with a [`Welcome`] or a [`Refusal`]; the dialler
//! answers a welcome by ready, or by a refusal of its own. All carry the magic and the protocol's
//! [version](super::version) in a form that no version will change: of a hello the version that is
//! offered, of an answer the same if it is taken, else the newest that the other side speaks.

use std::fmt;

use bytes::{Buf, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use synod_codec::frame::{self, Frame};
use synod_engine::{ClusterId, Engine, Incarnation, NodeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::version::PeerVersion;
use super::{NO_GROUP, Net, kind};
use crate::acquaintances::Acquaintance;
use crate::hosted::HostedLog;

const MAGIC: &[u8; 8] = b"synod/p2";

/// The longest frame of a handshake, in bytes.
pub(crate) const MAX_BYTES: usize = 256;

/// The dialler's introduction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) cluster: ClusterId,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) purpose: Purpose,
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// Messages, both ways.
    Link,
    /// Bulk bytes, from the dialler.
    Blob,
}

/// The answer to a hello that was accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) incarnation: Incarnation,
}

/// Why a connection was refused. Nothing changed on either side.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// The other side belongs to another cluster.
    Cluster {
        /// Which one.
        mine: ClusterId,
    },
    /// The other side is another node than the one that was asked for: two addresses are mixed up.
    Node {
        /// Who it is.
        mine: NodeId,
    },
    /// The other side does not speak this version.
    Version {
        /// The newest that it speaks.
        mine: PeerVersion,
    },
    /// No group of the other side has such a member.
    Stranger,
    /// The other side knew this node by another incarnation: its directory was emptied or replaced.
    Replaced {
        /// What it was; 0 if the other side never met it, and sees that it is no founder.
        known: Incarnation,
    },
    /// The other side knows the node, and no group of it has it as a member any more.
    NoMember,
    /// The other side runs another engine: neither would understand a word.
    Engine,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster { mine } => write!(f, "it belongs to cluster {:016x}", mine.0),
            Self::Node { mine } => {
                write!(f, "it is node {mine}; the addresses in the configuration are mixed up")
            }
            Self::Version { mine } => write!(
                f,
                "it speaks version {mine} of the protocol, and here {} to {} are spoken; upgrade one \
                 version at a time",
                PeerVersion::OLDEST,
                PeerVersion::NEWEST
            ),
            Self::Stranger => write!(f, "no group there has such a member; it may be added"),
            Self::NoMember => write!(f, "this node was removed from the members of its groups"),
            Self::Engine => {
                write!(f, "it runs another engine; compare `engine` in the configurations of both")
            }
            Self::Replaced { known: Incarnation(0) } => write!(
                f,
                "this node was repaired, or is to join, and is not the founder that the members count on; \
                 `synod members replace` takes it in under its new incarnation"
            ),
            Self::Replaced { known } => write!(
                f,
                "it knew this node by incarnation {:016x}, so the directory was emptied, repaired or \
                 replaced; put the old one back, or remove the node from the members and add it again \
                 under its new incarnation",
                known.0
            ),
        }
    }
}

/// Why a handshake came to nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The other side refused.
    Refused(Refusal),
    /// This side refused.
    Refuses(NodeId, Refusal),
    /// Nobody there, or the connection broke.
    Broken(String),
    /// What arrived is not this protocol.
    Garbage(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused by the peer: {refusal}"),
            Self::Refuses(node, Refusal::Cluster { .. }) => {
                write!(f, "refused {node}: it belongs to another cluster")
            }
            Self::Refuses(node, Refusal::Node { .. }) => {
                write!(f, "refused {node}: it takes this node for another")
            }
            Self::Refuses(node, Refusal::Version { .. }) => {
                write!(f, "refused {node}: it speaks an unknown version of the protocol")
            }
            Self::Refuses(node, Refusal::Stranger) => {
                write!(f, "refused {node}: it is no member of any group")
            }
            Self::Refuses(node, Refusal::NoMember) => {
                write!(f, "refused {node}: it was removed from the members")
            }
            Self::Refuses(node, Refusal::Engine) => {
                write!(
                    f,
                    "refused {node}: it runs another engine; compare `engine` in both configurations"
                )
            }
            Self::Refuses(node, Refusal::Replaced { known: Incarnation(0) }) => {
                write!(
                    f,
                    "refused {node}: it was repaired or is to join, and the members do not name it yet"
                )
            }
            Self::Refuses(node, Refusal::Replaced { known }) => write!(
                f,
                "refused {node}: it was known by incarnation {:016x}; its directory was emptied or \
                 replaced",
                known.0
            ),
            Self::Broken(why) => write!(f, "no connection: {why}"),
            Self::Garbage(why) => write!(f, "not a peer of this protocol: {why}"),
        }
    }
}

/// Appends the frame of a handshake: magic and version, then `body`.
pub(crate) fn write(kind: u8, version: PeerVersion, body: &impl Serialize, out: &mut Vec<u8>) {
    frame::write(kind, NO_GROUP, out, |out| {
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&version.0.to_le_bytes());
        synod_codec::encode(body, out);
    });
}

/// Appends this node's hello to `peer`. An engine that has a name says it at the end.
pub(crate) fn write_hello<E: Engine>(
    net: &Net<E>,
    peer: NodeId,
    purpose: Purpose,
    version: PeerVersion,
    out: &mut Vec<u8>,
) {
    let hello = net.hello(peer, purpose);
    match &net.identity.engine {
        Some(engine) => write(kind::HELLO, version, &(hello, engine), out),
        None => write(kind::HELLO, version, &hello, out),
    }
}

/// A hello, and the engine that it names.
fn read_hello(payload: &[u8]) -> Result<(Hello, Option<String>), Failure> {
    if let Ok((hello, engine)) = synod_codec::decode(payload) {
        return Ok((hello, Some(engine)));
    }
    let hello = synod_codec::decode(payload);
    hello.map(|hello| (hello, None)).map_err(|error| Failure::Garbage(error.to_string()))
}

/// The version that a frame names, and what follows it.
fn open(frame: Frame) -> Result<(PeerVersion, Frame), Failure> {
    let Frame { kind, group, mut payload } = frame;
    if payload.len() < MAGIC.len() + 2 || !payload.starts_with(MAGIC) {
        return Err(Failure::Garbage("it does not begin with the magic".into()));
    }
    payload.advance(MAGIC.len());
    let version = PeerVersion(payload.get_u16_le());
    Ok((version, Frame { kind, group, payload }))
}

/// What a frame of the handshake says, if it is of the kind that is awaited, and speaks `version`.
fn expect<T: DeserializeOwned>(
    frame: Frame,
    version: PeerVersion,
    awaited: u8,
) -> Result<T, Failure> {
    let garbage = |error: synod_codec::Malformed| Failure::Garbage(error.to_string());
    let (mine, Frame { kind, payload, .. }) = open(frame)?;
    if mine != version {
        return Err(Failure::Refused(Refusal::Version { mine }));
    }
    if kind == awaited {
        synod_codec::decode(&payload).map_err(garbage)
    } else if kind == kind::REFUSED {
        let refusal = synod_codec::decode(&payload).map_err(garbage)?;
        Err(Failure::Refused(refusal))
    } else {
        Err(Failure::Garbage(format!("a frame of kind {kind}")))
    }
}

/// What the other side answered to a hello of this version.
pub(crate) fn answer(frame: Frame, version: PeerVersion) -> Result<Welcome, Failure> {
    expect(frame, version, kind::WELCOME)
}

/// Takes one frame of a handshake out of `buffer`.
pub(crate) fn take(buffer: &mut BytesMut) -> Result<Option<Frame>, Failure> {
    frame::read(buffer, MAX_BYTES).map_err(|error| Failure::Garbage(error.to_string()))
}

async fn next(stream: &mut TcpStream, buffer: &mut BytesMut) -> Result<Frame, Failure> {
    loop {
        if let Some(frame) = take(buffer)? {
            return Ok(frame);
        }
        match stream.read_buf(buffer).await {
            Ok(0) => return Err(Failure::Broken("closed by the peer".into())),
            Ok(_) => {}
            Err(error) => return Err(Failure::Broken(error.to_string())),
        }
    }
}

/// The dialler's side. Bytes that follow the welcome stay in `buffer`.
pub(crate) async fn introduce<E: Engine>(
    net: &Net<E>,
    peer: NodeId,
    version: PeerVersion,
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
) -> Result<Incarnation, Failure> {
    let mut out = Vec::new();
    write_hello(net, peer, Purpose::Link, version, &mut out);
    stream.write_all(&out).await.map_err(|error| Failure::Broken(error.to_string()))?;
    let welcome = answer(next(stream, buffer).await?, version)?;
    Ok(welcome.incarnation)
}

/// Waits for the dialler to recognise this node.
pub(crate) async fn ready(
    version: PeerVersion,
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
) -> Result<(), Failure> {
    expect(next(stream, buffer).await?, version, kind::READY)
}

/// The other side: reads the hello, in any version.
pub(crate) async fn hear(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
) -> Result<(PeerVersion, Frame), Failure> {
    let frame = next(stream, buffer).await?;
    if frame.kind != kind::HELLO {
        return Err(Failure::Garbage(format!("a frame of kind {} comes first", frame.kind)));
    }
    open(frame)
}

/// Judges a hello, but does not answer it yet.
pub(crate) fn judge<E: Engine>(
    net: &Net<E>,
    version: PeerVersion,
    hello: &Frame,
) -> Result<Hello, Failure> {
    if !net.versions().contains(&version) {
        // Whoever speaks another version cannot be asked its name.
        return Err(Failure::Refuses(NodeId(0), Refusal::Version { mine: net.newest_version }));
    }
    let (hello, engine) = read_hello(&hello.payload)?;
    let mine = net.hello(hello.from, hello.purpose);
    let refuses = |refusal| Err(Failure::Refuses(hello.from, refusal));
    if hello.cluster != mine.cluster {
        return refuses(Refusal::Cluster { mine: mine.cluster });
    }
    if engine != net.identity.engine {
        return refuses(Refusal::Engine);
    }
    if hello.to != net.me {
        return refuses(Refusal::Node { mine: net.me });
    }
    if !net.peers.is_welcome(hello.from) {
        let was_met = net.acquaintances.first(hello.from).is_some();
        return refuses(if was_met { Refusal::NoMember } else { Refusal::Stranger });
    }
    Ok(hello)
}

/// Answers a hello.
pub(crate) async fn reply(
    stream: &mut TcpStream,
    version: PeerVersion,
    kind: u8,
    body: &impl Serialize,
) -> Result<(), Failure> {
    let mut out = Vec::new();
    write(kind, version, body, &mut out);
    stream.write_all(&out).await.map_err(|error| Failure::Broken(error.to_string()))
}

/// Whether the peer is who it was. One met for the first time is written down, off this thread.
pub(crate) async fn recognise<E: HostedLog>(
    net: &std::sync::Arc<Net<E>>,
    peer: NodeId,
    life: Incarnation,
) -> Result<(), Failure> {
    let net = net.clone();
    let met = tokio::task::spawn_blocking(move || net.recognise(peer, life)).await;
    match met {
        Ok(Ok(Acquaintance::Known)) => Ok(()),
        Ok(Ok(Acquaintance::Replaced { known })) => {
            Err(Failure::Refuses(peer, Refusal::Replaced { known }))
        }
        Ok(Err(error)) => Err(Failure::Broken(format!("the peer cannot be written down: {error}"))),
        Err(error) => Err(Failure::Broken(error.to_string())),
    }
}
