//! Phase 2: the leader's history becomes everyone's.

use synod_consensus::{Epoch, Event, Refusal};
use synod_engine::Engine as _;
use synod_zab::{Message, Phase};

use crate::driver::{Disk, Node, Whole as _, ZabNode as _, called, elected, leading};
use crate::words::{
    Past, ack, ack_epoch, ack_new_leader, commit, diff, entry, follower_info, new_leader, propose,
    snapshot, took_part, trunc, up_to_date,
};

/// What node 1, with `mine`, sends node 2, with `theirs`, once that has accepted its epoch 5: each message by
/// its name and what matters.
fn sent_to(mine: &[u64], theirs: &[u64]) -> Vec<Message> {
    let past = Past { accepted: 4, ..took_part(mine) };
    let mut node = leading(&past, theirs);
    node.said_to(2)
}

#[test]
fn l_2_1_newleader_comes_behind_all_that_the_follower_lacks() {
    let mine = [1, 1, 3, 3];
    assert_eq!(
        sent_to(&mine, &[1]),
        [
            diff(5, entry(1, 1)),
            propose(5, entry(1, 1), &[1], 0),
            propose(5, entry(2, 1), &[3], 0),
            propose(5, entry(3, 3), &[3], 0),
            new_leader(5, entry(4, 3)),
        ]
    );
    assert_eq!(sent_to(&mine, &mine), [diff(5, entry(4, 3)), new_leader(5, entry(4, 3))]);
    assert_eq!(sent_to(&[], &[]), [diff(5, entry(0, 0)), new_leader(5, entry(0, 0))]);
}

/// The paper leaves out how; ZooKeeper sends TRUNC to the last zxid that both have.
#[test]
fn l_2_1_what_the_follower_has_and_the_leader_has_not_is_cut() {
    let mine = [1, 1, 3, 3];
    let cut = |last, to| trunc(5, last, to);
    let theirs: [(&[u64], Message); 4] = [
        (&[1, 1, 2, 2, 2], cut(entry(5, 2), entry(2, 1))),
        (&[1, 1, 1], cut(entry(3, 1), entry(2, 1))),
        (&[2], cut(entry(1, 2), entry(0, 0))),
        (&[1, 2], cut(entry(2, 2), entry(1, 1))),
    ];
    for (history, expected) in theirs {
        let said = sent_to(&mine, history);
        assert_eq!(said[0], expected, "{history:?}");
        assert_eq!(said.last(), Some(&new_leader(5, entry(4, 3))), "{history:?}");
    }
}

#[test]
fn l_2_1_who_lacks_what_is_compacted_gets_the_snapshot() {
    let past = Past {
        accepted: 4,
        current: 3,
        snapshot: Some(snapshot(10, 1)),
        began: 0,
        history: &[1, 3],
    };
    for (theirs, is_snap) in [(vec![1; 9], true), (vec![1; 10], false), (vec![], true)] {
        let mut node = leading(&past, &theirs);
        let said = node.said_to(2);
        match &said[0] {
            Message::Snap { snapshot, .. } => {
                assert!(is_snap && snapshot.index.0 == 10, "{theirs:?}");
                assert_eq!(said.len(), 1, "it says how its history ends then");
            }
            first => assert_eq!((first, is_snap), (&diff(5, entry(10, 1)), false), "{theirs:?}"),
        }
    }
}

#[test]
fn f_2_1_newleader_of_another_epoch_than_was_accepted_is_not_acknowledged() {
    for epoch in [1, 3] {
        let mut node = called();
        assert_eq!(node.answer(2, new_leader(epoch, entry(0, 0))), []);
        assert_eq!(node.view().current, Epoch(0));
    }
    let mut node = called();
    assert_eq!(node.answer(3, new_leader(2, entry(0, 0))), [], "of somebody else");
    assert_eq!(node.answer(2, new_leader(2, entry(0, 0))), [ack_new_leader(2, 0)]);
}

/// "Atomically": the epoch is on disk only if the history is.
#[test]
fn f_2_1_history_and_epoch_are_durable_before_newleader_is_acknowledged_and_the_history_first() {
    let mut node = called();
    node.disk = Disk::Manual;
    node.hear(2, diff(2, entry(0, 0)));
    node.hear(2, propose(2, entry(0, 0), &[1, 1], 0));
    node.hear(2, new_leader(2, entry(2, 1)));
    let mut states = vec![];
    while node.durable_records().len() < node.records.len() {
        assert!(!node.said_to(2).contains(&ack_new_leader(2, 2)));
        node.sync_one();
        let down = node.rebuilt().view();
        states.push((down.current.0, down.last.0));
    }
    assert_eq!(states, [(0, 2), (2, 2)]);
    assert!(node.said_to(2).contains(&ack_new_leader(2, 2)));
}

