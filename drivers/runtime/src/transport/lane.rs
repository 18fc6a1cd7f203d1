//! Messages on their way into a connection, as frames of the version that it speaks.
//!
//! In version 2 each message is a frame. From version 3 on, messages that wait share one, whatever their
//! groups: a length and the group before each. A thousand idle groups then cost a frame, and a checksum, a
//! turn. [`split`] is the other direction.

use std::mem;

use bytes::{Buf, Bytes};
use synod_codec::frame::{self, Frame};
use synod_engine::GroupId;

use super::version::PeerVersion;
use super::{NO_GROUP, kind};

/// A frame that has so many bytes takes no more messages: it is time to have it checked and sent.
const FRAME_BYTES: usize = 64 << 10;

/// What is before a message in a frame of many: its group and its length, both 32 bits, little endian.
const PREFIX_BYTES: usize = 8;

/// Frames, the last of which may take more messages.
#[derive(Default)]
pub(crate) struct Lane {
    bytes: Vec<u8>,
    /// Where that frame begins.
    open: Option<usize>,
}

/// How a lane was.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    bytes: usize,
    open: Option<usize>,
}

impl Lane {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), open: self.open }
    }

    /// Takes out what was pushed last, `before` which the lane was so.
    pub(crate) fn undo(&mut self, before: Mark) {
        self.bytes.truncate(before.bytes);
        self.open = before.open;
    }

    /// Appends a message; returns its bytes. A frame of several has at most `max_bytes` of them.
    pub(crate) fn push(
        &mut self,
        version: PeerVersion,
        group: GroupId,
        max_bytes: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        if !version.packs() {
            let before = self.bytes.len();
            frame::write(kind::MESSAGE, group.0, &mut self.bytes, write);
            return self.bytes.len() - before - frame::OVERHEAD_BYTES;
        }
        if self.open.is_some_and(|start| self.bytes.len() - start >= FRAME_BYTES) {
            self.close();
        }
        let begin = |bytes: &mut Vec<u8>| frame::begin(kind::MESSAGES, NO_GROUP, bytes);
        let start = *self.open.get_or_insert_with(|| begin(&mut self.bytes));
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&group.0.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut self.bytes);
        let length = self.bytes.len() - at - PREFIX_BYTES;
        let prefix = u32::try_from(length).expect("a message is below 4 GiB").to_le_bytes();
        self.bytes[at + 4..at + PREFIX_BYTES].copy_from_slice(&prefix);
        let is_first = at == start + frame::OVERHEAD_BYTES;
        if !is_first && self.bytes.len() - start - frame::OVERHEAD_BYTES > max_bytes {
            let message = self.bytes.split_off(at);
            self.close();
            self.open = Some(begin(&mut self.bytes));
            self.bytes.extend_from_slice(&message);
        }
        length
    }

    /// Appends a frame that says nothing.
    pub(crate) fn beat(&mut self) {
        self.close();
        frame::write(kind::BEAT, NO_GROUP, &mut self.bytes, |_| {});
    }

    /// Exchanges the frames of this lane, all whole now, for the bytes of `other`, of which there are none.
    pub(crate) fn swap(&mut self, other: &mut Vec<u8>) {
        self.close();
        mem::swap(&mut self.bytes, other);
    }

    fn close(&mut self) {
        if let Some(start) = self.open.take() {
            frame::end(start, &mut self.bytes);
        }
    }
}

/// The longest payload of a frame, where messages have at most `max_message_bytes`.
pub(crate) fn max_payload_bytes(max_message_bytes: usize) -> usize {
    max_message_bytes.saturating_add(PREFIX_BYTES)
}

/// The messages of a frame, each with its group.
///
/// # Errors
/// What is wrong with it, at the end.
pub(crate) fn split(
    version: PeerVersion,
    frame: Frame,
) -> impl Iterator<Item = Result<(GroupId, Bytes), String>> {
    let Frame { kind, group, payload } = frame;
    let mut rest = match (kind, version.packs()) {
        (kind::MESSAGE, false) => Ok(Rest::One(GroupId(group), payload)),
        (kind::MESSAGES, true) => Ok(Rest::Many(payload)),
        (kind, _) => Err(format!("a frame of kind {kind}, in version {version}")),
    };
    std::iter::from_fn(move || match mem::replace(&mut rest, Ok(Rest::Nothing)) {
        Ok(Rest::Nothing) => None,
        Ok(Rest::One(group, message)) => Some(Ok((group, message))),
        Ok(Rest::Many(many)) if many.is_empty() => None,
        Ok(Rest::Many(mut many)) => {
            if many.len() < PREFIX_BYTES {
                return Some(Err("a message without its prefix".into()));
            }
            let group = GroupId(many.get_u32_le());
            let length = many.get_u32_le() as usize;
            if length > many.len() {
                return Some(Err(format!("a message of {length} bytes in {}", many.len())));
            }
            let message = many.split_to(length);
            rest = Ok(Rest::Many(many));
            Some(Ok((group, message)))
        }
        Err(why) => Some(Err(why)),
    })
}

