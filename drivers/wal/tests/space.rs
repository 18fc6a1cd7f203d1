//! What the log takes of the disk, and what happens when there is no more.

#[expect(dead_code, reason = "each test uses its part")]
mod faulty;

use faulty::{Crash, FaultyDisk};
use synod_engine::GroupId;
use synod_wal::{Kind, Log, OpenError, Options, Preparation, Recovered, SyncError};

const GROUP: GroupId = GroupId(1);
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

#[test]
fn a_full_disk_is_known_a_segment_ahead_and_loses_nothing() {
    let disk = FaultyDisk::new(1);
    disk.set_capacity(3 * SEGMENT_BYTES + 100);
    let (mut log, _) = open(&disk).unwrap();
    let mut batch = log.batch();
    let mut synced = 0;
    let mut room_when_short = None;
    let error = loop {
        batch.append(GROUP, Kind::Fact, &[7; 1000]).unwrap();
        match log.sync(&mut batch) {
            Ok(()) => synced += 1,
            Err(error) => break error,
        }
        let space = log.space().unwrap();
        if space.short && room_when_short.is_none() {
            room_when_short = Some(space.room_bytes);
        }
    };
    assert!(matches!(error, SyncError::Full(_)), "{error}");
    assert!(room_when_short.unwrap() > SEGMENT_BYTES / 2, "{room_when_short:?}");
    assert_eq!(batch.records(), 1);
    assert!(matches!(log.sync(&mut batch), Err(SyncError::Full(_))));
    disk.set_capacity(u64::MAX);
    log.sync(&mut batch).unwrap();
    assert!(!log.space().unwrap().short);
    let disk = disk.crash(Crash::PowerLosingAll);
    assert_eq!(open(&disk).unwrap().1.entries.len(), synced + 1);
}

#[test]
fn a_disk_too_full_for_a_first_segment_is_left_empty() {
    let disk = FaultyDisk::new(1);
    disk.set_capacity(SEGMENT_BYTES - 1);
    assert!(matches!(open(&disk).map(|_| ()), Err(OpenError::Io { .. })));
    assert!(disk.content().is_empty());
}

#[test]
fn a_log_stays_within_its_own_bound_and_a_checkpoint_makes_room() {
    let disk = FaultyDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    let mut batch = log.batch();
    while log.space().unwrap().room_bytes > SEGMENT_BYTES / 2 || !log.space().unwrap().short {
        batch.append(GROUP, Kind::Fact, &[7; 2000]).unwrap();
        log.sync(&mut batch).unwrap();
        assert!(log.space().unwrap().allocated_bytes <= options().max_log_bytes);
    }
    assert_eq!(log.largest_group().unwrap().0, GROUP);
    assert_eq!(log.crowding_groups(9), [GROUP]);
    batch.append(GROUP, Kind::Checkpoint { keeps: 0 }, b"all of it").unwrap();
    log.sync(&mut batch).unwrap();
    for _ in 0..100 {
        batch.append(GROUP, Kind::Checkpoint { keeps: 0 }, &[7; 2000]).unwrap();
        log.sync(&mut batch).unwrap();
    }
    let space = log.space().unwrap();
    assert!(!space.short && space.allocated_bytes <= 5 * SEGMENT_BYTES, "{space:?}");
    assert_eq!(log.crowding_groups(9), []);
}

#[test]
fn segments_made_on_a_thread_of_their_own_lose_nothing_either() {
    let disk = FaultyDisk::new(1);
    disk.set_capacity(6 * SEGMENT_BYTES + 100);
    let opened = Log::open_on(disk.shared(), options(), Preparation::Background);
    let (mut log, _) = opened.unwrap();
    let mut batch = log.batch();
    let mut synced = 0;
    let error = loop {
        batch.append(GROUP, Kind::Fact, &[7; 1000]).unwrap();
        match log.sync(&mut batch) {
            Ok(()) => synced += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SyncError::Full(_)), "{error}");
    disk.set_capacity(u64::MAX);
    log.sync(&mut batch).unwrap();
    drop(log);
    let disk = disk.crash(Crash::PowerLosingAll);
    assert_eq!(open(&disk).unwrap().1.entries.len(), synced + 1);
}

#[test]
fn a_checkpoint_on_a_full_disk_makes_room_without_waiting_for_another_record() {
    let disk = FaultyDisk::new(1);
    disk.set_capacity(3 * SEGMENT_BYTES + 100);
    let (mut log, _) = open(&disk).unwrap();
    let mut batch = log.batch();
    while !log.space().unwrap().short {
        batch.append(GROUP, Kind::Fact, &[7; 1000]).unwrap();
        log.sync(&mut batch).unwrap();
    }
    batch.append(GROUP, Kind::Checkpoint { keeps: 0 }, b"all of it").unwrap();
    log.sync(&mut batch).unwrap();
    assert!(!log.space().unwrap().short);
    let disk = disk.crash(Crash::PowerLosingAll);
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.entries.len(), 1);
    assert_eq!(recovered.entries[0].payload, b"all of it");
}

#[test]
fn a_log_may_be_opened_with_longer_or_shorter_segments() {
    let disk = FaultyDisk::new(1);
    let mut batch = open(&disk).unwrap().0.batch();
    let mut written = 0;
    for segment_bytes in [SEGMENT_BYTES, 2 * SEGMENT_BYTES, SEGMENT_BYTES, 4 * SEGMENT_BYTES] {
        let options = Options { segment_bytes, ..options() };
        let (mut log, recovered) =
            Log::open_on(disk.shared(), options, Preparation::Inline).unwrap();
        assert_eq!(recovered.entries.len(), written);
        for _ in 0..20 {
            batch.append(GROUP, Kind::Fact, &[7; 2000]).unwrap();
            log.sync(&mut batch).unwrap();
            written += 1;
        }
    }
    let disk = disk.crash(Crash::PowerLosingAll);
    assert_eq!(open(&disk).unwrap().1.entries.len(), written);
}
