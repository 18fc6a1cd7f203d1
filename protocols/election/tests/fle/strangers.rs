//! Observers, and nodes that know other voters: they are told, and not counted.

use std::collections::{BTreeMap, VecDeque};

use synod_election::fle::{State, Timer};
use synod_engine::Random;

use crate::hand::{Hand, answer, asking, following, leading, looking, vote};

const FOLLOWING: State = State::Following;
const LOOKING: State = State::Looking;
const OBSERVING: State = State::Observing;

#[test]
fn voters_only_without_it_lesser_strangers_are_heard() {
    let mut sound = Hand::new(1, 3);
    sound.looks(5);
    assert_eq!(sound.hears(9, looking(1, vote(2, 4))).receivers(), [9], "told, but not heard");
    assert_eq!(sound.hears(9, following(1, vote(2, 4))).sent(), []);
    sound.hears(2, looking(1, vote(9, 4)));
    assert_eq!(sound.is(), (LOOKING, 1, Some(1)), "no candidate");
    let mut broken = Hand::without("voters_only", 1, 3);
    broken.looks(5);
    sound.hears(9, looking(4, vote(9, 4)));
    broken.hears(9, looking(4, vote(9, 4)));
    assert_eq!((sound.is().1, broken.is().1), (1, 4), "a stranger's round is begun");
}

/// It may be the only one to have the entry by which it votes no more, and so has a vote by the members
/// before; who is no less by that entry must let it win a tie.
#[test]
fn a_stranger_of_equal_standing_and_a_higher_id_is_voted_for() {
    let mut node = Hand::new(2, 3);
    node.looks(5);
    node.hears(9, looking(1, vote(9, 5)));
    assert_eq!(node.is(), (LOOKING, 1, Some(9)));
}

/// Neither does a stranger who knows no better candidate raise the round, nor is a voter's word counted that
/// it follows such a stranger: what it said before stands.
#[test]
fn of_strangers_only_what_beats_this_node_is_heard() {
    let mut node = Hand::new(1, 3);
    node.looks(5);
    for lesser in [vote(2, 4), vote(1, 5)] {
        node.hears(9, looking(7, lesser));
        assert_eq!(node.is(), (LOOKING, 1, Some(1)));
    }
    node.hears(2, looking(1, vote(1, 5)));
    assert!(node.is_closing(), "two of three vote for it");
    node.hears(2, following(1, vote(9, 4)));
    assert!(node.is_closing());
}

#[test]
fn a_stranger_who_stands_higher_is_voted_for_but_not_counted() {
    let mut node = Hand::new(1, 3);
    node.looks(5);
    let heard = node.hears(9, looking(4, vote(9, 6)));
    assert_eq!(node.is(), (LOOKING, 4, Some(9)));
    assert_eq!(
        heard.receivers(),
        [2, 3, 9],
        "the stranger is answered with the vote as it is then"
    );
    assert_eq!(heard.sent()[2].1, answer(4, vote(9, 6)));
    assert!(!node.is_closing(), "9 is counted nowhere");
    node.hears(2, looking(4, vote(9, 6)));
    assert_eq!(node.fires(Timer::Finalize).elected(), Some((FOLLOWING, 9, 4)));
}

/// It votes for one whom this node knows no more, as well it may: that one has a vote by the members before. But
/// votes of other rounds are not counted, so without that they never agree.
#[test]
fn the_round_of_a_voter_is_begun_whomever_it_votes_for() {
    let mut node = Hand::new(2, 3);
    node.looks(5);
    let heard = node.hears(3, looking(4, vote(9, 4)));
    assert_eq!(node.is(), (LOOKING, 4, Some(2)), "with its own vote");
    assert_eq!(heard.receivers(), [1, 3]);
    node.hears(1, looking(4, vote(2, 5)));
    assert!(node.is_closing());
    assert_eq!(node.hears(3, looking(3, vote(9, 4))).receivers(), [3], "it lags, and is told");
    assert_eq!((node.is(), node.is_closing()), ((LOOKING, 4, Some(2)), true));
}

#[test]
fn a_stranger_who_leads_is_joined_on_its_word_and_that_of_a_quorum_of_those_who_are_known() {
    let mut node = Hand::new(1, 3);
    node.looks(5);
    assert_eq!(node.hears(9, leading(4, vote(9, 6))).elected(), None);
    assert_eq!(node.hears(8, following(4, vote(9, 6))).elected(), None);
    assert_eq!(node.hears(2, following(4, vote(9, 6))).elected(), None);
    assert_eq!(node.hears(3, following(4, vote(9, 6))).elected(), Some((FOLLOWING, 9, 4)));
}

