//! The three ways of learning (§2.3): what they cost, what the loss of a distinguished learner costs,
//! and the outcome that no learner can see.

use std::time::Duration;

use synod_engine::{NodeId, When};
use synod_paxos::basic::{Config, Learning, Message, Record, Timer};

use crate::hand::{Hand, accept, accepted, ballot, proposal};
use crate::net::Net;

fn five(learning: Learning) -> Config {
    Config { learning, ..Config::new(NodeId(1), (1..=5).map(NodeId)) }
}

fn ways() -> [Learning; 3] {
    let few = Learning::Few([1, 2].map(NodeId).into());
    [Learning::Everyone, Learning::One(NodeId(1)), few]
}

fn net(config: &Config) -> Net {
    Net::new(1..=5, config, |_, _| Duration::from_millis(1), 7)
}

#[test]
fn each_way_tells_everybody_for_the_messages_that_the_paper_says() {
    // Of 5 acceptors, each to 5 learners, not counting oneself; to one, who tells 4; to two, who tell 3.
    for (learning, told) in ways().into_iter().zip([20, 4 + 4, 8 + 6]) {
        let mut net = net(&five(learning.clone()));
        net.ask(Duration::ZERO, 1, "v");
        net.run_for(Duration::from_millis(100));
        assert_eq!(net.outcomes.len(), 5, "{learning:?}");
        let count = net
            .count(|message| matches!(message, Message::Accepted { .. } | Message::Chosen { .. }));
        assert_eq!(count, told, "{learning:?}");
    }
}

#[test]
fn the_loss_of_the_distinguished_learner_costs_time_and_not_the_outcome() {
    let mut net = net(&five(Learning::One(NodeId(5))));
    net.lose(5);
    net.ask(Duration::ZERO, 1, "v");
    net.run_for(Duration::from_millis(100));
    assert!(net.outcomes.is_empty(), "nobody tells");
    net.run_for(Duration::from_secs(5));
    assert_eq!(net.outcomes.len(), 4);
}

#[test]
fn the_loss_of_one_of_a_few_is_not_even_noticed() {
    let mut net = net(&five(Learning::Few([4, 5].map(NodeId).into())));
    net.lose(5);
    net.ask(Duration::ZERO, 1, "v");
    net.run_for(Duration::from_millis(100));
    assert_eq!(net.outcomes.len(), 4);
}

#[test]
fn a_proposer_that_nobody_tells_asks_the_learners_when_its_ballot_comes_to_nothing() {
    let mut config = five(Learning::Everyone);
    config.learners = [4, 5].map(NodeId).into();
    let mut proposer = Hand::new(config);
    proposer.hears(1, Message::Request { value: "v".into() });
    for acceptor in 2..=4 {
        proposer.hears(acceptor, Message::Promise { ballot: ballot(1, 1), accepted: None });
    }
    let sent = proposer.fires(Timer::Retry).sent();
    let asked = sent.iter().filter(|(_, message, _)| *message == Message::Ask);
    assert_eq!(asked.map(|(to, ..)| *to).collect::<Vec<_>>(), [4, 5]);
}

#[test]
fn acceptors_tell_the_distinguished_learners_only_and_these_tell_the_others() {
    let few = five(Learning::Few([1, 2].map(NodeId).into()));
    let mut acceptor = Hand::new(Config { node: NodeId(3), ..few.clone() });
    let did = acceptor.hears(1, accept("v", 1, 1));
    assert_eq!(did.sent_all(&[1, 2], When::Held), accepted("v", 1, 1));
    let mut learner = Hand::new(Config { node: NodeId(2), ..few });
    learner.hears(1, accepted("v", 1, 1));
    learner.hears(3, accepted("v", 1, 1));
    let did = learner.hears(4, accepted("v", 1, 1));
    assert_eq!(did.records_first(), [Record::Acknowledge(proposal("v", 1, 1))]);
    assert_eq!(did.sent_all(&[3, 4, 5], When::Held), Message::Chosen { value: "v".into() });
}

#[test]
fn a_learner_that_counted_by_asking_leaves_it_to_the_others_to_ask() {
    let mut learner = Hand::new(Config { node: NodeId(3), ..five(Learning::One(NodeId(1))) });
    for acceptor in [1, 2] {
        learner.hears(acceptor, accepted("v", 1, 3));
    }
    let did = learner.hears(4, accepted("v", 1, 3));
    assert!(did.sent().is_empty() && !did.events().is_empty());
}

#[test]
fn a_distinguished_learner_tells_a_proposer_that_goes_on_without_need() {
    let one = five(Learning::One(NodeId(1)));
    let mut learner = Hand::restarted(one, [Record::Acknowledge(proposal("v", 1, 1))]);
    let did = learner.hears(2, accepted("v", 4, 4));
    assert_eq!(did.sent_all(&[4], When::Held), Message::Chosen { value: "v".into() });
}

#[test]
fn where_no_majority_shows_a_learner_has_a_ballot_issued_for_what_was_accepted() {
    let config = Config { vain_asks: 2, ..five(Learning::Everyone) };
    let mut learner = Hand::new(config);
    let requests = |learner: &mut Hand| {
        let sent = learner.fires(Timer::Ask).sent();
        let request = |(_, message, _): (u64, Message, When)| match message {
            Message::Request { value } => Some(value),
            _ => None,
        };
        sent.into_iter().filter_map(request).collect::<Vec<_>>()
    };
    for _ in 0..5 {
        assert_eq!(requests(&mut learner), [], "nothing is known to be accepted");
    }
    learner.hears(1, accepted("old", 1, 1));
    learner.hears(2, accepted("new", 2, 2));
    learner.hears(3, accepted("old", 1, 3));
    assert_eq!(requests(&mut learner), [], "a ballot may be under way");
    assert_eq!(requests(&mut learner), []);
    assert_eq!(requests(&mut learner), ["new".into()]);
    assert_eq!(requests(&mut learner), ["new".into()], "the last one may be lost");
}

#[test]
fn an_outcome_that_no_learner_can_see_comes_to_light() {
    let config = five(Learning::Everyone);
    // "v" was chosen in 1.1 by three acceptors; of two later ballots each reached one of them.
    let records = |id| match id {
        1 => Some(Record::Accept(proposal("v", 2, 2))),
        2 => Some(Record::Accept(proposal("v", 3, 3))),
        3 => Some(Record::Accept(proposal("v", 1, 1))),
        _ => None,
    };
    let mut net = Net::restarted(1..=5, &config, |_, _| Duration::from_millis(1), 7, records);
    net.run_for(Duration::from_secs(10));
    assert_eq!(net.outcomes.len(), 5);
    assert!(net.outcomes.values().all(|value| *value == "v".into()));
    let nothing = |_| None;
    let mut idle = Net::restarted(1..=5, &config, |_, _| Duration::from_millis(1), 7, nothing);
    idle.run_for(Duration::from_secs(60));
    assert_eq!(idle.count(|message| matches!(message, Message::Prepare { .. })), 0);
}
