//! The clerk's protocol: what a client and a server say over one connection.
//!
//! Each message is a [frame]. The client says [`Hello`]; the server answers
//! [`Welcome`], or [`Goodbye`] and closes. Then the client sends [`Request`]s, as many as it likes
//! before the first answer, and each is answered by one [`Reply`] with its id, in any order. Only a
//! [`Watch`] is not: it is told what happens, [`Said`] by [`Said`], until it ends. A server that
//! cannot go on says [`Goodbye`] and closes.
//!
//! The layout of [`Hello`] and [`Goodbye`] is the same in every version, so that strangers can tell
//! each other why they part.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::{Buf, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use synod_codec::frame::{self, Frame, FrameError};
use synod_codec::{Malformed, decode, encode};
use synod_consensus::{Change, Contact, Refusal, Status};
use synod_engine::{ClusterId, NodeId};

use crate::message::{Answer, Command, Query, Response, Revision};

mod watch;

pub use watch::{
    Ended, Filter, Said, Watch, write_cancel, write_events, write_progress, write_said, write_watch,
};

/// The newest version of the protocol.
pub const PROTOCOL: u16 = 3;

/// The oldest version that is still spoken. In version 2 a server says nothing of the members.
pub const OLDEST_PROTOCOL: u16 = 2;

/// From this version on the server tells who the [members](FromServer::Members) are.
pub const TELLS_MEMBERS: u16 = 3;

/// Largest message that a client reads, in bytes: beyond every bound of the store.
pub const MAX_REPLY_BYTES: usize = 8 << 20;

/// The client's first message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The version that the client speaks.
    pub protocol: u16,
    /// The cluster that it wants to talk to; `None`: any.
    pub cluster: Option<ClusterId>,
}

/// The server's first message to a client that it serves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that both speak: the client's.
    pub protocol: u16,
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// Who it is.
    pub node: NodeId,
    /// Who leads, as far as it knows.
    pub leader: Option<Leader>,
    /// What it allows on this connection.
    pub limits: Limits,
}

/// Where to find the leader.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Leader {
    /// Who it is.
    pub node: NodeId,
    /// `host:port` where it serves clients; `None` if the server does not know.
    pub address: Option<String>,
}

/// What a server allows on one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Largest request in bytes; a larger one ends the connection.
    pub max_request_bytes: u64,
    /// Requests under way; with more the server stops reading.
    pub max_in_flight: u32,
}

/// Why the server closes the connection. Requests without a reply may or may not take effect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Goodbye {
    /// It does not speak the client's version.
    Protocol {
        /// The newest version that it speaks.
        speaks: u16,
    },
    /// It belongs to another cluster than the client asked for.
    OtherCluster {
        /// The one it belongs to.
        cluster: ClusterId,
    },
    /// It serves as many connections as it may.
    TooManyConnections {
        /// The bound.
        max: u32,
    },
    /// It could not understand what the client sent.
    Malformed(String),
    /// It is being stopped.
    ShuttingDown,
}

/// One thing that a client asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The client's name for it, to be repeated by the reply.
    pub id: u64,
    /// What it asks.
    pub ask: Ask,
}

/// What a client asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// To apply this encoded [`Command`]. Never a tick: see [`is_for_hosts`].
    Write(Bytes),
    /// To answer this, linearizably.
    Read(Query),
    /// To change who belongs to the group, or who leads it.
    Operate(Operation),
    /// To answer this from what the node has applied, be it old.
    Stale {
        /// What is asked.
        query: Query,
        /// Of this revision or a later one.
        at_least: Revision,
    },
    /// To be told what happens to some keys from now on, or from a revision on.
    Watch(Watch),
    /// To be told no more by the watch of this id.
    Cancel,
    /// How the node is.
    Status,
}

/// What an operator asks of a group. Only its leader can do it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Operation {
    /// Change who belongs to it; these wishes together are one change.
    Change(Vec<Change>),
    /// Hand leadership to this voter, or to the best one.
    Transfer(Option<NodeId>),
}

/// How one request ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The client's name for the request.
    pub id: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a request ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// The command was committed, and the store answered this.
    Written(Response),
    /// The store answered this.
    Read(Answer),
    /// The operation took effect.
    Operated,
    /// The node has not come as far as the stale read wants.
    Behind {
        /// How far it has come.
        revision: Revision,
    },
    /// How the node is.
    Status(NodeReport),
    /// This copy of the request did not take effect and never will.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Who leads, as far as the server knows.
        leader: Option<Leader>,
    },
    /// The command may or may not take effect.
    Unknown,
    /// The request makes no sense; it did not take effect.
    BadRequest(String),
}

