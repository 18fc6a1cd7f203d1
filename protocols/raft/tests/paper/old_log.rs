//! The log leaves memory (decision 0007): what is evicted is known by its terms, and read back for who
//! lacks it. §5.3 holds as if everything were in memory.

use std::time::Duration;

use synod_consensus::{Epoch, Event, Index, Output, Refusal, Task};
use synod_engine::{Input, LinkState, NodeId, Random, TaskId, Token};
use synod_raft::{AppendResult, Config, Message, Timer};
use synod_stage::OldLog;

use crate::cluster::{Cluster, RaftCluster as _};
use crate::driver::{Disk, Node, RaftNode as _, append, batches, config, entry, lived, matches};

/// Nothing that is applied stays in memory; everything stays on disk.
fn forgetful(id: u64) -> Config {
    let mut config = config(id, 3);
    (
        config.bounds.max_cached_log_bytes,
        config.bounds.keep_log_bytes,
        config.bounds.max_append_bytes,
    ) = (0, 1 << 20, 30);
    config
}

/// A leader of term 3 with the entries 1 1 2 2 3, all but the last evicted, and reads that wait.
fn leader() -> Node {
    let mut node = Node::recover(forgetful(1), lived(3, 2, None, &[1, 1, 2, 2]));
    node.win(&[2]);
    node.hear(2, matches(3, 5));
    node.input(Input::Applied(4));
    node.input(Input::Flush);
    node.sent.clear();
    node.old_log = OldLog::Waits;
    node
}

fn conflict(term: u64, previous: u64, last: u64) -> Message {
    let (previous, last) = (Index(previous), Index(last));
    let result = AppendResult::Conflict { previous, last, hint: entry(last.0, 1) };
    Message::AppendReply { term: Epoch(term), result }
}

/// The first and last entries of the appends to `peer`.
fn appends_to(node: &mut Node, peer: u64) -> Vec<Option<(u64, u64)>> {
    let said = node.said_to(peer).into_iter();
    let shape = |message| match message {
        Message::Append { entries, .. } => {
            Some(entries.map(|batch| (batch.first().0, batch.last().0)))
        }
        _ => None,
    };
    said.filter_map(shape).collect()
}

fn reads(node: &Node) -> Vec<(TaskId, Task)> {
    let is_read = |(_, task): &&(TaskId, Task)| matches!(task, Task::ReadLog { .. });
    node.tasks.iter().filter(is_read).copied().collect()
}

/// Ends the read that waits.
fn read(node: &mut Node, output: impl FnOnce(&Node, Task) -> Output) {
    let [(id, task)] = reads(node)[..] else { panic!("one read waits: {:?}", node.tasks) };
    node.tasks.retain(|(other, _)| *other != id);
    let output = output(node, task);
    node.input(Input::TaskDone { id, output });
    node.input(Input::Flush);
}

#[test]
fn elections_and_consistency_checks_need_no_entries() {
    let mut node = leader();
    let log = node.engine.log();
    assert_eq!((log.base(), log.evicted(), log.last()), (entry(0, 0), entry(4, 2), entry(5, 3)));
    assert_eq!(log.size_bytes(), 8, "the no-op, which is not applied");
    assert_eq!(node.terms(), [1, 1, 2, 2, 3]);
    let mut follower = Node::recover(forgetful(1), lived(3, 3, None, &[1, 1, 2, 2]));
    follower.hear(2, append(3, entry(4, 2), &[], 4));
    follower.input(Input::Applied(4));
    follower.input(Input::Flush);
    assert_eq!(follower.engine.log().evicted(), entry(4, 2));
    assert_eq!(follower.answer(2, append(3, entry(2, 1), &[2, 2], 4)), [matches(3, 4)]);
    assert_eq!(follower.answer(2, append(3, entry(4, 2), &[3], 4)), [matches(3, 5)]);
    let refused = follower.answer(2, append(3, entry(9, 3), &[], 4));
    assert!(matches!(
        refused[..],
        [Message::AppendReply { result: AppendResult::Conflict { .. }, .. }]
    ));
    node.fire(Timer::Heartbeat);
}

#[test]
fn a_late_follower_is_asked_without_entries_and_sent_what_was_read() {
    let mut node = leader();
    node.hear(3, conflict(3, 4, 1));
    assert_eq!(appends_to(&mut node, 3), [None], "a question needs no entries");
    node.hear(3, matches(3, 1));
    assert_eq!((appends_to(&mut node, 3), reads(&node).len()), (vec![], 1));
    node.fire(Timer::Heartbeat);
    node.propose(1, "x");
    assert_eq!(reads(&node).len(), 1, "one at a time");
    read(&mut node, Node::read_log);
    let sent = appends_to(&mut node, 3);
    assert_eq!(sent, [Some((2, 2)), Some((3, 4)), Some((5, 5)), Some((6, 6))], "and from memory");
    node.hear(3, matches(3, 6));
    assert_eq!(reads(&node).len(), 0);
}

