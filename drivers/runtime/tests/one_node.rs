//! Stories of a cluster of one: identity, restart, a kill in the middle, bounds, a full disk.

mod story;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use story::{CLUSTER, addresses, begin, begin_with, config, lines, raft, until, write};
use synod_consensus::Refusal;
use synod_engine::{ClusterId, NodeId};
use synod_runtime::{Disk, FreeSpace, IdentityError, Outcome, StartError, StopReason};

#[tokio::test]
async fn a_restart_replays_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(1, dir.path(), &addresses(1));
    let node = begin(&config).unwrap();
    let incarnation = node.identity().incarnation;
    assert_eq!(write(&[&node], "one").await, 1);
    assert_eq!(write(&[&node], "two").await, 2);
    assert_eq!(node.shutdown().await, StopReason::Shutdown);
    let node = begin(&config).unwrap();
    assert_eq!(node.identity().incarnation, incarnation);
    assert_eq!(lines(&[&node]).await, ["one", "two"]);
}

#[tokio::test]
async fn a_kill_in_the_middle_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(1, dir.path(), &addresses(1));
    let mut acknowledged = Vec::new();
    for life in 0..3 {
        let node = begin(&config).unwrap();
        write(&[&node], "ready").await;
        let handle = node.handle();
        let writer = tokio::spawn(async move {
            let mut done = Vec::new();
            for number in 0.. {
                let line = format!("{life}.{number}");
                match handle.write(line.clone()).await {
                    Outcome::Done(_) => done.push(line),
                    Outcome::Refused(_) | Outcome::Unknown => break,
                }
            }
            done
        });
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        drop(node);
        let done = writer.await.unwrap();
        assert!(!done.is_empty(), "nothing was acknowledged in life {life}");
        acknowledged.extend(done);
    }
    let node = begin(&config).unwrap();
    let lines = lines(&[&node]).await;
    let missing = acknowledged.iter().find(|line| !lines.contains(line));
    assert_eq!(missing, None);
}

#[tokio::test]
async fn a_directory_is_for_one_process_one_node_one_engine_and_one_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let good = config(1, dir.path(), &addresses(2));
    let node = begin(&good).unwrap();
    let pid = std::process::id().to_string();
    match begin(&good).map(drop) {
        Err(StartError::Identity(IdentityError::Locked { pid: holder, .. })) => {
            assert_eq!(holder, pid);
        }
        other => panic!("{other:?}"),
    }
    node.shutdown().await;
    let before = std::fs::read_to_string(dir.path().join("identity.toml")).unwrap();

    let mut other_cluster = good.clone();
    other_cluster.cluster = ClusterId(1);
    match begin(&other_cluster).map(drop) {
        Err(StartError::Identity(IdentityError::Cluster { found, expected, .. })) => {
            assert_eq!((found, expected), (CLUSTER.0, 1));
        }
        other => panic!("{other:?}"),
    }
    let mut other_engine = good.clone();
    other_engine.engine = Some("viewstamped");
    match begin(&other_engine).map(drop) {
        Err(StartError::Identity(error @ IdentityError::Engine { .. })) => {
            let told = error.to_string();
            assert!(told.contains("viewstamped cannot read it; nothing was changed"), "{told}");
        }
        other => panic!("{other:?}"),
    }
    let other_node = config(2, dir.path(), &addresses(2));
    match begin(&other_node).map(drop) {
        Err(StartError::Identity(IdentityError::Node { found: NodeId(1), .. })) => {}
        other => panic!("{other:?}"),
    }
    let after = std::fs::read_to_string(dir.path().join("identity.toml")).unwrap();
    assert_eq!(before, after);

    std::fs::write(dir.path().join("identity.toml"), "format = 99\nnew = true\n").unwrap();
    match begin(&good).map(drop) {
        Err(StartError::Identity(IdentityError::Version { found: 99, .. })) => {}
        other => panic!("{other:?}"),
    }
    std::fs::write(dir.path().join("identity.toml"), "format = 1\ncluster = 7\n").unwrap();
    assert!(matches!(
        begin(&good).map(drop),
        Err(StartError::Identity(IdentityError::Damaged { .. }))
    ));
    std::fs::remove_file(dir.path().join("identity.toml")).unwrap();
    assert!(matches!(
        begin(&good).map(drop),
        Err(StartError::Identity(IdentityError::Damaged { .. }))
    ));
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    assert!(matches!(
        begin(&config(1, &file, &addresses(1))).map(drop),
        Err(StartError::Identity(IdentityError::NotWritable { .. }))
    ));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a directory");
}

