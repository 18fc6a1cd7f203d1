//! One connection to one server: bytes in, bytes out, the hello.

use std::io;

use bytes::BytesMut;
use synod_engine::ClusterId;
use synod_kv::wire::{
    FromServer, Garbled, Goodbye, Hello, Limits, OLDEST_PROTOCOL, PROTOCOL, Welcome,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::options::Options;

const READ_BYTES: usize = 64 << 10;
/// Bytes that wait to be sent before more calls are held back.
const MAX_UNSENT_BYTES: usize = 256 << 10;

/// Why a server could not be talked to.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No connection, or it broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It did not answer in time.
    #[error("no answer in time")]
    Timeout,
    /// It parted.
    #[error("{0}")]
    Goodbye(Goodbye),
    /// It belongs to another cluster.
    #[error("the server belongs to cluster {id:016x}", id = .0.0)]
    OtherCluster(ClusterId),
    /// It does not speak the clerk's protocol.
    #[error("not a server of this protocol: {0}")]
    Garbled(#[from] Garbled),
    /// It welcomed twice, or said something else first.
    #[error("not a server of this protocol: it welcomes at the wrong time")]
    NoWelcome,
}

/// A connection that a server has welcomed.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    input: BytesMut,
    output: Vec<u8>,
    /// How much of the output the kernel has taken.
    taken: usize,
    /// Bytes ever taken by the kernel.
    sent: u64,
    pub(crate) welcome: Welcome,
    pub(crate) address: String,
    /// When the server last said something, or was last asked after a time of rest.
    pub(crate) heard: Instant,
}

impl Connection {
    /// Opens one and waits for the welcome.
    pub(crate) async fn open(address: String, options: &Options) -> Result<Self, OpenError> {
        let cluster = options.cluster;
        let shake_hands = async {
            match Self::shake_hands(address.clone(), cluster, PROTOCOL).await {
                Err(OpenError::Goodbye(Goodbye::Protocol { speaks }))
                    if (OLDEST_PROTOCOL..PROTOCOL).contains(&speaks) =>
                {
                    Self::shake_hands(address, cluster, speaks).await
                }
                result => result,
            }
        };
        match timeout(options.open_timeout(), shake_hands).await {
            Ok(result) => result,
            Err(_) => Err(OpenError::Timeout),
        }
    }

    async fn shake_hands(
        address: String,
        cluster: Option<ClusterId>,
        protocol: u16,
    ) -> Result<Self, OpenError> {
        let mut stream = TcpStream::connect(&address).await?;
        stream.set_nodelay(true)?;
        let mut output = Vec::new();
        Hello { protocol, cluster }.write(&mut output);
        stream.write_all(&output).await?;
        output.clear();
        let mut input = BytesMut::with_capacity(READ_BYTES);
        let welcome = loop {
            match FromServer::read(&mut input)? {
                Some(FromServer::Welcome(welcome)) => break welcome,
                Some(FromServer::Goodbye(goodbye)) => return Err(OpenError::Goodbye(goodbye)),
                Some(
                    FromServer::Reply(_)
                    | FromServer::Told(..)
                    | FromServer::Progress(_)
                    | FromServer::Members(_),
                ) => return Err(OpenError::NoWelcome),
                None if stream.read_buf(&mut input).await? == 0 => {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                None => {}
            }
        };
        if cluster.is_some_and(|cluster| cluster != welcome.cluster) {
            return Err(OpenError::OtherCluster(welcome.cluster));
        }
        let heard = Instant::now();
        Ok(Self { stream, input, output, taken: 0, sent: 0, welcome, address, heard })
    }

    pub(crate) fn limits(&self) -> Limits {
        self.welcome.limits
    }

    /// Whether more may be written before what waits has been sent.
    pub(crate) fn has_room(&self) -> bool {
        self.output.len() - self.taken < MAX_UNSENT_BYTES
    }

    /// Appends a request; tells where in the stream it ends.
    pub(crate) fn write(&mut self, request: impl FnOnce(&mut Vec<u8>)) -> u64 {
        if self.taken >= MAX_UNSENT_BYTES {
            self.output.drain(..self.taken);
            self.taken = 0;
        }
        request(&mut self.output);
        self.sent + (self.output.len() - self.taken) as u64
    }

    /// Whether the kernel has taken everything up to `ends_at`. If not, the server cannot have got
    /// the request that ends there.
    pub(crate) fn has_sent(&self, ends_at: u64) -> bool {
        ends_at <= self.sent
    }

    /// Hands the kernel as much as it takes now.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while self.taken < self.output.len() {
            match self.stream.try_write(&self.output[self.taken..]) {
                Ok(count) => self.took(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until bytes came in or went out. Safe to cancel.
    pub(crate) async fn progress(&mut self) -> io::Result<()> {
        if self.input.capacity() - self.input.len() < READ_BYTES / 4 {
            self.input.reserve(READ_BYTES);
        }
        let (mut reader, mut writer) = self.stream.split();
        let unsent = &self.output[self.taken..];
        tokio::select! {
            count = reader.read_buf(&mut self.input) => {
                if count? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.heard = Instant::now();
            }
            count = writer.write(unsent), if !unsent.is_empty() => {
                let count = count?;
                self.took(count);
            }
        }
        Ok(())
    }

    /// The next message that has come in whole.
    pub(crate) fn read(&mut self) -> Result<Option<FromServer>, Garbled> {
        FromServer::read(&mut self.input)
    }

    fn took(&mut self, count: usize) {
        self.taken += count;
        self.sent += count as u64;
        if self.taken == self.output.len() {
            self.output.clear();
            self.taken = 0;
        }
    }
}
