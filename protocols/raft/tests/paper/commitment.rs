//! Commitment: §5.3, §5.4.2 and figure 8; the leader's disk is one more follower's: thesis §10.2.1.

use std::time::Duration;

use synod_consensus::{Epoch, Event, Index, Payload, Role};
use synod_engine::Token;
use synod_raft::{Message, Timer};

use crate::cluster::{Cluster, RaftCluster as _};
use crate::driver::{
    Disk, Node, RaftNode as _, Whole as _, append, batches, config, entry, matches, vote_reply,
};

const MOMENT: Duration = Duration::from_millis(100);

/// Node 1 of `voters` leads term 2 with a log of the terms 1 1 2; nothing is committed.
fn leader(voters: u64) -> Node {
    let mut node = Node::with_log(1, voters, 1, &[1, 1]);
    node.win(&[2, 3][..(voters / 2) as usize]);
    node
}

/// Figure 2, leaders: "If there exists an N such that N > commitIndex, a majority of matchIndex[i] ≥ N,
/// and log[N].term == currentTerm: set commitIndex = N".
#[test]
fn an_entry_is_committed_once_a_majority_stores_it() {
    let mut node = leader(5);
    node.hear(2, matches(2, 3));
    assert_eq!(node.committed(), [0; 0], "two of five");
    node.hear(2, matches(2, 3));
    assert_eq!(node.committed(), [0; 0], "the same one again");
    node.hear(3, matches(1, 3));
    assert_eq!(node.committed(), [0; 0], "an answer of an earlier term");
    node.hear(3, matches(2, 2));
    assert_eq!(node.committed(), [0; 0], "only what came before it");
    node.hear(4, matches(2, 3));
    assert_eq!(node.committed(), [1, 2, 3]);
}

/// §5.3: "This also commits all preceding entries in the leader's log, including entries created by
/// previous leaders."
#[test]
fn an_own_entry_commits_all_before_it_in_one_go() {
    let mut node = leader(3);
    node.propose(1, "x");
    node.hear(3, matches(2, 4));
    assert_eq!(node.committed(), [1, 2, 3, 4]);
}

/// Figure 8 (c): S1 leads term 4 and has brought its entry of term 2 to S3, and so to a majority; its
/// own entry of term 4 has reached nobody. S5 is down.
fn figure_8_c() -> Cluster {
    let logs: [&[u64]; 5] = [&[1, 2], &[1, 2], &[1], &[1], &[1, 3]];
    let mut cluster = Cluster::with_logs(3, &logs, |id| config(id, 5));
    cluster.isolate(&[5]);
    cluster.at(1, |node| node.fire(Timer::Election));
    let mut probes = 0;
    cluster.settle_but(|envelope| match &envelope.message {
        Message::Append { entries: Some(batch), .. } if batch.epoch() == Epoch(4) => {
            probes += u64::from(envelope.to == 3);
            envelope.to != 3 || probes > 1
        }
        Message::Append { .. } => envelope.to != 3,
        _ => false,
    });
    let logs: Vec<_> = cluster.nodes.values().map(Node::terms).collect();
    assert_eq!(logs, [&[1, 2, 4][..], &[1, 2], &[1, 2], &[1], &[1, 3]]);
    cluster
}

/// Figure 8 (c); §5.4.2: "Raft never commits log entries from previous terms by counting replicas."
#[test]
fn figure_8_c_an_entry_of_an_earlier_term_is_not_committed_by_counting() {
    let mut cluster = figure_8_c();
    assert_eq!(cluster.commits(), [0; 5]);
    cluster.assert_sound();
}

/// Figure 8 (d): S1 crashes, and S5, elected by S2, S3 and S4, overwrites the entry on all of them.
#[test]
fn figure_8_d_it_may_still_be_overwritten() {
    let mut cluster = figure_8_c();
    cluster.heal();
    cluster.isolate(&[1]);
    cluster.at(5, |node| node.hear(4, vote_reply(4, false)));
    cluster.elect(5);
    cluster.run(MOMENT);
    let logs: Vec<_> = cluster.nodes.values().skip(1).map(Node::terms).collect();
    assert_eq!(logs, [[1, 3, 5]; 4]);
    assert_eq!(cluster.commits(), [0, 3, 3, 3, 3]);
    cluster.assert_sound();
}

