//! What a leader believes of its followers, and of its own disk.

use synod_consensus::{Change, Epoch, Index, Output};
use synod_engine::{Input, LinkState, NodeId, Random};
use synod_raft::{AppendResult, EntryId, Message, Timer};
use synod_stage::OldLog;

use crate::cluster::{Cluster, Envelope, Founded as _, RaftCluster as _};
use crate::driver::{Disk, Node, RaftNode as _, Whole as _, add, append, config, entry, matches};
use crate::endings;

fn conflict(term: u64, previous: u64, last: u64, hint: EntryId) -> Message {
    let (previous, last) = (Index(previous), Index(last));
    let result = AppendResult::Conflict { previous, last, hint };
    Message::AppendReply { term: Epoch(term), result }
}

/// What a majority of the five has, counted the slow way.
fn quorum_index(matched: &[u64; 5]) -> u64 {
    let mut sorted = *matched;
    sorted.sort_unstable();
    sorted[2]
}

/// openraft#1802: the progress of five voters was kept half sorted; one that was above the commit index
/// and advanced further was not moved, and an index was committed that two of five had.
#[test]
fn progress_vector_unsorted() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut leader = Node::with_log(1, 5, 0, &[]);
        leader.win(&[2, 3]);
        (0..8).for_each(|token| leader.propose(token, "x"));
        let last = leader.view().last.index.0;
        let mut matched = [last, 0, 0, 0, 0];
        for _ in 0..30 {
            let peer = random.between(2, 5);
            let index = random.between(0, last);
            leader.hear(peer, matches(1, index));
            let known = &mut matched[peer as usize - 1];
            *known = (*known).max(index);
            let commit = leader.view().commit.0;
            assert_eq!(commit, quorum_index(&matched), "seed {seed}: {matched:?}");
        }
    }
}

/// openraft#1823: acknowledgements that were under way when the follower's log was reverted counted for
/// what the log no longer held. Here only another leader can revert a log, in a later term.
#[test]
fn stale_acks_after_log_revert() {
    let mut cluster = Cluster::start(5);
    cluster.elect(1);
    cluster.settle();
    (0..3).for_each(|token| cluster.at(1, |node| node.propose(token, "reverted")));
    while let Some(place) = cluster.network.iter().position(|envelope| envelope.to == 3) {
        cluster.deliver(place);
    }
    let is_ack = |envelope: &Envelope| envelope.message == matches(1, 4);
    let late: Vec<_> = cluster.network.drain(..).filter(is_ack).collect();
    assert_eq!(late.len(), 1, "node 3 had the entries");
    cluster.isolate(&[1]);
    cluster.elect(2);
    assert_eq!(cluster.nodes[&3].terms(), [1, 2], "and they were replaced");
    cluster.heal();
    cluster.at(2, |node| node.fire(Timer::Heartbeat));
    cluster.settle();
    cluster.elect(1);
    let to_fourth = |envelope: &Envelope| envelope.to == 1 || envelope.to == 4;
    cluster.at(1, |node| node.propose(9, "x"));
    cluster.settle_but(|envelope| !to_fourth(envelope));
    let before = cluster.nodes[&1].view();
    assert_eq!((before.last.index, before.commit), (Index(4), Index(3)));
    cluster.network = late;
    cluster.settle();
    assert_eq!(cluster.nodes[&1].view(), before, "that was another entry 4");
    cluster.assert_sound();
}

/// openraft#1960, #1964: two writes of a leader's own disk were reported out of order, the later one
/// was forgotten, and a quiet cluster of one never committed its first membership.
#[test]
fn out_of_order_io_completion() {
    let mut alone = Node::founder(1, 1);
    assert_eq!(alone.view().commit, alone.view().last.index, "a cluster of one commits by itself");
    alone.disk = Disk::Manual;
    (0..3).for_each(|token| alone.propose(token, "x"));
    let (from, last) = (alone.id(), alone.view().last.index.0);
    alone.sync();
    assert_eq!(alone.view().commit, Index(last));
    for index in [last - 1, last, last - 2] {
        alone.input(Input::Message { from, message: matches(1, index) });
        alone.input(Input::Flush);
        assert_eq!(alone.view().commit, Index(last), "nothing is undone by what comes late");
    }
    alone.propose(9, "x");
    alone.sync();
    assert_eq!((alone.view().commit, endings(&alone, 9)), (Index(last + 1), 1));
}

/// openraft#2000: a conflict that answered a superseded request rewound the search, or forgot what had
/// matched, and replication began again from the start.
#[test]
fn stale_conflict() {
    let mut leader = Node::with_log(1, 3, 5, &[1, 1, 4, 4, 5, 5]);
    leader.win(&[2]);
    leader.hear(3, conflict(6, 6, 6, entry(5, 3)));
    leader.hear(3, matches(6, 4));
    leader.sent.clear();
    for stale in [conflict(6, 6, 0, entry(0, 0)), conflict(6, 4, 0, entry(0, 0))] {
        leader.hear(3, stale);
        assert_eq!(leader.said_to(3), [], "the search is over");
    }
    leader.hear(3, matches(6, 7));
    leader.sent.clear();
    leader.propose(1, "x");
    let Message::Append { previous, .. } = &leader.said_to(3)[0] else { panic!("an append") };
    assert_eq!(*previous, entry(7, 6), "it goes on where it was");
}

