//! What a sync costs here, and what the log makes of it.
//!
//! `cargo run --release -p synod-wal --example wal_bench [DIRECTORY]`; the directory should lie on the
//! disk in question. It needs 1 GiB there, and gives it back.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};
use synod_engine::GroupId;
use synod_wal::{Kind, Log, Options};

const FILE_BYTES: u64 = 64 << 20;
const RECORD: [u8; 300] = [7; 300];
const TIME_PER_ROW: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error>> {
    let dir = match std::env::args().nth(1) {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir_in(".")?,
    };
    println!("write and fdatasync, microseconds            p50      p99");
    for size in [4 << 10, 64 << 10, 256 << 10] {
        for (blocks, file) in files(dir.path())? {
            let mut times = time_syncs(&file, size)?;
            row(&format!("{:>4} KiB on {blocks} blocks", size >> 10), &mut times);
        }
    }
    println!("\nthe log, records of 300 bytes                p50      p99   records/s");
    for records in [1, 10, 100, 1000] {
        log_row(&dir.path().join(format!("log-{records}")), records)?;
    }
    append_row(&dir.path().join("log-append"))?;
    println!("\nfiles made ahead, 1 GiB written in 300 KB each   p50      p99   processor ms");
    for (label, checkpoint_every, spares) in [
        ("new files, none is freed", u64::MAX, 0),
        ("two freed at once, none kept", 2 * FILE_BYTES, 0),
        ("two freed at once, all kept", 2 * FILE_BYTES, 6),
    ] {
        supply_row(&dir.path().join("log-supply"), label, checkpoint_every, spares)?;
    }
    Ok(())
}

/// What it costs the thread that makes segments to keep up.
fn supply_row(
    dir: &Path,
    label: &str,
    checkpoint_every: u64,
    spares: usize,
) -> Result<(), Box<dyn Error>> {
    let options = Options { max_spare_segments: spares, ..Options::default() };
    let (mut log, _) = Log::open(dir, options)?;
    let mut batch = log.batch();
    let mut times = Vec::new();
    let (mut written, mut since) = (0, 0);
    while written < 1 << 30 {
        let kind = if since >= checkpoint_every {
            since = 0;
            Kind::Checkpoint { keeps: 0 }
        } else {
            Kind::Fact
        };
        batch.append(GroupId(1), kind, &RECORD)?;
        for _ in 1..1000 {
            batch.append(GroupId(1), Kind::Fact, &RECORD)?;
        }
        written += batch.size_bytes() as u64;
        since += batch.size_bytes() as u64;
        let before = Instant::now();
        log.sync(&mut batch)?;
        times.push(before.elapsed());
    }
    let spent = processor_ms("wal-segments")?;
    row_with(label, &mut times, &format!("{spent:>12}"));
    drop(log);
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

/// What the threads of this name have used so far.
fn processor_ms(name: &str) -> Result<u64, Box<dyn Error>> {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        let Some((head, fields)) = stat.rsplit_once(") ") else { continue };
        if head.ends_with(name) {
            let fields = fields.split(' ').skip(11).take(2);
            ticks += fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
        }
    }
    Ok(ticks * 10)
}

fn files(dir: &Path) -> Result<Vec<(&'static str, File)>, Box<dyn Error>> {
    let new = |name: &str| {
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(dir.join(name))
    };
    let fill = |file: &File, byte: u8| {
        let piece = vec![byte; 1 << 20];
        (0..FILE_BYTES >> 20).try_for_each(|at| file.write_all_at(&piece, at << 20))
    };
    let fallocated = new("fallocated")?;
    fallocate(&fallocated, FallocateFlags::empty(), 0, FILE_BYTES)?;
    let zeroed = new("zeroed")?;
    fill(&zeroed, 0)?;
    let recycled = new("recycled")?;
    fill(&recycled, 1)?;
    let files = vec![
        ("fresh", new("fresh")?),
        ("fallocated", fallocated),
        ("zero-filled", zeroed),
        ("recycled", recycled),
    ];
    for (_, file) in &files {
        file.sync_all()?;
    }
    Ok(files)
}

fn time_syncs(file: &File, size: usize) -> Result<Vec<Duration>, Box<dyn Error>> {
    let bytes = vec![3; size];
    let mut times = Vec::new();
    for at in 0..(FILE_BYTES / size as u64).min(500) {
        let start = Instant::now();
        file.write_all_at(&bytes, at * size as u64)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn log_row(dir: &Path, records: usize) -> Result<(), Box<dyn Error>> {
    let (mut log, _) = Log::open(dir, Options::default())?;
    let mut batch = log.batch();
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < TIME_PER_ROW {
        let checkpoint = times.len() * records / 100_000 < (times.len() + 1) * records / 100_000;
        for record in 0..records {
            let kind =
                if checkpoint && record == 0 { Kind::Checkpoint { keeps: 0 } } else { Kind::Fact };
            batch.append(GroupId(1), kind, &RECORD)?;
        }
        let before = Instant::now();
        log.sync(&mut batch)?;
        times.push(before.elapsed());
    }
    let rate = (times.len() * records) as f64 / start.elapsed().as_secs_f64();
    row_with(&format!("{records:>4} to a sync"), &mut times, &format!("{rate:>12.0}"));
    drop(log);
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

fn append_row(dir: &Path) -> Result<(), Box<dyn Error>> {
    let (mut log, _) = Log::open(dir, Options::default())?;
    let mut batch = log.batch();
    let (mut records, mut appending) = (0, Duration::ZERO);
    for _ in 0..100 {
        let start = Instant::now();
        for _ in 0..1000 {
            batch.append(GroupId(1), Kind::Fact, &RECORD)?;
        }
        appending += start.elapsed();
        records += 1000;
        log.sync(&mut batch)?;
    }
    println!("\nappend: {} ns a record", appending.as_nanos() / records);
    Ok(())
}

fn row(label: &str, times: &mut [Duration]) {
    row_with(label, times, "");
}

fn row_with(label: &str, times: &mut [Duration], rest: &str) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_micros();
    println!("  {label:<38} {:>8} {:>8}{rest}", at(50), at(99));
}
