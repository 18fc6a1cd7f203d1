//! What nodes say to each other, and what they write down: bytes that are a message or record of an engine
//! are the same one when they are written again; all others are refused.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (which, bytes) = input;
    match which % 6 {
        0 => again::<synod_raft::Message>(&bytes),
        1 => again::<synod_raft::Record>(&bytes),
        2 => again::<synod_paxos::multi::Message>(&bytes),
        3 => again::<synod_paxos::multi::Record>(&bytes),
        4 => again::<synod_zab::Message>(&bytes),
        _ => again::<synod_zab::Record>(&bytes),
    }
});

fn again<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) {
    let Ok(said) = synod_codec::decode::<T>(bytes) else { return };
    let mut written = Vec::new();
    synod_codec::encode(&said, &mut written);
    let same: T = synod_codec::decode(&written).expect("what was written is read");
    assert_eq!(format!("{said:?}"), format!("{same:?}"));
}
