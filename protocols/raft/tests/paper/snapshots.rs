//! Log compaction: §7, "InstallSnapshot RPC" of figure 13. The chunks are the driver's business: the
//! message arrives once all bytes are durable.

use std::time::Duration;

use synod_consensus::{Epoch, Event, Index, Output, Refusal, Request, Snapshot};
use synod_engine::{Input, Message as _, Token};
use synod_raft::{Checkpoint, Message, Record, Timer};

use crate::cluster::{Cluster, Founded as _};
use crate::driver::{
    Disk, Node, RaftNode as _, Whole as _, append, config, entry, founders, heartbeat, lived,
    matches, snapshot, vote, vote_reply,
};

fn install(term: u64, snapshot: Snapshot) -> Message {
    Message::Install { term: Epoch(term), snapshot, members: founders(1..=3) }
}

/// Node 1 of three in term 3, with a log of the terms 1 1 2 2 and 2 of them committed.
fn follower() -> Node {
    let mut node = Node::with_log(1, 3, 3, &[1, 1, 2, 2]);
    node.hear(2, append(3, entry(2, 1), &[], 2));
    node.committed();
    node
}

fn installed(node: &Node) -> Vec<Snapshot> {
    let install = |event: &Event| match event {
        Event::Install(snapshot) => Some(*snapshot),
        _ => None,
    };
    node.events.iter().filter_map(install).collect()
}

