//! What comes late, twice, or from a node that has no say: it changes nothing.

use synod_consensus::{Batch, Epoch, Event, Index, Payload};
use synod_zab::{Message, Phase};

use crate::driver::{Node, ZabNode as _, called, config, elected, established, leading, recover};
use crate::words::{
    Past, ack_epoch, ack_new_leader, batches, diff, entry, follower_info, founders, new_leader,
    snapshot, took_part,
};

const EPOCH: Epoch = Epoch(2);

fn propose(previous: (u64, u64), epoch: u64) -> Message {
    let (index, of) = previous;
    let entries = batches(index + 1, &[epoch]).remove(0);
    Message::Propose { epoch: EPOCH, previous: entry(index, of), entries, commit: Index(0) }
}

/// Node 1 of three, which has accepted epoch 2 of node 2 and holds entries of these epochs.
fn following(history: &[u64]) -> Node {
    let mut node = Node::lived_with(1, 3, &took_part(history), synod_engine::Sound);
    node.called_by(2, 2);
    node.hear(2, Message::NewEpoch { epoch: EPOCH });
    assert_eq!(node.view().phase, Phase::Synchronisation);
    node.sent.clear();
    node
}

fn installs(node: &Node) -> usize {
    node.events.iter().filter(|event| matches!(event, Event::Install(_))).count()
}

#[test]
fn an_entry_of_the_leader_takes_the_place_of_another_one() {
    let mut node = following(&[1, 1]);
    node.hear(2, diff(2, entry(1, 1)));
    node.hear(2, propose((1, 1), 2));
    assert_eq!(node.history(), [1, 2]);
}

#[test]
fn newleader_that_comes_again_cuts_nothing_of_what_its_leader_proposed_since() {
    let mut node = following(&[1]);
    node.hear(2, diff(2, entry(1, 1)));
    node.hear(2, new_leader(2, entry(1, 1)));
    node.hear(2, propose((1, 1), 2));
    node.hear(2, propose((2, 2), 2));
    node.hear(2, new_leader(2, entry(2, 2)));
    assert_eq!(node.history(), [1, 2, 2]);
    assert!(
        node.said_to(2).iter().any(|it| matches!(it, Message::AckNewLeader { last: Index(2), .. }))
    );
}

#[test]
fn a_snapshot_that_comes_twice_is_installed_once() {
    let mut node = called();
    let snap = Message::Snap {
        epoch: EPOCH,
        snapshot: snapshot(5, 1),
        began: Index(0),
        members: founders(1..=3),
    };
    node.hear(2, snap.clone());
    let records = node.records.len();
    node.hear(2, snap);
    assert_eq!((installs(&node), node.records.len()), (1, records));
}

#[test]
fn what_would_follow_another_end_of_a_snapshot_is_not_taken() {
    let mut node = called();
    let snap = Message::Snap {
        epoch: EPOCH,
        snapshot: snapshot(5, 1),
        began: Index(0),
        members: founders(1..=3),
    };
    node.hear(2, snap);
    node.hear(2, propose((5, 2), 2));
    assert_eq!(node.history(), [0; 0], "5 is of epoch 1");
    node.hear(2, propose((5, 1), 2));
    assert_eq!(node.history(), [2]);
}

/// Who accepted just this epoch is told of it once more; who accepted a later one needs a later one.
#[test]
fn a_candidate_chooses_another_epoch_only_for_who_accepted_a_later_one() {
    let mut node = elected(1, 3, &Past::default());
    node.hear(2, follower_info(0));
    assert_eq!(node.view().accepted, Epoch(1));
    node.sent.clear();
    node.hear(3, follower_info(1));
    assert_eq!(node.view().accepted, Epoch(1));
    assert_eq!(node.said_to(3), [Message::NewEpoch { epoch: Epoch(1) }]);
    node.hear(3, follower_info(2));
    assert_eq!(node.view().accepted, Epoch(3));
}

#[test]
fn an_established_leader_yields_to_a_later_epoch_and_to_no_earlier_one() {
    let mut node = established();
    node.called_by(3, 1);
    assert_eq!(node.view().phase, Phase::Broadcast);
    node.called_by(3, 5);
    assert_eq!(node.view().leader.map(|it| it.0), Some(3));
}

#[test]
fn only_its_leader_tells_a_follower_to_look() {
    let mut node = following(&[1]);
    node.hear(3, Message::Look { epoch: EPOCH });
    assert_eq!(node.view().phase, Phase::Synchronisation);
    node.hear(2, Message::Look { epoch: Epoch(1) });
    assert_eq!(node.view().phase, Phase::Synchronisation, "of an epoch that is over");
    node.hear(2, Message::Look { epoch: EPOCH });
    assert_eq!(node.view().phase, Phase::Election);
}

#[test]
fn an_answer_to_an_earlier_epoch_synchronises_nobody() {
    let mut node = leading(&took_part(&[1]), &[1]);
    node.hear(2, ack_new_leader(2, 1));
    assert_eq!(node.view().phase, Phase::Broadcast);
    node.hear(3, follower_info(1));
    node.said_to(3);
    node.hear(3, ack_epoch(1, 1, &[1]));
    let is_sync = |it: &Message| matches!(it, Message::Diff { .. } | Message::NewLeader { .. });
    assert!(!node.said_to(3).iter().any(is_sync));
    node.hear(3, ack_epoch(2, 1, &[1]));
    assert!(node.said_to(3).iter().any(is_sync));
}

#[test]
fn no_more_is_under_way_to_a_follower_than_it_may_be() {
    let mut config = config(1, 3);
    config.bounds.max_in_flight_appends = 2;
    let mut node = recover(config, []);
    node.wins(&[2, 3]);
    node.hear(2, follower_info(0));
    node.hear(2, ack_epoch(1, 0, &[]));
    node.hear(2, ack_new_leader(1, 0));
    node.sent.clear();
    let proposals = |node: &mut Node| {
        let said = node.said_to(2);
        said.iter().filter(|it| matches!(it, Message::Propose { .. })).count()
    };
    (1..=5).for_each(|token| node.propose(token, "x"));
    assert_eq!(proposals(&mut node), 2);
    node.hear(2, Message::Ack { epoch: Epoch(1), index: Index(2) });
    assert!(proposals(&mut node) > 0, "room again");
}

/// The entry that a follower holds already is told to nobody twice.
#[test]
fn a_proposal_that_comes_twice_writes_nothing_twice() {
    let mut node = following(&[1]);
    node.hear(2, diff(2, entry(1, 1)));
    node.hear(2, propose((1, 1), 2));
    let records = node.records.len();
    node.hear(2, propose((1, 1), 2));
    assert_eq!((node.history(), node.records.len()), (vec![1, 2], records));
    let command = Payload::Command(bytes::Bytes::new());
    let later = Batch::new(Index(9), EPOCH, vec![command]);
    let (previous, commit) = (entry(8, 2), Index(0));
    node.hear(2, Message::Propose { epoch: EPOCH, previous, entries: later, commit });
    assert_eq!(node.history(), [1, 2], "a gap");
}
