//! What ZooKeeper's election does (`FastLeaderElection`, its TLA+ specification, and Medeiros 2012,
//! section 3.2), one test a sentence; with each rule, what happens without it.

use std::time::Duration;

use synod_election::fle::{State, Timer, Vote, Zxid};
use synod_engine::{Input, Message, NodeId};
use synod_quorum::{Quorum, Voters};

use crate::hand::{Hand, answer, following, leading, looking, vote};

const LOOKING: State = State::Looking;
const FOLLOWING: State = State::Following;
const LEADING: State = State::Leading;
const OBSERVING: State = State::Observing;

#[test]
fn who_looks_raises_its_round_votes_for_itself_and_tells_all_voters() {
    let mut node = Hand::new(2, 3);
    let did = node.looks(5);
    let says = looking(1, vote(2, 5));
    assert_eq!(did.sent(), [(1, says), (3, says)]);
    assert_eq!(node.is(), (LOOKING, 1, Some(2)));
    node.looks(6);
    assert_eq!(node.is(), (LOOKING, 2, Some(2)));
}

#[test]
fn who_starts_alone_looks_with_an_empty_history() {
    let mut node = Hand::new(2, 3);
    node.step(Input::Start);
    let empty = Vote { epoch: 0, zxid: Zxid::ZERO, leader: NodeId(2) };
    assert_eq!(node.view().vote, Some(empty));
}

#[test]
fn who_never_looked_is_deaf_and_mute() {
    let mut node = Hand::new(1, 3);
    assert_eq!(node.hears(2, looking(1, vote(2, 5))).sent(), []);
    assert_eq!(node.opens(2).sent(), []);
    assert_eq!(node.is(), (LOOKING, 0, None));
}

#[test]
fn a_better_vote_is_taken_over_and_told_a_worse_one_is_not() {
    let mut node = Hand::new(2, 5);
    node.looks(5);
    let better = node.hears(1, looking(1, vote(1, 6)));
    assert_eq!(better.receivers(), [1, 3, 4, 5]);
    assert_eq!(better.sent()[0].1, looking(1, vote(1, 6)));
    let worse = node.hears(3, looking(1, vote(3, 5)));
    assert_eq!(worse.sent(), []);
    assert_eq!(node.is(), (LOOKING, 1, Some(1)));
    assert_eq!(node.hears(3, looking(1, vote(3, 6))).receivers(), [1, 3, 4, 5], "the higher id");
}

/// It began to look after the better vote had come, and would hear of it at the next repetition only.
#[test]
fn who_votes_worse_is_answered_once_the_vote_was_repeated() {
    let mut node = Hand::new(2, 5);
    node.looks(5);
    node.fires(Timer::Notify);
    let worse = node.hears(3, looking(1, vote(3, 4)));
    assert_eq!(worse.sent(), [(3, answer(1, vote(2, 5)))]);
    assert_eq!(node.hears(4, looking(1, vote(2, 5))).sent(), [], "the same vote");
}

#[test]
fn standing_before_id_without_it_a_high_id_beats_a_long_history() {
    let mut sound = Hand::new(1, 5);
    sound.looks(9);
    sound.hears(5, looking(1, vote(5, 3)));
    assert_eq!(sound.is().2, Some(1));
    let mut broken = Hand::without("standing_before_id", 1, 5);
    broken.looks(9);
    broken.hears(5, looking(1, vote(5, 3)));
    assert_eq!(broken.is().2, Some(5));
}

#[test]
fn a_quorum_of_equal_votes_elects_after_the_finalize_wait() {
    let mut node = Hand::new(3, 5);
    node.looks(5);
    assert_eq!(node.hears(1, looking(1, vote(3, 5))).set(Timer::Finalize), None);
    assert_eq!(node.hears(4, looking(1, vote(4, 4))).set(Timer::Finalize), None);
    let wait = node.hears(2, looking(1, vote(3, 5))).set(Timer::Finalize);
    assert_eq!(wait, Some(Duration::from_millis(200)));
    let ended = node.fires(Timer::Finalize);
    assert_eq!(ended.elected(), Some((LEADING, 3, 1)));
    assert!(ended.cancelled(Timer::Notify));
    assert_eq!(node.is(), (LEADING, 1, Some(3)));
}

