//! Phase 1: a quorum accepts a new epoch of whoever was elected, and says what it knows.

use synod_consensus::Epoch;
use synod_engine::Engine as _;
use synod_zab::{Message, Phase, Timer};

use crate::driver::{Disk, Node, Whole as _, ZabNode as _, called, elected};
use crate::words::{Past, ack_epoch, follower_info, new_epoch, not_counting, took_part};

fn epochs(node: &Node) -> (u64, u64) {
    let view = node.view();
    (view.accepted.0, view.current.0)
}

#[test]
fn f_1_1_a_follower_tells_its_prospective_leader_the_last_epoch_that_it_accepted() {
    let past = Past { accepted: 5, ..took_part(&[1, 4]) };
    let mut node = Node::lived(1, 3, &past);
    node.called_by(2, 6);
    assert_eq!(node.said_to(2), [follower_info(5)]);
    assert_eq!(node.view().phase, Phase::Discovery);
}

#[test]
fn l_1_1_nobody_is_asked_to_accept_an_epoch_before_a_quorum_follows() {
    let mut node = elected(1, 5, &Past::default());
    node.hear(2, follower_info(0));
    assert_eq!((node.said_to(2), epochs(&node)), (vec![], (0, 0)));
    node.hear(3, follower_info(0));
    assert_eq!((node.said_to(2), node.said_to(3)), (vec![new_epoch(1)], vec![new_epoch(1)]));
}

#[test]
fn l_1_1_the_new_epoch_is_later_than_any_that_its_quorum_accepted() {
    let past = Past { accepted: 3, ..took_part(&[2]) };
    for (second, third, epoch) in [(0, 0, 4), (7, 2, 8), (1, 9, 10)] {
        let mut node = elected(1, 5, &past);
        node.hear(2, follower_info(second));
        node.hear(3, follower_info(third));
        assert_eq!(node.said_to(2), [new_epoch(epoch)]);
    }
}

/// A leader is one of its own followers.
#[test]
fn l_1_1_the_leader_has_accepted_its_epoch_durably_before_anyone_hears_of_it() {
    let mut node = elected(1, 3, &Past::default());
    node.disk = Disk::Manual;
    node.hear(2, follower_info(0));
    assert_eq!((epochs(&node), node.said_to(2)), ((1, 0), vec![]));
    node.sync();
    assert_eq!(node.said_to(2), [new_epoch(1)]);
    assert_eq!(node.rebuilt().view().accepted, Epoch(1));
}

#[test]
fn f_1_2_a_later_epoch_is_accepted_durably_and_answered_with_what_the_follower_knows() {
    let past = Past { accepted: 3, current: 3, snapshot: None, began: 0, history: &[1, 1, 3] };
    let mut node = Node::lived(1, 3, &past);
    node.called_by(2, 5);
    node.sent.clear();
    node.disk = Disk::Manual;
    node.hear(2, new_epoch(5));
    assert_eq!(node.said_to(2), [], "nothing is durable");
    node.sync();
    assert_eq!(node.said_to(2), [ack_epoch(5, 3, &[1, 1, 3])]);
    assert_eq!(node.rebuilt().view().accepted, Epoch(5));
    assert_eq!(epochs(&node), (5, 3), "the epoch of its history is another matter");
}

#[test]
fn f_1_2_an_earlier_epoch_is_not_accepted() {
    let past = Past { accepted: 7, ..took_part(&[1]) };
    let mut node = Node::lived(1, 3, &past);
    node.follow(2);
    assert_eq!(node.answer(2, new_epoch(6)), []);
    assert_eq!(epochs(&node), (7, 1));
    assert_eq!(node.view().phase, Phase::Election, "it looks for another leader");
}

/// The specification gives -1 as the epoch of such an answer.
#[test]
fn f_1_2_an_epoch_that_was_accepted_of_another_leader_is_not_accepted_again() {
    let mut node = called();
    node.follow(3);
    assert_eq!(node.answer(3, new_epoch(2)), [not_counting(ack_epoch(2, 0, &[]))]);
    assert_eq!(node.answer(3, new_epoch(3)), [ack_epoch(3, 0, &[])]);
}

#[test]
fn f_1_2_the_leader_that_was_answered_may_ask_again() {
    let mut node = called();
    assert_eq!(node.answer(2, new_epoch(2)), [ack_epoch(2, 0, &[])]);
    let after_a_crash = {
        node.crash();
        node.start();
        node.called_by(2, 2);
        node.answer(2, new_epoch(2))
    };
    assert_eq!(after_a_crash, [ack_epoch(2, 0, &[])]);
}

