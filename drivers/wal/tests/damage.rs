//! Damage is refused, with file and offset; what a crash explains is cut; nothing is guessed.

#[expect(dead_code, reason = "each test uses its part")]
mod faulty;

use std::path::Path;

use faulty::{Crash, FaultyDisk};
use synod_engine::{GroupId, Random};
use synod_wal::{Entry, Kind, Log, OpenError, Options, Preparation, Recovered, SyncError};

const GROUP: GroupId = GroupId(1);
const FIRST: &str = "0000000000000001.wal";
const SECOND: &str = "0000000000000002.wal";
const SEGMENT_BYTES: u64 = 16 << 10;

fn options() -> Options {
    Options {
        segment_bytes: SEGMENT_BYTES,
        max_record_bytes: 3000,
        max_batch_bytes: 8 << 10,
        copy_above_bytes: 80 << 10,
        max_log_bytes: 512 << 10,
        max_spare_segments: 1,
    }
}

fn open(disk: &FaultyDisk) -> Result<(Log, Recovered), OpenError> {
    Log::open_on(disk.shared(), options(), Preparation::Inline)
}

/// Syncs each payload on its own; the first three batches stand at 4096, 4608 and 5120.
fn write(log: &mut Log, payloads: &[&[u8]]) {
    let mut batch = log.batch();
    for payload in payloads {
        batch.append(GROUP, Kind::Fact, payload).expect("the payload is short");
        log.sync(&mut batch).expect("the disk is well");
    }
}

fn log_of_three() -> FaultyDisk {
    let disk = FaultyDisk::new(1);
    let (mut log, _) = open(&disk).expect("an empty disk is fine");
    write(&mut log, &[b"one", b"two", b"three"]);
    disk.crash(Crash::PowerLosingAll)
}

/// A log of three segments, full but for the last.
fn log_of_three_segments() -> FaultyDisk {
    let disk = FaultyDisk::new(1);
    let (mut log, _) = open(&disk).expect("an empty disk is fine");
    write(&mut log, &[&[7; 2900][..]; 10]);
    disk.crash(Crash::PowerLosingAll)
}

fn payloads(entries: &[Entry]) -> Vec<&[u8]> {
    entries.iter().map(|entry| &entry.payload[..]).collect()
}

/// Opens a log that must be refused, for damage in this place, and left as it is.
fn assert_damaged(disk: &FaultyDisk, name: &str, at: u64) {
    let before = disk.content();
    match open(disk).map(|(_, recovered)| recovered) {
        Err(OpenError::Damaged { file, offset, .. }) => {
            assert_eq!((file, offset), (Path::new("/memory").join(name), at));
        }
        other => panic!("{name} is damaged at {at}, and this came of it: {other:?}"),
    }
    assert!(disk.content() == before, "a refused log was changed");
}

#[test]
fn a_bit_flipped_below_the_last_mark_is_damage_wherever_it_is() {
    for batch_at in [4096, 4608] {
        for byte in 0..64 + 17 + 3 {
            let disk = log_of_three();
            disk.flip(FIRST, (batch_at + byte) * 8 + byte % 8);
            assert_damaged(&disk, FIRST, batch_at);
        }
    }
}

#[test]
fn a_last_batch_that_rots_cannot_be_told_from_a_torn_one_and_is_cut() {
    for byte in 0..64 + 17 + 5 {
        let disk = log_of_three();
        disk.flip(FIRST, (5120 + byte) * 8);
        let (log, recovered) = open(&disk).unwrap();
        assert_eq!(payloads(&recovered.entries), [b"one", b"two"]);
        if let Some(cut) = recovered.cut {
            assert_eq!((cut.file, cut.offset), (Path::new("/memory").join(FIRST), 5120));
        }
        assert_eq!(log.position(GROUP), 2);
    }
}

#[test]
fn what_is_written_after_a_cut_is_what_comes_back() {
    let disk = log_of_three();
    disk.flip(FIRST, (5120 + 82) * 8);
    let (mut log, _) = open(&disk).unwrap();
    write(&mut log, &[b"instead", b"more"]);
    let disk = disk.crash(Crash::PowerLosingAll);
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(payloads(&recovered.entries), [&b"one"[..], b"two", b"instead", b"more"]);
    assert_eq!(recovered.cut, None);
}

#[test]
fn sectors_that_an_acknowledged_write_lost_are_damage() {
    let disk = log_of_three();
    disk.overwrite(FIRST, 4608, &[0; 512]);
    assert_damaged(&disk, FIRST, 4608);
}

#[test]
fn a_damaged_end_of_a_segment_is_found_from_the_next_segment() {
    let disk = log_of_three_segments();
    disk.overwrite(FIRST, 4096 + 2 * 3072, &[0; 3072]);
    assert_damaged(&disk, FIRST, 4096 + 2 * 3072);
}

#[test]
fn a_damaged_start_of_a_segment_is_found_from_behind_it() {
    let disk = log_of_three_segments();
    disk.flip(SECOND, 4096 * 8 + 3000);
    assert_damaged(&disk, SECOND, 4096);
    let disk = log_of_three_segments();
    disk.overwrite(SECOND, 4096, &[0; 3072]);
    assert_damaged(&disk, SECOND, 4096);
}

#[test]
fn a_missing_segment_is_damage() {
    for name in [FIRST, SECOND] {
        let disk = log_of_three_segments();
        disk.lose(name);
        assert_damaged(&disk, name, 0);
    }
}

