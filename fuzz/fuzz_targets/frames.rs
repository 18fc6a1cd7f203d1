//! Frames: however a stream is cut into pieces, the same frames come out of it, none above the bound, and
//! each is written again as it was read.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use synod_codec::frame::{self, Frame, FrameError};

const MAX_PAYLOAD_BYTES: usize = 1000;

fuzz_target!(|input: (Vec<Vec<u8>>, Vec<(u8, u32, Vec<u8>)>)| {
    let (pieces, sound) = input;
    // As it comes: garbage, mostly.
    let whole: Vec<u8> = pieces.concat();
    let (at_once, in_pieces) = (read([whole.as_slice()]), read(pieces.iter().map(Vec::as_slice)));
    assert_eq!(at_once, in_pieces);

    // What was written is read, whatever follows it.
    let mut bytes = Vec::new();
    for (kind, group, payload) in &sound {
        frame::write(*kind, *group, &mut bytes, |out| out.extend_from_slice(payload));
    }
    let fits = sound.iter().take_while(|(.., payload)| payload.len() <= MAX_PAYLOAD_BYTES).count();
    bytes.extend_from_slice(&whole);
    let (frames, _) = read([bytes.as_slice()]);
    assert!(frames.len() >= fits);
    for (frame, (kind, group, payload)) in frames.iter().zip(&sound[..fits]) {
        assert_eq!((frame.kind, frame.group, &frame.payload[..]), (*kind, *group, &payload[..]));
    }
});

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<FrameError>) {
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match frame::read(&mut buffer, MAX_PAYLOAD_BYTES) {
                Ok(Some(frame)) => {
                    assert!(frame.payload.len() <= MAX_PAYLOAD_BYTES);
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}