impl Outcome {
    /// A revision that the store has reached, if it tells one.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        match self {
            Self::Written(Response::Written(written)) => written.revision(),
            Self::Read(answer) => Some(answer.revision()),
            Self::Behind { revision } => Some(*revision),
            Self::Written(_)
            | Self::Status(_)
            | Self::Operated
            | Self::Refused { .. }
            | Self::Unknown
            | Self::BadRequest(_) => None,
        }
    }
}

/// How a node is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeReport {
    /// How its replicated log looks.
    pub log: Status,
    /// How it is found and known: what its group must be told to make it a member.
    pub contact: Contact,
    /// Whether it knows a leader and has caught up with what was committed when it started.
    pub is_ready: bool,
    /// Its process on its machine.
    pub pid: u32,
    /// The version of its software.
    pub version: String,
    /// How long it has been running, in milliseconds.
    pub uptime_ms: u64,
}

/// What a client says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FromClient {
    /// Once, first.
    Hello(Hello),
    /// From then on.
    Request(Request),
}

/// What a server says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FromServer {
    /// Once, first.
    Welcome(Welcome),
    /// From then on.
    Reply(Reply),
    /// After the welcome, and whenever it changes: `host:port` where clients find each member that the
    /// server can name, itself included.
    Members(Vec<String>),
    /// To one watch, of this id.
    Told(u64, Said),
    /// To all watches of the connection that have been told that they have begun and not that they
    /// have ended: they have been told all that happened up to this revision.
    Progress(Revision),
    /// Once, last.
    Goodbye(Goodbye),
}

mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const WELCOME: u8 = 2;
    pub(super) const GOODBYE: u8 = 3;
    pub(super) const WRITE: u8 = 4;
    pub(super) const READ: u8 = 5;
    pub(super) const STATUS: u8 = 6;
    pub(super) const REPLY: u8 = 7;
    pub(super) const STALE: u8 = 8;
    pub(super) const WATCH: u8 = 9;
    pub(super) const CANCEL: u8 = 10;
    pub(super) const TOLD: u8 = 11;
    pub(super) const PROGRESS: u8 = 12;
    pub(super) const OPERATE: u8 = 13;
    pub(super) const MEMBERS: u8 = 14;
}

const ID_BYTES: usize = 8;

impl FromClient {
    /// Takes the next message out of `buffer`; `None` if it is not complete yet.
    ///
    /// # Errors
    /// [`Garbled`]; the connection must be closed.
    pub fn read(buffer: &mut BytesMut, max_request_bytes: usize) -> Result<Option<Self>, Garbled> {
        let Some(mut frame) = frame::read(buffer, max_request_bytes + ID_BYTES)? else {
            return Ok(None);
        };
        let ask = match frame.kind {
            kind::HELLO => return Ok(Some(Self::Hello(decode(&frame.payload)?))),
            kind::WRITE..=kind::STATUS | kind::STALE..=kind::CANCEL | kind::OPERATE
                if frame.payload.len() < ID_BYTES =>
            {
                return Err(Garbled::Kind(frame.kind));
            }
            kind::WRITE => |payload| Ok(Ask::Write(payload)),
            kind::READ => |payload: Bytes| decode(&payload).map(Ask::Read),
            kind::OPERATE => |payload: Bytes| decode(&payload).map(Ask::Operate),
            kind::STATUS => |payload: Bytes| decode(&payload).map(|()| Ask::Status),
            kind::STALE => |payload: Bytes| {
                let (at_least, query) = decode(&payload)?;
                Ok(Ask::Stale { query, at_least })
            },
            kind::WATCH => |payload: Bytes| decode(&payload).map(Ask::Watch),
            kind::CANCEL => |payload: Bytes| decode(&payload).map(|()| Ask::Cancel),
            kind => return Err(Garbled::Kind(kind)),
        };
        let id = frame.payload.get_u64_le();
        Ok(Some(Self::Request(Request { id, ask: ask(frame.payload)? })))
    }
}

impl FromServer {
    /// Takes the next message out of `buffer`; `None` if it is not complete yet.
    ///
    /// # Errors
    /// [`Garbled`]; the connection must be closed.
    pub fn read(buffer: &mut BytesMut) -> Result<Option<Self>, Garbled> {
        let Some(Frame { kind, mut payload, .. }) = frame::read(buffer, MAX_REPLY_BYTES)? else {
            return Ok(None);
        };
        fn whole<T: DeserializeOwned>(payload: &Bytes) -> Result<T, Garbled> {
            Ok(decode(payload)?)
        }
        Ok(Some(match kind {
            kind::WELCOME => Self::Welcome(whole(&payload)?),
            kind::GOODBYE => Self::Goodbye(whole(&payload)?),
            kind::REPLY => Self::Reply(whole(&payload)?),
            kind::TOLD if payload.len() >= ID_BYTES => {
                Self::Told(payload.get_u64_le(), whole(&payload)?)
            }
            kind::PROGRESS => Self::Progress(whole(&payload)?),
            kind::MEMBERS => Self::Members(whole(&payload)?),
            kind => return Err(Garbled::Kind(kind)),
        }))
    }
}

