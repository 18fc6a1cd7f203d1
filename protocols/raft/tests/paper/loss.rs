//! Raft's messages may be lost, doubled and reordered (§5.1: "servers retry RPCs if they do not
//! receive a response in a timely manner"): whatever is lost, the cluster gets on once the network
//! does, without any link reporting an error.

use std::time::Duration;

use synod_consensus::{Index, Output};
use synod_engine::{Input, LinkState, NodeId};
use synod_raft::{Message, Timer};

use crate::cluster::{Cluster, Envelope, Founded as _, RaftCluster as _};
use crate::driver::{Node, Whole as _, config, snapshot};

const SOON: Duration = Duration::from_millis(500);

fn to_or_from(id: u64) -> impl FnMut(&Envelope) -> bool {
    move |envelope| envelope.from == id || envelope.to == id
}

/// Tells a node that a snapshot to `index`, of `term`, was written.
fn snapshot_done(node: &mut Node, index: u64, term: u64) {
    node.input(Input::Applied(index));
    let (id, _) = node.tasks.pop().expect("a snapshot is due");
    let blob = snapshot(index, term).blob;
    node.input(Input::TaskDone { id, output: Output::Snapshot { index: Index(index), blob } });
}

#[test]
fn a_follower_whose_window_was_lost_and_then_compacted_gets_the_snapshot() {
    let mut cluster = Cluster::with_logs(0, &[&[], &[], &[]], |id| {
        let mut config = config(id, 3);
        (
            config.bounds.max_in_flight_appends,
            config.bounds.snapshot_every,
            config.bounds.keep_log_bytes,
        ) = (4, 10, 0);
        config
    });
    cluster.elect(1);
    for token in 0..20 {
        cluster.at(1, |node| node.propose(token, "x"));
        cluster.settle_but(to_or_from(3));
    }
    assert_eq!(cluster.commits()[..2], [21, 21]);
    cluster.at(1, |node| snapshot_done(node, 21, 1));
    cluster.run(SOON);
    assert_eq!(cluster.commits(), [21, 21, 21]);
    cluster.assert_sound();
}

#[test]
fn a_follower_that_restarted_while_nothing_is_proposed_learns_the_commit_index() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.settle();
    cluster.reboot(3);
    assert_eq!(cluster.commits(), [2, 2, 0]);
    cluster.run(SOON);
    assert_eq!(cluster.commits(), [2, 2, 2]);
    cluster.assert_sound();
}

#[test]
fn a_follower_that_campaigned_in_vain_learns_the_commit_index() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(1, |node| node.propose(1, "x"));
    let to_third = |envelope: &Envelope| {
        envelope.to == 3 && matches!(envelope.message, Message::Heartbeat { .. })
    };
    cluster.settle_but(to_third);
    assert_eq!(cluster.commits(), [2, 2, 1]);
    cluster.input(3, Input::Timer(Timer::Election));
    cluster.run(SOON);
    assert_eq!(cluster.commits(), [2, 2, 2]);
    assert_eq!(cluster.leader(), Some(1), "the pre-vote disturbed nobody");
    cluster.assert_sound();
}

/// Loses every `n`th message of every kind in turn while things are proposed; then all is well again.
#[test]
fn whatever_is_lost_is_made_good_once_the_network_is() {
    for n in 1..=5 {
        for kind in 0..17 {
            let mut cluster = Cluster::start(3);
            cluster.elect(1);
            let mut seen = 0;
            let mut lost = |envelope: &Envelope| {
                let is_kind = kind_of(&envelope.message) == kind;
                seen += u64::from(is_kind);
                is_kind && seen % n == 0
            };
            for token in 0..30 {
                let leader = cluster.leader().unwrap_or(1);
                cluster.at(leader, |node| node.propose(token, "x"));
                cluster.run_but(Duration::from_millis(40), &mut lost);
            }
            cluster.run(Duration::from_secs(5));
            let leader = cluster.leader().expect("somebody leads");
            let last = cluster.nodes[&leader].view().last.index.0;
            assert_eq!(cluster.commits(), [last; 3], "kind {kind}, every {n}th lost");
            cluster.assert_sound();
        }
    }
}

fn kind_of(message: &Message) -> usize {
    match message {
        Message::PreVote { .. } => 0,
        Message::PreVoteReply { .. } => 1,
        Message::Vote { .. } => 2,
        Message::VoteReply { .. } => 3,
        Message::Append { .. } => 4,
        Message::AppendReply { .. } => 5,
        Message::Heartbeat { .. } => 6,
        Message::HeartbeatReply { .. } => 7,
        Message::Install { .. } => 8,
        Message::TimeoutNow { .. } => 9,
        Message::ReadIndex { .. } => 10,
        Message::ReadIndexReply { .. } => 11,
        Message::Pull { .. } => 12,
        Message::Pulled { .. } => 13,
        Message::Forward { .. } => 14,
        Message::Forwarded { .. } => 15,
        Message::Rest { .. } => 16,
    }
}

#[test]
fn a_follower_that_lost_its_disk_is_not_asked_in_a_hot_loop() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.settle();
    *cluster.node(3) = Node::founder(3, 3);
    cluster.input(1, Input::Link { peer: NodeId(3), state: LinkState::Closed });
    cluster.settle();
}
