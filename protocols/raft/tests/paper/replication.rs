//! Log replication: §5.3, "AppendEntries RPC" of figure 2, figure 7.

use std::time::Duration;

use synod_consensus::{Epoch, Index};
use synod_engine::{Input, LinkState, NodeId};
use synod_raft::{AppendResult, EntryId, Message, Record, Timer};

use crate::cluster::{Cluster, Founded as _, RaftCluster as _};
use crate::driver::{
    Node, RaftNode as _, Whole as _, append, batches, config, entry, heartbeat, matches,
};

/// Node 1 of three in term 3, with a log of the terms 1 1 2.
fn follower() -> Node {
    Node::with_log(1, 3, 3, &[1, 1, 2])
}

fn conflict(term: u64, previous: u64, last: u64, hint: EntryId) -> Message {
    let (previous, last) = (Index(previous), Index(last));
    let result = AppendResult::Conflict { previous, last, hint };
    Message::AppendReply { term: Epoch(term), result }
}

/// The appends to `peer` among what was sent: the entry before, and first and last of the entries.
fn appends_to(node: &mut Node, peer: u64) -> Vec<(EntryId, Option<(u64, u64)>)> {
    let shape = |message| match message {
        Message::Append { previous, entries, .. } => {
            Some((previous, entries.map(|batch| (batch.first().0, batch.last().0))))
        }
        _ => None,
    };
    node.said_to(peer).into_iter().filter_map(shape).collect()
}

/// Figure 2, AppendEntries 2: "Reply false if log doesn't contain an entry at prevLogIndex whose term
/// matches prevLogTerm".
#[test]
fn entries_are_refused_unless_the_entry_before_them_is_shared() {
    for (previous, place) in [(entry(4, 2), 3), (entry(3, 3), 3), (entry(2, 2), 2)] {
        let mut node = follower();
        let records = node.records.len();
        let answer = node.answer(2, append(3, previous, &[3], 9));
        let hint = if place == 3 { entry(3, 2) } else { entry(1, 1) };
        assert_eq!(answer, [conflict(3, previous.index.0, 3, hint)]);
        assert_eq!((node.terms(), node.records.len()), (vec![1, 1, 2], records));
        assert_eq!(node.view().commit, Index(0));
    }
}

/// Figure 2, AppendEntries 3 and 4: "If an existing entry conflicts with a new one (same index but
/// different terms), delete the existing entry and all that follow it"; "Append any new entries not
/// already in the log".
#[test]
fn a_conflicting_entry_goes_with_all_that_follow_it_and_no_other_does() {
    for (previous, new, expected) in [
        (entry(3, 2), &[3, 3][..], &[1, 1, 2, 3, 3][..]),
        (entry(2, 1), &[3], &[1, 1, 3]),
        (entry(1, 1), &[3, 3], &[1, 3, 3]),
        (entry(0, 0), &[3], &[3]),
        (entry(0, 0), &[1], &[1, 1, 2]),
        (entry(0, 0), &[1, 1], &[1, 1, 2]),
        (entry(1, 1), &[], &[1, 1, 2]),
        (entry(2, 1), &[2, 2], &[1, 1, 2, 2]),
        (entry(0, 0), &[1, 1, 1], &[1, 1, 1]),
    ] {
        let mut node = follower();
        let end = previous.index.0 + new.len() as u64;
        assert_eq!(node.answer(2, append(3, previous, new, 0)), [matches(3, end)]);
        assert_eq!(node.terms(), expected);
    }
}

#[test]
fn an_old_append_that_arrives_late_takes_nothing_away() {
    let mut node = follower();
    node.hear(2, append(3, entry(3, 2), &[3, 3, 3], 0));
    let records = node.records.len();
    assert_eq!(node.answer(2, append(3, entry(3, 2), &[3], 0)), [matches(3, 4)]);
    assert_eq!(node.terms(), [1, 1, 2, 3, 3, 3]);
    assert_eq!(node.records.len(), records, "what is on disk is not written twice");
}

