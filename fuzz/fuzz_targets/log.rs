//! The log on disk, with bytes changed and files cut: it is opened to a beginning of what was written, or
//! refused; nothing is invented, and what was opened once opens again to the same.
#![no_main]

use std::sync::{Arc, OnceLock};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use synod_engine::GroupId;
use synod_fuzz::memory::{Files, Memory};
use synod_wal::{Entry, Kind, Log, OpenError, Options, Preparation};

#[derive(Arbitrary, Debug)]
enum Edit {
    /// These bytes stand in this file at this place.
    Write { file: u8, offset: u16, bytes: Vec<u8> },
    /// One bit is another.
    Flip { file: u8, offset: u16, bit: u8 },
    /// The file ends here.
    Cut { file: u8, length: u16 },
    /// The file is gone.
    Remove { file: u8 },
    /// The two files have changed names.
    Swap { file: u8, other: u8 },
}

fn options() -> Options {
    Options {
        segment_bytes: 16 << 10,
        max_record_bytes: 2 << 10,
        max_batch_bytes: 4 << 10,
        copy_above_bytes: 1 << 20,
        max_log_bytes: 1 << 20,
        max_spare_segments: 1,
    }
}

/// A log of several segments and two groups, as files and as what it holds.
fn written() -> &'static (Files, Vec<Entry>) {
    static WRITTEN: OnceLock<(Files, Vec<Entry>)> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let disk = Arc::new(Memory::default());
        let (mut log, _) = Log::open_on(disk.clone(), options(), Preparation::Inline).unwrap();
        for round in 0..24u32 {
            let mut batch = log.batch();
            for group in [1, 2] {
                let kind = if round == 2 { Kind::Checkpoint { keeps: 1 } } else { Kind::Fact };
                let length = 16 + (round as usize * 131) % 1500;
                batch.append(GroupId(group), kind, &vec![round as u8 + 1; length]).unwrap();
            }
            log.sync(&mut batch).unwrap();
        }
        drop(log);
        let (_, recovered) = Log::open_on(disk.clone(), options(), Preparation::Inline).unwrap();
        (disk.files(), recovered.entries)
    })
}

fuzz_target!(|edits: Vec<Edit>| {
    let (files, all) = written();
    let disk = Arc::new(Memory::of(files.clone()));
    edits.iter().for_each(|edit| apply(&disk, edit));
    let before = disk.files();
    let Ok((log, recovered)) = open(&disk) else {
        assert!(disk.files() == before, "what is refused is left as it was");
        return;
    };
    drop(log);
    for entry in &recovered.entries {
        assert!(all.contains(entry), "{:?} of {} was never written", entry.position, entry.group);
    }
    for group in [1, 2].map(GroupId) {
        let of = |entries: &[Entry]| -> Vec<u64> {
            entries
                .iter()
                .filter(|entry| entry.group == group)
                .map(|entry| entry.position)
                .collect()
        };
        let (found, whole) = (of(&recovered.entries), of(all));
        // Before a checkpoint became durable, older records were live.
        let is_run = found.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        assert!(is_run && found.len() <= whole.len() + 3, "{found:?} of {whole:?}");
    }
    let (_, again) = open(&disk).expect("it was opened before");
    assert_eq!(again.entries, recovered.entries);
});

fn open(disk: &Arc<Memory>) -> Result<(Log, synod_wal::Recovered), OpenError> {
    Log::open_on(disk.clone(), options(), Preparation::Inline)
}

fn apply(disk: &Memory, edit: &Edit) {
    disk.change(|files| {
        let name =
            |file: u8, files: &Files| files.keys().nth(file as usize % files.len().max(1)).cloned();
        match edit {
            Edit::Write { file, offset, bytes } => {
                let Some(file) = name(*file, files).and_then(|name| files.get_mut(&name)) else {
                    return;
                };
                let place = file.iter_mut().skip(*offset as usize);
                place.zip(bytes).for_each(|(old, new)| *old = *new);
            }
            Edit::Flip { file, offset, bit } => {
                let Some(file) = name(*file, files).and_then(|name| files.get_mut(&name)) else {
                    return;
                };
                if let Some(byte) = file.get_mut(*offset as usize) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Edit::Cut { file, length } => {
                let Some(file) = name(*file, files).and_then(|name| files.get_mut(&name)) else {
                    return;
                };
                file.truncate(*length as usize);
            }
            Edit::Remove { file } => {
                if let Some(name) = name(*file, files) {
                    files.remove(&name);
                }
            }
            Edit::Swap { file, other } => {
                let (Some(a), Some(b)) = (name(*file, files), name(*other, files)) else { return };
                let (in_a, in_b) = (files[&a].clone(), files[&b].clone());
                files.extend([(a, in_b), (b, in_a)]);
            }
        }
    });
}
