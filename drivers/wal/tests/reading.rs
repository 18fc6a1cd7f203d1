//! Records are read back while the log is written.

#![allow(clippy::unwrap_used, reason = "a log that cannot be written has failed the test")]

#[expect(dead_code, reason = "each test uses its part")]
mod faulty;

use faulty::FaultyDisk;
use synod_engine::GroupId;
use synod_wal::{Kind, Log, Options, Preparation};

const A: GroupId = GroupId(1);
const B: GroupId = GroupId(2);

fn options() -> Options {
    Options {
        segment_bytes: 16 << 10,
        max_record_bytes: 3000,
        max_batch_bytes: 8 << 10,
        copy_above_bytes: 80 << 10,
        max_log_bytes: 512 << 10,
        max_spare_segments: 1,
    }
}

fn open(disk: &FaultyDisk) -> Log {
    Log::open_on(disk.shared(), options(), Preparation::Inline).unwrap().0
}

/// The `position`-th record of a group: its length and its bytes tell which it is.
fn payload(group: GroupId, position: u64) -> Vec<u8> {
    vec![(position * 7 + u64::from(group.0)) as u8; 200 + (position % 300) as usize]
}

fn write(log: &mut Log, group: GroupId, kind: Kind) {
    let position = log.position(group) + 1;
    let mut batch = log.batch();
    batch.append(group, kind, &payload(group, position)).unwrap();
    log.sync(&mut batch).unwrap();
}

fn payloads(group: GroupId, first: u64, last: u64) -> Option<Vec<Vec<u8>>> {
    Some((first..=last).map(|position| payload(group, position)).collect())
}

#[test]
fn what_is_live_is_read_across_segments_and_what_is_dead_is_gone() {
    let disk = FaultyDisk::new(1);
    let mut log = open(&disk);
    let mut reader = log.reader();
    for number in 0..200 {
        write(&mut log, if number % 3 == 0 { B } else { A }, Kind::Fact);
    }
    for (first, last) in [(1, 1), (1, 40), (41, 60), (61, 133), (100, 120), (3, 5), (133, 133)] {
        assert_eq!(reader.read(A, first, last).unwrap(), payloads(A, first, last), "{first}");
    }
    assert_eq!(reader.read(B, 60, 67).unwrap(), payloads(B, 60, 67));
    assert_eq!(reader.read(A, 130, 134).unwrap(), None, "not written yet");
    write(&mut log, A, Kind::Checkpoint { keeps: 20 });
    assert_eq!(reader.read(A, 113, 113).unwrap(), None, "given up");
    assert_eq!(reader.read(A, 114, 134).unwrap(), payloads(A, 114, 134));
}

/// A group that writes little is carried forward; its records are where they were copied to.
#[test]
fn what_was_copied_forward_is_found() {
    let disk = FaultyDisk::new(2);
    let mut log = open(&disk);
    let mut reader = log.reader();
    (0..5).for_each(|_| write(&mut log, B, Kind::Fact));
    for round in 0..60 {
        (0..20).for_each(|_| write(&mut log, A, Kind::Fact));
        write(&mut log, A, Kind::Checkpoint { keeps: 3 });
        let last = log.position(A);
        assert_eq!(reader.read(B, 1, 5).unwrap(), payloads(B, 1, 5), "round {round}");
        assert_eq!(reader.read(A, last - 3, last).unwrap(), payloads(A, last - 3, last));
    }
    let mut log = open(&disk);
    write(&mut log, B, Kind::Fact);
    assert_eq!(log.reader().read(B, 1, 6).unwrap(), payloads(B, 1, 6), "also in the next life");
}
