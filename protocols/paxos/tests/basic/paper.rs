//! *Paxos Made Simple*, sentence by sentence; sections as there. §2.3, learning, is in `learning.rs`, and
//! §2.4, progress, in `duel.rs`, for the greater part. The safety requirements of §2.1 are the first three
//! invariants, which `simulation.rs` checks.

use std::time::Duration;

use synod_engine::{Engine, Input, NodeId, Token, When};
use synod_paxos::basic::{Attempt, Config, Event, Message, Paxos, Record, Refusal, Timer, Value};

use crate::hand::{Hand, accept, accepted, ballot, prepare, promise, proposal};
use crate::net::Net;

pub(crate) fn three(node: u64) -> Config {
    Config::new(NodeId(node), [1, 2, 3].map(NodeId))
}

pub(crate) fn node(node: u64) -> Hand {
    Hand::new(three(node))
}

fn net() -> Net {
    Net::new(1..=3, &three(1), |_, _| Duration::from_millis(1), 7)
}

/// Node 1, whose client wants "own", with its first ballot, 1.1, under way.
fn proposer() -> Hand {
    let mut proposer = node(1);
    proposer.asked(1, "own");
    proposer.hears(1, Message::Request { value: "own".into() });
    proposer
}

// §2.1, the problem

#[test]
fn if_no_value_is_proposed_none_is_chosen() {
    let mut net = net();
    net.run_for(Duration::from_secs(60));
    assert!(net.outcomes.is_empty());
    assert_eq!(net.count(|message| *message != Message::Ask), 0);
}

#[test]
fn if_a_value_has_been_proposed_a_process_can_learn_the_chosen_one() {
    let mut net = net();
    net.ask(Duration::ZERO, 1, "red");
    net.ask(Duration::ZERO, 2, "blue");
    net.run_for(Duration::from_secs(5));
    let chosen = net.outcomes.values().next().cloned();
    assert_eq!(net.outcomes.len(), 3);
    assert!(net.outcomes.values().all(|value| Some(value) == chosen.as_ref()));
    assert!(chosen == Some("red".into()) || chosen == Some("blue".into()));
}

// §2.2, choosing a value: the acceptor

/// "In the absence of failure or message loss, we want a value to be chosen even if only one value is
/// proposed by a single proposer."
#[test]
fn a_single_value_of_a_single_proposer_is_chosen_in_four_delays() {
    let mut net = net();
    net.ask(Duration::ZERO, 1, "only");
    // Prepare, promise, accept, accepted; the proposer is a learner.
    net.run_for(Duration::from_millis(4));
    assert_eq!(net.outcomes.get(&NodeId(1)), Some(&"only".into()));
    assert_eq!(net.outcomes.len(), 3, "everybody is told at the same time");
}

#[test]
fn an_acceptor_may_accept_more_than_one_proposal() {
    let mut acceptor = node(2);
    acceptor.hears(1, accept("old", 1, 1));
    let did = acceptor.hears(3, accept("new", 2, 3));
    assert_eq!(did.records_first(), [Record::Accept(proposal("new", 2, 3))]);
    assert_eq!(acceptor.view().accepted, Some(proposal("new", 2, 3)));
}

/// P1a: "... iff it has not responded to a prepare request having a number greater than n."
#[test]
fn an_acceptor_accepts_in_the_ballot_that_it_has_promised() {
    let mut acceptor = node(2);
    acceptor.hears(1, prepare(2, 1));
    let did = acceptor.hears(1, accept("v", 2, 1));
    assert_eq!(did.sent_all(&[1, 2, 3], When::Held), accepted("v", 2, 1));
    let did = acceptor.hears(3, accept("w", 3, 3));
    assert_eq!(did.sent_all(&[1, 2, 3], When::Held), accepted("w", 3, 3));
}

