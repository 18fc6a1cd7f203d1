//! What a crash leaves, and what may not be started from.

use synod_consensus::{Index, Membership, Snapshot};
use synod_engine::{Blob, Engine, NodeId};
use synod_paxos::multi::{Checkpoint, Config, Message, MultiPaxos, Record};

use crate::cluster::{Cluster, Founded as _};
use crate::driver::{Disk, ballot, values};

#[test]
fn an_acceptor_comes_back_with_its_promise_and_all_that_it_accepted_gaps_included() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    for (token, word) in [(1, "a"), (2, "b"), (3, "c")] {
        cluster.at(1, |node| node.propose(token, word));
    }
    cluster.settle_but(
        |it| matches!(&it.message, Message::Accept { batch, .. } if batch.first() == Index(2)),
    );
    let before = cluster.node(3).engine.slots().to_string();
    cluster.reboot(3);
    assert_eq!(cluster.node(3).engine.slots().to_string(), before);
    assert_eq!(cluster.node(3).view().ballot, ballot(1, 1));
    cluster.beat(1);
    cluster.beat(1);
    assert_eq!(cluster.commits(), [3, 3, 3]);
    cluster.assert_sound();
}

#[test]
fn what_was_not_durable_was_not_told_and_may_be_forgotten() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.node(2).disk = Disk::Manual;
    cluster.isolate(&[3]);
    cluster.at(1, |node| node.propose(1, "a"));
    cluster.settle();
    assert_eq!(cluster.commits(), [0, 0, 0]);
    cluster.reboot(2);
    cluster.node(2).disk = Disk::Instant;
    cluster.beat(1);
    cluster.beat(1);
    assert_eq!(cluster.commits(), [1, 1, 0]);
    cluster.assert_sound();
}

/// Each acceptance notes what was known to be chosen: after a restart of all, all but the last few values
/// are told at once, and not proposed again.
#[test]
fn a_restart_of_all_does_not_propose_the_log_again() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    for token in 0..100 {
        cluster.at(1, |node| node.propose(token, "x"));
        cluster.settle();
    }
    (1..=3).for_each(|id| cluster.reboot(id));
    assert!(cluster.commits().iter().all(|commit| *commit >= 98), "{:?}", cluster.commits());
    let before = cluster.node(2).records.len();
    cluster.elect(2);
    assert_eq!(cluster.commits(), [100, 100, 100]);
    assert!(cluster.node(2).records.len() <= before + 4);
    cluster.assert_sound();
}

#[test]
fn a_snapshot_takes_the_place_of_what_was_accepted_before_it() {
    let mut cluster = Cluster::with(3, |config| {
        (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (10, 0);
    });
    cluster.elect(1);
    for token in 0..20 {
        cluster.at(1, |node| node.propose(token, "x"));
        cluster.settle();
    }
    cluster.at(1, |node| node.compact(15));
    assert_eq!(cluster.node(1).view().base, Index(15));
    cluster.reboot(1);
    let view = cluster.node(1).view();
    assert_eq!((view.base, view.last, view.ballot), (Index(15), Index(20), ballot(1, 1)));
    cluster.assert_sound();
}

#[test]
fn records_that_contradict_each_other_stop_the_node() {
    let founders = Membership::founded_by(&[1, 2, 3].map(NodeId).into_iter().collect());
    let checkpoint = |snapshot: Option<Snapshot>, base, keeps| {
        Record::Checkpoint(Checkpoint {
            promised: ballot(1, 1),
            members: founders.clone().into(),
            snapshot,
            base: Index(base),
            keeps,
        })
    };
    let accept = |first, round, chosen| Record::Accept {
        batch: values(first, ballot(round, 1), &["x"]),
        chosen: Index(chosen),
    };
    let blob = Blob { id: 1, size_bytes: 1, checksum: 0 };
    let snapshot = Some(Snapshot { index: Index(9), epoch: ballot(1, 1).epoch(), blob });
    let first = checkpoint(None, 0, 0);
    let stories = [
        (
            "a promise is taken back",
            vec![Record::Promise(ballot(3, 1)), Record::Promise(ballot(2, 1))],
        ),
        ("accepted below the promise", vec![Record::Promise(ballot(3, 1)), accept(1, 2, 0)]),
        ("accepted twice in a ballot", vec![accept(1, 2, 0), accept(1, 2, 0)]),
        ("chosen behind a gap", vec![accept(2, 2, 0), accept(3, 2, 2)]),
        (
            "a checkpoint forgets the promise",
            vec![Record::Promise(ballot(3, 1)), checkpoint(None, 0, 0)],
        ),
        ("values before a snapshot are missing", vec![accept(7, 2, 0), checkpoint(snapshot, 6, 1)]),
    ];
    for (story, records) in stories {
        let mut engine = MultiPaxos::new(Config::new(NodeId(1), [1, 2, 3].map(NodeId)));
        let mut records = core::iter::once(first.clone()).chain(records);
        assert!(records.any(|record| engine.replay(record).is_err()), "{story}");
    }
    let mut engine = MultiPaxos::new(Config::new(NodeId(1), [1, 2, 3].map(NodeId)));
    assert!(engine.replay(checkpoint(snapshot, 8, 2)).is_err(), "without what it keeps");
}