#[test]
fn f_2_1_the_whole_history_is_the_leaders_before_newleader_is_acknowledged() {
    let mut node = called();
    node.hear(2, diff(2, entry(0, 0)));
    node.hear(2, propose(2, entry(0, 0), &[1, 1], 0));
    assert_eq!(
        node.answer(2, new_leader(2, entry(3, 1))),
        [ack_epoch(2, 0, &[1, 1])],
        "the third was lost: it says how far it came"
    );
    assert_eq!(node.view().current, Epoch(0));
}

#[test]
fn f_2_1_what_departs_from_the_leaders_history_goes() {
    let past = Past { accepted: 3, current: 3, snapshot: None, began: 0, history: &[1, 3, 3] };
    let mut node = Node::lived(1, 3, &past);
    node.called_by(2, 5);
    node.hear(2, Message::NewEpoch { epoch: Epoch(5) });
    node.hear(2, trunc(5, entry(3, 3), entry(1, 1)));
    assert_eq!(node.history(), [1]);
    node.hear(2, propose(5, entry(1, 1), &[4, 4], 0));
    node.sent.clear();
    node.hear(2, new_leader(5, entry(3, 4)));
    assert_eq!(node.said_to(2), [ack_new_leader(5, 3)]);
    assert_eq!(node.history(), [1, 4, 4]);
}

/// A TRUNC that is late, for a history that is another by now, cuts nothing.
#[test]
fn a_trunc_is_for_the_history_that_it_names() {
    let past = Past { accepted: 3, current: 3, snapshot: None, began: 0, history: &[1, 3] };
    let mut node = Node::lived(1, 3, &past);
    node.called_by(2, 5);
    node.hear(2, Message::NewEpoch { epoch: Epoch(5) });
    node.hear(2, trunc(5, entry(3, 3), entry(1, 1)));
    assert_eq!(node.history(), [1, 3]);
}

#[test]
fn f_2_2_nothing_is_delivered_before_a_quorum_has_the_history_then_all_of_it_in_order() {
    let mut node = called();
    node.hear(2, diff(2, entry(0, 0)));
    node.hear(2, propose(2, entry(0, 0), &[1, 1], 0));
    node.hear(2, new_leader(2, entry(2, 1)));
    assert_eq!(node.committed(), []);
    assert_eq!(node.view().phase, Phase::Synchronisation);
    node.hear(2, up_to_date(2, 2));
    assert_eq!(node.committed(), [1, 2]);
    assert_eq!(node.view().phase, Phase::Broadcast);
}

#[test]
fn l_2_2_the_history_is_committed_once_a_quorum_has_acknowledged_newleader() {
    let mut node = leading(&took_part(&[1, 1]), &[1, 1]);
    node.sent.clear();
    node.hear(2, ack(2, 2));
    assert_eq!(node.committed(), [], "of proposals, not of NEWLEADER");
    node.hear(2, ack_new_leader(2, 2));
    assert_eq!(node.committed(), [1, 2]);
    assert_eq!(node.said_to(2), [up_to_date(2, 2)]);
}

/// The leader is one of the quorum, and its disk may be the slow one.
#[test]
fn l_2_2_the_leader_counts_itself_once_its_own_epoch_is_durable() {
    let mut node = elected(1, 3, &took_part(&[1, 1]));
    node.hear(2, follower_info(1));
    node.disk = Disk::Manual;
    node.hear(2, ack_epoch(2, 1, &[1, 1]));
    node.hear(2, ack_new_leader(2, 2));
    assert_eq!((node.view().phase, node.view().commit.0), (Phase::Synchronisation, 0));
    node.sync();
    assert_eq!((node.view().phase, node.view().commit.0), (Phase::Broadcast, 2));
    assert_eq!(node.rebuilt().view().current, Epoch(2));
}

#[test]
fn nothing_is_proposed_before_the_leader_is_established() {
    let mut node = leading(&took_part(&[1, 1]), &[1, 1]);
    node.propose(7, "early");
    let refused = node.events.iter().any(|event| {
        matches!(event, Event::Refused { refusal: Refusal::NotLeader { leader: None }, .. })
    });
    assert!(refused);
    assert_eq!(node.history(), [1, 1]);
    node.hear(2, ack_new_leader(2, 2));
    node.propose(8, "in time");
    assert_eq!(node.history(), [1, 1, 2]);
}

/// What a follower has acknowledged before NEWLEADER is not yet of this epoch: it may still lose against
/// another history.
#[test]
fn acknowledgements_before_newleader_commit_nothing() {
    let mut node = leading(&took_part(&[1, 1]), &[1]);
    node.hear(2, ack(2, 2));
    assert_eq!((node.view().commit.0, node.view().phase), (0, Phase::Synchronisation));
    assert_eq!(node.answer(2, commit(2, 2)), [], "nor does a follower say what is committed");
    assert_eq!(node.view().commit.0, 0);
}
