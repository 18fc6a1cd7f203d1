//! What a node finds on its disk after a crash at a bad moment.

use synod_engine::{Corrupt, Engine as _};
use synod_zab::{Message, Phase, Record, Zab};

use crate::cluster::{Cluster, Envelope, ZabCluster as _};
use crate::driver::{Disk, Node, config, history};
use crate::words::{Past, batches, lived, snapshot, took_part};

/// Crashes node 1 after each of the records that it writes while it synchronises, restarts it, and lets the
/// cluster go on: there are so many entries then.
fn crash_after_each_record(mut cluster: Cluster, entries: u64) {
    let synchronises =
        |cluster: &mut Cluster| cluster.nodes[&1].view().phase == Phase::Synchronisation;
    assert!(cluster.run_until(synchronises), "{}", cluster.picture());
    cluster.node(1).disk = Disk::Manual;
    let mut records = 0;
    loop {
        cluster.settle();
        let mut crashed = cluster.clone();
        crashed.crash(1);
        crashed.node(1).disk = Disk::Instant;
        crashed.restart(1);
        crashed.establish();
        crashed.write(100, "y");
        assert_eq!(crashed.commits(), [entries; 3], "after {records} records");
        // Nor may it spoil anything where the leader does not come back.
        crashed.crash(3);
        crashed.establish();
        crashed.write(101, "z");
        assert_eq!(crashed.commits()[..2], [entries + 1; 2], "after {records} records");
        crashed.restart(3);
        crashed.establish();
        crashed.assert_sound();
        let node = cluster.node(1);
        if node.durable_records().len() == node.records.len() {
            break;
        }
        cluster.at(1, Node::sync_one);
        records += 1;
    }
    assert!(records >= 2, "only {records} records");
    assert_eq!(cluster.nodes[&1].view().phase, Phase::Broadcast);
}

/// ZOOKEEPER-2307, 3653 and pull request 1109: a node crashes between writing what its leader gave it and
/// writing the epoch, and will not start: its epoch is older than its last zxid.
#[test]
fn an_epoch_that_is_older_than_the_last_zxid_keeps_no_node_from_starting() {
    let pasts = [
        Past { history: &[1, 1, 1, 1], ..took_part(&[1]) },
        took_part(&[1, 1]),
        took_part(&[1, 1]),
    ];
    let mut cluster = Cluster::with(&pasts, |id| config(id, 3));
    cluster.isolate(&[1]);
    assert_eq!(cluster.establish(), 3);
    cluster.write(1, "x");
    cluster.heal();
    crash_after_each_record(cluster, 4);
}

/// The same with a snapshot in place of the proposals.
#[test]
fn an_epoch_that_is_older_than_the_snapshot_keeps_no_node_from_starting() {
    let mut cluster = Cluster::with(&[Past::default(), Past::default(), Past::default()], |id| {
        let mut config = config(id, 3);
        (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (4, 0);
        config
    });
    cluster.isolate(&[1]);
    assert_eq!(cluster.establish(), 3);
    (0..6).for_each(|token| cluster.write(token, "x"));
    for id in [2, 3] {
        cluster.at(id, |node| node.compact(4));
    }
    cluster.heal();
    crash_after_each_record(cluster, 7);
}

fn replayed(records: impl IntoIterator<Item = Record>) -> Result<Zab, Corrupt> {
    let mut zab = Zab::new(config(1, 3));
    records.into_iter().try_for_each(|record| zab.replay(record))?;
    Ok(zab)
}

/// ZOOKEEPER-2325 (pull request 117): the snapshots are gone or empty, the logs are there, and the node
/// starts as if the logs were all that there ever was. (That the first of the records is there at all, and
/// the snapshot that it names, is for the driver to find out: `drivers/runtime/tests/one_node.rs`, "a missing
/// log or snapshot is refused".)
#[test]
fn what_lies_behind_a_snapshot_is_nothing_without_it() {
    let past = Past { snapshot: Some(snapshot(5, 1)), ..took_part(&[1, 1]) };
    let records = lived(3, &past);
    let whole = replayed(records.clone()).expect("these belong together");
    assert_eq!((whole.view().base.0, history(&whole)), (5, vec![1, 1]));
    let gap = [records[0].clone(), Record::Entries(batches(9, &[1]).remove(0))];
    assert!(replayed(gap).is_err(), "entries are missing between");
    let mut kept = records.clone();
    let Record::Checkpoint(checkpoint) = &mut kept[0] else { panic!("{}", kept[0]) };
    checkpoint.keeps = 2;
    assert!(replayed(kept).is_err(), "the records that a checkpoint keeps are not there");
}

/// A TRUNC and what follows it, cut off after each record.
#[test]
fn a_history_that_is_cut_and_grown_again_may_crash_in_between() {
    let pasts = [
        Past { accepted: 3, current: 2, snapshot: None, began: 0, history: &[1, 2, 2, 2] },
        took_part(&[1, 3, 3]),
        took_part(&[1, 3, 3]),
    ];
    let mut cluster = Cluster::with(&pasts, |id| config(id, 3));
    cluster.isolate(&[1]);
    assert_eq!(cluster.establish(), 3);
    cluster.write(1, "x");
    cluster.heal();
    let mut first = None;
    let mut twin = cluster.clone();
    twin.run_until_but(
        |envelope: &Envelope| {
            if envelope.to == 1 && matches!(envelope.message, Message::Trunc { .. }) {
                first = Some(envelope.message.clone());
            }
            false
        },
        |cluster| cluster.nodes[&1].view().phase == Phase::Broadcast,
    );
    assert!(matches!(first, Some(Message::Trunc { to, .. }) if to.index.0 == 1), "{first:?}");
    crash_after_each_record(cluster, 5);
}