/// A leader of term 2 with entries of the terms 1 1 1 1 2, all committed and compacted.
fn compacted_leader(keep_log_bytes: usize) -> Node {
    let mut config = config(1, 3);
    (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (5, keep_log_bytes);
    let mut node = Node::recover(config, lived(3, 1, None, &[1, 1, 1, 1]));
    node.win(&[2]);
    node.hear(2, matches(2, 5));
    node.compact(5);
    node.sent.clear();
    node
}

/// §7: each server takes snapshots independently, "when the log reaches a fixed size"; and when its
/// driver, whose disk all groups share, asks for one. One at a time, and none that would hold nothing new.
#[test]
fn a_snapshot_that_is_asked_for_is_written_though_none_is_due() {
    let ask = |node: &mut Node| {
        node.input(Input::Request { token: Token(9), request: Request::Compact });
        node.tasks.len()
    };
    let mut node = follower();
    let records = node.records.len();
    assert_eq!(ask(&mut node), 0, "nothing is applied yet");
    assert_eq!(node.records.len(), records, "and no checkpoint could give anything up");
    node.input(Input::Applied(2));
    assert_eq!(ask(&mut node), 1);
    assert_eq!(ask(&mut node), 1, "it is being written");
    let (id, _) = node.tasks.pop().unwrap();
    let blob = snapshot(2, 0).blob;
    node.input(Input::TaskDone { id, output: Output::Snapshot { index: Index(2), blob } });
    assert_eq!(ask(&mut node), 0, "there is nothing new since");
}

/// Figure 13, 1: "Reply immediately if term < currentTerm".
#[test]
fn a_snapshot_of_an_earlier_term_is_refused() {
    let mut node = follower();
    let before = node.view();
    let answer = node.answer(2, install(2, snapshot(9, 2)));
    assert_eq!(answer, [matches(3, 0)], "which tells its sender the term and claims nothing");
    assert_eq!((node.view(), installed(&node)), (before, vec![]));
}

/// Figure 13, 7 and 8: "Discard the entire log"; "Reset state machine using snapshot contents".
#[test]
fn a_snapshot_beyond_the_log_takes_its_place() {
    for taken in [snapshot(9, 3), snapshot(4, 3), snapshot(3, 3)] {
        let mut node = follower();
        assert_eq!(node.answer(2, install(3, taken)), [matches(3, taken.index.0)]);
        assert_eq!(node.terms(), [0; 0]);
        let end = entry(taken.index.0, 3);
        assert_eq!((node.view().base, node.view().last), (end, end));
        assert_eq!(node.view().commit, taken.index);
        assert_eq!(installed(&node), [taken]);
    }
}

/// Figure 13, 6: "If existing log entry has same index and term as snapshot's last included entry,
/// retain log entries following it and reply".
#[test]
fn entries_that_follow_the_snapshot_in_a_log_that_agrees_are_kept() {
    let mut node = follower();
    assert_eq!(node.answer(2, install(3, snapshot(3, 2))), [matches(3, 3)]);
    assert_eq!((node.view().commit, node.view().last), (Index(3), entry(4, 2)));
    let Some(Record::Checkpoint(Checkpoint { keeps, snapshot: taken, hard, .. })) =
        node.records.last()
    else {
        panic!("an installed snapshot is a checkpoint")
    };
    assert!(*keeps > 0, "the record with entry 4");
    assert_eq!((*taken, hard.term), (Some(snapshot(3, 2)), Epoch(3)));
}

/// §7: a snapshot of what is committed already, sent again or late, takes nothing away; openraft
/// afd6508b: one at, below, or in conflict with the commit index.
#[test]
fn a_snapshot_at_or_below_the_commit_index_changes_nothing() {
    for taken in [snapshot(2, 1), snapshot(1, 1), snapshot(2, 3), snapshot(0, 0)] {
        let mut node = follower();
        let (view, records) = (node.view(), node.records.len());
        assert_eq!(node.answer(2, install(3, taken)), [matches(3, taken.index.0)]);
        assert_eq!((node.view(), node.records.len()), (view, records));
        assert_eq!(installed(&node), []);
    }
}

#[test]
fn an_installed_snapshot_is_acknowledged_once_its_checkpoint_is_durable() {
    let mut node = follower();
    node.disk = Disk::Manual;
    assert_eq!(node.answer(2, install(3, snapshot(9, 3))), []);
    node.sync();
    assert_eq!(node.said_to(2), [matches(3, 9)]);
    node.reboot();
    assert_eq!((node.view().commit, node.view().last), (Index(9), entry(9, 3)));
}

/// §7: "the leader must occasionally send snapshots to followers that lag behind … when the leader
/// has already discarded the next log entry that it needs to send".
#[test]
fn a_follower_that_lacks_what_is_compacted_gets_the_snapshot_and_then_the_rest() {
    let mut node = compacted_leader(0);
    node.propose(1, "x");
    node.sent.clear();
    let answer = Message::AppendReply {
        term: Epoch(2),
        result: synod_raft::AppendResult::Conflict {
            previous: Index(4),
            last: Index(0),
            hint: entry(0, 0),
        },
    };
    let sent = node.answer(3, answer);
    assert!(
        matches!(&sent[..], [Message::Install { snapshot, .. }] if snapshot.index == Index(5)
            && snapshot.epoch == Epoch(2)),
        "{sent:?}"
    );
    assert_eq!(sent[0].attachment(), Some(snapshot(5, 2).blob));
    node.propose(2, "y");
    assert_eq!(node.said_to(3), [], "one at a time");
    let late = synod_raft::AppendResult::Conflict {
        previous: Index(6),
        last: Index(0),
        hint: entry(0, 0),
    };
    assert_eq!(node.answer(3, Message::AppendReply { term: Epoch(2), result: late }), []);
    let sent = node.answer(3, matches(2, 5));
    let Message::Append { previous, entries: Some(batch), .. } = &sent[0] else {
        panic!("{sent:?}")
    };
    assert_eq!((*previous, batch.first()), (entry(5, 2), Index(6)));
}

#[test]
fn a_follower_that_is_a_little_late_needs_no_snapshot() {
    let mut config = config(1, 3);
    (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (6, 27);
    let mut node = Node::founder(1, 3);
    node = Node::recover(config, node.records.clone());
    node.win(&[2]);
    node.hear(2, matches(1, 1));
    node.hear(3, matches(1, 1));
    for token in 0..5 {
        node.propose(token, "x");
        node.hear(2, matches(1, token + 2));
    }
    node.compact(6);
    assert_eq!(node.view().base, entry(3, 1), "three entries are kept");
    node.fire(Timer::Heartbeat);
    node.fire(Timer::Heartbeat);
    node.sent.clear();
    let lost = synod_raft::AppendResult::Conflict {
        previous: Index(6),
        last: Index(3),
        hint: entry(1, 1),
    };
    let sent = node.answer(3, Message::AppendReply { term: Epoch(1), result: lost });
    assert!(matches!(&sent[0], Message::Append { previous, .. } if previous.index == Index(3)));
}

/// openraft 511f33c7: a log with nothing left in it is still a log that ends somewhere.
#[test]
fn a_fully_compacted_log_votes_follows_and_leads_by_its_last_entry() {
    let mut node = Node::with_log(1, 3, 3, &[]);
    node.hear(2, install(3, snapshot(7, 2)));
    node.wait(Duration::from_secs(1));
    assert_eq!(node.answer(3, vote(4, entry(6, 2))), [vote_reply(4, false)]);
    assert_eq!(node.answer(3, vote(4, entry(7, 2))), [vote_reply(4, true)]);
    node.hear(3, append(4, entry(7, 2), &[4], 8));
    assert_eq!(node.committed().last(), Some(&8));
    node.reboot();
    assert_eq!(node.view().last, entry(8, 4));
    node.win(&[2]);
    assert_eq!(node.view().last, entry(9, 5));
}

/// Entries that the follower has compacted are committed, so a probe before them agrees.
#[test]
fn a_probe_before_the_compacted_part_of_a_log_agrees_with_it() {
    let mut node = Node::with_log(1, 3, 3, &[]);
    node.hear(2, install(3, snapshot(7, 2)));
    assert_eq!(node.answer(2, append(3, entry(5, 1), &[], 0)), [matches(3, 5)]);
    let answer = node.answer(2, append(3, entry(7, 1), &[3], 0));
    assert!(!answer.contains(&matches(3, 8)), "where it ends its term is known: {answer:?}");
    assert_eq!(node.answer(2, append(3, entry(6, 2), &[2, 2, 2], 9)), [matches(3, 9)]);
    assert_eq!((node.terms(), node.view().commit), (vec![2, 2], Index(9)));
}

/// §7: "each server takes snapshots independently, covering just the committed entries in its log".
#[test]
fn a_snapshot_is_due_after_so_many_applied_entries_and_one_at_a_time() {
    let mut config = config(1, 3);
    (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (3, 0);
    let mut node = Node::recover(config, []);
    node.hear(2, append(1, entry(0, 0), &[1; 6], 6));
    node.hear(2, append(1, entry(6, 1), &[1; 3], 6));
    node.input(Input::Applied(2));
    assert_eq!(node.tasks.len(), 0);
    node.input(Input::Applied(3));
    node.input(Input::Applied(6));
    assert_eq!(node.tasks.len(), 1);
    node.compact(6);
    assert_eq!((node.view().base, node.view().last), (entry(6, 1), entry(9, 1)));
    node.input(Input::Applied(9));
    assert_eq!(node.tasks.len(), 0, "what is not committed is not applied, whatever is said");
}

/// It is also due after so many bytes, of which those count that are not applied yet: but while none is
/// applied since the last one, another would hold nothing new.
#[test]
fn a_snapshot_is_due_after_so_many_bytes_once_something_new_is_applied() {
    let mut config = config(1, 3);
    config.bounds.snapshot_every_bytes = 60;
    let mut node = Node::recover(config, []);
    node.hear(2, append(1, entry(0, 0), &[1; 20], 20));
    assert!(node.engine.log().size_behind(Index(4)) > 60);
    node.reboot();
    node.hear(2, append(1, entry(20, 1), &[], 20));
    node.input(Input::Applied(0));
    assert_eq!(node.tasks.len(), 0);
    node.compact(4);
    assert_eq!(node.tasks.len(), 0);
    node.input(Input::Applied(5));
    assert_eq!(node.tasks.len(), 1);
}

/// What a follower has of a snapshot would be in vain if the leader wrote the next one meanwhile: that one
/// waits until twice as many entries are applied.
#[test]
fn the_next_snapshot_waits_while_a_follower_installs_the_last_one() {
    let mut node = compacted_leader(0);
    let lacks = synod_raft::AppendResult::Conflict {
        previous: Index(4),
        last: Index(0),
        hint: entry(0, 0),
    };
    let sent = node.answer(3, Message::AppendReply { term: Epoch(2), result: lacks });
    assert!(matches!(sent[..], [Message::Install { .. }]));
    for token in 0..10 {
        node.propose(token, "x");
    }
    node.hear(2, matches(2, 15));
    let mut installed = node.clone();
    node.input(Input::Applied(14));
    assert_eq!(node.tasks.len(), 0);
    node.input(Input::Applied(15));
    assert_eq!(node.tasks.len(), 1);
    installed.hear(3, matches(2, 5));
    installed.input(Input::Applied(10));
    assert_eq!(installed.tasks.len(), 1);
}

/// It takes a while to stream, so a heartbeat without an answer does not mean that it is lost; many do.
#[test]
fn a_snapshot_that_nobody_acknowledges_is_sent_again_after_20_heartbeats() {
    let mut node = compacted_leader(0);
    let lacks = synod_raft::AppendResult::Conflict {
        previous: Index(4),
        last: Index(0),
        hint: entry(0, 0),
    };
    node.hear(3, Message::AppendReply { term: Epoch(2), result: lacks });
    node.sent.clear();
    let again = (1..=100).find(|_| {
        node.fire(Timer::Heartbeat);
        node.said_to(3).iter().any(|message| matches!(message, Message::Install { .. }))
    });
    assert_eq!(again, Some(21));
}

/// openraft #1795: a snapshot that could not be written is tried again, but not at once.
#[test]
fn a_snapshot_that_failed_is_tried_again_later() {
    let mut config = config(1, 3);
    config.bounds.snapshot_every = 4;
    let mut node = Node::recover(config, []);
    node.hear(2, append(1, entry(0, 0), &[1; 20], 20));
    node.input(Input::Applied(4));
    let (id, _) = node.tasks.pop().unwrap();
    let records = node.records.len();
    node.input(Input::TaskDone { id, output: Output::SnapshotFailed });
    node.input(Input::Applied(5));
    assert_eq!((node.tasks.len(), node.records.len()), (0, records));
    node.input(Input::Applied(6));
    assert_eq!(node.tasks.len(), 0);
    node.input(Input::Applied(7));
    assert_eq!(node.tasks.len(), 1);
    assert_ne!(node.tasks[0].0, id, "a task of its own");
    let (index, blob) = (Index(7), snapshot(7, 1).blob);
    node.input(Input::TaskDone { id, output: Output::Snapshot { index, blob } });
    assert_eq!(node.records.len(), records, "an answer for the task that failed counts no more");
}

/// §7: a checkpoint stands for all records before it, term and vote included.
#[test]
fn a_node_restarts_from_its_newest_checkpoint_alone() {
    let mut node = compacted_leader(0);
    node.propose(1, "x");
    let (view, newest) = (node.view(), node.records.len() - 2);
    assert!(matches!(node.records[newest], Record::Checkpoint(_)));
    node.records.drain(..newest);
    let after = Node::recover(config(1, 3), node.records.clone());
    assert_eq!((after.view().term, after.view().vote), (view.term, view.vote));
    assert_eq!((after.view().last, after.view().base), (view.last, entry(5, 2)));
    assert_eq!(after.view().commit, Index(5));
    assert_eq!(installed(&after), [snapshot(5, 2)], "the state machine is given its state back");
}

#[test]
fn proposals_are_refused_while_no_snapshot_can_be_written_and_memory_is_full() {
    let mut config = config(1, 1);
    (config.bounds.snapshot_every_bytes, config.bounds.max_log_bytes) = (30, 60);
    let mut node = Node::recover(config, []);
    for token in 0..6 {
        node.propose(token, "0123456789abcdef");
    }
    let is_refused = |event: &Event| matches!(event, Event::Refused { .. });
    assert_eq!(node.events.iter().filter(|event| is_refused(event)).count(), 3);
    node.compact(4);
    node.events.clear();
    let request = Request::Propose("x".into());
    node.input(Input::Request { token: Token(9), request });
    assert!(!node.events.iter().any(is_refused));
}

/// Nothing more is proposed or applied then, by which the next one would come due.
#[test]
fn a_snapshot_that_failed_is_tried_again_at_heartbeats_while_the_log_is_full() {
    let mut config = config(1, 1);
    (config.bounds.snapshot_every_bytes, config.bounds.max_log_bytes) = (30, 60);
    let mut node = Node::recover(config, []);
    (0..2).for_each(|token| node.propose(token, "0123456789abcdef"));
    node.input(Input::Applied(3));
    let fail = |node: &mut Node| {
        let (id, _) = node.tasks.pop().expect("a snapshot is due");
        node.input(Input::TaskDone { id, output: Output::SnapshotFailed });
    };
    fail(&mut node);
    node.fire(Timer::Heartbeat);
    assert_eq!(node.tasks.len(), 0, "the log has room, and the next attempt waits");
    (2..9).for_each(|token| node.propose(token, "0123456789abcdef"));
    assert!(node.events.contains(&Event::Refused { token: Token(8), refusal: Refusal::Busy }));
    for _ in 0..3 {
        node.fire(Timer::Heartbeat);
        fail(&mut node);
        assert_eq!(node.tasks.len(), 0);
    }
    node.fire(Timer::Heartbeat);
    node.fire(Timer::Heartbeat);
    assert_eq!(node.tasks.len(), 1, "one at a time");
}

/// A late snapshot of another driver task, or one behind an installed one, is dropped.
#[test]
fn a_snapshot_that_was_overtaken_by_an_installed_one_is_dropped() {
    let mut config = config(1, 3);
    config.bounds.snapshot_every = 2;
    let mut node = Node::recover(config, []);
    node.hear(2, append(1, entry(0, 0), &[1; 4], 4));
    node.input(Input::Applied(4));
    let (id, _) = node.tasks.pop().unwrap();
    node.hear(2, install(1, snapshot(9, 1)));
    let (view, records) = (node.view(), node.records.len());
    for index in [4, 9] {
        let mut node = node.clone();
        let blob = snapshot(index, 1).blob;
        let output = Output::Snapshot { index: Index(index), blob };
        node.input(Input::TaskDone { id, output: output.clone() });
        node.input(Input::TaskDone { id, output });
        assert_eq!((node.view(), node.records.len()), (view.clone(), records));
    }
}

#[test]
fn a_cluster_catches_a_node_up_by_snapshot_and_it_takes_part_again() {
    let mut cluster = Cluster::with_one_behind();
    cluster.heal();
    cluster.run(Duration::from_millis(500));
    assert_eq!(cluster.commits(), [21, 21, 21]);
    assert_eq!(cluster.sometimes.count("snapshot installed"), 1);
    cluster.isolate(&[2]);
    cluster.at(1, |node| node.propose(99, "x"));
    cluster.settle();
    assert_eq!(cluster.commits(), [22, 21, 22]);
    let answer = cluster.at(3, |node| node.answer(1, heartbeat(1, 22)));
    assert_eq!(answer.len(), 1);
    cluster.assert_sound();
}
