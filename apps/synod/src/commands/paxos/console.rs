//! How commands talk to a node: one question, then answers, each a frame of its own.
//!
//! The version of this conversation comes before the question, so that a node of another version can say
//! so.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use synod_codec::frame;
use synod_paxos::Ballot;
use synod_paxos::basic::{Proposal, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::seen::Seen;
use crate::exit::{Exit, Failure, Result};

/// The version of this conversation.
const VERSION: u32 = 1;

/// The kind of all its frames.
const CONSOLE: u8 = 2;

/// No word is longer: values fit a packet.
const MAX_BYTES: usize = 64 << 10;

/// How long a node may take to be reached, and to take in what is said to it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Question {
    /// Get this chosen and tell what you see meanwhile, until [`Answer::Seen`] answers this request.
    Propose(Value),
    /// How are you?
    Status,
}

/// What a node answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// Something took place.
    Seen(Seen),
    /// The last word: this is chosen.
    Chosen(Value),
    /// The last word: the request was not taken up.
    Refused(String),
    /// The last word: how the node is.
    Status(Status),
}

/// How a node is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Status {
    pub(super) chosen: Option<Value>,
    pub(super) promised: Option<Ballot>,
    pub(super) accepted: Option<Proposal>,
    /// All of it, in words.
    pub(super) words: String,
}

/// One end of a conversation.
pub(super) struct Conversation {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Conversation {
    pub(super) fn on(stream: TcpStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// Reaches the node at `address` and asks.
    pub(super) async fn ask(address: SocketAddr, question: &Question) -> io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        let mut conversation = Self::on(stream);
        conversation.say(&VERSION).await?;
        conversation.say(question).await?;
        Ok(conversation)
    }

    /// What is asked here; an error in words that the other side should hear.
    pub(super) async fn question(&mut self) -> io::Result<std::result::Result<Question, String>> {
        let gone = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let version: u32 = timeout(PATIENCE, self.hear()).await??.ok_or_else(gone)?;
        if version != VERSION {
            let why = format!("this node speaks version {VERSION} of the console, not {version}");
            return Ok(Err(why));
        }
        timeout(PATIENCE, self.hear()).await??.ok_or_else(gone).map(Ok)
    }

    /// Says something, within bounds: who does not listen is left.
    pub(super) async fn say<T: Serialize>(&mut self, word: &T) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame::write(CONSOLE, 0, &mut bytes, |out| synod_codec::encode(word, out));
        timeout(PATIENCE, self.stream.write_all(&bytes)).await?
    }

    /// The next word; `None` once the other side has gone.
    pub(super) async fn hear<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        loop {
            let frame = frame::read(&mut self.buffer, MAX_BYTES);
            if let Some(frame) = frame.map_err(|error| bad(error.to_string()))? {
                if frame.kind != CONSOLE {
                    return Err(bad("something else than a console speaks there".into()));
                }
                let word = synod_codec::decode(&frame.payload);
                return word.map(Some).map_err(|error| bad(error.to_string()));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Whether the other side has gone, once it has: it has nothing more to say here.
    pub(super) async fn gone(&mut self) {
        // Whatever comes of it ends the conversation.
        self.stream.read_buf(&mut self.buffer).await.ok();
    }
}

/// Nobody is there.
pub(super) fn unreachable(what: &str) -> Failure {
    let what = format!(
        "{what}; nothing was changed; are the nodes running? `synod paxos up` starts three, and --peers \
         names others"
    );
    Failure::new(Exit::Unreachable, what)
}

/// The first of these nodes that can be reached, asked; or why none can.
pub(super) async fn ask_any(
    nodes: impl IntoIterator<Item = (u64, SocketAddr)>,
    question: &Question,
) -> Result<(u64, Conversation)> {
    let mut whys = Vec::new();
    for (node, address) in nodes {
        match Conversation::ask(address, question).await {
            Ok(conversation) => return Ok((node, conversation)),
            Err(error) => whys.push(format!("node {node} at {address}: {error}")),
        }
    }
    Err(unreachable(&format!("no node can be reached ({})", whys.join("; "))))
}
