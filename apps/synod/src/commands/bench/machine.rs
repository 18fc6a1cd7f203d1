//! `synod bench machine`: what this machine can do at best, to be read beside what the cluster does.
//!
//! A put waits for one sync and two hops between processes; a loaded cluster is bound by what the
//! loopback and the memory carry.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{hint, io, thread};

use clap::Args;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure, Result};
use crate::output::{say, tell};

/// Sizes of the writes that are synced, in bytes.
const WRITES: [usize; 3] = [4 << 10, 64 << 10, 256 << 10];
const FILE_BYTES: usize = 64 << 20;
/// How long each measurement takes.
const TIME: Duration = Duration::from_millis(700);
const STREAM_BYTES: usize = 64 << 10;

/// Where to measure.
#[derive(Args, Clone, Debug)]
pub(crate) struct MachineArgs {
    /// A directory on the disk in question; 64 MiB are written there and removed
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &MachineArgs) -> Result<Exit> {
    let failed = |error: io::Error| {
        let what = format!("{} cannot be measured: {error}", args.dir.display());
        Failure::new(Exit::Data, what).in_json(args.json)
    };
    let syncs = time_syncs(&args.dir).map_err(failed)?;
    let round_trips = round_trips().map_err(failed)?;
    let (stream, copy) = (stream().map_err(failed)?, copy());
    if args.json {
        let sync = |(bytes, times): &(usize, Times)| {
            let mut told = times.as_json();
            told["bytes"] = json!(bytes);
            told
        };
        tell(&json!({
            "sync": syncs.iter().map(sync).collect::<Vec<_>>(),
            "loopback_round_trip": round_trips.as_json(),
            "loopback_bytes_per_second": stream,
            "copy_bytes_per_second": copy,
        }));
        return Ok(Exit::Done);
    }
    for (bytes, times) in &syncs {
        say!("write and fdatasync of {:>3} KiB   {}", bytes >> 10, times.as_text());
    }
    say!("round trip of 1 byte, loopback  {}", round_trips.as_text());
    say!("one stream over the loopback    {:.1} GB/s", stream / 1e9);
    say!("copying in memory, one thread   {:.1} GB/s", copy / 1e9);
    Ok(Exit::Done)
}

/// How long something took, in nanoseconds, sorted.
struct Times(Vec<u64>);

impl Times {
    /// Does it again and again.
    fn of(mut what: impl FnMut(u64) -> io::Result<()>) -> io::Result<Self> {
        let (begin, mut times) = (Instant::now(), Vec::new());
        while begin.elapsed() < TIME {
            let start = Instant::now();
            what(times.len() as u64)?;
            times.push(start.elapsed().as_nanos() as u64);
        }
        times.sort_unstable();
        Ok(Self(times))
    }

    fn at(&self, share: f64) -> f64 {
        let place = (self.0.len() as f64 * share) as usize;
        self.0.get(place.min(self.0.len() - 1)).map_or(0.0, |nanos| *nanos as f64 / 1_000.0)
    }

    fn as_json(&self) -> Value {
        json!({ "p50_us": self.at(0.5), "p99_us": self.at(0.99), "times": self.0.len() })
    }

    fn as_text(&self) -> String {
        format!("p50 {:.1} us, p99 {:.1} us", self.at(0.5), self.at(0.99))
    }
}

/// Writes into a file that is full of zeros, as the log's segments are, each followed by a sync.
fn time_syncs(dir: &Path) -> io::Result<Vec<(usize, Times)>> {
    let path = dir.join(format!("synod-bench-machine-{}", std::process::id()));
    let file = File::options().write(true).create_new(true).open(&path)?;
    let measured = file.write_all_at(&vec![0; FILE_BYTES], 0).and_then(|()| file.sync_all());
    let measured = measured.and_then(|()| {
        let sizes = WRITES.into_iter().map(|size| {
            let bytes = vec![7; size];
            let times = Times::of(|turn| {
                file.write_all_at(&bytes, turn * size as u64 % FILE_BYTES as u64)?;
                file.sync_data()
            });
            Ok((size, times?))
        });
        sizes.collect()
    });
    std::fs::remove_file(&path)?;
    measured
}

/// One byte there and back between two threads.
fn round_trips() -> io::Result<Times> {
    let (mut here, mut there) = pair()?;
    let echo = thread::spawn(move || {
        let mut byte = [0];
        while there.read_exact(&mut byte).and_then(|()| there.write_all(&byte)).is_ok() {}
    });
    let times = Times::of(|_| {
        here.write_all(&[7])?;
        here.read_exact(&mut [0])
    });
    drop(here);
    echo.join().expect("the echo does not panic");
    times
}

/// Bytes a second over one connection.
fn stream() -> io::Result<f64> {
    let (mut here, mut there) = pair()?;
    let reader = thread::spawn(move || {
        let (mut buffer, mut total) = (vec![0; STREAM_BYTES], 0);
        while let Ok(read @ 1..) = there.read(&mut buffer) {
            total += read;
        }
        total
    });
    let (begin, bytes) = (Instant::now(), vec![7; STREAM_BYTES]);
    while begin.elapsed() < TIME {
        here.write_all(&bytes)?;
    }
    drop(here);
    let total = reader.join().expect("the reader does not panic");
    Ok(total as f64 / begin.elapsed().as_secs_f64())
}

fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let here = TcpStream::connect(listener.local_addr()?)?;
    let (there, _) = listener.accept()?;
    here.set_nodelay(true)?;
    there.set_nodelay(true)?;
    Ok((here, there))
}

/// Bytes a second copied between two buffers that no cache holds.
fn copy() -> f64 {
    let (from, mut to) = (vec![7u8; FILE_BYTES], vec![0u8; FILE_BYTES]);
    let (begin, mut copied) = (Instant::now(), 0);
    while begin.elapsed() < TIME {
        to.copy_from_slice(hint::black_box(&from));
        hint::black_box(&mut to);
        copied += FILE_BYTES;
    }
    copied as f64 / begin.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_measured_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let syncs = time_syncs(dir.path()).unwrap();
        assert!(
            syncs.iter().all(|(_, times)| times.at(0.5) > 0.0 && times.at(0.5) <= times.at(1.0))
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(round_trips().unwrap().at(0.5) > 0.0 && stream().unwrap() > 0.0 && copy() > 0.0);
    }
}