#[test]
fn who_votes_for_another_with_a_quorum_follows_it() {
    let mut node = Hand::new(1, 3);
    node.looks(5);
    node.hears(3, looking(1, vote(3, 5)));
    assert_eq!(node.fires(Timer::Finalize).elected(), Some((FOLLOWING, 3, 1)));
    assert_eq!(node.is(), (FOLLOWING, 1, Some(3)));
}

#[test]
fn the_finalize_wait_is_not_prolonged_by_more_of_the_same() {
    let mut node = Hand::new(3, 5);
    node.looks(5);
    node.hears(1, looking(1, vote(3, 5)));
    node.hears(2, looking(1, vote(3, 5)));
    let more = node.hears(2, looking(1, vote(3, 5)));
    assert_eq!((more.set(Timer::Finalize), more.cancelled(Timer::Finalize)), (None, false));
    assert!(node.is_closing());
}

#[test]
fn quorum_of_votes_without_it_one_elects_itself() {
    let mut sound = Hand::new(1, 3);
    assert_eq!(sound.looks(5).set(Timer::Finalize), None);
    assert_eq!(sound.fires(Timer::Finalize).elected(), None);
    let mut broken = Hand::without("quorum_of_votes", 1, 3);
    broken.looks(5);
    assert_eq!(broken.fires(Timer::Finalize).elected(), Some((LEADING, 1, 1)));
}

#[test]
fn finalize_wait_without_it_the_second_of_three_does_not_wait_for_the_third() {
    let mut broken = Hand::without("finalize_wait", 2, 3);
    broken.looks(5);
    let wait = broken.hears(1, looking(1, vote(2, 5))).set(Timer::Finalize);
    assert_eq!(wait, Some(Duration::ZERO));
}

#[test]
fn better_vote_reopens_without_it_a_leader_is_elected_whom_the_best_will_not_follow() {
    let mut sound = Hand::new(2, 3);
    sound.looks(5);
    sound.hears(1, looking(1, vote(2, 5)));
    let better = sound.hears(3, looking(1, vote(3, 5)));
    assert!(better.cancelled(Timer::Finalize));
    assert_eq!(better.receivers(), [1, 3]);
    let wait = better.set(Timer::Finalize);
    assert_eq!(wait, Some(Duration::from_millis(200)), "2 and 3 are a quorum, and wait anew");
    assert_eq!(sound.fires(Timer::Finalize).elected(), Some((FOLLOWING, 3, 1)));
    let mut broken = Hand::without("better_vote_reopens", 2, 3);
    broken.looks(5);
    broken.hears(1, looking(1, vote(2, 5)));
    broken.hears(3, looking(1, vote(3, 5)));
    assert_eq!(broken.fires(Timer::Finalize).elected(), Some((LEADING, 2, 1)));
}

#[test]
fn a_voter_of_the_quorum_that_leaves_it_ends_the_wait() {
    let mut node = Hand::new(3, 5);
    node.looks(5);
    node.hears(1, looking(1, vote(3, 5)));
    node.hears(2, looking(1, vote(3, 5)));
    let left = node.hears(2, following(0, vote(4, 9)));
    assert!(left.cancelled(Timer::Finalize) && !node.is_closing());
    assert_eq!(node.fires(Timer::Finalize).elected(), None);
}

#[test]
fn a_vote_that_a_better_one_of_the_same_voter_has_overtaken_counts_no_more() {
    let mut node = Hand::new(3, 3);
    node.looks(5);
    node.hears(1, looking(1, vote(3, 5)));
    node.hears(1, looking(1, vote(1, 5)));
    assert!(node.is_closing());
    node.hears(1, looking(2, vote(1, 5)));
    assert_eq!((node.is(), node.is_closing()), ((LOOKING, 2, Some(3)), false), "another round");
}

#[test]
fn votes_match_round_without_it_votes_of_a_past_round_elect() {
    let late = || looking(1, vote(3, 5));
    let mut sound = Hand::new(3, 3);
    sound.looks(5);
    sound.looks(5);
    sound.hears(1, late());
    assert!(!sound.is_closing());
    let mut broken = Hand::without("votes_match_round", 3, 3);
    broken.looks(5);
    broken.looks(5);
    broken.hears(1, late());
    assert!(broken.is_closing());
}

