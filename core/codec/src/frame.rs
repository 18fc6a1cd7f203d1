//! How a stream of bytes is cut into messages.
//!
//! ```text
//!  0        4             12       13     14       18
//!  ├────────┼─────────────┼────────┼──────┼────────┼─────────┤
//!  │ length │ checksum    │ format │ kind │ group  │ payload │   little endian
//!  └────────┴─────────────┴────────┴──────┴────────┴─────────┘
//!     u32        u64          u8      u8     u32
//! ```
//!
//! `length` counts everything after itself, `checksum` covers everything after itself. `kind` is
//! the conversation's own; `group` names one of the groups that two nodes share (0 where there is
//! only one).

use alloc::vec::Vec;
use core::fmt;

use bytes::{Buf, Bytes, BytesMut};

use crate::hash;

/// The format written; the only one read.
pub const FORMAT: u8 = 1;

const LENGTH_BYTES: usize = 4;
const HEADER_BYTES: usize = 8 + 1 + 1 + 4;

/// Bytes that a frame adds to its payload.
pub const OVERHEAD_BYTES: usize = LENGTH_BYTES + HEADER_BYTES;

/// One message of a conversation, not yet understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// What kind of message, by the conversation's own numbering.
    pub kind: u8,
    /// Which group it concerns.
    pub group: u32,
    /// What it says. Shares memory with the buffer that it was read into.
    pub payload: Bytes,
}

/// Appends a frame to `out`, with whatever `payload` appends as its payload.
///
/// # Panics
/// If the payload exceeds 4 GiB: writers bound what they write.
pub fn write(kind: u8, group: u32, out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = begin(kind, group, out);
    payload(out);
    end(start, out);
}

/// Appends the beginning of a frame whose payload comes in pieces; returns what [`end`] wants.
pub fn begin(kind: u8, group: u32, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES + 8]);
    out.push(FORMAT);
    out.push(kind);
    out.extend_from_slice(&group.to_le_bytes());
    start
}

/// Ends the frame that [`begin`] began at `start`: everything since is its payload.
///
/// # Panics
/// If the payload exceeds 4 GiB: writers bound what they write.
pub fn end(start: usize, out: &mut [u8]) {
    let length = u32::try_from(out.len() - start - LENGTH_BYTES).expect("a frame is below 4 GiB");
    let checksum = hash(&out[start + LENGTH_BYTES + 8..]);
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    out[start + LENGTH_BYTES..start + LENGTH_BYTES + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// Takes the next frame out of `buffer`; `None` if it is not complete yet.
///
/// # Errors
/// [`FrameError`]; the stream cannot be read any further and must be closed.
pub fn read(buffer: &mut BytesMut, max_payload_bytes: usize) -> Result<Option<Frame>, FrameError> {
    let Some(length) = buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length < HEADER_BYTES || length - HEADER_BYTES > max_payload_bytes {
        return Err(FrameError::Size { length, max_payload_bytes });
    }
    if buffer.len() < LENGTH_BYTES + length {
        buffer.reserve(LENGTH_BYTES + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(LENGTH_BYTES);
    let mut body = buffer.split_to(length).freeze();
    let checksum = body.get_u64_le();
    if checksum != hash(&body) {
        return Err(FrameError::Checksum);
    }
    let format = body.get_u8();
    if format != FORMAT {
        return Err(FrameError::Format(format));
    }
    let kind = body.get_u8();
    let group = body.get_u32_le();
    Ok(Some(Frame { kind, group, payload: body }))
}

/// A stream that is not, or no longer, made of frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// The length is impossible or beyond the bound.
    Size {
        /// What the header claims, in bytes.
        length: usize,
        /// The bound on the payload, in bytes.
        max_payload_bytes: usize,
    },
    /// The checksum does not match.
    Checksum,
    /// Written in a format that this version does not know.
    Format(u8),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { length, max_payload_bytes } => {
                write!(f, "a frame of {length} bytes where at most {max_payload_bytes} are allowed")
            }
            Self::Checksum => write!(f, "a frame whose checksum does not match"),
            Self::Format(format) => {
                write!(f, "a frame of format {format}; this version reads format {FORMAT}")
            }
        }
    }
}

impl core::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(payload: &[u8]) -> BytesMut {
        let mut out = Vec::new();
        write(3, 5, &mut out, |out| out.extend_from_slice(payload));
        BytesMut::from(&out[..])
    }

    #[test]
    fn frames_come_back_whole_whatever_the_pieces() {
        let whole = [framed(b"one"), framed(b"")].concat();
        let mut buffer = BytesMut::new();
        let mut frames = Vec::new();
        for byte in whole {
            buffer.extend_from_slice(&[byte]);
            frames.extend(read(&mut buffer, 10).unwrap());
        }
        let frame = |payload| Frame { kind: 3, group: 5, payload };
        assert_eq!(frames, [frame(Bytes::from_static(b"one")), frame(Bytes::new())]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = framed(b"payload");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(read(&mut bad, 100), Ok(Some(_))), "bit {bit} went unnoticed");
        }
    }

    #[test]
    fn an_oversized_frame_is_refused_by_its_header_alone() {
        let mut buffer = BytesMut::from(&u32::MAX.to_le_bytes()[..]);
        assert!(matches!(read(&mut buffer, 1 << 20), Err(FrameError::Size { .. })));
    }
}