#[test]
fn an_acceptor_promises_a_higher_ballot_durably_before_it_says_so() {
    let mut acceptor = node(2);
    let did = acceptor.hears(1, prepare(1, 1));
    assert_eq!(did.records_first(), [Record::Promise(ballot(1, 1))]);
    assert_eq!(did.sent_all(&[1], When::Held), promise(1, 1, None));
    assert_eq!(acceptor.view().promised, Some(ballot(1, 1)));
}

#[test]
fn an_acceptor_refuses_whatever_is_below_its_promise() {
    let mut acceptor = node(2);
    acceptor.hears(3, prepare(2, 3));
    let refused = Message::Refused { ballot: ballot(2, 1), promised: ballot(2, 3) };
    for late in [prepare(2, 1), accept("late", 2, 1)] {
        let did = acceptor.hears(1, late);
        assert_eq!(did.sent_all(&[1], When::Held), refused);
        assert_eq!(did.records_first(), []);
    }
    assert_eq!(acceptor.view().accepted, None);
}

#[test]
fn an_acceptor_accepts_without_a_promise_and_tells_every_learner() {
    let mut acceptor = node(2);
    let did = acceptor.hears(1, accept("v", 1, 1));
    assert_eq!(did.records_first(), [Record::Accept(proposal("v", 1, 1))]);
    assert_eq!(did.sent_all(&[1, 2, 3], When::Held), accepted("v", 1, 1));
    assert_eq!(acceptor.view().promised, Some(ballot(1, 1)));
}

#[test]
fn a_promise_tells_the_highest_proposal_accepted_so_far() {
    let mut acceptor = node(2);
    acceptor.hears(1, accept("old", 1, 1));
    acceptor.hears(3, accept("new", 2, 3));
    let did = acceptor.hears(1, prepare(3, 1));
    assert_eq!(did.sent_all(&[1], When::Held), promise(3, 1, Some(proposal("new", 2, 3))));
}

#[test]
fn a_repeated_question_is_answered_again_without_a_new_record() {
    let mut acceptor = node(2);
    acceptor.hears(1, prepare(1, 1));
    let did = acceptor.hears(1, prepare(1, 1));
    assert_eq!(did.sent_all(&[1], When::Held), promise(1, 1, None));
    assert_eq!(did.records_first(), []);
    acceptor.hears(1, accept("v", 1, 1));
    let did = acceptor.hears(1, accept("v", 1, 1));
    assert_eq!(did.sent_all(&[1, 2, 3], When::Held), accepted("v", 1, 1));
    assert_eq!(did.records_first(), []);
}

// §2.2, choosing a value: the proposer

#[test]
fn a_proposer_makes_its_ballot_durable_before_anybody_hears_of_it() {
    let mut proposer = node(1);
    let did = proposer.asked(1, "own");
    assert_eq!(did.sent_all(&[1], When::Now), Message::Request { value: "own".into() });
    let did = proposer.hears(1, Message::Request { value: "own".into() });
    assert_eq!(did.records_first(), [Record::Propose(ballot(1, 1))]);
    assert_eq!(did.sent_all(&[1, 2, 3], When::Held), prepare(1, 1));
}

#[test]
fn a_proposer_is_free_to_choose_when_a_majority_has_accepted_nothing() {
    let mut proposer = proposer();
    assert!(proposer.hears(2, promise(1, 1, None)).is_silent());
    let did = proposer.hears(3, promise(1, 1, None));
    assert_eq!(did.sent_all(&[1, 2, 3], When::Now), accept("own", 1, 1));
    assert_eq!(proposer.view().attempt, Some(Attempt::Accepting(proposal("own", 1, 1))));
}

#[test]
fn a_proposer_adopts_the_value_accepted_in_the_highest_ballot() {
    let config = Config::new(NodeId(1), (1..=5).map(NodeId));
    let mut proposer = Hand::restarted(config, [Record::Propose(ballot(6, 1))]);
    proposer.hears(1, Message::Request { value: "own".into() });
    proposer.hears(2, promise(7, 1, Some(proposal("low", 1, 2))));
    proposer.hears(3, promise(7, 1, Some(proposal("high", 5, 3))));
    let did = proposer.hears(4, promise(7, 1, Some(proposal("middle", 3, 4))));
    assert_eq!(did.sent_all(&[1, 2, 3, 4, 5], When::Now), accept("high", 7, 1));
}

