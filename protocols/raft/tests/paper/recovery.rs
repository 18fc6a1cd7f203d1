//! Recovery is replay: what a restart finds is what the node was, but for what it may forget.

use core::hash::Hasher;
use std::collections::BTreeSet;
use std::time::Duration;

use synod_consensus::{Batch, Epoch, Index, ReplicatedLog as _, Request};
use synod_engine::{Engine, Input, NodeId, Token};
use synod_raft::{Checkpoint, HardState, Raft, Record, Timer};

use crate::chaos::Chaos;
use crate::driver::{
    Node, Whole as _, append, batches, config, entry, founders, heartbeat, lived, matches,
    snapshot, wished_vote,
};

/// What a crash leaves is what the node was, but for what it may forget.
#[test]
fn recovery_is_replay() {
    let (mut snapshots, mut nested) = (0, 0);
    for seed in 0..60 {
        let mut chaos = Chaos::new(seed, 3, |id| {
            let mut config = config(id, 3);
            (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (3, 30);
            config
        });
        for _ in 0..1_000 {
            chaos.happen();
            let id = chaos.random.between(1, 3);
            chaos.cluster.at(id, Node::sync);
            let node = &chaos.cluster.nodes[&id];
            let after = Node::recover(config(id, 3), node.kept().to_vec());
            assert_same_durable_state(node, &after);
            snapshots += u64::from(after.view().base.index > Index(0));
            let is_checkpoint = |record: &&Record| matches!(record, Record::Checkpoint(_));
            let checkpoints = node.kept().iter().filter(is_checkpoint).count();
            nested += u64::from(checkpoints > 1);
        }
    }
    assert!(snapshots > 100, "{snapshots}");
    assert!(nested > 10, "an old checkpoint among the records that a new one keeps: {nested}");
}

fn assert_same_durable_state(node: &Node, after: &Node) {
    let (before, now) = (node.view(), after.view());
    assert_eq!((before.term, before.vote, before.last), (now.term, now.vote, now.last));
    assert_eq!(node.engine.status().members, after.engine.status().members);
    assert_eq!(node.engine.status().snapshot, after.engine.status().snapshot);
    let (from, to) = (now.base.index.next(), now.last.index);
    let entries = |node: &Node| {
        let batches = node.engine.log().range(from, to).collect::<Vec<_>>();
        let entry = |(batch, at): (&Batch, usize)| (batch.epoch(), batch.payloads()[at].clone());
        batches
            .iter()
            .flat_map(|b| (0..b.len()).map(move |at| (b, at)))
            .map(entry)
            .collect::<Vec<_>>()
    };
    assert_eq!(entries(node), entries(after));
    let snapshot = after.engine.status().snapshot;
    assert_eq!((now.commit, now.applied), (snapshot, snapshot));
    assert!(now.base.index <= snapshot);
    let known = node.engine.log().epoch_at(now.base.index);
    assert!(known.is_none_or(|term| term == now.base.epoch), "{} begins at {}", before, now.base);
    assert!(now.commit <= before.commit, "it never claims more than before");
}

/// Of what is before the first record that is kept only the index is known, until the checkpoint names it.
#[test]
fn a_log_that_is_kept_from_its_snapshot_on_begins_with_the_snapshots_last_entry() {
    for (keep_log_bytes, base) in [(0, entry(4, 2)), (20, entry(4, 2)), (30, entry(3, 1))] {
        let mut config = config(1, 3);
        (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (4, keep_log_bytes);
        let mut node = Node::recover(config, []);
        node.hear(2, append(2, entry(0, 0), &[1, 1], 0));
        node.hear(2, append(2, entry(2, 1), &[1], 0));
        node.hear(2, append(2, entry(3, 1), &[2], 4));
        node.hear(2, append(2, entry(4, 2), &[2, 2], 4));
        node.compact(4);
        node.reboot();
        assert_eq!((node.view().base, node.view().last), (base, entry(6, 2)), "{keep_log_bytes}");
        assert_eq!(node.answer(2, append(2, entry(4, 2), &[2], 4)), [matches(2, 5)]);
    }
}

/// What the configuration says of the voters counts once, for the first record.
#[test]
fn the_voters_of_the_records_count_and_not_those_of_the_configuration() {
    let node = Node::recover(config(1, 5), lived(3, 1, None, &[]));
    assert_eq!(node.engine.status().members, founders(1..=3));
    assert_eq!(Node::founder(1, 5).engine.status().members, founders(1..=5));
}

#[test]
fn records_that_no_node_could_have_written_are_corrupt() {
    let hard = |term, vote: Option<u64>| {
        Record::HardState(HardState { term: Epoch(term), vote: vote.map(NodeId) })
    };
    let entries = |first, term| Record::Entries(batches(first, &[term]).remove(0));
    let start = || lived(3, 2, Some(snapshot(4, 1)), &[1, 2]);
    for (record, is_sound) in [
        (hard(2, Some(1)), true),
        (hard(3, None), true),
        (hard(1, None), false),
        (entries(7, 2), true),
        (entries(5, 2), true),
        (entries(8, 2), false),
        (entries(4, 2), false),
        (entries(7, 1), false),
    ] {
        let mut raft = Raft::new(config(1, 3));
        start().into_iter().for_each(|record| raft.replay(record).unwrap());
        assert_eq!(raft.replay(record.clone()).is_ok(), is_sound, "{record}");
    }
    let mut raft: Raft = Raft::new(config(1, 3));
    raft.replay(hard(2, Some(1))).unwrap();
    assert!(raft.replay(hard(2, Some(3))).is_err(), "a vote taken back");
    assert!(raft.replay(hard(2, None)).is_err());
    assert!(raft.replay(hard(3, None)).is_ok());
    let checkpoint = |voters: &[u64], keeps| {
        let hard = HardState { term: Epoch(3), vote: None };
        let members = founders(voters.iter().copied());
        Record::Checkpoint(Checkpoint { hard, members, snapshot: None, keeps })
    };
    assert!(raft.replay(checkpoint(&[], 0)).is_err(), "nobody would ever vote");
    assert!(raft.replay(checkpoint(&[1], 0)).is_ok());
    let mut raft: Raft = Raft::new(config(1, 3));
    assert!(raft.replay(checkpoint(&[1], 1)).is_err(), "what it keeps is missing");
}

/// The explorer takes two nodes for one if their fingerprints agree: what differs in what it will do
/// must differ, and when it happened must not.
#[test]
fn a_fingerprint_is_of_what_a_node_will_do_and_not_of_when_it_came_there() {
    let fingerprint = |node: &Node| {
        let mut hasher = std::hash::DefaultHasher::new();
        node.engine.fingerprint(node.now, &mut hasher);
        hasher.finish()
    };
    let hear = |seconds| {
        let mut node = Node::founder(1, 3);
        node.wait(Duration::from_secs(seconds));
        node.hear(2, heartbeat(1, 0));
        node
    };
    let node = hear(1);
    assert_eq!(fingerprint(&node), fingerprint(&hear(9)));
    let after = |act: fn(&mut Node)| {
        let mut node = node.clone();
        act(&mut node);
        fingerprint(&node)
    };
    let different = [
        fingerprint(&node),
        after(|node| node.wait(Duration::from_millis(1))),
        after(|node| node.wait(Duration::from_secs(1))),
        after(|node| node.hear(2, heartbeat(2, 0))),
        after(|node| node.hear(2, append(1, entry(0, 0), &[1], 0))),
        after(|node| node.hear(2, append(1, entry(0, 0), &[1], 1))),
        after(|node| node.hear(3, wished_vote(2, entry(0, 0)))),
        after(|node| node.fire(Timer::Election)),
        after(|node| node.input(Input::Request { token: Token(7), request: Request::Read })),
    ];
    let distinct: BTreeSet<_> = different.iter().collect();
    assert_eq!(distinct.len(), different.len());
}
