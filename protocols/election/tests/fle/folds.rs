//! The invariants find what they are for, and nothing else; what a node is can be told and told apart.

use std::hash::{DefaultHasher, Hasher};

use synod_election::fle::{Config, Event, Round, Rules, Safety, State, Timer};
use synod_engine::{Engine, Instant, Invariants, NodeId, Sometimes, Stepped, Violation};
use synod_quorum::Voters;

use crate::hand::{Hand, answer, following, leading, looking, vote};

/// What the folds say to what this node has become.
fn step<R: Rules>(safety: &mut Safety, node: u64, hand: &Hand<R>) -> Result<(), Violation> {
    let (node, now) = (NodeId(node), Instant::START);
    let stepped = Stepped { node, now, effects: &[], after: hand.engine() };
    safety.stepped(&stepped, &mut Sometimes::default())
}

fn found(result: Result<(), Violation>) -> Option<&'static str> {
    result.err().map(|violation| violation.invariant)
}

/// A node of three that looks in this round and votes so.
fn voting(node: u64, round: u64, leader: u64, counter: u32) -> Hand {
    let mut hand = Hand::new(node, 3);
    (0..round).for_each(|_| drop(hand.looks(1)));
    hand.hears(2, looking(round, vote(leader, counter)));
    assert_eq!(hand.is(), (State::Looking, round, Some(leader)));
    hand
}

#[test]
fn a_vote_that_falls_is_found() {
    let mut safety = Safety::default();
    assert_eq!(step(&mut safety, 1, &voting(1, 2, 3, 7)), Ok(()));
    assert_eq!(step(&mut safety, 1, &voting(1, 2, 3, 7)), Ok(()), "the same");
    let falls = step(&mut safety.clone(), 1, &voting(1, 2, 3, 6));
    assert_eq!(found(falls), Some("Votes rise"));
    assert_eq!(step(&mut safety.clone(), 1, &voting(1, 2, 3, 8)), Ok(()));
    assert_eq!(step(&mut safety.clone(), 2, &voting(2, 2, 3, 6)), Ok(()), "of another node");
}

#[test]
fn a_round_that_falls_is_found_unless_the_node_has_restarted() {
    let mut safety = Safety::default();
    assert_eq!(step(&mut safety, 1, &voting(1, 3, 3, 7)), Ok(()));
    let earlier = voting(1, 2, 3, 9);
    assert_eq!(found(step(&mut safety.clone(), 1, &earlier)), Some("Votes rise"));
    safety.recovered(NodeId(1), earlier.engine()).unwrap();
    assert_eq!(step(&mut safety, 1, &earlier), Ok(()));
    assert_eq!(step(&mut safety, 1, &voting(1, 4, 3, 2)), Ok(()), "anew in a later round");
}

#[test]
fn a_vote_below_the_own_standing_is_found() {
    let mut hand = Hand::without("standing_before_id", 1, 3);
    hand.looks(9);
    hand.hears(3, looking(1, vote(3, 4)));
    let below = step(&mut Safety::default(), 1, &hand);
    assert_eq!(found(below), Some("Nobody votes below himself"));
}

#[test]
fn a_leader_of_no_quorum_is_found() {
    let mut alone = Hand::without("quorum_of_votes", 3, 3);
    let mut safety = Safety::default();
    alone.looks(5);
    assert_eq!(step(&mut safety, 3, &alone), Ok(()));
    alone.fires(Timer::Finalize);
    assert_eq!(found(step(&mut safety.clone(), 3, &alone)), Some("A quorum elects"));
    for (round, leader, elects) in [(1, 3, true), (2, 3, false), (1, 2, false)] {
        let mut safety = safety.clone();
        let mut other = Hand::new(1, 3);
        (0..round).for_each(|_| drop(other.looks(1)));
        other.hears(2, looking(round, vote(leader, 5)));
        assert_eq!(step(&mut safety, 1, &other), Ok(()));
        let result = step(&mut safety, 3, &alone);
        assert_eq!(result.is_ok(), elects, "round {round}, leader {leader}");
        assert_eq!(step(&mut safety, 3, &alone), Ok(()), "it is news once");
    }
}

