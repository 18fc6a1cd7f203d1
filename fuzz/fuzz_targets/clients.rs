//! What clients and servers say to each other: read without a panic, and what a client's message means does
//! not change when it is written again. Its commands are applied: nonsense is answered, and changes nothing.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use synod_codec::frame;
use synod_consensus::{Index, StateMachine};
use synod_kv::Store;
use synod_kv::wire::{Ask, FromClient, FromServer};

const MAX_REQUEST_BYTES: usize = 64 << 10;

fuzz_target!(|frames: Vec<(u8, Vec<u8>)>| {
    let mut bytes = Vec::new();
    for (kind, payload) in &frames {
        // Kinds that mean something, mostly.
        frame::write(kind % 20, 0, &mut bytes, |out| out.extend_from_slice(payload));
    }
    let mut buffer = BytesMut::from(&bytes[..]);
    while let Ok(Some(said)) = FromServer::read(&mut buffer) {
        drop(said);
    }
    let (mut buffer, mut store, mut index) = (BytesMut::from(&bytes[..]), Store::new(), 0);
    while let Ok(Some(said)) = FromClient::read(&mut buffer, MAX_REQUEST_BYTES) {
        let FromClient::Request(request) = said else { continue };
        match request.ask {
            Ask::Write(command) => {
                index += 1;
                apply(&mut store, index, &command);
            }
            Ask::Read(query) | Ask::Stale { query, .. } => drop(store.read(&query)),
            Ask::Operate(_) | Ask::Watch(_) | Ask::Cancel | Ask::Status => {}
        }
    }
});

/// A command that makes no sense changes nothing; two stores come to the same.
fn apply(store: &mut Store, index: u64, command: &Bytes) {
    let mut other = restored(store);
    let answer = store.apply(Index(index), command);
    assert_eq!(format!("{answer:?}"), format!("{:?}", other.apply(Index(index), command)));
    assert!(chunks(store) == chunks(&other));
}

fn restored(store: &Store) -> Store {
    Store::new().restore(chunks(store).into_iter()).expect("what was frozen is restored")
}

fn chunks(store: &Store) -> Vec<Bytes> {
    <Store as StateMachine>::chunks(&store.freeze()).collect()
}