#[test]
fn neither_a_second_promise_nor_one_of_an_earlier_ballot_completes_a_majority() {
    let mut proposer = proposer();
    proposer.fires(Timer::Retry);
    assert_eq!(proposer.view().attempt, Some(Attempt::Preparing(ballot(2, 1))));
    proposer.hears(2, promise(2, 1, None));
    let of_a_stranger = promise(2, 1, Some(proposal("strange", 1, 9)));
    for useless in [(2, promise(2, 1, None)), (3, promise(1, 1, None)), (9, of_a_stranger)] {
        assert!(proposer.hears(useless.0, useless.1).is_silent());
    }
    let did = proposer.hears(3, promise(2, 1, None));
    assert_eq!(did.sent_all(&[1, 2, 3], When::Now), accept("own", 2, 1));
}

// §2.3, learning a chosen value

#[test]
fn a_learner_knows_the_value_once_a_majority_accepted_it_in_one_ballot() {
    let mut learner = node(3);
    assert!(learner.hears(1, accepted("v", 1, 1)).is_silent());
    assert!(learner.hears(1, accepted("v", 1, 1)).is_silent(), "the same acceptor twice");
    assert!(learner.hears(9, accepted("v", 1, 1)).is_silent(), "no acceptor");
    assert!(learner.hears(2, accepted("v", 2, 2)).is_silent(), "another ballot");
    let did = learner.hears(1, accepted("v", 2, 2));
    assert_eq!(did.records_first(), [Record::Acknowledge(proposal("v", 2, 2))]);
    assert_eq!(did.events(), [Event::Chosen { value: "v".into(), own: vec![] }]);
    assert_eq!(learner.view().chosen, Some("v".into()));
}

#[test]
fn an_acceptance_that_arrives_late_does_not_replace_a_newer_one() {
    let mut learner = node(3);
    learner.hears(1, accepted("new", 2, 2));
    learner.hears(1, accepted("old", 1, 1));
    assert!(learner.hears(2, accepted("old", 1, 1)).is_silent());
    assert!(!learner.hears(2, accepted("new", 2, 2)).events().is_empty());
}

#[test]
fn a_learner_that_missed_the_outcome_asks_and_the_acceptors_tell_again() {
    let mut acceptor = node(2);
    acceptor.hears(1, accept("v", 1, 1));
    let mut learner = node(3);
    let did = learner.fires(Timer::Ask);
    assert_eq!(did.sent_all(&[1, 2], When::Now), Message::Ask);
    let did = acceptor.hears(3, Message::Ask);
    assert_eq!(did.sent_all(&[3], When::Held), accepted("v", 1, 1));
    learner.hears(2, accepted("v", 1, 1));
    learner.hears(1, accepted("v", 1, 1));
    let did = learner.hears(1, Message::Ask);
    assert_eq!(did.sent_all(&[1], When::Held), Message::Chosen { value: "v".into() });
}

#[test]
fn an_acceptor_that_accepted_nothing_has_nothing_to_tell() {
    assert!(node(2).hears(3, Message::Ask).is_silent());
}

// §2.4, progress

#[test]
fn a_refused_proposer_gives_way_and_then_goes_above_what_it_heard_of() {
    let mut proposer = proposer();
    let refused = Message::Refused { ballot: ballot(1, 1), promised: ballot(8, 2) };
    assert!(proposer.hears(2, refused.clone()).is_silent());
    assert_eq!(proposer.view().attempt, Some(Attempt::Preparing(ballot(1, 1))));
    assert!(proposer.hears(3, refused).is_silent());
    assert_eq!(proposer.view().attempt, Some(Attempt::Delayed));
    assert!(proposer.hears(2, promise(1, 1, None)).is_silent(), "the attempt is over");
    let did = proposer.fires(Timer::Retry);
    assert_eq!(did.sent_all(&[1, 2, 3], When::Held), prepare(9, 1));
}