#[test]
fn only_what_is_new_is_written() {
    let mut node = follower();
    node.hear(2, append(3, entry(1, 1), &[1], 0));
    node.hear(2, append(3, entry(2, 1), &[2, 2], 0));
    assert_eq!(node.records.last(), Some(&Record::Entries(batches(4, &[2]).pop().unwrap())));
}

/// Figure 2, AppendEntries 5: "set commitIndex = min(leaderCommit, index of last new entry)".
#[test]
fn a_follower_commits_no_further_than_its_leader_and_than_the_last_entry_it_was_sent() {
    for (new, leader_commit, expected) in
        [(&[3, 3][..], 4, 4), (&[3, 3], 5, 5), (&[3, 3], 9, 5), (&[], 9, 3), (&[3], 1, 1)]
    {
        let mut node = follower();
        node.hear(2, append(3, entry(3, 2), new, leader_commit));
        assert_eq!(node.view().commit, Index(expected));
        assert_eq!(node.committed(), (1..=expected).collect::<Vec<_>>());
    }
    let mut node = follower();
    node.hear(2, append(3, entry(1, 1), &[], 9));
    assert_eq!(node.view().commit, Index(1), "the rest of its log may not be the leader's");
    node.hear(2, heartbeat(3, 9));
    assert_eq!(node.view().commit, Index(1), "and a heartbeat does not make it so");
}

#[test]
fn the_commit_index_never_falls() {
    let mut node = follower();
    node.hear(2, append(3, entry(3, 2), &[], 3));
    for message in [append(3, entry(3, 2), &[], 1), heartbeat(3, 0), append(4, entry(1, 1), &[], 1)]
    {
        node.hear(2, message);
        assert_eq!(node.view().commit, Index(3));
    }
    assert_eq!(node.committed(), [1, 2, 3], "and each index is told once");
}

/// What a follower knows to share with one leader says nothing of the next.
#[test]
fn what_is_shared_with_one_leader_is_not_taken_to_be_shared_with_the_next() {
    let mut node = follower();
    node.hear(2, append(3, entry(3, 2), &[3, 3], 0));
    node.hear(3, heartbeat(4, 5));
    assert_eq!(node.view().commit, Index(0));
    node.hear(3, append(4, entry(4, 3), &[], 5));
    assert_eq!(node.view().commit, Index(4));
}

/// §5.3, end: "the follower can include the term of the conflicting entry and the first index it
/// stores for that term"; the leader "can decrement nextIndex to bypass all of the conflicting
/// entries in that term".
#[test]
fn a_leader_goes_back_a_whole_term_at_once() {
    let mut leader = Node::with_log(1, 3, 5, &[1, 1, 4, 4, 5, 5]);
    leader.win(&[2]);
    assert_eq!(appends_to(&mut leader, 3), [(entry(6, 5), Some((7, 7)))], "its no-op first");
    leader.hear(3, conflict(6, 6, 6, entry(3, 2)));
    assert_eq!(
        appends_to(&mut leader, 3),
        [(entry(2, 1), Some((3, 4)))],
        "it lacks the term: to where the follower's begins"
    );
    leader.hear(3, matches(6, 4));
    assert_eq!(
        appends_to(&mut leader, 3),
        [(entry(4, 4), Some((5, 6))), (entry(6, 5), Some((7, 7)))]
    );
}

#[test]
fn a_leader_that_has_the_hinted_term_goes_to_its_last_entry_of_it() {
    let mut leader = Node::with_log(1, 3, 5, &[1, 1, 4, 4, 5, 5]);
    leader.win(&[2]);
    leader.sent.clear();
    leader.hear(3, conflict(6, 6, 9, entry(2, 4)));
    assert_eq!(appends_to(&mut leader, 3), [(entry(4, 4), Some((5, 6)))]);
    leader.hear(3, conflict(6, 4, 2, entry(1, 1)));
    assert_eq!(appends_to(&mut leader, 3), [(entry(2, 1), Some((3, 4)))], "its log is that short");
}