#[test]
fn a_segment_of_another_log_is_damage() {
    let disk = log_of_three_segments();
    let other = log_of_three_segments();
    disk.overwrite(SECOND, 0, &other.content()[SECOND]);
    assert_damaged(&disk, SECOND, 0);
}

#[test]
fn a_segment_header_that_rots_is_damage_and_another_version_is_refused_as_such() {
    let disk = log_of_three_segments();
    disk.flip(FIRST, 20 * 8);
    assert_damaged(&disk, FIRST, 0);
    let disk = log_of_three_segments();
    disk.overwrite(FIRST, 8, &2u32.to_le_bytes());
    let before = disk.content();
    let error = open(&disk).map(|_| ()).unwrap_err();
    assert!(matches!(&error, OpenError::Version { found: 2, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "/memory/0000000000000001.wal has format 2; this version reads format 1; nothing was \
         changed; start the version that wrote it"
    );
    assert!(disk.content() == before, "a refused log was changed");
}

#[test]
fn a_record_that_holds_the_bytes_of_its_own_log_is_only_a_record() {
    let disk = log_of_three();
    let (mut log, _) = open(&disk).unwrap();
    // The payload of the next batch starts 81 bytes into it: copies of the headers so far fall on
    // sectors.
    let mut payload = vec![0; 512 - 81];
    payload.extend(&disk.content()[FIRST][4096..5632]);
    write(&mut log, &[&payload]);
    let disk = disk.crash(Crash::PowerLosingAll);
    let intact = disk.fork();
    let (_, recovered) = open(&intact).unwrap();
    assert_eq!(recovered.entries[3].payload, payload);
    disk.flip(FIRST, 5632 * 8);
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(payloads(&recovered.entries), [&b"one"[..], b"two", b"three"]);
}

#[test]
fn a_flipped_bit_is_refused_or_costs_at_most_the_last_sync() {
    let (mut refused, mut shortened, mut harmless) = (0, 0, 0);
    for seed in 0..2000 {
        let mut random = Random::new(seed);
        let disk = FaultyDisk::new(seed);
        let (mut log, _) = open(&disk).unwrap();
        let mut batch = log.batch();
        let syncs = random.between(1, 40);
        let mut last = 0;
        for sync in 0..syncs {
            last = random.between(1, 4);
            for _ in 0..last {
                // No checkpoint among the last, so that what precedes it is still known.
                let checkpoint = sync + 1 < syncs && random.below(30) == 0;
                let kind = if checkpoint { Kind::Checkpoint { keeps: 0 } } else { Kind::Fact };
                let payload = vec![random.bits() as u8; random.below(2000) as usize];
                batch.append(GROUP, kind, &payload).unwrap();
            }
            log.sync(&mut batch).unwrap();
        }
        drop(log);
        let disk = disk.crash(Crash::PowerLosingAll);
        let (_, whole) = open(&disk.fork()).unwrap();
        let content = disk.content();
        let names: Vec<&String> = content.keys().collect();
        let name = names[random.below(names.len() as u64) as usize];
        disk.flip(name, random.below(content[name].len() as u64 * 8));
        let before = disk.content();
        match open(&disk) {
            Ok((_, recovered)) => {
                let kept = recovered.entries.len();
                assert_eq!(recovered.entries, whole.entries[..kept]);
                let lost = (whole.entries.len() - kept) as u64;
                assert!(lost <= last, "seed {seed}: {lost} records lost, {last} in the last sync");
                shortened += u64::from(lost > 0);
                harmless += u64::from(lost == 0);
            }
            Err(OpenError::Damaged { file, .. } | OpenError::Version { file, .. }) => {
                assert_eq!(file, Path::new("/memory").join(name), "seed {seed}");
                assert!(disk.content() == before, "a refused log was changed");
                refused += 1;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    let met = (refused, shortened, harmless);
    assert!(refused > 200 && shortened > 20 && harmless > 200, "too tame: {met:?}");
}

#[test]
fn a_segment_that_rots_is_noticed_when_it_is_copied_forward() {
    let disk = FaultyDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    let mut batch = log.batch();
    batch.append(GroupId(2), Kind::Fact, b"of an idle group").unwrap();
    log.sync(&mut batch).unwrap();
    disk.flip(FIRST, (4096 + 81) * 8);
    let error = loop {
        batch.append(GROUP, Kind::Checkpoint { keeps: 0 }, &[7; 2000]).unwrap();
        if let Err(error) = log.sync(&mut batch) {
            break error;
        }
    };
    let SyncError::Damaged { file, offset, .. } = error else { panic!("{error}") };
    assert_eq!((file, offset), (Path::new("/memory").join(FIRST), 4096));
    assert!(matches!(log.sync(&mut batch), Err(SyncError::Poisoned)));
}

#[test]
fn a_failed_sync_poisons_the_log_and_the_next_life_trusts_no_memory() {
    let disk = log_of_three();
    let (mut log, _) = open(&disk).unwrap();
    disk.fail_sync_after(0);
    let mut batch = log.batch();
    batch.append(GROUP, Kind::Fact, b"four").unwrap();
    assert!(matches!(log.sync(&mut batch), Err(SyncError::Io { .. })));
    for _ in 0..2 {
        assert!(matches!(log.sync(&mut batch), Err(SyncError::Poisoned)));
    }
    // The system shows the record though it is not on the disk. Who reads it must put it there.
    let disk = disk.crash(Crash::Kill);
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(payloads(&recovered.entries), [&b"one"[..], b"two", b"three", b"four"]);
    let disk = disk.crash(Crash::PowerLosingAll);
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.entries.len(), 4);
}