#[test]
fn a_ballot_refused_in_phase_2_is_given_up_too() {
    let mut proposer = proposer();
    proposer.hears(2, promise(1, 1, None));
    proposer.hears(3, promise(1, 1, None));
    for acceptor in [2, 3] {
        let promised = ballot(2, 3);
        proposer.hears(acceptor, Message::Refused { ballot: ballot(1, 1), promised });
    }
    assert_eq!(proposer.view().attempt, Some(Attempt::Delayed));
}

#[test]
fn a_proposer_without_a_round_left_stays_silent() {
    let mut proposer = proposer();
    let promised = ballot(u64::MAX, 2);
    proposer.hears(2, Message::Refused { ballot: ballot(1, 1), promised });
    assert!(proposer.fires(Timer::Retry).is_silent());
}

// §2.5, the implementation

#[test]
fn a_restarted_proposer_never_uses_a_ballot_again() {
    let mut proposer = Hand::restarted(three(1), [Record::Propose(ballot(4, 1))]);
    let did = proposer.hears(1, Message::Request { value: "other".into() });
    assert_eq!(did.sent_all(&[1, 2, 3], When::Held), prepare(5, 1));
}

#[test]
fn a_restarted_acceptor_keeps_its_word() {
    let records = [
        Record::Promise(ballot(1, 1)),
        Record::Accept(proposal("v", 1, 1)),
        Record::Promise(ballot(3, 3)),
    ];
    let mut acceptor = Hand::restarted(three(2), records);
    let did = acceptor.hears(1, accept("w", 2, 1));
    let refused = Message::Refused { ballot: ballot(2, 1), promised: ballot(3, 3) };
    assert_eq!(did.sent_all(&[1], When::Held), refused);
    let did = acceptor.hears(1, prepare(4, 1));
    assert_eq!(did.sent_all(&[1], When::Held), promise(4, 1, Some(proposal("v", 1, 1))));
}

#[test]
fn a_restarted_node_that_knew_the_outcome_says_so_at_once_and_to_all_who_ask() {
    for record in [Record::Commit("v".into()), Record::Acknowledge(proposal("v", 1, 3))] {
        let mut node = Hand::restarted(three(2), [record]);
        let chosen = |own| Event::Chosen { value: "v".into(), own };
        assert_eq!(node.step(Input::Start).events(), [chosen(vec![])]);
        assert_eq!(node.asked(7, "w").events(), [chosen(vec![Token(7)])]);
        for question in [Message::Ask, prepare(9, 1), accept("w", 9, 1)] {
            let did = node.hears(1, question);
            assert_eq!(did.sent_all(&[1], When::Held), Message::Chosen { value: "v".into() });
        }
        for timer in [Timer::Retry, Timer::Resend, Timer::Ask] {
            assert!(node.fires(timer).is_silent());
        }
    }
}

#[test]
fn an_outcome_that_was_heard_is_durable_before_it_is_told_on() {
    let mut node = proposer();
    node.hears(3, Message::Request { value: "other".into() });
    let did = node.hears(2, Message::Chosen { value: "v".into() });
    assert_eq!(did.records_first(), [Record::Commit("v".into())]);
    assert_eq!(did.sent_all(&[3], When::Held), Message::Chosen { value: "v".into() });
    assert_eq!(did.events(), [Event::Chosen { value: "v".into(), own: vec![Token(1)] }]);
    assert!(node.hears(3, Message::Chosen { value: "v".into() }).is_silent(), "it is known");
}

/// "Different proposers choose their numbers from disjoint sets of numbers."
#[test]
fn no_two_proposers_use_the_same_ballot() {
    let prepared = |id| {
        let mut proposer = node(id);
        proposer.hears(id, Message::Request { value: "v".into() }).sent_all(&[1, 2, 3], When::Held)
    };
    assert_eq!([1, 2, 3].map(prepared), [prepare(1, 1), prepare(1, 2), prepare(1, 3)]);
}