#[tokio::test]
async fn an_address_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = config(1, dir.path(), &[taken.local_addr().unwrap()]);
    assert!(matches!(begin(&config).map(drop), Err(StartError::Listen { .. })));
}

#[tokio::test]
async fn beyond_a_bound_requests_are_refused_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(1, dir.path(), &addresses(1));
    config.limits.max_unanswered_requests = 4;
    config.limits.max_command_bytes = 10;
    let node = begin(&config).unwrap();
    write(&[&node], "first").await;
    let handle = node.handle();
    let too_large = handle.write(vec![0; 11]).await;
    assert_eq!(too_large, Outcome::Refused(Refusal::TooLarge { max_bytes: 10 }));
    let writes = (0..200).map(|_| {
        tokio::spawn({
            let handle = handle.clone();
            async move { handle.write("x").await }
        })
    });
    let writes: Vec<_> = writes.collect();
    let (mut done, mut busy) = (0, 0);
    for write in writes {
        match write.await.unwrap() {
            Outcome::Done(_) => done += 1,
            Outcome::Refused(Refusal::Busy) => busy += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(done >= 4 && busy > 0 && done + busy == 200, "done {done}, busy {busy}");
    assert_eq!(lines(&[&node]).await.len(), 1 + done);
}

#[tokio::test]
async fn a_low_disk_refuses_writes_and_takes_them_again_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(1, dir.path(), &addresses(1));
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let reported = free.clone();
    config.free_space = FreeSpace::of(move |_| Ok(reported.load(Ordering::Relaxed)));
    let node = begin(&config).unwrap();
    write(&[&node], "before").await;
    free.store(config.limits.disk_reserve_bytes - 1, Ordering::Relaxed);
    let handle = node.handle();
    until("the disk is low", || handle.status().disk == Disk::Low).await;
    let reserve_bytes = config.limits.disk_reserve_bytes;
    let full = Refusal::DiskFull { node: NodeId(1), reserve_bytes };
    assert_eq!(handle.write("during").await, Outcome::Refused(full));
    assert_eq!(lines(&[&node]).await, ["before"], "reads go on");
    free.store(config.limits.disk_reserve_bytes * 2, Ordering::Relaxed);
    until("the disk has room", || handle.status().disk == Disk::Ample).await;
    assert_eq!(handle.write("after").await, Outcome::Done(2));
}

#[tokio::test]
async fn a_snapshot_replaces_the_log_and_old_snapshots_go() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(1, dir.path(), &addresses(1));
    let mut raft = raft(&config);
    raft.bounds.snapshot_every = 20;
    raft.bounds.keep_log_bytes = 500;
    let node = begin_with(&config, raft.clone()).unwrap();
    let handle = node.handle();
    let mut written = 0;
    while handle.status().log.snapshot.0 < 150 {
        write(&[&node], &written.to_string()).await;
        written += 1;
        assert!(written < 100_000, "no snapshot replaces an earlier one");
    }
    let blobs = || std::fs::read_dir(dir.path().join("blobs")).unwrap().count();
    until("old snapshots are gone", || blobs() == 1).await;
    node.shutdown().await;
    let orphans = ["blobs/0000000000000abc", "blobs/0000000000000abc.part"];
    let orphans = orphans.map(|name| dir.path().join(name));
    orphans.iter().for_each(|orphan| std::fs::write(orphan, "an orphan").unwrap());
    let node = begin_with(&config, raft).unwrap();
    assert!(!orphans.iter().any(|orphan| orphan.exists()), "orphans go at a start");
    let lines = lines(&[&node]).await;
    assert_eq!(lines.len(), written);
    assert_eq!(lines[written - 1], (written - 1).to_string());
}