/// openraft cecb5de8 and 2af491fb: an answer that is about the past.
#[test]
fn a_conflict_that_is_older_than_an_acknowledgement_counts_for_nothing() {
    let mut leader = Node::with_log(1, 3, 1, &[1, 1, 1]);
    leader.win(&[2]);
    leader.hear(3, matches(2, 4));
    leader.sent.clear();
    leader.hear(3, conflict(2, 3, 0, entry(0, 0)));
    leader.hear(3, conflict(2, 4, 0, entry(0, 0)));
    assert_eq!(appends_to(&mut leader, 3), []);
    leader.propose(1, "x");
    assert_eq!(appends_to(&mut leader, 3), [(entry(4, 2), Some((5, 5)))]);
}

#[test]
fn answers_to_one_probe_are_not_taken_for_answers_to_the_next() {
    let mut leader = Node::with_log(1, 3, 5, &[1, 1, 4, 4, 5, 5]);
    leader.win(&[2]);
    leader.hear(3, conflict(6, 6, 6, entry(5, 3)));
    assert_eq!(appends_to(&mut leader, 3).pop(), Some((entry(4, 4), Some((5, 6)))));
    leader.hear(3, conflict(6, 6, 6, entry(5, 3)));
    assert_eq!(appends_to(&mut leader, 3), [], "doubled on the way");
}

/// Figure 7: "When the leader at the top comes to power, it is possible that any of scenarios (a–f)
/// could occur in follower logs"; §5.3: it "brings the follower logs into agreement".
#[test]
fn all_followers_of_figure_7_are_brought_into_agreement() {
    let leader: &[u64] = &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    let followers: [&[u64]; 6] = [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    let mut logs = vec![leader];
    logs.extend(followers);
    let mut cluster = Cluster::with_logs(7, &logs, |id| config(id, 7));
    cluster.elect(1);
    cluster.settle();
    cluster.run(Duration::from_millis(100));
    let expected: Vec<u64> = [leader, &[8]].concat();
    for node in cluster.nodes.values() {
        assert_eq!((node.terms(), node.view().commit), (expected.clone(), Index(11)));
    }
    assert_eq!(cluster.leader(), Some(1));
    cluster.assert_sound();
}

/// §5.3: "the leader retries AppendEntries RPCs indefinitely (even after it has responded to the
/// client) until all followers eventually store all log entries".
#[test]
fn a_follower_that_was_away_gets_everything_though_it_is_long_committed() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.isolate(&[3]);
    for token in 0..100 {
        cluster.at(1, |node| node.propose(token, "x"));
        cluster.run(Duration::from_millis(10));
    }
    assert_eq!(cluster.commits(), [101, 101, 1]);
    cluster.heal();
    cluster.run(Duration::from_millis(500));
    assert_eq!(cluster.commits(), [101, 101, 101]);
    cluster.assert_sound();
}

/// §5.3: appends are pipelined, each resting on the one before (thesis §10.2.1), within the bounds.
#[test]
fn a_window_of_appends_is_on_its_way_at_once_and_no_more() {
    let mut config = config(1, 3);
    (config.bounds.max_in_flight_appends, config.bounds.max_append_bytes) = (3, 1 << 20);
    let mut leader = Node::recover(config, []);
    leader.win(&[2]);
    leader.hear(2, matches(1, 1));
    leader.sent.clear();
    for token in 0..9 {
        leader.propose(token, "x");
    }
    let sent = appends_to(&mut leader, 2);
    assert_eq!(sent, [2, 3, 4].map(|index| (entry(index - 1, 1), Some((index, index)))));
    leader.hear(2, matches(1, 3));
    assert_eq!(appends_to(&mut leader, 2).len(), 2, "as many as were acknowledged");
}

#[test]
fn no_append_exceeds_its_bound_in_bytes_unless_one_entry_does() {
    let mut config = config(1, 3);
    config.bounds.max_append_bytes = 40;
    let mut leader = Node::recover(config, []);
    leader.win(&[2]);
    leader.hear(2, matches(1, 1));
    leader.sent.clear();
    for command in ["0123456789", "0123456789", "0123456789", "0123456789abcdef0123456789abcdef012"]
    {
        let request = synod_consensus::Request::Propose(command.into());
        let token = synod_engine::Token(leader.records.len() as u64);
        leader.input(Input::Request { token, request });
    }
    leader.input(Input::Flush);
    let runs: Vec<_> = appends_to(&mut leader, 2).into_iter().filter_map(|(_, run)| run).collect();
    assert_eq!(runs, [(2, 3), (4, 4), (5, 5)]);
}