#[test]
fn a_record_of_a_role_that_the_node_does_not_have_stops_it() {
    let mut config = three(1);
    config.acceptors = [2, 3].map(NodeId).into_iter().collect();
    (config.proposers, config.learners) = ([NodeId(2)].into(), [NodeId(2)].into());
    let mut node = Paxos::new(config);
    for (record, name) in [
        (Record::Propose(ballot(1, 1)), "Propose 1.n1"),
        (Record::Promise(ballot(1, 2)), "Promise 1.n2"),
        (Record::Accept(proposal("v", 1, 2)), "Accept \"v\" in 1.n2"),
        (Record::Acknowledge(proposal("v", 1, 2)), "Acknowledge \"v\" in 1.n2"),
    ] {
        let corrupt = node.replay(record).unwrap_err();
        assert_eq!(corrupt.0, format!("{name}, of a role that this node does not have"));
    }
    node.replay(Record::Commit("v".into())).expect("anybody may be told");
}

// The client

#[test]
fn a_client_without_an_outcome_turns_to_the_next_proposer() {
    let mut client = node(2);
    let request = Message::Request { value: "v".into() };
    assert_eq!(client.asked(1, "v").sent_all(&[2], When::Now), request);
    for next in [3, 1, 2] {
        assert_eq!(client.fires(Timer::Resend).sent_all(&[next], When::Now), request);
    }
}

#[test]
fn a_client_with_no_other_role_is_told_by_the_proposer_it_asked() {
    let mut config = three(1);
    config.proposers = [NodeId(1)].into();
    let mut proposer = Hand::new(config.clone());
    proposer.hears(4, Message::Request { value: "v".into() });
    config.node = NodeId(4);
    let mut client = Hand::new(config);
    let did = client.asked(1, "v");
    assert_eq!(did.sent_all(&[1], When::Now), Message::Request { value: "v".into() });
    proposer.hears(2, accepted("v", 1, 1));
    let did = proposer.hears(3, accepted("v", 1, 1));
    let chosen = did.sent_all(&[4], When::Held);
    let did = client.hears(1, chosen);
    assert_eq!(did.events(), [Event::Chosen { value: "v".into(), own: vec![Token(1)] }]);
}

#[test]
fn every_open_request_is_answered_by_the_one_outcome() {
    let mut node = node(1);
    node.asked(1, "a");
    node.asked(2, "b");
    node.asked(3, "c");
    node.step(Input::Cancel(Token(2)));
    let did = node.hears(2, Message::Chosen { value: "z".into() });
    let own = vec![Token(1), Token(3)];
    assert_eq!(did.events(), [Event::Chosen { value: "z".into(), own }]);
}

#[test]
fn what_exceeds_a_bound_is_refused_and_changes_nothing() {
    let mut config = three(1);
    (config.max_value_bytes, config.max_open_requests) = (3, 1);
    let mut node = Hand::new(config);
    let refused = |token, refusal| Event::Refused { token: Token(token), refusal };
    let did = node.asked(1, "long");
    assert_eq!(did.events(), [refused(1, Refusal::TooLarge { max_bytes: 3 })]);
    assert!(did.sent().is_empty());
    node.asked(2, "two");
    assert_eq!(node.asked(3, "3").events(), [refused(3, Refusal::Busy)]);
    assert_eq!(node.view().waiting, 1);
}

#[test]
fn a_learner_tells_the_outcome_to_a_proposer_that_is_no_learner() {
    let mut config = three(3);
    config.learners = [NodeId(3)].into();
    let mut learner = Hand::new(config);
    learner.hears(1, accepted("v", 1, 1));
    let did = learner.hears(2, accepted("v", 1, 1));
    let chosen = Message::Chosen { value: Value::from("v") };
    assert_eq!(did.sent_all(&[1], When::Held), chosen);
}