#[tokio::test]
async fn a_damaged_snapshot_stops_the_node_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(1, dir.path(), &addresses(1));
    let mut raft = raft(&config);
    raft.bounds.snapshot_every = 10;
    let node = begin_with(&config, raft.clone()).unwrap();
    for number in 0..50 {
        write(&[&node], &number.to_string()).await;
    }
    let handle = node.handle();
    until("a snapshot", || handle.status().log.snapshot.0 >= 10).await;
    node.shutdown().await;
    let mut names = Vec::new();
    for blob in std::fs::read_dir(dir.path().join("blobs")).unwrap() {
        let path = blob.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        names.push(path.display().to_string());
    }
    let node = begin_with(&config, raft).unwrap();
    match node.stopped().await {
        StopReason::Damaged(why) => {
            assert!(names.iter().any(|name| why.contains(name)), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_missing_log_or_snapshot_is_refused_even_where_nobody_was_met() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(1, dir.path(), &addresses(1));
    let mut raft = raft(&config);
    raft.bounds.snapshot_every = 10;
    let node = begin_with(&config, raft.clone()).unwrap();
    let handle = node.handle();
    while handle.status().log.snapshot.0 < 10 {
        write(&[&node], "a line").await;
    }
    node.shutdown().await;
    let away = dir.path().join("away");
    let log = dir.path().join("log");
    std::fs::rename(&log, &away).unwrap();
    for made in [false, true] {
        if made {
            std::fs::create_dir(&log).unwrap();
            std::fs::write(log.join("unfinished.tmp"), "").unwrap();
        }
        match begin_with(&config, raft.clone()).map(drop) {
            Err(StartError::Identity(IdentityError::LogGone { dir })) => assert_eq!(dir, log),
            other => panic!("{other:?}"),
        }
    }
    std::fs::remove_dir_all(&log).unwrap();
    std::fs::rename(&away, &log).unwrap();
    let blobs = dir.path().join("blobs");
    std::fs::rename(&blobs, &away).unwrap();
    match begin_with(&config, raft.clone()).map(drop) {
        Err(StartError::Damaged { why, .. }) => assert_eq!(why, "it is missing"),
        other => panic!("{other:?}"),
    }
    std::fs::remove_dir(&blobs).unwrap();
    std::fs::rename(&away, &blobs).unwrap();
    begin_with(&config, raft).unwrap().shutdown().await;
}

#[tokio::test]
async fn a_panic_while_a_snapshot_is_written_fails_that_one_only() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(1, dir.path(), &addresses(1));
    let mut raft = raft(&config);
    raft.bounds.snapshot_every = 10;
    let node = begin_with(&config, raft).unwrap();
    write(&[&node], story::POISON).await;
    for number in 0..30 {
        write(&[&node], &number.to_string()).await;
    }
    let handle = node.handle();
    assert_eq!(handle.status().log.snapshot.0, 0, "it cannot be written");
    write(&[&node], story::POISON).await;
    let mut written = 32;
    while handle.status().log.snapshot.0 < 30 {
        write(&[&node], "more").await;
        written += 1;
        assert!(written < 100_000, "no snapshot is ever tried again");
    }
}

#[tokio::test]
async fn after_a_stop_requests_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(1, dir.path(), &addresses(1));
    let node = begin(&config).unwrap();
    write(&[&node], "one").await;
    let handle = node.handle();
    node.shutdown().await;
    let refused = handle.write(Bytes::from_static(b"late")).await;
    assert_eq!(refused, Outcome::Refused(Refusal::NotLeader { leader: None }));
}

#[tokio::test]
async fn bounds_that_contradict_each_other_are_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let mut config = config(1, &home, &addresses(1));
    config.limits.log_segment_bytes = 1 << 20;
    match begin(&config).map(drop) {
        Err(StartError::Limits(why)) => assert!(why.contains("max_message_bytes"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(!home.exists());
}

#[tokio::test]
async fn what_a_node_counts_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(1, dir.path(), &addresses(1));
    let node = begin(&config).unwrap();
    for number in 0..10 {
        write(&[&node], &number.to_string()).await;
    }
    lines(&[&node]).await;
    let read = || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &node.metrics).unwrap();
        text
    };
    let has = |line: &str| read().lines().any(|other| other == line);
    until("it leads", || has("synod_is_leader 1")).await;
    assert!(has("synod_reads_total 1"), "{}", read());
    until("all is applied", || has("synod_applied_index 11")).await;
    let proposals: u64 = read()
        .lines()
        .find_map(|line| line.strip_prefix("synod_proposals_total ")?.parse().ok())
        .unwrap();
    assert!(proposals >= 10, "{proposals}");
    assert!(read().contains("synod_log_sync_seconds_bucket"));
}