/// Figure 8 (e): S1 brings its own entry to a majority. That commits both, and S5 cannot win any more.
#[test]
fn figure_8_e_an_own_entry_on_a_majority_commits_it_for_good() {
    let mut cluster = figure_8_c();
    cluster.run(MOMENT);
    assert_eq!(cluster.commits(), [3, 3, 3, 3, 0]);
    cluster.heal();
    cluster.isolate(&[1]);
    cluster.at(5, |node| node.hear(4, vote_reply(4, false)));
    cluster.nodes.values_mut().for_each(|node| node.wait(Duration::from_secs(1)));
    cluster.at(5, |node| node.fire(Timer::Election));
    cluster.settle_but(|envelope| matches!(envelope.message, Message::Pull { .. }));
    assert_eq!(cluster.nodes[&5].view().role, Role::Follower, "its log is behind");
    cluster.run(Duration::from_secs(5));
    assert_eq!(cluster.nodes[&5].terms()[..3], [1, 2, 4]);
    cluster.assert_sound();
}

fn is_append_of(message: &Message, term: u64) -> bool {
    matches!(message, Message::Append { entries: Some(batch), .. } if batch.epoch() == Epoch(term))
}

/// Thesis §10.2.1: "The leader may even commit an entry before it has been written to its own disk,
/// if a majority of followers have written it to their disks; this is still safe."
#[test]
fn a_leader_commits_by_its_followers_alone_while_its_own_disk_stalls() {
    let mut node = leader(3);
    node.hear(2, matches(2, 3));
    node.disk = Disk::Manual;
    node.committed();
    node.propose(1, "x");
    node.hear(2, matches(2, 4));
    assert_eq!(node.committed(), [0; 0], "it counts itself only once its own disk has it");
    node.hear(3, matches(2, 4));
    assert_eq!(node.committed(), [4]);
}

#[test]
fn a_leader_counts_itself_as_soon_as_its_own_disk_has_it() {
    let mut node = leader(3);
    node.hear(2, matches(2, 3));
    node.disk = Disk::Manual;
    node.committed();
    node.propose(1, "x");
    node.hear(2, matches(2, 4));
    node.sync();
    assert_eq!(node.committed(), [4]);
}

/// Thesis §10.2.1: the leader "can replicate to the followers in parallel with writing to its disk".
#[test]
fn entries_leave_before_they_are_durable() {
    let mut node = leader(3);
    node.hear(2, matches(2, 3));
    node.disk = Disk::Manual;
    node.sent.clear();
    node.propose(1, "x");
    assert!(is_append_of(&node.said_to(2)[0], 2));
}

#[test]
fn a_cluster_of_one_commits_when_its_disk_has_it_and_not_before() {
    let mut node = Node::founder(1, 1);
    node.committed();
    node.disk = Disk::Manual;
    node.propose(1, "x");
    assert_eq!(node.committed(), [0; 0]);
    node.sync();
    assert_eq!(node.committed(), [2]);
}

/// §5.3: "The leader keeps track of the highest index it knows to be committed, and it includes that
/// index in future AppendEntries RPCs (including heartbeats)"; here also at once.
#[test]
fn followers_learn_at_once_what_was_committed() {
    let mut node = leader(3);
    node.sent.clear();
    node.hear(2, matches(2, 3));
    for peer in [2, 3] {
        let told = node.said_to(peer).into_iter().find_map(|message| match message {
            Message::Heartbeat { commit, .. } | Message::Append { commit, .. } => Some(commit),
            _ => None,
        });
        assert_eq!(told, Some(Index(3)), "n{peer}");
    }
}

/// §8: "it commits a blank no-op entry into the log at the start of its term".
#[test]
fn the_first_entry_of_a_leader_is_a_no_op_of_its_term() {
    let node = leader(3);
    let batch = node.engine.log().run_from(Index(3)).unwrap();
    assert_eq!((batch.epoch(), batch.payloads()), (Epoch(2), &[Payload::Noop][..]));
}

#[test]
fn a_command_is_committed_under_the_token_of_who_proposed_it_and_nobody_elses() {
    let mut node = leader(3);
    node.propose(7, "x");
    node.propose(8, "y");
    node.hear(2, matches(2, 5));
    let own = node.events.iter().filter_map(|event| match event {
        Event::Committed { own, .. } => Some(own.clone()),
        _ => None,
    });
    let own: Vec<_> = own.flatten().collect();
    assert_eq!(own, [(Index(4), Token(7)), (Index(5), Token(8))]);
    let mut follower = Node::founder(2, 3);
    follower.hear(1, append(2, entry(0, 0), &[2], 1));
    assert!(follower.events.iter().all(|event| match event {
        Event::Committed { own, batch } => own.is_empty() && *batch == batches(1, &[2])[0],
        _ => true,
    }));
}
