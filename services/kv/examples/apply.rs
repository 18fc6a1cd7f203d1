//! A store without a log: opens a session, writes, retries, reads; then how fast it applies.
//!
//! `cargo run --release -p synod-kv --example apply -- 1000000` (how many keys)

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "an example is a driver: it has a clock and arguments"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use synod_codec::encode;
use synod_consensus::{Index, StateMachine};
use synod_kv::Store;
use synod_kv::message::{Command, Op, Query, Response, SessionId};

const WRITES: u64 = 1_000_000;
const BATCH: usize = 1_000;

fn main() {
    let keys =
        std::env::args().nth(1).map_or(1_000_000, |keys| keys.parse().expect("a number of keys"));
    let mut store = Store::new();
    let opened = store.apply(Index(1), &encoded(&Command::Open { lease_ms: 60_000 }));
    let Response::Opened { session, .. } = opened else {
        panic!("a store has room for one session")
    };

    let put = write(session, 1, Bytes::from_static(b"greeting"), Bytes::from_static(b"hello"));
    let (first, retry) = (store.apply(Index(2), &put), store.apply(Index(3), &put));
    assert_eq!(first, retry, "a retry is answered as the first time");
    println!("{:?}", store.read(&Query::Get { key: Bytes::from_static(b"greeting") }));

    // Every key once, in no order.
    let mut next = 2;
    report("new keys", apply(&mut store, session, keys, &mut next, keys), keys);
    report("keys that are there", apply(&mut store, session, keys, &mut next, WRITES), WRITES);
    let begin = Instant::now();
    let frozen = store.freeze();
    println!("frozen in {:?}", begin.elapsed());
    report("while frozen", apply(&mut store, session, keys, &mut next, WRITES), WRITES);

    let begin = Instant::now();
    let pieces: Vec<_> = Store::chunks(&frozen).collect();
    let size_bytes: usize = pieces.iter().map(Bytes::len).sum();
    println!("{size_bytes} bytes of snapshot written in {:?}", begin.elapsed());
    let begin = Instant::now();
    let restored = Store::new().restore(pieces.into_iter()).expect("its own snapshot");
    assert!(restored == frozen, "a restored store equals the one it was taken from");
    println!("restored in {:?}", begin.elapsed());
    let begin = Instant::now();
    let reads = 1_000_000;
    for number in 0..reads {
        store.read(&Query::Get { key: scattered_key(number, keys) });
    }
    println!("{:>5} ns per get", begin.elapsed().as_nanos() / u128::from(reads));
}

fn report(what: &str, applying: Duration, writes: u64) {
    let per_write = applying.as_nanos() / u128::from(writes);
    println!("{per_write:>5} ns per put of 256 bytes, {what}");
}

/// Applies puts of 256 bytes to scattered keys. How long this thread worked at it.
fn apply(
    store: &mut Store,
    session: SessionId,
    keys: u64,
    next: &mut u64,
    writes: u64,
) -> Duration {
    let mut applying = Duration::ZERO;
    for batch in (*next..*next + writes).step_by(BATCH) {
        let numbers = batch..batch + BATCH as u64;
        let writes: Vec<_> = numbers
            .map(|number| {
                let value = Bytes::from(vec![b'x'; 256]);
                write(session, number, scattered_key(number, keys), value)
            })
            .collect();
        let begin = worked();
        for (index, write) in (batch + 2..).map(Index).zip(&writes) {
            store.apply(index, write);
        }
        applying += worked() - begin;
    }
    *next += writes;
    applying
}

/// How long this thread has worked, so that a busy machine does not count; elsewhere than on Linux, the
/// time of day must do.
fn worked() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|told| told.split(' ').next()?.parse().ok());
    static BEGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    nanos.map_or_else(|| BEGIN.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

fn scattered_key(number: u64, keys: u64) -> Bytes {
    // Odd and coprime to powers of ten: all keys come before one comes again.
    Bytes::from(format!("key-{:08}", number.wrapping_mul(61_803_399) % keys))
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
