//! Frames over a blocking socket: what both ends of a transfer speak.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use bytes::BytesMut;
use synod_codec::frame::{self, Frame};
use synod_engine::GroupId;

/// Bytes of a blob in one frame.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// A connection whose handshake is done.
pub(crate) struct Stream {
    pub(crate) socket: TcpStream,
    pub(crate) buffer: BytesMut,
    pub(crate) out: Vec<u8>,
    /// The group whose blob this is.
    pub(crate) group: GroupId,
}

impl Stream {
    pub(crate) fn new(socket: TcpStream, buffer: BytesMut, group: GroupId) -> Self {
        Self { socket, buffer, out: Vec::new(), group }
    }

    /// Sends one frame.
    pub(crate) fn send(&mut self, kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.out.clear();
        frame::write(kind, self.group.0, &mut self.out, write);
        self.socket.write_all(&self.out)
    }

    /// Waits for one frame, as long as the socket's timeout allows.
    pub(crate) fn next(&mut self, max_payload_bytes: usize) -> io::Result<Frame> {
        let mut piece = vec![0; 64 << 10];
        loop {
            let read =
                frame::read(&mut self.buffer, max_payload_bytes).map_err(io::Error::other)?;
            if let Some(frame) = read {
                return Ok(frame);
            }
            match self.socket.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.buffer.extend_from_slice(&piece[..read]),
            }
        }
    }
}