#[test]
fn a_better_vote_of_a_past_round_convinces_nobody() {
    let mut node = Hand::new(1, 3);
    node.looks(5);
    node.looks(5);
    node.hears(3, looking(1, vote(3, 9)));
    assert_eq!(node.is(), (LOOKING, 2, Some(1)));
}

#[test]
fn a_higher_round_clears_the_votes_and_begins_anew_from_the_better_of_the_vote_and_the_own() {
    let mut node = Hand::new(2, 5);
    node.looks(5);
    node.hears(1, looking(1, vote(2, 5)));
    let raised = node.hears(3, looking(4, vote(3, 6)));
    assert_eq!(node.is(), (LOOKING, 4, Some(3)));
    assert_eq!(raised.receivers(), [1, 3, 4, 5]);
    node.hears(4, looking(7, vote(4, 1)));
    assert_eq!(node.is(), (LOOKING, 7, Some(2)), "its own is better than 4's");
    node.hears(5, looking(7, vote(2, 5)));
    assert!(!node.is_closing(), "1's vote was of round 1");
}

#[test]
fn higher_round_restarts_without_it_a_vote_for_the_dead_is_carried_on() {
    let mut sound = Hand::new(2, 3);
    sound.looks(5);
    sound.hears(3, looking(1, vote(3, 9)));
    sound.hears(1, looking(2, vote(1, 4)));
    assert_eq!(sound.is(), (LOOKING, 2, Some(2)));
    let mut broken = Hand::without("higher_round_restarts", 2, 3);
    broken.looks(5);
    broken.hears(3, looking(1, vote(3, 9)));
    broken.hears(1, looking(2, vote(1, 4)));
    assert_eq!(broken.is(), (LOOKING, 2, Some(3)));
}

#[test]
fn lower_round_is_answered_without_it_a_laggard_waits_for_the_next_repetition() {
    let mut sound = Hand::new(2, 3);
    sound.looks(5);
    sound.looks(5);
    assert_eq!(sound.hears(1, looking(1, vote(1, 5))).sent(), [(1, answer(2, vote(2, 5)))]);
    assert_eq!(sound.hears(1, looking(2, vote(1, 5))).sent(), [], "of the same round");
    assert_eq!(sound.hears(1, following(1, vote(3, 5))).sent(), [], "does not look");
    let mut broken = Hand::without("lower_round_is_answered", 2, 3);
    broken.looks(5);
    broken.looks(5);
    assert_eq!(broken.hears(1, looking(1, vote(1, 5))).sent(), []);
}

#[test]
fn settled_answers_without_it_a_late_joiner_learns_nothing() {
    let mut sound = Hand::new(1, 3);
    sound.looks(5);
    sound.hears(2, looking(1, vote(2, 5)));
    sound.fires(Timer::Finalize);
    assert_eq!(sound.hears(3, looking(9, vote(3, 9))).sent(), [(3, following(1, vote(2, 5)))]);
    assert_eq!(sound.is(), (FOLLOWING, 1, Some(2)), "it does not care for better votes any more");
    assert_eq!(sound.hears(2, leading(1, vote(2, 5))).sent(), [], "who leads does not ask");
    let mut broken = Hand::without("settled_answers", 1, 3);
    broken.looks(5);
    broken.hears(2, looking(1, vote(2, 5)));
    broken.fires(Timer::Finalize);
    assert_eq!(broken.hears(3, looking(9, vote(3, 9))).sent(), []);
}

#[test]
fn a_late_joiner_joins_the_leader_that_a_quorum_follows_in_its_round() {
    let mut node = Hand::new(5, 5);
    node.looks(9);
    assert_eq!(node.hears(1, following(7, vote(3, 5))).elected(), None);
    assert_eq!(node.hears(3, leading(7, vote(3, 5))).elected(), None);
    let joined = node.hears(2, following(7, vote(3, 5)));
    assert_eq!(joined.elected(), Some((FOLLOWING, 3, 7)));
    assert!(joined.cancelled(Timer::Notify));
    assert_eq!(node.is(), (FOLLOWING, 7, Some(3)));
}