#[test]
fn l_1_2_no_history_is_handed_out_before_a_quorum_has_accepted_the_epoch() {
    let mut node = elected(1, 5, &took_part(&[1, 1]));
    [2, 3, 4].into_iter().for_each(|peer| node.hear(peer, follower_info(1)));
    node.sent.clear();
    node.hear(2, ack_epoch(2, 1, &[1]));
    assert_eq!((node.said_to(2), node.view().phase), (vec![], Phase::Discovery));
    node.hear(3, ack_epoch(2, 1, &[1, 1]));
    assert_eq!(node.view().phase, Phase::Synchronisation);
    assert!(matches!(node.said_to(2)[..], [Message::Diff { .. }, ..]));
    assert_eq!(node.said_to(4), [], "it has not accepted the epoch");
}

#[test]
fn l_1_2_an_answer_that_accepted_the_epoch_of_another_does_not_count() {
    let mut node = elected(1, 3, &Past::default());
    node.hear(2, follower_info(0));
    node.sent.clear();
    node.hear(2, not_counting(ack_epoch(1, 0, &[])));
    assert_eq!(node.view().phase, Phase::Discovery);
    assert_eq!(node.said_to(2), [new_epoch(2)], "it is asked to accept a later one");
}

#[test]
fn l_1_2_an_answer_for_another_epoch_does_not_count() {
    let mut node = elected(1, 3, &Past::default());
    node.hear(2, follower_info(4));
    node.hear(2, ack_epoch(4, 0, &[]));
    assert_eq!(node.view().phase, Phase::Discovery);
    node.hear(2, ack_epoch(5, 0, &[]));
    assert_eq!(node.view().phase, Phase::Synchronisation);
}

/// The paper's leader takes over the newest history of its quorum. ZooKeeper's, and this one, leads with its
/// own; so it may lead only if that is the newest.
#[test]
fn l_1_2_who_knows_less_than_one_of_its_quorum_does_not_lead() {
    let mine = [1, 1, 2];
    let newer: [(u64, &[u64]); 2] = [(3, &[1]), (2, &[1, 1, 2, 2])];
    let older: [(u64, &[u64]); 4] = [(2, &mine), (2, &[1, 1]), (1, &[1, 1, 1, 1]), (0, &[])];
    for (current, history) in newer {
        let mut node = elected(1, 3, &took_part(&mine));
        node.hear(2, follower_info(3));
        node.hear(2, ack_epoch(4, current, history));
        assert_eq!(node.view().phase, Phase::Election, "current {current}, {history:?}");
        assert_eq!(node.history(), mine);
    }
    for (current, history) in older {
        let mut node = elected(1, 3, &took_part(&mine));
        node.hear(2, follower_info(3));
        node.hear(2, ack_epoch(4, current, history));
        assert_eq!(node.view().phase, Phase::Synchronisation, "current {current}, {history:?}");
    }
}

/// Of two who both got votes of a quorum at most one gets its promises.
#[test]
fn two_leaders_that_choose_the_same_epoch_do_not_both_lead_it() {
    let mut voter = Node::lived(3, 3, &Past::default());
    let mut rivals = [1, 2].map(|id| elected(id, 3, &Past::default()));
    let mut leading = 0;
    for (rival, id) in rivals.iter_mut().zip(1..) {
        voter.follow(id);
        let [info] = &voter.said_to(id)[..] else { panic!("it follows") };
        rival.sent.clear();
        rival.hear(3, info.clone());
        let asked = rival.said_to(3);
        for message in asked {
            let mut answers = voter.answer(id, message);
            while let Some(answer) = answers.pop() {
                rival.hear(3, answer);
            }
        }
        leading += usize::from(rival.view().phase == Phase::Synchronisation);
    }
    assert_eq!(leading, 2, "each gets an epoch in the end");
    assert_ne!(epochs(&rivals[0]).1, epochs(&rivals[1]).1, "but not the same");
}

#[test]
fn a_leader_that_hears_of_nobody_in_time_looks_again() {
    let mut node = elected(1, 3, &Past::default());
    node.fire(Timer::Limit);
    assert_eq!(node.view().phase, Phase::Election);
}
