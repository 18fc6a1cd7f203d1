//! Phase 3: proposals, acknowledgements, commits, in order.

use std::time::Duration;

use synod_consensus::Index;
use synod_zab::{Message, Phase};

use crate::cluster::{Cluster, Founded as _, ZabCluster as _};
use crate::driver::{Disk, Node, ZabNode as _, called, established};
use crate::words::{
    ack, ack_epoch, ack_new_leader, commit, diff, entry, follower_info, new_epoch, new_leader,
    propose, up_to_date,
};

/// A follower of epoch 2 that serves, with an empty history.
fn serving() -> Node {
    let mut node = called();
    node.hear(2, diff(2, entry(0, 0)));
    node.hear(2, new_leader(2, entry(0, 0)));
    node.hear(2, up_to_date(2, 0));
    assert_eq!(node.view().phase, Phase::Broadcast);
    node.sent.clear();
    node
}

fn proposed(said: &[Message]) -> Vec<(u64, u64)> {
    let proposals = said.iter().filter_map(|message| match message {
        Message::Propose { previous, entries, .. } => Some((previous.index.0, entries.last().0)),
        _ => None,
    });
    proposals.collect()
}

#[test]
fn l_3_1_proposals_go_out_in_the_order_of_their_zxids() {
    let mut node = established();
    (0..3).for_each(|token| node.propose(token, "x"));
    assert_eq!(proposed(&node.said_to(2)), [(0, 1), (1, 2), (2, 3)]);
    assert_eq!(node.view().zxid, synod_zab::Zxid::new(1, 3));
}

#[test]
fn l_3_1_proposals_do_not_wait_for_the_leaders_disk_nor_for_each_other() {
    let mut node = established();
    node.disk = Disk::Manual;
    node.propose(1, "a");
    node.propose(2, "b");
    assert_eq!(proposed(&node.said_to(2)), [(0, 1), (1, 2)]);
}

#[test]
fn l_3_2_a_proposal_is_committed_once_a_quorum_has_acknowledged_it_and_all_before() {
    let mut node = established();
    (0..3).for_each(|token| node.propose(token, "x"));
    node.sent.clear();
    assert_eq!(node.committed(), []);
    assert_eq!(node.answer(2, ack(1, 2)), [commit(1, 2)]);
    assert_eq!(node.committed(), [1, 2]);
    assert_eq!(node.answer(2, ack(1, 3)), [commit(1, 3)]);
    assert_eq!(node.committed(), [3]);
}

#[test]
fn l_3_2_the_leaders_own_acknowledgement_is_that_of_its_disk() {
    let mut node = established();
    node.disk = Disk::Manual;
    node.propose(1, "a");
    node.hear(2, ack(1, 1));
    assert_eq!(node.committed(), []);
    node.sync();
    assert_eq!(node.committed(), [1]);
}

#[test]
fn l_3_2_acknowledgements_of_another_epoch_or_of_nobody_count_for_nothing() {
    let mut node = established();
    node.propose(1, "a");
    node.hear(2, ack(0, 1));
    node.hear(3, ack(1, 1));
    node.hear(9, ack(1, 1));
    assert_eq!(
        node.committed(),
        [],
        "of the past, of who has not taken over the history, of a stranger"
    );
    node.hear(2, ack(1, 9));
    assert_eq!(node.committed(), [1], "nobody has more than there is");
}

#[test]
fn l_3_3_a_late_follower_gets_the_epoch_and_then_all_that_was_proposed_committed_or_not() {
    let mut node = established();
    node.propose(1, "a");
    node.hear(2, ack(1, 1));
    node.propose(2, "b");
    node.sent.clear();
    assert_eq!(node.answer(3, follower_info(0)), [new_epoch(1)]);
    let said = node.answer(3, ack_epoch(1, 0, &[]));
    assert_eq!(said[0], diff(1, entry(0, 0)));
    assert_eq!(proposed(&said), [(0, 1), (1, 2)]);
    let newleader = said.last().expect("something was said");
    assert!(matches!(newleader, Message::NewLeader { last, .. } if *last == entry(2, 1)));
}

#[test]
fn l_3_3_what_is_proposed_since_follows_newleader_in_order() {
    let mut node = established();
    node.hear(3, follower_info(0));
    node.sent.clear();
    node.hear(3, ack_epoch(1, 0, &[]));
    node.propose(1, "a");
    let said = node.said_to(3);
    let newleader = said.iter().position(|it| matches!(it, Message::NewLeader { .. }));
    let proposal = said.iter().position(|it| matches!(it, Message::Propose { .. }));
    assert!(newleader.is_some() && newleader < proposal, "{said:?}");
}