/// Voter 4 was added while 3 was away; then 1 died. Three of four are up. 2 and 4 have equal histories, so
/// both vote for 4, of whom 3 has never heard.
#[test]
fn a_voter_who_lags_behind_a_change_of_members_votes_for_one_whom_it_does_not_know() {
    let mut nodes =
        BTreeMap::from([(2, Hand::new(2, 4)), (3, Hand::new(3, 3)), (4, Hand::new(4, 4))]);
    let mut flying = VecDeque::new();
    for (id, counter) in [(2, 9), (3, 5), (4, 9)] {
        let did = nodes.get_mut(&id).unwrap().looks(counter);
        flying.extend(did.sent().into_iter().map(|(to, said)| (id, to, said)));
    }
    while let Some((from, to, said)) = flying.pop_front() {
        if let Some(node) = nodes.get_mut(&to) {
            let did = node.hears(from, said);
            flying.extend(did.sent().into_iter().map(|(next, said)| (to, next, said)));
        }
    }
    for (id, node) in &nodes {
        assert_eq!((node.is(), node.is_closing()), ((LOOKING, 1, Some(4)), true), "{id}");
    }
}

#[test]
fn an_observer_asks_votes_for_nobody_and_learns_who_leads() {
    let mut observer = Hand::new(9, 3);
    assert_eq!(observer.looks(99).sent(), [1, 2, 3].map(|voter| (voter, asking(1))));
    for voter in 1..=3 {
        let heard = observer.hears(voter, looking(4, vote(3, 5)));
        assert_eq!((heard.sent(), heard.elected()), (vec![], None));
    }
    assert!(!observer.is_closing());
    assert_eq!(observer.fires(Timer::Notify).sent(), [1, 2, 3].map(|voter| (voter, asking(1))));
    observer.hears(3, leading(4, vote(3, 5)));
    let joined = observer.hears(1, following(4, vote(3, 5)));
    assert_eq!(joined.elected(), Some((OBSERVING, 3, 4)));
}

#[test]
fn an_observer_is_answered_at_once_in_any_round_and_by_everybody_but_observers() {
    let mut voter = Hand::new(2, 3);
    voter.looks(5);
    assert_eq!(voter.hears(9, asking(8)).sent(), [(9, answer(1, vote(2, 5)))]);
    assert_eq!(voter.is(), (LOOKING, 1, Some(2)), "its round is of no matter");
    let mut observer = Hand::new(8, 3);
    observer.looks(5);
    assert_eq!(observer.hears(9, asking(0)).sent(), []);
    assert_eq!(observer.hears(2, looking(0, vote(2, 5))).sent(), []);
}

/// Whatever each believes the voters to be, in whichever round it looks, and whatever it knows.
#[test]
fn nodes_that_disagree_on_the_voters_fall_silent() {
    let mut random = Random::new(1);
    for _ in 0..300 {
        let nodes = random.between(2, 6);
        let mut hands = BTreeMap::new();
        let mut flying = VecDeque::new();
        for id in 1..=nodes {
            let mut hand = Hand::new(id, random.between(1, nodes));
            let rounds = random.between(1, 3);
            for _ in 0..rounds {
                let counter = random.between(1, 3) as u32;
                let did = hand.looks(counter);
                flying.extend(did.sent().into_iter().map(|(to, said)| (id, to, said)));
            }
            hands.insert(id, hand);
        }
        let mut messages = 0;
        while let Some((from, to, said)) = flying.pop_front() {
            messages += 1;
            assert!(messages < 2000, "a storm among {nodes} nodes: {said}");
            let did = hands.get_mut(&to).expect("a node").hears(from, said);
            flying.extend(did.sent().into_iter().map(|(next, said)| (to, next, said)));
        }
    }
}

/// A storm that ZooKeeper's rules allow: one takes the other for a stranger, and answers; the other is in a
/// higher round, and answers that; and so on, as fast as the network goes.
#[test]
fn an_answer_is_not_answered() {
    let mut old = Hand::new(1, 4);
    let mut new = Hand::new(5, 5);
    old.looks(5);
    new.looks(5);
    new.looks(5);
    let mut answers = old.hears(5, looking(2, vote(5, 4))).sent();
    assert_eq!(answers, [(5, answer(1, vote(1, 5)))]);
    answers = new.hears(1, answers[0].1).sent();
    assert_eq!(answers, []);
    assert_eq!(old.hears(2, answer(0, vote(2, 5))).sent(), [], "nor one of a voter that lags");
}

#[test]
fn what_an_observer_says_is_never_counted() {
    let mut node = Hand::new(1, 3);
    node.looks(5);
    let observing = |round, vote| {
        let mut says = following(round, vote);
        says.state = OBSERVING;
        says
    };
    node.hears(3, leading(1, vote(3, 4)));
    assert_eq!(node.hears(2, observing(1, vote(3, 4))).elected(), None);
    assert_eq!(node.hears(2, observing(1, vote(1, 5))).set(Timer::Finalize), None);
}
