//! What a survey says of a log is what the next start makes of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use synod_engine::GroupId;
use synod_wal::{Kind, Log, OpenError, Options, Survey};

/// Small segments, so that they are read quickly.
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

/// A log of so many batches, each synced.
fn written(dir: &Path, batches: usize) -> Survey {
    let (mut log, _) = Log::open(dir, options()).unwrap();
    for number in 0..batches {
        let mut batch = log.batch();
        batch.append(GroupId(1), Kind::Fact, format!("record {number}").as_bytes()).unwrap();
        log.sync(&mut batch).unwrap();
    }
    drop(log);
    Log::survey(dir).unwrap().unwrap()
}

#[test]
fn any_byte_of_what_is_proven_is_missed_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let survey = written(dir.path(), 4);
    assert_eq!(survey.proven.len(), 3, "nothing proves the last one");
    let file = File::options().read(true).write(true).open(&survey.file).unwrap();
    for at in survey.proven.iter().flat_map(Clone::clone) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        let examined = Log::examine(dir.path());
        assert!(matches!(examined, Err(OpenError::Damaged { .. })), "byte {at}: {examined:?}");
        file.write_all_at(&byte, at).unwrap();
    }
    assert_eq!(Log::examine(dir.path()).unwrap().unwrap().entries.len(), 4);
}

#[test]
fn whatever_stands_behind_the_end_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let survey = written(dir.path(), 4);
    let file = File::options().read(true).write(true).open(&survey.file).unwrap();
    let first = &survey.proven[0];
    let mut earlier = vec![0; (first.end - first.start) as usize];
    file.read_exact_at(&mut earlier, first.start).unwrap();
    for tail in [vec![0xa5; 5_000], earlier] {
        file.write_all_at(&tail, survey.end).unwrap();
        let (log, recovered) = Log::open(dir.path(), options()).unwrap();
        assert_eq!(recovered.entries.len(), 4);
        drop(log);
    }
    assert_eq!(Log::survey(dir.path()).unwrap().unwrap().end, survey.end);
}

#[test]
fn where_there_is_no_log_there_is_nothing_to_survey() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Log::survey(&dir.path().join("none")).unwrap(), None);
    assert_eq!(Log::survey(dir.path()).unwrap(), None);
}
