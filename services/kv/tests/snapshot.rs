//! A snapshot is the whole state, and nothing but a snapshot is taken for one.

mod client;

use bytes::{Bytes, BytesMut};
use client::{Log, NO_SESSION, append, bytes, put, snapshot, stored};
use synod_codec::frame;
use synod_consensus::{RestoreError, StateMachine};
use synod_engine::Random;
use synod_kv::Store;
use synod_kv::limits::{MAX_UNANSWERED, MAX_VALUE_BYTES, MIN_LEASE_MS};
use synod_kv::snapshot::PIECE_BYTES;

fn restored(pieces: impl IntoIterator<Item = Bytes>) -> Result<Log, RestoreError> {
    Store::new().restore(pieces.into_iter()).map(|store| Log { store, index: 1_000_000 })
}

/// Some of everything: keys of all sizes, sessions with and without answers, time.
fn busy() -> Log {
    let mut log = Log::default();
    let sessions: Vec<_> = (0..20).map(|more| log.open(MIN_LEASE_MS + more)).collect();
    for (place, session) in (0..).zip(&sessions) {
        for number in 1..=place {
            log.write(*session, number, append(&format!("k{number}"), "value"));
        }
        log.pass_ms(1);
    }
    log.write(sessions[0], 1, put("large", &"x".repeat(MAX_VALUE_BYTES)));
    log
}

#[test]
fn a_restored_store_equals_the_one_it_was_taken_from() {
    let log = busy();
    let pieces = snapshot(&log.store);
    assert!(pieces.iter().all(|piece| (1..=PIECE_BYTES).contains(&piece.len())));
    assert!(pieces.len() > 4, "the large value spans pieces");
    assert!(restored(pieces).unwrap().store == log.store);
    assert!(restored(snapshot(&Store::new())).unwrap().store == Store::new());
}

/// A client may number its commands as it likes. The first snapshot after a number near the end of the
/// numbers was refused by whoever read it: no node started again.
#[test]
fn the_highest_numbers_survive_a_snapshot() {
    for number in [u64::MAX, u64::MAX - 1, u64::MAX - MAX_UNANSWERED, u64::MAX / 2] {
        let mut log = Log::default();
        let session = log.open(MIN_LEASE_MS);
        let done = log.write_above(session, number, number, put("k", "v"));
        assert_eq!(done, stored(1), "number {number}");
        let mut restored = restored(snapshot(&log.store)).unwrap();
        assert!(restored.store == log.store);
        assert_eq!(restored.write_above(session, number, number, put("k", "v")), stored(1));
    }
}

#[test]
fn the_size_of_the_pieces_does_not_matter() {
    let log = busy();
    let whole = snapshot(&log.store).concat();
    let bytewise = whole[whole.len() - 5_000..].iter().map(|byte| bytes([*byte]));
    let pieces = [bytes(&whole[..whole.len() - 5_000])].into_iter().chain(bytewise);
    assert!(restored(pieces).unwrap().store == log.store);
    assert!(restored([Bytes::from(whole)]).unwrap().store == log.store);
}

#[test]
fn equal_states_give_equal_bytes_however_they_came_about() {
    let mut one = Log::default();
    let mut other = Log::default();
    for log in [&mut one, &mut other] {
        log.open(MIN_LEASE_MS);
    }
    for log in [&mut one, &mut other] {
        let session = synod_kv::message::SessionId(1);
        log.write(session, 1, put("a", "1"));
        log.write(session, 2, put("b", "1"));
    }
    other.store = Store::new().restore(snapshot(&other.store).into_iter()).unwrap();
    assert_eq!(snapshot(&one.store), snapshot(&other.store));
}

#[test]
fn a_command_sent_before_the_snapshot_is_a_duplicate_after_it() {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    log.write(session, 1, append("k", "a"));
    log.write_above(session, 3, 2, append("k", "c"));
    let mut log = restored(snapshot(&log.store)).unwrap();
    assert_eq!(log.write_above(session, 3, 2, append("k", "c")), stored(2));
    assert_ne!(log.write(session, 1, append("k", "a")), stored(3));
    assert_eq!(log.write_above(session, 2, 2, append("k", "b")), stored(3));
    assert_eq!(log.value("k").as_deref(), Some("acb"));
}

