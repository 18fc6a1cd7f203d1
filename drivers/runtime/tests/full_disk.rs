//! A story of a disk that is truly full: a small file system of its own, where the system lets us make
//! one.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

#[allow(dead_code, reason = "not every story needs every helper")]
mod story;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use story::{LineNode, addresses, begin, begin_with, config, raft, until, write};
use synod_consensus::Refusal;
use synod_runtime::{Disk, NodeConfig, Outcome};

/// A file system in memory, taken down when dropped.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, and a word on why, where only others may make one.
    fn make(mebibytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self { dir }),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).into_owned();
                println!("skipped: no file system could be mounted: {}", why.trim());
                None
            }
            Err(error) => {
                println!("skipped: no file system could be mounted: {error}");
                None
            }
        }
    }

    fn node(&self) -> PathBuf {
        self.dir.path().join("node")
    }

    fn ballast(&self) -> PathBuf {
        self.dir.path().join("ballast")
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            let piece = vec![7; size];
            while ballast.write_all(&piece).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.dir.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "the file system stays");
    }
}

/// Lines of 100 KB, each known by its number.
fn line(number: usize) -> Vec<u8> {
    let mut line = format!("{number:08}").into_bytes();
    line.resize(100_000, b'.');
    line
}

/// Writes lines from `first` on until one is refused; those that were acknowledged by then, and those
/// that wait.
async fn write_until_refused(
    node: &LineNode,
    first: usize,
) -> (Vec<usize>, Vec<(usize, tokio::task::JoinHandle<Outcome<usize>>)>) {
    let (mut done, mut waiting) = (Vec::new(), Vec::new());
    for number in first..first + 1000 {
        let handle = node.handle();
        let mut writing = tokio::spawn(async move { handle.write(line(number)).await });
        match tokio::time::timeout(Duration::from_millis(500), &mut writing).await {
            Ok(Ok(Outcome::Done(_))) => done.push(number),
            Ok(Ok(Outcome::Refused(Refusal::DiskFull { .. }))) => return (done, waiting),
            Ok(other) => panic!("{other:?}"),
            // It was taken before the disk was known to be full, and is kept until there is space.
            Err(_) => waiting.push((number, writing)),
        }
    }
    panic!("the disk takes more than it can hold");
}

async fn numbers(node: &LineNode) -> Vec<usize> {
    let Outcome::Done(lines) = node.handle().query(()).await else { panic!("no answer") };
    lines.iter().filter_map(|line| std::str::from_utf8(&line[..8]).unwrap().parse().ok()).collect()
}

fn limits(disk: &SmallDisk) -> NodeConfig {
    let mut config = config(1, &disk.node(), &addresses(1));
    // Nothing is held in reserve: the log itself must notice.
    config.limits.disk_reserve_bytes = 0;
    config
}

#[tokio::test]
async fn a_truly_full_disk_loses_nothing_and_the_node_goes_on_when_there_is_space() {
    let Some(disk) = SmallDisk::make(32) else { return };
    let config = limits(&disk);
    let node = begin(&config).unwrap();
    write(&[&node], "00000000 the first").await;
    disk.fill();
    let (mut done, waiting) = write_until_refused(&node, 1).await;
    assert!(!done.is_empty(), "a segment lies ready");
    assert_eq!(node.handle().status().disk, Disk::Low);
    let known = numbers(&node).await;
    assert!(done.iter().all(|number| known.contains(number)), "reads go on");
    disk.free();
    for (number, writing) in waiting {
        assert!(matches!(writing.await.unwrap(), Outcome::Done(_)), "{number} was taken");
        done.push(number);
    }
    until("there is space", || node.handle().status().disk == Disk::Ample).await;
    assert!(matches!(node.handle().write(line(5000)).await, Outcome::Done(_)));
    done.push(5000);
    drop(node);
    let node = begin(&config).unwrap();
    write(&[&node], "00006000 the last").await;
    let known = numbers(&node).await;
    let lost = done.iter().find(|number| !known.contains(number));
    assert_eq!(lost, None);
}

#[tokio::test]
async fn a_node_that_is_killed_on_a_full_disk_starts_on_a_full_disk() {
    let Some(disk) = SmallDisk::make(32) else { return };
    let config = limits(&disk);
    let mut raft = raft(&config);
    raft.bounds.snapshot_every = 50;
    let node = begin_with(&config, raft.clone()).unwrap();
    write(&[&node], "00000000 the first").await;
    disk.fill();
    let (mut done, _) = write_until_refused(&node, 1).await;
    drop(node);
    disk.fill();
    let node = begin_with(&config, raft.clone()).unwrap();
    until("it has read its log", || {
        let log = node.handle().status().log;
        log.applied.0 as usize >= done.len()
    })
    .await;
    disk.free();
    until("there is space", || node.handle().status().disk == Disk::Ample).await;
    for number in 2000..2100 {
        write(&[&node], std::str::from_utf8(&line(number)).unwrap()).await;
        done.push(number);
    }
    drop(node);
    let node = begin_with(&config, raft).unwrap();
    write(&[&node], "00006000 the last").await;
    let known = numbers(&node).await;
    let lost = done.iter().find(|number| !known.contains(number));
    assert_eq!(lost, None);
}
