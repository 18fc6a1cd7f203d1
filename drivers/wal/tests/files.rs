//! A log in a real directory.

use std::path::Path;

use synod_engine::GroupId;
use synod_wal::{Entry, Kind, Log, Options, Recovered};

const GROUP: GroupId = GroupId(1);

fn small() -> Options {
    Options {
        segment_bytes: 64 << 10,
        max_record_bytes: 8 << 10,
        max_batch_bytes: 32 << 10,
        copy_above_bytes: 256 << 10,
        ..Options::default()
    }
}

fn open(path: &Path) -> (Log, Recovered) {
    Log::open(path, small()).expect("a sound log opens")
}

fn payloads(entries: &[Entry]) -> Vec<&[u8]> {
    entries.iter().map(|entry| &entry.payload[..]).collect()
}

#[test]
fn what_was_synced_comes_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, recovered) = open(dir.path());
    assert_eq!(recovered, Recovered { entries: Vec::new(), cut: None });
    let mut batch = log.batch();
    for word in ["one", "two"] {
        batch.append(GROUP, Kind::Fact, word.as_bytes()).unwrap();
    }
    log.sync(&mut batch).unwrap();
    batch.append_with(GROUP, Kind::Fact, |out| out.extend_from_slice(b"three")).unwrap();
    log.sync(&mut batch).unwrap();
    batch.append(GROUP, Kind::Fact, b"never synced").unwrap();
    assert_eq!(log.position(GROUP), 3);
    drop(log);
    let (log, recovered) = open(dir.path());
    assert_eq!(payloads(&recovered.entries), [&b"one"[..], b"two", b"three"]);
    assert_eq!(recovered.cut, None);
    assert_eq!(log.position(GROUP), 3);
}

#[test]
fn a_log_rolls_through_many_segments_and_reuses_those_that_checkpoints_free() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let mut batch = log.batch();
    for round in 0u32..2000 {
        let kind = if round % 100 == 0 { Kind::Checkpoint { keeps: 0 } } else { Kind::Fact };
        let payload = round.to_le_bytes().repeat(100);
        batch.append(GROUP, kind, &payload).unwrap();
        if round % 5 == 4 {
            log.sync(&mut batch).unwrap();
        }
    }
    let files = std::fs::read_dir(dir.path()).unwrap().count();
    assert!(files <= 8, "{files} files for 100 live records");
    drop(log);
    let (_, recovered) = open(dir.path());
    let positions: Vec<u64> = recovered.entries.iter().map(|entry| entry.position).collect();
    assert_eq!(positions, (1901..=2000).collect::<Vec<_>>());
    for (entry, round) in recovered.entries.iter().zip(1900u32..) {
        assert_eq!(entry.payload, round.to_le_bytes().repeat(100));
    }
}

#[test]
fn a_batch_larger_than_a_segment_is_cut_between_records() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let mut batch = log.batch();
    for number in 0u32..1000 {
        batch.append(GROUP, Kind::Fact, &number.to_le_bytes().repeat(64)).unwrap();
    }
    log.sync(&mut batch).unwrap();
    assert!(batch.is_empty());
    drop(log);
    let (_, recovered) = open(dir.path());
    assert_eq!(recovered.entries.len(), 1000);
    assert!(recovered.entries.iter().zip(0u32..).all(|(e, n)| e.payload[..4] == n.to_le_bytes()));
}

#[test]
fn an_idle_group_does_not_pin_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let mut batch = log.batch();
    let idle = GroupId(7);
    batch.append(idle, Kind::Checkpoint { keeps: 0 }, b"base").unwrap();
    batch.append(idle, Kind::Fact, b"after").unwrap();
    log.sync(&mut batch).unwrap();
    for round in 0u32..4000 {
        let kind = if round % 50 == 0 { Kind::Checkpoint { keeps: 0 } } else { Kind::Fact };
        batch.append(GROUP, kind, &[0; 1000]).unwrap();
        if round % 10 == 9 {
            log.sync(&mut batch).unwrap();
        }
    }
    let files = std::fs::read_dir(dir.path()).unwrap().count();
    assert!(files <= 9, "{files} files");
    drop(log);
    let (_, recovered) = open(dir.path());
    let of_idle = recovered.entries.iter().filter(|entry| entry.group == idle);
    let of_idle: Vec<_> = of_idle.map(|entry| (entry.position, &entry.payload[..])).collect();
    assert_eq!(of_idle, [(1, &b"base"[..]), (2, b"after")]);
}

#[test]
fn a_log_can_be_examined_without_changing_it() {
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path().join("log");
    assert_eq!(Log::examine(&there).unwrap(), None);
    assert!(!there.exists());
    let (mut log, _) = open(&there);
    let mut batch = log.batch();
    for word in ["one", "two"] {
        batch.append(GROUP, Kind::Fact, word.as_bytes()).unwrap();
        log.sync(&mut batch).unwrap();
    }
    drop(log);
    // A torn end: the last byte of the last batch was never written.
    let first = there.join("0000000000000001.wal");
    let mut bytes = std::fs::read(&first).unwrap();
    let at = bytes.windows(3).rposition(|word| word == b"two").unwrap();
    bytes[at + 2] ^= 1;
    std::fs::write(&first, &bytes).unwrap();
    let found = Log::examine(&there).unwrap().unwrap();
    assert_eq!(payloads(&found.entries), [&b"one"[..]]);
    assert_eq!(found.cut.unwrap().file, first);
    assert_eq!(std::fs::read(&first).unwrap(), bytes, "nothing was changed");
    // Damage: a batch that a later one proves.
    let at = bytes.windows(3).position(|word| word == b"one").unwrap();
    bytes[at] ^= 1;
    bytes[at + 2] ^= 1;
    let two = bytes.windows(2).rposition(|word| word == b"tw").unwrap();
    bytes[two + 2] ^= 1;
    std::fs::write(&first, &bytes).unwrap();
    assert!(matches!(Log::examine(&there), Err(synod_wal::OpenError::Damaged { .. })));
    assert_eq!(std::fs::read(&first).unwrap(), bytes, "nothing was changed");
}