impl Hello {
    /// Appends it to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        frame::write(kind::HELLO, 0, out, |out| encode(self, out));
    }
}

impl Welcome {
    /// Appends it to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        frame::write(kind::WELCOME, 0, out, |out| encode(self, out));
    }
}

impl Goodbye {
    /// Appends it to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        frame::write(kind::GOODBYE, 0, out, |out| encode(self, out));
    }
}

impl Reply {
    /// Appends it to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        frame::write(kind::REPLY, 0, out, |out| encode(self, out));
    }
}

/// Appends where clients find the members to `out`.
pub fn write_members(addresses: &[String], out: &mut Vec<u8>) {
    frame::write(kind::MEMBERS, 0, out, |out| encode(addresses, out));
}

/// Appends a request to apply `command` to `out`.
pub fn write_command(id: u64, command: &Command, out: &mut Vec<u8>) {
    frame::write(kind::WRITE, 0, out, |out| {
        out.extend_from_slice(&id.to_le_bytes());
        encode(command, out);
    });
}

/// Appends a request to answer `query` to `out`.
pub fn write_query(id: u64, query: &Query, out: &mut Vec<u8>) {
    frame::write(kind::READ, 0, out, |out| {
        out.extend_from_slice(&id.to_le_bytes());
        encode(query, out);
    });
}

/// Appends a request to operate on the group to `out`.
pub fn write_operation(id: u64, operation: &Operation, out: &mut Vec<u8>) {
    frame::write(kind::OPERATE, 0, out, |out| {
        out.extend_from_slice(&id.to_le_bytes());
        encode(operation, out);
    });
}

/// Appends a request to answer `query` from what the node has applied to `out`.
pub fn write_stale(id: u64, query: &Query, at_least: Revision, out: &mut Vec<u8>) {
    frame::write(kind::STALE, 0, out, |out| {
        out.extend_from_slice(&id.to_le_bytes());
        encode(&(at_least, query), out);
    });
}

/// Appends a request for the node's status to `out`.
pub fn write_status(id: u64, out: &mut Vec<u8>) {
    frame::write(kind::STATUS, 0, out, |out| out.extend_from_slice(&id.to_le_bytes()));
}

/// Whether an encoded command may only be proposed by the leader's host: replicated time is not the
/// clients' to move.
#[must_use]
pub fn is_for_hosts(command: &[u8]) -> bool {
    /// The place of [`Command::Tick`] among the commands.
    const TICK: u8 = 4;
    // A longer spelling of a number has the top bit set; no command needs one.
    command.first().is_some_and(|first| *first == TICK || *first >= 0x80)
}

/// Whether an encoded [`Command`] sets, deletes or compares and swaps one key, as far as its first bytes
/// tell. No append, which copies what is there.
pub(crate) fn is_write_of_one_key(command: &[u8]) -> bool {
    /// The place of [`Command::Write`] among the commands.
    const WRITE: u8 = 3;
    /// The places of `Put`, `Delete` and `Cas` among the writes.
    const OF_ONE_KEY: [u8; 3] = [0, 2, 3];
    let Some((&WRITE, mut rest)) = command.split_first() else { return false };
    // Session, number, and what is answered: each ends with the first byte whose top bit is not set.
    for _ in 0..3 {
        let Some(last) = rest.iter().position(|byte| *byte < 0x80) else { return false };
        rest = &rest[last + 1..];
    }
    rest.first().is_some_and(|op| OF_ONE_KEY.contains(op))
}

/// Bytes that are no message of this protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Garbled {
    /// Not a frame.
    Frame(FrameError),
    /// A frame of a kind that has no business here, or too short for its kind.
    Kind(u8),
    /// A frame whose content is not what its kind says.
    Content(Malformed),
}

impl From<FrameError> for Garbled {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<Malformed> for Garbled {
    fn from(error: Malformed) -> Self {
        Self::Content(error)
    }
}

impl fmt::Display for Garbled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Kind(kind) => write!(f, "an unexpected message of kind {kind}"),
            Self::Content(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Garbled {}

impl fmt::Display for Goodbye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol { speaks } => {
                write!(f, "the server speaks version {speaks} of the protocol, not {PROTOCOL}")
            }
            Self::OtherCluster { cluster } => {
                write!(f, "the server belongs to cluster {:016x}", cluster.0)
            }
            Self::TooManyConnections { max } => {
                write!(f, "the server has {max} connections, which is its bound")
            }
            Self::Malformed(what) => write!(f, "the server could not understand: {what}"),
            Self::ShuttingDown => write!(f, "the server is being stopped"),
        }
    }
}
