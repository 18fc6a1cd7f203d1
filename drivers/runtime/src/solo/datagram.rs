//! A message as a datagram: one frame, whose payload says between whom, and then what.
//!
//! It is addressed to a node of a cluster, in the life in which its sender has met that node. Whatever is
//! meant for anybody else is refused: addresses are given away again, and directories are emptied.

use bytes::BytesMut;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use synod_codec::frame;
use synod_engine::{ClusterId, Incarnation, NodeId};

/// The kind of frame.
const DATAGRAM: u8 = 1;

/// Between whom a datagram travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) cluster: ClusterId,
    pub(crate) from: NodeId,
    /// The life of the sender's directory.
    pub(crate) life: Incarnation,
    pub(crate) to: NodeId,
    /// The life in which the sender has met the receiver, if it has.
    pub(crate) met: Option<Incarnation>,
}

/// Writes a datagram over what `out` holds; false, and nothing to send, if it is longer than `max_bytes`.
pub(crate) fn write<M: Serialize>(
    envelope: &Envelope,
    message: &M,
    max_bytes: usize,
    out: &mut Vec<u8>,
) -> bool {
    out.clear();
    frame::write(DATAGRAM, 0, out, |out| synod_codec::encode(&(envelope, message), out));
    out.len() <= max_bytes
}

/// Reads a datagram; `None` if these bytes are not exactly one.
pub(crate) fn read<M: DeserializeOwned>(bytes: &[u8]) -> Option<(Envelope, M)> {
    let mut buffer = BytesMut::from(bytes);
    let frame = frame::read(&mut buffer, bytes.len()).ok()??;
    if frame.kind != DATAGRAM || frame.group != 0 || !buffer.is_empty() {
        return None;
    }
    synod_codec::decode(&frame.payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPE: Envelope = Envelope {
        cluster: ClusterId(7),
        from: NodeId(1),
        life: Incarnation(11),
        to: NodeId(2),
        met: Some(Incarnation(12)),
    };

    #[test]
    fn a_datagram_comes_back_and_nothing_else_is_read() {
        let mut bytes = Vec::new();
        assert!(write(&ENVELOPE, &"hello".to_owned(), 1_400, &mut bytes));
        assert_eq!(read::<String>(&bytes), Some((ENVELOPE, "hello".to_owned())));
        assert_eq!(read::<u64>(&bytes), None, "another message");
        assert_eq!(read::<String>(&bytes[..bytes.len() - 1]), None, "cut short");
        assert_eq!(read::<String>(&[&bytes[..], &[0]].concat()), None, "with something behind");
        for byte in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[byte] ^= 0x10;
            assert_eq!(read::<String>(&bad), None, "byte {byte} is wrong");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_sent() {
        let mut bytes = Vec::new();
        assert!(!write(&ENVELOPE, &"x".repeat(100), 100, &mut bytes));
        assert!(write(&ENVELOPE, &"x".repeat(100), 200, &mut bytes));
    }
}