#[test]
fn who_joined_another_way_tells_of_the_same_leader_if_the_epoch_is_the_same() {
    // ZOOKEEPER-1732: followers of one leader that found it in different rounds, or when its history
    // was shorter, must not keep a late joiner out for ever.
    let found = |counter, epoch| Vote { epoch, ..vote(3, counter) };
    let mut node = Hand::new(5, 5);
    node.looks(9);
    node.hears(1, following(7, found(5, 2)));
    node.hears(2, following(4, found(4, 2)));
    assert_eq!(node.hears(3, leading(6, found(5, 2))).elected(), Some((FOLLOWING, 3, 6)));
    let mut node = Hand::new(5, 5);
    node.looks(9);
    node.hears(1, following(7, found(5, 1)));
    node.hears(2, following(7, found(5, 2)));
    assert_eq!(node.hears(3, leading(7, found(5, 2))).elected(), None, "another reign");
}

#[test]
fn an_established_epoch_is_told_with_the_leader() {
    let mut node = Hand::new(3, 3);
    node.looks(5);
    node.hears(1, looking(1, vote(3, 5)));
    node.fires(Timer::Finalize);
    let told = node.is_led(3, 8);
    assert_eq!((told.sent(), told.elected()), (vec![], None));
    let answer = node.hears(2, looking(1, vote(2, 5))).sent();
    assert_eq!(answer, [(2, leading(1, Vote { epoch: 8, ..vote(3, 5) }))]);
}

#[test]
fn who_is_told_of_a_leader_looks_no_more_and_tells_others_of_it() {
    let led = |leader| Vote { epoch: 8, zxid: Zxid::new(8, 0), leader: NodeId(leader) };
    let mut node = Hand::new(3, 3);
    node.looks(5);
    let told = node.is_led(1, 8);
    assert!(told.cancelled(Timer::Notify) && told.cancelled(Timer::Finalize));
    assert_eq!((told.elected(), node.is()), (None, (FOLLOWING, 1, Some(1))));
    assert_eq!(node.hears(2, looking(1, vote(2, 5))).sent(), [(2, following(1, led(1)))]);
    node.is_led(3, 8);
    assert_eq!(node.hears(2, looking(1, vote(2, 5))).sent(), [(2, leading(1, led(3)))]);
    assert_eq!(node.is_led(1, 9).sent(), [], "it has handed over");
    assert_eq!(node.is().0, FOLLOWING);
    let mut observer = Hand::new(9, 3);
    observer.looks(5);
    observer.is_led(1, 8);
    assert_eq!(observer.is(), (OBSERVING, 1, Some(1)));
}

#[test]
fn quorum_follows_without_it_a_leader_that_lost_its_quorum_is_joined() {
    let mut sound = Hand::new(5, 5);
    sound.looks(9);
    sound.hears(1, following(7, vote(3, 5)));
    assert_eq!(sound.hears(3, leading(7, vote(3, 5))).elected(), None);
    let mut broken = Hand::without("quorum_follows", 5, 5);
    broken.looks(9);
    assert_eq!(broken.hears(3, leading(7, vote(3, 5))).elected(), Some((FOLLOWING, 3, 7)));
}

#[test]
fn leader_confirms_without_it_a_dead_leader_is_joined_again_and_again() {
    let mut sound = Hand::new(5, 5);
    sound.looks(9);
    for from in [1, 2, 4] {
        assert_eq!(sound.hears(from, following(7, vote(3, 5))).elected(), None);
    }
    assert_eq!(sound.hears(3, looking(1, vote(3, 5))).elected(), None, "it has restarted");
    let mut broken = Hand::without("leader_confirms", 5, 5);
    broken.looks(9);
    broken.hears(1, following(7, vote(3, 5)));
    broken.hears(2, following(7, vote(3, 5)));
    let joined = broken.hears(4, following(7, vote(3, 5))).elected();
    assert!(matches!(joined, Some((FOLLOWING, 3, _))));
}

#[test]
fn what_was_heard_before_this_look_counts_no_more() {
    let mut node = Hand::new(5, 5);
    node.looks(9);
    node.hears(1, following(7, vote(3, 5)));
    node.hears(2, following(7, vote(3, 5)));
    node.looks(9);
    assert_eq!(node.hears(3, leading(7, vote(3, 5))).elected(), None);
}