/// openraft#511: entries before the part of a log that a follower still has were taken for a conflict,
/// and it deleted everything, committed entries included.
#[test]
fn an_append_before_the_purged_part_deletes_nothing() {
    let mut node = Node::with_log(1, 3, 3, &[]);
    let taken = crate::driver::snapshot(7, 2);
    let members = crate::driver::founders(1..=3);
    node.hear(2, Message::Install { term: Epoch(3), snapshot: taken, members });
    node.hear(2, append(3, entry(7, 2), &[3, 3], 9));
    let (view, records) = (node.view(), node.records.len());
    node.hear(2, append(3, entry(4, 2), &[2], 0));
    assert_eq!((node.view(), node.records.len()), (view, records));
}

/// openraft#808: while the leader streamed a snapshot to a node that had died, a change of members
/// waited for that stream, and with it everything.
#[test]
fn leader_wedges_while_streaming_a_snapshot_to_a_dead_node() {
    let mut cluster = Cluster::with_one_behind();
    cluster.heal();
    cluster.input(1, Input::Link { peer: NodeId(3), state: LinkState::Closed });
    cluster.at(1, |node| node.fire(Timer::Heartbeat));
    let to_third = |envelope: &Envelope| envelope.to == 3;
    assert!(cluster.network.iter().any(|envelope| {
        to_third(envelope) && matches!(envelope.message, Message::Install { .. })
    }));
    cluster.settle_but(to_third);
    cluster.at(1, |node| node.change(50, [Change::Remove(NodeId(3))]));
    cluster.settle_but(to_third);
    cluster.at(1, |node| node.propose(51, "x"));
    cluster.settle_but(to_third);
    assert_eq!((endings(&cluster.nodes[&1], 50), endings(&cluster.nodes[&1], 51)), (1, 1));
    cluster.join(4, config(1, 1));
    cluster.at(1, |node| node.change(52, [add(4)]));
    cluster.settle_but(to_third);
    for _ in 0..3 {
        cluster.at(1, |node| node.fire(Timer::Heartbeat));
        cluster.settle_but(to_third);
    }
    assert_eq!(endings(&cluster.nodes[&1], 52), 1);
    let commits = cluster.commits();
    assert_eq!((commits[0], commits[1], commits[3]), (24, 24, 24));
    cluster.assert_sound();
}

/// openraft#1810: a follower whose connection hangs was removed, and the leader waited for that
/// connection.
#[test]
fn hung_follower() {
    let mut cluster = Cluster::with_logs(0, &[&[], &[], &[]], |id| {
        let mut config = config(id, 3);
        config.bounds.max_in_flight_appends = 4;
        config
    });
    cluster.elect(1);
    let to_third = |envelope: &Envelope| envelope.to == 3;
    let mut appends = 0;
    for token in 0..50 {
        cluster.at(1, |node| node.propose(token, "x"));
        let is_append = |envelope: &&Envelope| {
            to_third(envelope) && matches!(envelope.message, Message::Append { .. })
        };
        appends += cluster.network.iter().filter(is_append).count();
        cluster.settle_but(to_third);
        assert_eq!(endings(&cluster.nodes[&1], token), 1, "{token}");
    }
    assert!(appends <= 4, "{appends} were sent into the void");
    cluster.at(1, |node| node.change(60, [Change::Remove(NodeId(3))]));
    cluster.settle_but(to_third);
    cluster.at(1, |node| node.propose(61, "x"));
    cluster.settle_but(to_third);
    assert_eq!((endings(&cluster.nodes[&1], 60), endings(&cluster.nodes[&1], 61)), (1, 1));
    cluster.assert_sound();
}

/// openraft#1795: a read of the leader's log failed while it served a follower that was far behind, and
/// it sent entries that did not follow the one it named, which left a hole in the follower's log.
#[test]
fn storage_error_must_stop_replication() {
    let mut config = config(1, 3);
    config.bounds.max_cached_log_bytes = 0;
    let mut node = Node::recover(config, crate::driver::lived(3, 2, None, &[1, 1, 2, 2]));
    node.win(&[2]);
    node.hear(2, matches(3, 5));
    node.input(Input::Applied(5));
    node.input(Input::Flush);
    node.old_log = OldLog::Waits;
    node.hear(3, conflict(3, 4, 1, entry(1, 1)));
    node.hear(3, matches(3, 1));
    node.sent.clear();
    for output in [Output::LogFailed, Output::Log(Vec::new()), Output::LogFailed] {
        let (id, _) = node.tasks.pop().expect("a read");
        node.input(Input::TaskDone { id, output });
        node.input(Input::Flush);
        assert_eq!((node.said_to(3), node.tasks.len()), (vec![], 0), "nothing is made up");
        node.fire(Timer::Heartbeat);
        node.sent.clear();
    }
    let (id, task) = node.tasks.pop().expect("it is tried again at each heartbeat");
    let output = node.read_log(task);
    node.input(Input::TaskDone { id, output });
    node.input(Input::Flush);
    let mut next = 2;
    for message in node.said_to(3) {
        if let Message::Append { previous, entries: Some(entries), .. } = message {
            assert_eq!((previous.index.next(), entries.first()), (Index(next), Index(next)));
            next = entries.last().0 + 1;
        }
    }
    assert_eq!(next, 6, "everything, without a hole");
}
