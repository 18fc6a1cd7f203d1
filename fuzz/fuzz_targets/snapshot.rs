//! Snapshots of the store: arbitrary bytes in sound frames, and sound ones changed, are refused or make a
//! store that freezes to the same bytes again.
#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use synod_codec::hash;
use synod_consensus::StateMachine;
use synod_engine::Blob;
use synod_kv::Store;
use synod_runtime::read_snapshot;

#[derive(Arbitrary, Debug)]
enum Input {
    /// A file as it is.
    Raw(Vec<u8>),
    /// Chunks whose own checksums are right.
    Chunks(Vec<Vec<u8>>),
    /// The snapshot of a store to which these commands were applied, with bytes changed.
    Changed { commands: Vec<Vec<u8>>, changes: Vec<(u16, u8)> },
}

fuzz_target!(|input: Input| {
    let empty = Store::new();
    let bytes = match input {
        Input::Raw(bytes) => bytes,
        Input::Chunks(chunks) => file(chunks.into_iter().map(Bytes::from)),
        Input::Changed { commands, changes } => {
            let mut store = Store::new();
            for (index, command) in (1..).zip(commands) {
                store.apply(synod_consensus::Index(index), &Bytes::from(command));
            }
            let chunks: Vec<Bytes> = <Store as StateMachine>::chunks(&store.freeze()).collect();
            let sound = file(chunks.iter().cloned());
            let again = read(&empty, &sound).expect("what was written is read");
            assert!(chunks.iter().eq(&again), "another state than was written");
            let changed = chunks.into_iter().map(|chunk| {
                let mut chunk = chunk.to_vec();
                for (at, byte) in &changes {
                    let length = chunk.len().max(1);
                    chunk.get_mut(*at as usize % length).into_iter().for_each(|old| *old = *byte);
                }
                Bytes::from(chunk)
            });
            file(changed)
        }
    };
    if let Ok(chunks) = read(&empty, &bytes) {
        let again = file(chunks.iter().cloned());
        assert!(read(&empty, &again).is_ok_and(|twice| twice == chunks), "it is not stable");
    }
});

/// The chunks of the state that these bytes describe.
fn read(empty: &Store, bytes: &[u8]) -> Result<Vec<Bytes>, String> {
    let blob = Blob { id: 1, size_bytes: bytes.len() as u64, checksum: hash(bytes) };
    let store = read_snapshot(empty, bytes, blob)?;
    Ok(<Store as StateMachine>::chunks(&store.freeze()).collect())
}

fn file(chunks: impl Iterator<Item = Bytes>) -> Vec<u8> {
    let mut bytes = b"synodsnp\x01\0\0\0".to_vec();
    for chunk in chunks.filter(|chunk| !chunk.is_empty()) {
        bytes.extend_from_slice(&(chunk.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&hash(&chunk).to_le_bytes());
        bytes.extend_from_slice(&chunk);
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes
}