#[test]
fn l_3_4_a_late_follower_that_acknowledged_newleader_is_told_to_serve_and_counts() {
    let mut node = established();
    node.hear(3, follower_info(0));
    node.hear(3, ack_epoch(1, 0, &[]));
    node.propose(1, "a");
    node.hear(2, ack(1, 1));
    node.sent.clear();
    assert_eq!(node.answer(3, ack_new_leader(1, 0)), [up_to_date(1, 1)]);
    node.propose(2, "b");
    node.hear(3, ack(1, 2));
    assert_eq!(node.view().commit, Index(2), "a quorum with 1");
}

#[test]
fn f_3_2_a_proposal_is_durable_before_it_is_acknowledged() {
    let mut node = serving();
    node.disk = Disk::Manual;
    node.hear(2, propose(2, entry(0, 0), &[2], 0));
    node.hear(2, propose(2, entry(1, 2), &[2], 0));
    assert_eq!(node.said_to(2), []);
    node.sync_one();
    assert_eq!(node.said_to(2), [ack(2, 1)]);
    node.sync_one();
    assert_eq!(node.said_to(2), [ack(2, 2)]);
}

#[test]
fn f_3_2_a_proposal_that_does_not_follow_on_the_last_is_not_accepted() {
    let mut node = serving();
    node.hear(2, propose(2, entry(0, 0), &[2], 0));
    node.sent.clear();
    let said = node.answer(2, propose(2, entry(2, 2), &[2], 0));
    assert_eq!(said, [ack_epoch(2, 2, &[2])], "it says what it has instead");
    assert_eq!(node.history(), [2]);
}

#[test]
fn f_3_2_only_its_leader_proposes_and_only_in_the_epoch_that_was_accepted() {
    let mut node = serving();
    assert_eq!(node.answer(3, propose(2, entry(0, 0), &[2], 1)), []);
    assert_eq!(node.answer(2, propose(1, entry(0, 0), &[1], 1)), []);
    assert_eq!(node.answer(2, propose(3, entry(0, 0), &[3], 1)), []);
    assert_eq!((node.history(), node.committed()), (vec![], vec![]));
}

#[test]
fn f_3_3_a_commit_delivers_all_before_it_in_order_and_nothing_that_is_not_there() {
    let mut node = serving();
    node.hear(2, propose(2, entry(0, 0), &[2, 2], 0));
    node.hear(2, propose(2, entry(2, 2), &[2], 0));
    assert_eq!(node.committed(), []);
    node.hear(2, commit(2, 2));
    assert_eq!(node.committed(), [1, 2]);
    node.hear(2, commit(2, 9));
    assert_eq!(node.committed(), [3]);
    node.hear(2, commit(2, 2));
    assert_eq!(node.committed(), [], "each once");
}

/// Section III: a new primary's first proposal comes behind all that earlier ones broadcast and that is
/// delivered; its epoch is higher.
#[test]
fn a_new_leader_goes_on_behind_what_the_old_one_committed() {
    let mut cluster = Cluster::start(3);
    assert_eq!(cluster.establish(), 3);
    cluster.write(1, "a");
    cluster.crash(3);
    assert_eq!(cluster.establish(), 2);
    cluster.write(2, "b");
    cluster.restart(3);
    assert_eq!(cluster.establish(), 2, "a sitting leader stays");
    assert_eq!(cluster.commits(), [2, 2, 2]);
    let epochs = cluster.nodes[&1].history();
    assert!(epochs[0] < epochs[1], "{epochs:?}");
    cluster.assert_sound();
}

#[test]
fn a_leader_without_a_quorum_stops_to_lead_and_commits_nothing() {
    let mut cluster = Cluster::start(3);
    assert_eq!(cluster.establish(), 3);
    cluster.isolate(&[3]);
    cluster.at(3, |node| node.propose(1, "alone"));
    cluster.run(Duration::from_secs(5));
    assert_eq!(cluster.nodes[&3].view().phase, Phase::Election);
    assert_eq!(cluster.leader(), Some(2));
    cluster.write(2, "with 1");
    cluster.heal();
    cluster.establish();
    assert_eq!((cluster.lasts(), cluster.commits()), (vec![1; 3], vec![1; 3]));
    cluster.assert_sound();
}