#[test]
fn a_restored_session_expires_when_it_would_have() {
    let mut log = Log::default();
    log.pass_ms(12_345);
    let session = log.open(MIN_LEASE_MS);
    log.pass_ms(MIN_LEASE_MS - 1);
    let mut log = restored(snapshot(&log.store)).unwrap();
    assert_eq!(log.store.sessions(), 1);
    log.pass_ms(1);
    assert_eq!(log.write(session, 1, put("k", "v")), NO_SESSION);
}

#[test]
fn later_commands_do_not_reach_into_a_frozen_state() {
    let mut log = busy();
    let before = snapshot(&log.store);
    let frozen = log.store.freeze();
    let session = log.open(MIN_LEASE_MS);
    for number in 1..100 {
        log.write(session, number, put(&format!("k{number}"), "changed"));
    }
    log.pass_ms(MIN_LEASE_MS * 2);
    assert_eq!(<Store>::chunks(&frozen).collect::<Vec<_>>(), before);
}

#[test]
fn no_flipped_bit_and_no_cut_goes_unnoticed() {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    log.write(session, 1, put("a", "1"));
    let whole = snapshot(&log.store).concat();
    for bit in 0..whole.len() * 8 {
        let mut bad = whole.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(restored([Bytes::from(bad)]).is_err(), "bit {bit} went unnoticed");
    }
    for length in 0..whole.len() {
        assert!(restored([bytes(&whole[..length])]).is_err(), "cut at {length}");
    }
    assert!(restored([bytes(&whole), bytes("\0")]).is_err());
    assert!(restored([bytes(&whole), bytes(&whole)]).is_err());
}

/// The frames of a snapshot: what kind, and what it says.
fn frames(store: &Store) -> Vec<(u8, Vec<u8>)> {
    let mut buffer = BytesMut::from(&snapshot(store).concat()[..]);
    let frames = std::iter::from_fn(|| frame::read(&mut buffer, 4 << 20).expect("whole frames"));
    frames.map(|frame| (frame.kind, frame.payload.to_vec())).collect()
}

/// A snapshot of these frames, with checksums that match.
fn forged(frames: &[(u8, Vec<u8>)]) -> Result<Log, RestoreError> {
    let mut out = Vec::new();
    for (kind, payload) in frames {
        frame::write(*kind, 0, &mut out, |out| out.extend_from_slice(payload));
    }
    restored([Bytes::from(out)])
}

#[test]
fn frames_that_are_missing_repeated_or_out_of_order_are_refused() {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    for number in 1..=20 {
        let key = format!("k{number:02}");
        log.write(session, number, put(&key, &"x".repeat(10_000)));
    }
    let whole = frames(&log.store);
    assert!(forged(&whole).is_ok() && whole.len() > 6);
    for place in 0..whole.len() {
        let mut missing = whole.clone();
        missing.remove(place);
        assert!(forged(&missing).is_err(), "nobody missed frame {place}");
        let mut repeated = whole.clone();
        repeated.insert(place, whole[place].clone());
        assert!(forged(&repeated).is_err(), "frame {place} was taken twice");
    }
    let mut swapped = whole.clone();
    swapped.swap(whole.len() - 2, whole.len() - 1);
    assert!(forged(&swapped).is_err());
}

#[test]
fn another_format_and_another_service_are_refused_by_name() {
    let mut whole = frames(&Store::new());
    whole[0].1[8] = 1;
    let error = forged(&whole).err().unwrap();
    assert!(error.0.contains("format 1") && error.0.contains("reads format 2"), "{error}");
    whole[0].1[0] = b'S';
    assert!(forged(&whole).err().unwrap().0.contains("synod-kv"));
}

#[test]
fn whatever_a_frame_says_it_is_refused_or_makes_a_possible_store() {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    for number in 1..=4 {
        log.write(session, number, put(&format!("k{number}"), "v"));
    }
    let whole = frames(&log.store);
    let mut random = Random::new(5);
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..20_000 {
        let mut frames = whole.clone();
        let payload = &mut frames[random.below(whole.len() as u64) as usize].1;
        for _ in 0..=random.below(3) {
            let place = random.below(payload.len() as u64) as usize;
            payload[place] = random.bits() as u8;
        }
        match forged(&frames) {
            Err(_) => refused += 1,
            Ok(mut log) => {
                taken += 1;
                assert!(restored(snapshot(&log.store)).unwrap().store == log.store);
                log.write(session, 5, put("k1", "w"));
                log.pass_ms(MIN_LEASE_MS);
            }
        }
    }
    assert!(refused > 500 && taken > 500, "{refused} refused, {taken} taken");
}
