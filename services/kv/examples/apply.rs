//! A store without a log: opens a session, writes, retries, reads; then how fast it applies.
//!
//! `cargo run --release -p synod-kv --example apply`

#![allow(clippy::disallowed_types, reason = "an example is a driver: it has a clock")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use synod_codec::encode;
use synod_consensus::{Index, StateMachine};
use synod_kv::Store;
use synod_kv::message::{Command, Op, Query, Response, SessionId};

const KEYS: u64 = 100_000;
const WRITES: u64 = 1_000_000;
const BATCH: usize = 1_000;

fn main() {
    let mut store = Store::new();
    let opened = store.apply(Index(1), &encoded(&Command::Open { lease_ms: 60_000 }));
    let Response::Opened { session, .. } = opened else {
        panic!("a store has room for one session")
    };

    let put = write(session, 1, Bytes::from_static(b"greeting"), Bytes::from_static(b"hello"));
    let (first, retry) = (store.apply(Index(2), &put), store.apply(Index(3), &put));
    assert_eq!(first, retry, "a retry is answered as the first time");
    println!("{:?}", store.read(&Query::Get { key: Bytes::from_static(b"greeting") }));

    let mut applying = Duration::ZERO;
    for batch in (2..WRITES + 2).step_by(BATCH) {
        let numbers = batch..batch + BATCH as u64;
        let writes: Vec<_> = numbers.map(|number| scattered_put(session, number)).collect();
        let begin = Instant::now();
        for (index, write) in (batch + 2..).map(Index).zip(&writes) {
            store.apply(index, write);
        }
        applying += begin.elapsed();
    }
    let per_write = applying.as_nanos() / u128::from(WRITES);
    println!("{per_write} ns per put of 256 bytes, {} keys", store.keys());

    let begin = Instant::now();
    let frozen = store.freeze();
    println!("frozen in {:?}", begin.elapsed());
    let begin = Instant::now();
    let pieces: Vec<_> = Store::chunks(&frozen).collect();
    let size_bytes: usize = pieces.iter().map(Bytes::len).sum();
    println!("{size_bytes} bytes of snapshot written in {:?}", begin.elapsed());
    let begin = Instant::now();
    let restored = Store::new().restore(pieces.into_iter()).expect("its own snapshot");
    assert!(restored == frozen, "a restored store equals the one it was taken from");
    println!("restored in {:?}", begin.elapsed());
}

/// A put of 256 bytes to one of many keys.
fn scattered_put(session: SessionId, number: u64) -> Vec<u8> {
    let key = format!("key-{:08}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % KEYS);
    write(session, number, Bytes::from(key), Bytes::from(vec![b'x'; 256]))
}

fn write(session: SessionId, number: u64, key: Bytes, value: Bytes) -> Vec<u8> {
    let answered_below = number.saturating_sub(64).max(1);
    encoded(&Command::Write { session, number, answered_below, op: Op::Put { key, value } })
}

fn encoded(command: &Command) -> Vec<u8> {
    let mut out = Vec::new();
    encode(command, &mut out);
    out
}