#[test]
fn who_joins_a_leader_whom_no_quorum_follows_is_found() {
    let mut safety = Safety::default();
    let mut late = Hand::without("quorum_follows", 1, 3);
    late.looks(1);
    assert_eq!(step(&mut safety, 1, &late), Ok(()));
    late.hears(3, leading(7, vote(3, 5)));
    assert_eq!(found(step(&mut safety.clone(), 1, &late)), Some("A quorum elects"));
    // Two of three are settled on it, as their outer engine says.
    for id in [2, 3] {
        let mut settled = Hand::new(id, 3);
        settled.looks(1);
        assert_eq!(step(&mut safety, id, &settled), Ok(()));
        settled.is_led(3, 1);
        assert_eq!(step(&mut safety, id, &settled), Ok(()));
    }
    assert_eq!(step(&mut safety, 1, &late), Ok(()));
}

#[test]
fn who_elects_a_stranger_that_knows_no_more_is_found() {
    let mut safety = Safety::default();
    let mut hands = [1, 2, 3].map(|id| Hand::without("voters_only", id, 3));
    for (hand, id) in hands.iter_mut().zip(1..) {
        hand.looks(5);
        hand.hears(id % 3 + 1, looking(1, vote(9, 5)));
        assert_eq!(step(&mut safety, id, hand), Ok(()));
    }
    hands[0].fires(Timer::Finalize);
    assert_eq!(hands[0].is(), (State::Following, 1, Some(9)));
    let stranger = step(&mut safety, 1, &hands[0]);
    assert_eq!(found(stranger), Some("Voters lead, voters follow"));
}

#[test]
fn one_leader_that_a_quorum_follows_is_fine() {
    let mut hands = [1, 2, 3].map(|id| Hand::new(id, 3));
    let mut safety = Safety::default();
    for (hand, id) in hands.iter_mut().zip(1..) {
        hand.looks(5);
        assert_eq!(step(&mut safety, id, hand), Ok(()));
        hand.is_led(if id == 1 { 1 } else { 3 }, 2);
    }
    let mut nodes = hands.iter().zip(1..).map(|(hand, id)| (NodeId(id), hand.engine()));
    assert_eq!(safety.checkpoint(&mut nodes), Ok(()));
}

fn fingerprint(hand: &Hand) -> u64 {
    let mut hasher = DefaultHasher::new();
    hand.engine().fingerprint(Instant::START, &mut hasher);
    hasher.finish()
}

#[test]
fn states_that_differ_have_other_fingerprints() {
    let mut hand = Hand::new(1, 3);
    let mut seen = vec![fingerprint(&hand)];
    let mut differs = |hand: &Hand| {
        assert!(!seen.contains(&fingerprint(hand)));
        seen.push(fingerprint(hand));
    };
    hand.looks(5);
    differs(&hand);
    hand.hears(2, looking(1, vote(2, 5)));
    differs(&hand);
    hand.fires(Timer::Notify);
    differs(&hand);
    hand.fires(Timer::Finalize);
    differs(&hand);
}

#[test]
fn what_happened_is_said_in_words() {
    let event = |state| Event::Elected { state, vote: vote(3, 5), round: Round(2) };
    assert_eq!(event(State::Leading).to_string(), "leads, elected in round 2");
    let follows = "is following n3 (epoch 1, zxid 1.5), elected in round 2";
    assert_eq!(event(State::Following).to_string(), follows);
    for (said, words) in [
        (looking(2, vote(3, 5)), "looking, round 2: n3 (epoch 1, zxid 1.5)"),
        (answer(2, vote(3, 5)), "looking, round 2: n3 (epoch 1, zxid 1.5)"),
        (leading(2, vote(3, 5)), "leading, round 2"),
        (following(2, vote(3, 5)), "following n3 (epoch 1, zxid 1.5), round 2"),
    ] {
        assert_eq!(said.to_string(), words);
    }
}

#[test]
fn a_day_is_the_longest_that_anything_may_take() {
    const DAY: u64 = 86_400_000;
    let config = || Config::new(NodeId(1), Voters::new([NodeId(1)]));
    let longest = Config { finalize_ms: DAY, notify_min_ms: DAY, notify_max_ms: DAY, ..config() };
    assert_eq!(longest.check(), Ok(()));
    let error = Config { finalize_ms: DAY + 1, ..config() }.check().unwrap_err();
    assert_eq!(error.to_string(), "finalize_ms must be at most a day");
    assert!(Config { notify_max_ms: DAY + 1, ..config() }.check().is_err());
}