/// What was not split yet.
enum Rest {
    Nothing,
    One(GroupId, Bytes),
    Many(Bytes),
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    const MAX: usize = 200_000;

    /// Pushes messages of these groups and lengths; returns the frames.
    fn frames(version: PeerVersion, messages: &[(u32, usize)]) -> Vec<Frame> {
        let mut lane = Lane::default();
        for (group, length) in messages {
            let write = |out: &mut Vec<u8>| out.extend(vec![*group as u8; *length]);
            assert_eq!(lane.push(version, GroupId(*group), MAX, write), *length);
        }
        let mut bytes = Vec::new();
        lane.swap(&mut bytes);
        assert_eq!(lane.bytes(), 0);
        let mut bytes = BytesMut::from(&bytes[..]);
        let next = || frame::read(&mut bytes, max_payload_bytes(MAX)).unwrap();
        std::iter::from_fn(next).collect()
    }

    fn messages(version: PeerVersion, frames: Vec<Frame>) -> Vec<(u32, usize)> {
        let messages = frames.into_iter().flat_map(|frame| split(version, frame));
        let shape = |message: Result<(GroupId, Bytes), String>| {
            let (group, bytes) = message.unwrap();
            assert!(bytes.iter().all(|byte| *byte == group.0 as u8));
            (group.0, bytes.len())
        };
        messages.map(shape).collect()
    }

    #[test]
    fn messages_come_out_as_they_went_in_whatever_the_version() {
        let sent = [(1, 7), (2, 0), (3, MAX), (1, 40_000), (1, 40_000), (9, 90_000), (9, 120_000)];
        for (version, count) in [(PeerVersion(2), sent.len()), (PeerVersion(3), 5)] {
            let frames = frames(version, &sent);
            assert_eq!(frames.len(), count, "in version {version}");
            assert_eq!(messages(version, frames), sent);
        }
    }

    /// Version 3 was released so: two messages, then a frame that says nothing.
    #[test]
    fn the_bytes_of_version_3_stay() {
        let mut lane = Lane::default();
        lane.push(PeerVersion(3), GroupId(7), MAX, |out| out.extend_from_slice(b"one"));
        lane.push(PeerVersion(3), GroupId(0x0102_0304), MAX, |out| out.extend_from_slice(b"other"));
        lane.beat();
        let mut bytes = Vec::new();
        lane.swap(&mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "2600000036e9b747b0a3839001120000000007000000030000006f6e6504030201050000006f746865720e000000c5fdd067f247a19a011100000000"
        );
    }

    #[test]
    fn what_is_undone_was_never_there() {
        for version in [PeerVersion(2), PeerVersion(3)] {
            let mut lane = Lane::default();
            let push = |lane: &mut Lane, bytes: usize| {
                let before = lane.mark();
                lane.push(version, GroupId(1), MAX, |out| out.extend(vec![1; bytes]));
                before
            };
            for bytes in [10, FRAME_BYTES, 10, MAX] {
                let before = push(&mut lane, bytes);
                lane.undo(before);
                assert_eq!(lane.bytes(), before.bytes);
                push(&mut lane, bytes);
                let before = push(&mut lane, bytes);
                lane.undo(before);
            }
            let mut bytes = Vec::new();
            lane.swap(&mut bytes);
            let mut bytes = BytesMut::from(&bytes[..]);
            let next = || frame::read(&mut bytes, max_payload_bytes(MAX)).unwrap();
            let sent = [(1, 10), (1, FRAME_BYTES), (1, 10), (1, MAX)];
            assert_eq!(messages(version, std::iter::from_fn(next).collect()), sent);
        }
    }

    #[test]
    fn a_frame_that_lies_is_refused() {
        let frame = |kind, payload: &'static [u8]| Frame {
            kind,
            group: 0,
            payload: Bytes::from_static(payload),
        };
        let refused = |version, frame| split(PeerVersion(version), frame).last().unwrap().is_err();
        assert!(refused(3, frame(kind::MESSAGES, &[1, 0, 0, 0, 5, 0, 0, 0, 7])), "too short");
        assert!(refused(3, frame(kind::MESSAGES, &[1, 0, 0, 0, 0])), "not even a prefix");
        assert!(refused(3, frame(kind::MESSAGE, &[7])), "that was version 2");
        assert!(refused(2, frame(kind::MESSAGES, &[1, 0, 0, 0, 0, 0, 0, 0])), "that is version 3");
        assert!(refused(3, frame(kind::OFFER, &[])), "that is no message");
    }
}