#[test]
fn the_window_is_bounded_in_bytes_too_and_opens_with_what_is_acknowledged() {
    let mut config = config(1, 3);
    config.bounds.max_in_flight_bytes = 36;
    let mut leader = Node::recover(config, []);
    leader.win(&[2]);
    leader.hear(2, matches(1, 1));
    leader.sent.clear();
    (0..8).for_each(|token| leader.propose(token, "0123456789"));
    assert_eq!(appends_to(&mut leader, 2).len(), 2, "18 bytes each");
    for index in [2, 3, 4] {
        leader.hear(2, matches(1, index));
        assert_eq!(appends_to(&mut leader, 2).len(), 1);
    }
    let peer = NodeId(2);
    leader.input(Input::Link { peer, state: LinkState::Closed });
    leader.hear(2, matches(1, 4));
    assert_eq!(appends_to(&mut leader, 2).len(), 2, "what was under way is gone");
}

/// An acknowledgement of less than was probed for: the rest is sent from there on.
#[test]
fn an_acknowledgement_tells_where_to_go_on_whatever_was_probed() {
    let mut leader = Node::with_log(1, 3, 5, &[1, 1, 4, 4, 5, 5]);
    leader.win(&[2]);
    leader.sent.clear();
    leader.hear(3, matches(6, 4));
    assert_eq!(
        appends_to(&mut leader, 3),
        [(entry(4, 4), Some((5, 6))), (entry(6, 5), Some((7, 7)))]
    );
}

/// A leader that lost its link cannot know what arrived: it goes on from what was acknowledged.
#[test]
fn after_a_broken_link_everything_unacknowledged_is_sent_again() {
    let mut leader = Node::founder(1, 3);
    leader.win(&[2]);
    leader.hear(2, matches(1, 1));
    (0..3).for_each(|token| leader.propose(token, "x"));
    leader.hear(2, matches(1, 2));
    leader.sent.clear();
    for state in [LinkState::Closed, LinkState::Opened] {
        leader.input(Input::Link { peer: NodeId(2), state });
        leader.input(Input::Flush);
        assert_eq!(appends_to(&mut leader, 2), [(entry(2, 1), Some((3, 3)))]);
    }
    leader.hear(2, matches(1, 3));
    assert_eq!(appends_to(&mut leader, 2), [(entry(3, 1), Some((4, 4)))]);
}

/// What was lost without a trace is found out between two heartbeats.
#[test]
fn a_follower_that_does_not_get_on_is_asked_and_one_that_does_is_not() {
    let mut leader = Node::founder(1, 3);
    leader.win(&[2, 3]);
    leader.hear(2, matches(1, 1));
    leader.hear(3, matches(1, 1));
    leader.fire(Timer::Heartbeat);
    leader.propose(1, "x");
    leader.hear(3, matches(1, 2));
    leader.sent.clear();
    leader.fire(Timer::Heartbeat);
    assert_eq!(appends_to(&mut leader, 2), [(entry(2, 1), None)]);
    assert_eq!(appends_to(&mut leader, 3), []);
}

/// §8 of the contract, bounds: a follower whose state machine is far behind takes no more entries.
#[test]
fn a_follower_takes_no_entries_while_its_state_machine_lags() {
    let mut config = config(1, 3);
    config.bounds.max_unapplied_entries = 2;
    let mut node = Node::recover(config, []);
    node.hear(2, append(1, entry(0, 0), &[1, 1, 1], 3));
    assert_eq!(node.answer(2, append(1, entry(3, 1), &[1], 4)), []);
    assert_eq!(node.terms().len(), 3);
    node.input(Input::Applied(1));
    assert_eq!(node.answer(2, append(1, entry(3, 1), &[1], 4)), [matches(1, 4)]);
}
