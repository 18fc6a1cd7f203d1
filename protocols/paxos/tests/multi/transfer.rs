//! Leadership is handed over, and goes to the highest priority.

use std::time::Duration;

use synod_consensus::{Change, Event, Refusal, Role};
use synod_engine::{NodeId, Token};
use synod_paxos::multi::{Message, Timer};

use crate::cluster::{Cluster, Founded as _};

#[test]
fn a_successor_takes_over_and_what_waited_is_refused_with_its_name() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.at(1, |node| node.transfer(2, 3));
    cluster.at(1, |node| node.propose(3, "y"));
    cluster.settle();
    assert_eq!(cluster.leader(), Some(3));
    let events = &cluster.nodes[&1].events;
    assert!(events.contains(&Event::Transferred { token: Token(2) }));
    let refusal = Refusal::NotLeader { leader: Some(NodeId(3)) };
    assert!(events.contains(&Event::Refused { token: Token(3), refusal }));
    assert_eq!(cluster.commits(), [1, 1, 1]);
    cluster.assert_sound();
}

#[test]
fn a_transfer_that_nobody_takes_ends_and_the_leader_goes_on() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.isolate(&[3]);
    cluster.at(1, |node| node.transfer(1, 3));
    cluster.at(1, |node| node.propose(2, "x"));
    cluster.settle();
    assert_eq!(cluster.commits()[0], 0, "it waits");
    cluster.at(1, |node| node.fire(Timer::Transfer));
    cluster.settle();
    let refused = Event::Refused { token: Token(1), refusal: Refusal::NoSuccessor };
    assert!(cluster.nodes[&1].events.contains(&refused));
    assert_eq!(cluster.commits(), [1, 1, 0]);
    cluster.at(1, |node| node.transfer(3, 9));
    let refused = Event::Refused { token: Token(3), refusal: Refusal::NoSuccessor };
    assert!(cluster.nodes[&1].events.contains(&refused), "9 is no voter");
}

#[test]
fn a_late_call_to_one_that_was_sent_more_since_is_void() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(1, |node| node.transfer(1, 2));
    let place = cluster
        .network
        .iter()
        .position(|it| matches!(it.message, Message::TakeOver { .. }))
        .unwrap();
    let late = cluster.network.remove(place);
    cluster.at(1, |node| node.fire(Timer::Transfer));
    cluster.at(1, |node| node.propose(2, "x"));
    cluster.settle();
    cluster.network.push(late);
    cluster.settle();
    assert_eq!(cluster.leader(), Some(1));
}

#[test]
fn leadership_goes_to_the_voter_of_the_highest_priority_once_it_is_there_for_long() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(1, |node| node.change(1, [Change::Prioritise { node: NodeId(2), priority: 5 }]));
    cluster.settle();
    cluster.run(Duration::from_secs(4));
    assert_eq!(cluster.leader(), Some(1));
    cluster.run(Duration::from_secs(3));
    assert_eq!(cluster.leader(), Some(2));
    assert_eq!(cluster.sometimes.count("leadership goes to a higher priority"), 1);
    cluster.assert_sound();
}

#[test]
fn a_voter_of_priority_0_never_leads() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(1, |node| node.change(1, [Change::Prioritise { node: NodeId(2), priority: 0 }]));
    cluster.settle();
    cluster.isolate(&[1]);
    cluster.campaign(2);
    assert_ne!(cluster.node(2).view().role, Role::Leader);
    cluster.elect(3);
    cluster.assert_sound();
}
