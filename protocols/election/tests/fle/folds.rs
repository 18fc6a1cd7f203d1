//! The invariants find what they are for, and nothing else; what a node is can be told and told apart.

use std::hash::{DefaultHasher, Hasher};

use synod_election::fle::{Config, Event, Round, Rules, Safety, State, Timer};
use synod_engine::{Engine, Instant, Invariants, NodeId, Sometimes, Stepped, Violation};
use synod_quorum::Voters;

use crate::hand::{Hand, answer, following, leading, looking, vote};

/// What the folds say to what this node has become.
fn step<R: Rules>(safety: &mut Safety, node: u64, hand: &Hand<R>) -> Result<(), Violation> {
    step_and_count(safety, node, hand).map(drop)
}

/// The same, and what it reached.
fn step_and_count<R: Rules>(
    safety: &mut Safety,
    node: u64,
    hand: &Hand<R>,
) -> Result<Vec<&'static str>, Violation> {
    let (node, now) = (NodeId(node), Instant::START);
    let (stepped, mut sometimes) =
        (Stepped { node, now, effects: &[], after: hand.engine() }, Sometimes::default());
    safety.stepped(&stepped, &mut sometimes)?;
    Ok(sometimes.iter().map(|(point, _)| point).collect())
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
fn who_joins_a_stranger_that_knows_less_is_found() {
    let mut safety = Safety::default();
    for other in [2, 3] {
        let mut settled = Hand::new(other, 3);
        settled.looks(1);
        assert_eq!(step(&mut safety, other, &settled), Ok(()));
        settled.is_led(9, 1);
        assert_eq!(step(&mut safety, other, &settled), Ok(()));
    }
    let mut hand = Hand::without("voters_only", 1, 3);
    hand.looks(5);
    assert_eq!(step(&mut safety, 1, &hand), Ok(()));
    hand.hears(9, leading(7, vote(9, 4)));
    for other in [2, 3] {
        hand.hears(other, following(7, vote(9, 4)));
    }
    assert_eq!((hand.is().0, hand.is().2), (State::Following, Some(9)));
    let stranger = step(&mut safety, 1, &hand);
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

#[test]
fn a_violation_tells_what_was_and_what_is() {
    let mut safety = Safety::default();
    step(&mut safety, 1, &voting(1, 2, 3, 7)).unwrap();
    let falls = step(&mut safety, 1, &voting(1, 2, 3, 6)).unwrap_err();
    assert_eq!(falls.detail, "n1 went from n3 (epoch 1, zxid 1.7) to n3 (epoch 1, zxid 1.6)");
}

/// A voter elects a stranger that beats it: it may be a voter by now.
#[test]
fn who_elects_a_stranger_that_is_better_is_fine() {
    for counter in [5, 6] {
        let mut safety = Safety::default();
        let mut hands = [1, 2, 3].map(|id| Hand::new(id, 3));
        for (hand, id) in hands.iter_mut().zip(1..) {
            hand.looks(5);
            hand.hears(id % 3 + 1, looking(1, vote(9, counter)));
            assert_eq!(step(&mut safety, id, hand), Ok(()));
        }
        hands[0].fires(Timer::Finalize);
        assert_eq!(hands[0].is(), (State::Following, 1, Some(9)));
        assert_eq!(step(&mut safety, 1, &hands[0]), Ok(()));
    }
}

/// Two follow this node, which did not say that it leads.
#[test]
fn who_follows_itself_is_found_whether_it_votes_or_observes() {
    for (id, state) in [(1, State::Following), (9, State::Observing)] {
        let mut safety = Safety::default();
        for other in [2, 3] {
            let mut settled = Hand::new(other, 3);
            settled.looks(1);
            assert_eq!(step(&mut safety, other, &settled), Ok(()));
            settled.is_led(id, 1);
            assert_eq!(step(&mut safety, other, &settled), Ok(()));
        }
        let mut hand = Hand::without("leader_confirms", id, 3);
        hand.looks(5);
        assert_eq!(step(&mut safety, id, &hand), Ok(()));
        for other in [2, 3] {
            hand.hears(other, following(7, vote(id, 6)));
        }
        assert_eq!((hand.is().0, hand.is().2), (state, Some(id)));
        let itself = step(&mut safety, id, &hand);
        assert_eq!(found(itself), Some("Voters lead, voters follow"), "{state}");
    }
}

#[test]
fn what_a_run_reached_while_nodes_look_is_counted() {
    let mut alone = Hand::new(1, 5);
    alone.looks(5);
    let mut polled = Hand::new(1, 3);
    polled.looks(5);
    polled.hears(2, looking(1, vote(3, 7)));
    assert!(polled.is_closing() && !alone.is_closing());
    let mut better = Hand::new(1, 5);
    better.looks(5);
    better.hears(2, looking(1, vote(3, 8)));
    let reaches = |from: &Hand, to: &Hand| {
        let mut safety = Safety::default();
        step(&mut safety, 1, from).unwrap();
        step_and_count(&mut safety, 1, to).unwrap()
    };
    assert_eq!(reaches(&alone, &alone), [""; 0], "nothing new");
    assert_eq!(reaches(&alone, &better), ["a better vote adopted"]);
    let reopened = ["a better vote adopted", "the poll was opened again"];
    assert_eq!(reaches(&polled, &better), reopened);
    let [later, equal, worse] = [(3, 9), (3, 8), (3, 7)].map(|(leader, counter)| {
        let mut hand = voting(1, 2, leader, counter);
        hand.looks_among(1, Voters::new([1, 2, 3].map(NodeId)).into());
        hand.hears(2, looking(3, vote(leader, counter)));
        hand
    });
    let before = voting(1, 2, 3, 8);
    assert_eq!(reaches(&before, &later), [""; 0], "another round, a better vote");
    assert_eq!(reaches(&before, &equal), [""; 0]);
    assert_eq!(reaches(&before, &worse), ["a vote given up for a new round"]);
}

#[test]
fn how_a_leader_was_found_is_counted() {
    let mut safety = Safety::default();
    let mut hands = [1, 2, 3].map(|id| Hand::new(id, 3));
    let mut observer = Hand::new(9, 3);
    for (hand, id) in hands.iter_mut().zip(1..) {
        hand.looks(5);
        for other in 1..=3 {
            hand.hears(other, looking(1, vote(3, 5)));
        }
        step(&mut safety, id, hand).unwrap();
    }
    observer.looks(5);
    step(&mut safety, 9, &observer).unwrap();
    let polled = ["elected by the poll"];
    for id in [3, 2] {
        hands[id - 1].fires(Timer::Finalize);
        assert_eq!(step_and_count(&mut safety, id as u64, &hands[id - 1]).unwrap(), polled);
    }
    for hand in [&mut hands[0], &mut observer] {
        hand.hears(3, leading(1, vote(3, 5)));
        hand.hears(2, following(1, vote(3, 5)));
    }
    // 1 has the poll behind it as well, so that is what counts.
    assert_eq!(step_and_count(&mut safety, 1, &hands[0]).unwrap(), polled);
    let joined = ["an observer found the leader", "joined a sitting leader"];
    assert_eq!(step_and_count(&mut safety, 9, &observer).unwrap(), joined);
}

/// 3 elects itself, restarts, and 2, which heard nothing of that, is elected in the same round.
#[test]
fn two_leaders_of_one_round_are_counted_and_one_of_each_of_two_are_not() {
    for (round, reached) in [(1, true), (2, false)] {
        let mut safety = Safety::default();
        let mut leads = |id: u64, round: u64| {
            for voter in [1, id] {
                let mut hand = Hand::new(voter, 3);
                (0..round).for_each(|_| drop(hand.looks(1)));
                hand.hears(if voter == 1 { id } else { 1 }, looking(round, vote(id, 5)));
                safety.recovered(NodeId(voter), hand.engine()).unwrap();
                step(&mut safety, voter, &hand).unwrap();
                if voter == id {
                    hand.fires(Timer::Finalize);
                    assert_eq!(hand.is().0, State::Leading);
                    let points = step_and_count(&mut safety, id, &hand).unwrap();
                    return points.contains(&"two leaders in one round");
                }
            }
            unreachable!("the second of the two leads")
        };
        assert!(!leads(3, 1));
        assert_eq!(leads(2, round), reached);
    }
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
