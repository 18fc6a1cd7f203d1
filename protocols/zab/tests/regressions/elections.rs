//! Elections that choose someone who cannot lead.

use std::time::Duration;

use synod_consensus::{Change, Epoch, Index};
use synod_election::fle::{self, State, Vote};
use synod_engine::NodeId;
use synod_zab::{Message, Phase, Timer, Zxid};

use crate::cluster::{Cluster, Founded as _, ZabCluster as _};
use crate::driver::{config, elected, recover};
use crate::words::{Past, new_epoch, promote, remove, says, snapshot, took_part};

const SECOND: Duration = Duration::from_secs(1);

/// Found here, by reading: of a snapshot that came from a leader which then died, a node made a zxid that
/// was lower than that of a node with less. The one with less was elected, found that the other had more,
/// gave up, and was elected again, for ever.
#[test]
fn a_history_that_came_as_a_snapshot_has_its_true_zxid() {
    let by_snapshot =
        Past { accepted: 3, current: 1, snapshot: Some(snapshot(30, 2)), began: 10, history: &[] };
    let mut by_diff = vec![1; 10];
    by_diff.extend([2; 10]);
    let by_diff = Past { accepted: 3, current: 1, snapshot: None, began: 0, history: &by_diff };
    let mut cluster = Cluster::with(&[by_snapshot, by_diff, Past::default()], |id| config(id, 3));
    cluster.crash(3);
    assert!(cluster.run_until(|cluster| cluster.leader().is_some()), "{}", cluster.picture());
    assert_eq!(cluster.leader(), Some(1));
}

/// Found by the simulator (the store's seeds 1268, 1576 and 2970, and 456 with many crashes): a voter takes
/// its own vote away, and one of those who remain gets the entry before it dies. Both are needed by it and
/// equally new; the higher id is the one that left. The other did not vote for it, since it knew of no such
/// voter, and the third voted for nobody else: nobody led, though all were up again.
#[test]
fn a_voter_that_left_and_one_that_remains_with_equal_histories_agree_on_who_leads() {
    for leave in [Change::Demote(NodeId(3)), remove(3)] {
        let mut cluster = Cluster::start(3);
        assert_eq!(cluster.establish(), 3);
        cluster.at(3, |node| node.change(1, [leave.clone()]));
        cluster.settle_but(|envelope| envelope.to == 1);
        assert_eq!((cluster.lasts(), cluster.commits()), (vec![0, 1, 1], vec![0; 3]), "{leave:?}");
        (1..=3).for_each(|id| cluster.crash(id));
        (1..=3).for_each(|id| cluster.restart(id));
        let is_led = cluster.run_until(|cluster| matches!(cluster.leader(), Some(1 | 2)));
        assert!(is_led, "{leave:?}\n{}", cluster.picture());
        cluster.write(2, "x");
        assert_eq!(cluster.commits()[..2], [2, 2]);
        cluster.assert_sound();
    }
}

/// Found by the paper tests' survivors (seeds 748 and 1342): a voter lags behind two changes of members, and
/// elects in a high round one who leaves by the second; who has both does not know that one any more, and begins
/// in a low round. It took no round of whoever voted for a stranger, and its votes counted for nobody.
#[test]
fn who_votes_in_a_lower_round_than_those_who_lag_behind_a_change_of_members_catches_up() {
    let mut cluster = Cluster::start(2);
    assert_eq!(cluster.establish(), 2);
    let mut late = config(3, 3);
    late.part.initial_voters = None;
    cluster.join(3, late);
    cluster.isolate(&[1]);
    cluster.at(2, |node| node.change(4, [promote(3)]));
    cluster.settle();
    cluster.at(2, |node| node.change(5, [remove(2)]));
    cluster.settle();
    assert_eq!((cluster.lasts(), cluster.commits()), (vec![1, 3, 3], vec![1, 2, 2]));
    [2, 3].into_iter().for_each(|id| cluster.crash(id));
    cluster.heal();
    cluster.restart(2);
    cluster.run(3 * SECOND);
    cluster.restart(3);
    let is_led = cluster.run_until(|cluster| matches!(cluster.leader(), Some(1 | 3)));
    assert!(is_led, "{}", cluster.picture());
    cluster.write(6, "x");
    assert_eq!((cluster.commits()[0], cluster.commits()[2]), (4, 4));
    cluster.assert_sound();
}

/// Found by the paper tests' survivors (seed 906): a voter elects, again and again, one who has not the newest
/// members, and is heard by who has them and needs its vote for those moments only in which it looks.
#[test]
fn who_hears_of_a_better_stranger_before_the_elected_answers_looks_again_and_tells_its_round() {
    let looks = |node: u64| {
        let vote = Vote { epoch: 0, zxid: Zxid::ZERO, leader: NodeId(node) };
        says(State::Looking, vote)
    };
    let mut node = recover(config(1, 3), []);
    [2, 3].into_iter().for_each(|voter| node.hear(voter, looks(2)));
    node.fire(Timer::Election(fle::Timer::Finalize));
    assert_eq!((node.view().phase, node.view().leader), (Phase::Discovery, Some(NodeId(2))));
    node.hear(3, looks(3));
    assert_eq!(node.view().phase, Phase::Discovery, "a voter is told when this node looks");
    node.sent.clear();
    node.hear(9, looks(9));
    assert_eq!(node.view().phase, Phase::Election);
    let said = node.sent.iter().rev().find_map(|(to, message)| match message {
        Message::Election(said) if *to == NodeId(9) => Some((said.state, said.round.0)),
        _ => None,
    });
    assert_eq!(said, Some((State::Looking, 2)));
}

/// Found by the simulator (the store's seeds 20123 with `drifting` and 20777 with `bad-clocks`, 6,000 events
/// each): a leader gives up its epoch, a follower does not hear of it, and the leader is elected again and
/// needs just this follower. It called, was answered, and each took the other for what it should be.
#[test]
fn a_follower_of_an_epoch_that_was_given_up_follows_who_is_elected_again() {
    let past = Past { accepted: 2, ..took_part(&[1]) };
    let mut node = elected(1, 3, &past);
    let answer = node.answer(2, Message::Pong { epoch: Epoch(2), round: 0 });
    assert_eq!(answer, [new_epoch(3)]);
}

/// Found by the paper tests' survivors (seed 12937): one who was elected by others calls a voter that votes for
/// it so far, and can never lead; the voter's own poll comes to a better one. It stayed with the first until its
/// patience was over, and the better one looked and called in the meantime.
#[test]
fn who_follows_a_call_leaves_when_its_own_poll_comes_to_a_better_one() {
    let votes = |node: u64, epoch: u32| {
        let vote = Vote { epoch, zxid: Zxid::new(epoch, 0), leader: NodeId(node) };
        says(State::Looking, vote)
    };
    let (epoch, commit) = (Epoch(0), Index::ZERO);
    let mut node = recover(config(1, 3), []);
    node.hear(3, votes(3, 0));
    node.hear(3, Message::Ping { epoch, established: false, commit, round: 0 });
    assert_eq!((node.view().phase, node.view().leader), (Phase::Discovery, Some(NodeId(3))));
    node.hear(2, votes(2, 1));
    node.fire(Timer::Election(fle::Timer::Finalize));
    assert_eq!((node.view().phase, node.view().leader), (Phase::Discovery, Some(NodeId(2))));
}