/// What is read may be of records that were replaced: only what the log has is sent.
#[test]
fn only_entries_of_the_terms_that_the_log_has_are_sent() {
    let mut node = leader();
    node.hear(3, conflict(3, 4, 1));
    node.hear(3, matches(3, 1));
    node.sent.clear();
    let stale = [&batches(2, &[1, 1, 1])[..], &batches(3, &[2]), &batches(4, &[1])].concat();
    read(&mut node, |_, _| Output::Log(stale));
    assert_eq!(appends_to(&mut node, 3), [Some((2, 2)), Some((3, 3))]);
    assert_eq!(reads(&node).len(), 1, "the rest is read again");
}

#[test]
fn what_is_read_too_late_is_sent_to_nobody() {
    let deposes = Input::Message { from: NodeId(2), message: append(4, entry(5, 3), &[], 0) };
    for (event, goes_on) in
        [(Input::Link { peer: NodeId(3), state: LinkState::Closed }, true), (deposes, false)]
    {
        let mut node = leader();
        node.hear(3, conflict(3, 4, 1));
        node.hear(3, matches(3, 1));
        let (id, task) = reads(&node)[0];
        let output = node.read_log(task);
        node.input(event);
        node.input(Input::Flush);
        assert_eq!(reads(&node).contains(&(id, task)), goes_on, "who is deposed reads no more");
        node.sent.clear();
        node.input(Input::TaskDone { id, output });
        node.input(Input::Flush);
        assert!(appends_to(&mut node, 3).iter().all(Option::is_none));
    }
}

#[test]
fn a_window_that_is_full_takes_no_more_than_it_has_room_for() {
    let mut config = forgetful(1);
    config.bounds.max_in_flight_appends = 1;
    let mut node = Node::recover(config, lived(3, 2, None, &[1, 1, 2, 2]));
    node.win(&[2]);
    node.hear(2, matches(3, 5));
    node.input(Input::Applied(4));
    node.input(Input::Flush);
    node.hear(3, conflict(3, 4, 0));
    node.hear(3, matches(3, 0));
    for (expected, acknowledged) in [((1, 2), 2), ((3, 4), 4), ((5, 5), 5)] {
        assert_eq!(appends_to(&mut node, 3).pop(), Some(Some(expected)));
        node.hear(3, matches(3, acknowledged));
    }
}

/// What is evicted and not yet durable is read once it is.
#[test]
fn a_read_begins_once_all_that_was_evicted_is_durable() {
    let mut node = leader();
    node.disk = Disk::Manual;
    node.propose(1, "x");
    node.hear(3, conflict(3, 4, 1));
    node.hear(3, matches(3, 1));
    assert_eq!(reads(&node).len(), 0);
    node.sync();
    assert_eq!(reads(&node).len(), 1);
}

/// A leader whose own disk stands still keeps in memory what its followers made committed.
#[test]
fn a_leader_evicts_nothing_that_its_own_disk_lacks() {
    let mut node = leader();
    node.disk = Disk::Manual;
    (1..=5).for_each(|token| node.propose(token, "x"));
    node.hear(2, matches(3, 10));
    node.hear(3, matches(3, 10));
    node.input(Input::Applied(10));
    node.input(Input::Flush);
    assert_eq!((node.view().applied, node.engine.log().evicted()), (Index(10), entry(5, 3)));
    node.sync();
    node.input(Input::Flush);
    assert_eq!(node.engine.log().evicted(), entry(10, 3));
}

#[test]
fn what_the_state_machine_has_to_take_in_is_bounded_in_bytes() {
    let mut config = config(1, 3);
    config.bounds.max_unapplied_bytes = 40;
    let mut node = Node::recover(config, []);
    node.win(&[2]);
    node.hear(2, matches(1, 1));
    let busy = |node: &mut Node, token| {
        node.propose(token, "0123456789");
        let last = node.view().last.index.0;
        node.hear(2, matches(1, last));
        node.events.iter().any(|event| {
            let (token, refusal) = (Token(token), Refusal::Busy);
            *event == Event::Refused { token, refusal }
        })
    };
    assert_eq!([1, 2, 3].map(|token| busy(&mut node, token)), [false, false, true]);
    node.input(Input::Applied(2));
    assert_eq!([4, 5, 6].map(|token| busy(&mut node, token)), [false, false, true]);
}

/// The whole of it, over a lossy network: a follower that was away is served from disk, not by snapshot.
#[test]
fn a_follower_that_was_away_is_served_from_disk() {
    let mut cluster = Cluster::with_logs(0, &[&[], &[], &[]], forgetful);
    cluster.elect(1);
    cluster.isolate(&[3]);
    for token in 0..100 {
        cluster.at(1, |node| node.propose(token, format!("{token}")));
        cluster.settle();
        for id in [1, 2] {
            let commit = cluster.nodes[&id].view().commit.0;
            cluster.input(id, Input::Applied(commit));
        }
    }
    assert!(cluster.nodes[&1].engine.log().size_bytes() < 50);
    cluster.heal();
    let mut random = Random::new(7);
    cluster.run_but(Duration::from_secs(5), |_| random.chance(150_000));
    assert_eq!(cluster.commits(), [101, 101, 101]);
    assert_eq!(cluster.sometimes.count("snapshot installed"), 0);
    cluster.assert_sound();
}