#[test]
fn who_no_longer_follows_is_not_counted_as_a_follower() {
    let mut node = Hand::new(5, 5);
    node.looks(9);
    node.hears(1, following(7, vote(3, 5)));
    node.hears(2, following(7, vote(3, 5)));
    node.hears(2, looking(8, vote(2, 5)));
    assert_eq!(node.hears(3, leading(7, vote(3, 5))).elected(), None);
}

#[test]
fn who_everybody_follows_but_does_not_know_it_leads_only_by_a_quorum_of_its_round() {
    // It has restarted: they follow the leader that it was.
    let mut node = Hand::new(3, 3);
    node.looks(5);
    node.hears(1, following(7, vote(3, 5)));
    assert_eq!(node.hears(2, following(7, vote(3, 5))).elected(), None);
    assert!(!node.is_closing());
    node.hears(2, following(1, vote(3, 5)));
    assert_eq!(node.fires(Timer::Finalize).elected(), Some((LEADING, 3, 1)));
}

#[test]
fn who_has_decided_in_this_round_has_voted_in_it() {
    let mut node = Hand::new(1, 5);
    node.looks(5);
    node.hears(2, looking(1, vote(3, 5)));
    node.hears(3, leading(1, vote(3, 5)));
    assert!(node.is_closing(), "1, 2 and 3");
    assert_eq!(node.fires(Timer::Finalize).elected(), Some((FOLLOWING, 3, 1)));
}

#[test]
fn the_vote_is_repeated_at_intervals_that_double_until_something_happens() {
    let mut node = Hand::new(1, 3);
    let mut intervals = vec![node.looks(5).set(Timer::Notify)];
    for _ in 0..6 {
        let again = node.fires(Timer::Notify);
        assert_eq!(again.receivers(), [2, 3]);
        intervals.push(again.set(Timer::Notify));
    }
    let expected = [200, 400, 800, 1600, 3200, 5000, 5000];
    assert_eq!(intervals, expected.map(|ms| Some(Duration::from_millis(ms))));
    let news = node.hears(2, looking(1, vote(2, 6)));
    assert_eq!(news.set(Timer::Notify), Some(Duration::from_millis(200)));
}

#[test]
fn a_link_that_opens_is_told_the_vote_at_once_if_a_voter_is_behind_it() {
    let mut node = Hand::new(1, 3);
    node.looks(5);
    assert_eq!(node.opens(2).sent(), [(2, looking(1, vote(1, 5)))]);
    assert_eq!(node.opens(9).sent(), []);
    node.hears(2, looking(1, vote(2, 5)));
    node.fires(Timer::Finalize);
    assert_eq!(node.opens(3).sent(), [], "who looks will ask");
}

#[test]
fn while_the_members_change_both_sets_must_agree_and_all_are_told() {
    let voters = |ids: &[u64]| Voters::new(ids.iter().copied().map(NodeId));
    let mut node = Hand::new(3, 3);
    let joint = Quorum::joint(voters(&[3, 4, 5]), voters(&[1, 2, 3]));
    assert_eq!(node.looks_among(5, joint).receivers(), [4, 5, 1, 2]);
    node.hears(4, looking(1, vote(3, 5)));
    assert!(!node.is_closing(), "a quorum of the new voters alone");
    node.hears(1, looking(1, vote(3, 5)));
    assert!(node.is_closing());
}

#[test]
fn a_lone_voter_elects_itself_after_the_wait() {
    let mut node = Hand::new(1, 1);
    assert_eq!(node.looks(5).set(Timer::Finalize), Some(Duration::from_millis(200)));
    assert_eq!(node.fires(Timer::Finalize).elected(), Some((LEADING, 1, 1)));
    assert_eq!(node.looks(5).set(Timer::Finalize), Some(Duration::from_millis(200)));
}

#[test]
fn a_look_while_closing_begins_anew() {
    let mut node = Hand::new(2, 3);
    node.looks(5);
    node.hears(1, looking(1, vote(2, 5)));
    assert!(node.looks(6).cancelled(Timer::Finalize));
    assert_eq!(node.fires(Timer::Finalize).elected(), None);
    assert_eq!(node.is(), (LOOKING, 2, Some(2)));
}

#[test]
fn a_notification_may_be_counted_though_its_sender_forgot_what_it_said() {
    // Nothing that counts for good rests on an election.
    assert!(!looking(1, vote(1, 1)).counts());
}
