//! The two phases, told of three nodes (*Paxos Made Simple* §2.2, §3).

use synod_consensus::{Batch, Event, Index, Payload, Refusal, Role};
use synod_engine::{Input, Token};
use synod_paxos::multi::{Message, Timer};

use crate::cluster::{Cluster, Founded as _};
use crate::driver::{Disk, Node, ballot, values};

/// What each node was told, as words; a no-op is a dash.
pub(crate) fn told(cluster: &Cluster, id: u64) -> Vec<String> {
    let events = cluster.nodes[&id].events.iter();
    let batches = events.filter_map(|event| match event {
        Event::Committed { batch, .. } => Some(batch),
        _ => None,
    });
    let word = |payload: &Payload| match payload {
        Payload::Command(command) => String::from_utf8_lossy(command).into_owned(),
        Payload::Noop => "-".into(),
        Payload::Members(members) => members.to_string(),
    };
    batches.flat_map(Batch::payloads).map(word).collect()
}

fn is_accept(message: &Message) -> bool {
    matches!(message, Message::Accept { .. })
}

#[test]
fn a_leader_asks_once_and_then_proposes_instance_after_instance() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    for (token, word) in [(1, "a"), (2, "b"), (3, "c")] {
        cluster.at(1, |node| node.propose(token, word));
        assert!(cluster.network.iter().all(|it| !matches!(it.message, Message::Prepare { .. })));
        cluster.settle();
    }
    assert_eq!(cluster.commits(), [3, 3, 3]);
    assert_eq!(told(&cluster, 3), ["a", "b", "c"]);
    assert_eq!(cluster.node(1).view().ballot, ballot(1, 1));
    cluster.assert_sound();
}

#[test]
fn values_are_accepted_in_whatever_order_and_told_in_order() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.isolate(&[3]);
    cluster.at(1, |node| node.propose(1, "a"));
    cluster.at(1, |node| node.propose(2, "b"));
    let place = cluster.network.iter().rposition(|it| is_accept(&it.message)).unwrap();
    cluster.deliver(place);
    let accepted = |it: &crate::cluster::Envelope| {
        matches!(
            it.message,
            Message::Accepted { prefix: Index(0), beyond: Some((Index(2), Index(2))), .. }
        )
    };
    assert!(cluster.network.iter().any(accepted), "the second before the first");
    assert_eq!(cluster.commits(), [0, 0, 0]);
    cluster.settle();
    assert_eq!(told(&cluster, 1), ["a", "b"]);
    cluster.assert_sound();
}

/// Each value is counted by itself: 2 has the one, 3 the other, and together with the leader each is
/// chosen.
#[test]
fn what_is_chosen_needs_no_follower_that_has_it_all() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(1, |node| node.propose(1, "a"));
    cluster.at(1, |node| node.propose(2, "b"));
    cluster.settle_but(|it| match &it.message {
        Message::Accept { batch, .. } => (it.to == 2) == (batch.first() == Index(2)),
        _ => false,
    });
    assert_eq!(cluster.node(1).view().commit, Index(2));
    assert_eq!(cluster.commits()[2], 0, "3 lacks the first");
    cluster.beat(1);
    assert_eq!(cluster.commits(), [2, 2, 2], "and asks for it");
    cluster.assert_sound();
}

#[test]
fn a_new_leader_proposes_again_what_may_be_chosen_and_fills_gaps_with_no_ops() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    for (token, word) in [(1, "a"), (2, "b"), (3, "c")] {
        cluster.at(1, |node| node.propose(token, word));
    }
    // 2 and 3 lack the second; of the third 3 alone knows.
    cluster.settle_but(|it| match &it.message {
        Message::Accept { batch, .. } => {
            batch.first() == Index(2) || batch.first() == Index(3) && it.to == 2
        }
        _ => false,
    });
    assert_eq!(cluster.commits(), [1, 1, 1]);
    cluster.isolate(&[1]);
    cluster.elect(2);
    cluster.settle();
    assert_eq!(told(&cluster, 2), ["a", "-", "c"]);
    cluster.heal();
    cluster.beat(2);
    assert_eq!(told(&cluster, 1), ["a", "-", "c"]);
    assert!(cluster.node(1).events.contains(&Event::Unknown { token: Token(2) }));
    assert_eq!(cluster.sometimes.count("gap filled with no-ops"), 1);
    cluster.assert_sound();
}

/// 1 proposed x, 2 then y, and 3 can only win with what both tell.
#[test]
fn of_two_values_the_one_of_the_higher_ballot_is_adopted() {
    let mut cluster = Cluster::start(5);
    cluster.elect(1);
    cluster.isolate(&[1]);
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.elect(2);
    cluster.isolate(&[2]);
    cluster.at(2, |node| node.propose(1, "y"));
    cluster.network.clear();
    cluster.heal();
    cluster.isolate(&[4, 5]);
    for id in [1, 2, 1, 2] {
        cluster.at(id, |node| node.fire(Timer::Election));
    }
    cluster.network.clear();
    cluster.elect(3);
    cluster.settle();
    assert_eq!((told(&cluster, 1), told(&cluster, 3)), (vec!["y".into()], vec!["y".into()]));
    cluster.assert_sound();
}

/// It accepted a value that lost: that the leader calls the instance chosen says nothing about it.
#[test]
fn a_follower_does_not_take_its_own_value_for_the_chosen_one() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.isolate(&[3]);
    cluster.at(1, |node| node.propose(1, "lost"));
    cluster.network.clear();
    cluster.isolate(&[1]);
    cluster.heal();
    cluster.isolate(&[1]);
    cluster.elect(2);
    cluster.at(2, |node| node.propose(1, "chosen"));
    cluster.settle();
    assert_eq!(cluster.commits(), [0, 1, 1]);
    cluster.heal();
    cluster.at(2, |node| node.fire(Timer::Heartbeat));
    let place = cluster.network.iter().position(|it| it.to == 1).unwrap();
    cluster.deliver(place);
    assert_eq!(cluster.node(1).view().commit, Index(0));
    cluster.settle();
    assert_eq!(told(&cluster, 1), ["chosen"]);
    cluster.assert_sound();
}

#[test]
fn a_promise_is_durable_before_it_is_told() {
    let mut cluster = Cluster::start(3);
    cluster.node(2).disk = Disk::Manual;
    cluster.isolate(&[3]);
    cluster.campaign(1);
    assert_eq!(cluster.node(1).view().role, Role::Candidate);
    cluster.at(2, Node::sync);
    cluster.settle();
    assert_eq!(cluster.node(1).view().role, Role::Leader);
    cluster.assert_sound();
}

#[test]
fn a_candidate_promises_its_own_ballot_last_and_durably_before_it_leads() {
    let mut cluster = Cluster::start(3);
    cluster.node(1).disk = Disk::Manual;
    let before = cluster.node(1).records.len();
    cluster.at(1, |node| node.fire(Timer::Election));
    assert_eq!(cluster.node(1).records.len(), before, "nothing is promised yet");
    cluster.settle();
    assert_eq!(cluster.node(1).records.len(), before + 1);
    assert_eq!(cluster.node(1).view().role, Role::Candidate);
    cluster.at(1, Node::sync);
    assert_eq!(cluster.node(1).view().role, Role::Leader);
}

#[test]
fn a_leader_counts_its_own_acceptance_once_it_is_durable() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.isolate(&[3]);
    cluster.node(1).disk = Disk::Manual;
    cluster.at(1, |node| node.propose(1, "a"));
    cluster.settle();
    assert_eq!(cluster.commits(), [0, 0, 0], "2 alone is no majority");
    cluster.at(1, Node::sync);
    assert_eq!(cluster.node(1).view().commit, Index(1));
    cluster.assert_sound();
}

#[test]
fn two_followers_are_a_majority_while_the_leaders_disk_stalls() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.node(1).disk = Disk::Manual;
    cluster.at(1, |node| node.propose(1, "a"));
    cluster.settle();
    assert_eq!(cluster.commits(), [1, 1, 1]);
    cluster.assert_sound();
}

#[test]
fn who_hears_a_leader_promises_nobody_else() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.input(3, Input::Timer(Timer::Election));
    cluster.settle();
    assert_eq!((cluster.leader(), cluster.node(3).view().ballot), (Some(1), ballot(1, 1)));
    cluster.beat(1);
    assert_eq!(cluster.node(3).view().leader.map(|it| it.0), Some(1), "no harm was done");
}

/// 3 hears nobody but 2, who hears nobody for a while and promises 3 a ballot with which it cannot win.
#[test]
fn a_leader_that_a_member_refuses_takes_a_higher_ballot_at_once() {
    let mut cluster = Cluster::start(5);
    cluster.elect(1);
    cluster.isolate(&[2, 3]);
    cluster.campaign(3);
    assert_eq!(cluster.node(2).view().ballot.proposer.0, 3);
    assert_eq!(cluster.node(3).view().ballot, ballot(1, 1), "its own promise comes last");
    cluster.heal();
    cluster.at(1, |node| node.fire(Timer::Heartbeat));
    cluster.settle();
    let ballots: Vec<_> = cluster.nodes.values().map(|node| node.view().ballot).collect();
    assert!(ballots.iter().all(|it| *it == ballots[0] && it.proposer.0 == 1), "{ballots:?}");
    assert_eq!(cluster.leader(), Some(1));
    assert_eq!(cluster.sometimes.count("leader takes a higher ballot"), 1);
    cluster.assert_sound();
}

#[test]
fn a_bounded_leader_refuses_what_is_too_much_and_ends_every_proposal() {
    let mut cluster = Cluster::with(3, |config| {
        (config.bounds.max_command_bytes, config.bounds.max_uncommitted_bytes) = (10, 30);
    });
    cluster.elect(1);
    cluster.isolate(&[1]);
    for (token, word) in
        [(1, "0123456789"), (2, "0123456789"), (3, "0123456789"), (4, "01234567890")]
    {
        cluster.at(1, |node| node.propose(token, word));
    }
    let refused = |token, refusal| Event::Refused { token: Token(token), refusal };
    let events = &cluster.nodes[&1].events;
    assert!(events.contains(&refused(3, Refusal::Busy)));
    assert!(events.contains(&refused(4, Refusal::TooLarge { max_bytes: 10 })));
    cluster.elect(2);
    cluster.heal();
    cluster.beat(2);
    for token in [1, 2] {
        assert!(cluster.nodes[&1].events.contains(&Event::Unknown { token: Token(token) }));
    }
    assert_eq!(told(&cluster, 1), [""; 0], "nobody else heard of it");
}

/// An acceptor with a damaged memory claims a value far beyond what can be open: nobody fills that gap.
#[test]
fn a_gap_that_no_leader_can_have_left_is_not_filled() {
    let mut cluster = Cluster::start(3);
    let nonsense =
        Message::Accept { batch: values(1 << 60, ballot(1, 3), &["x"]), chosen: Index(0) };
    let node = cluster.node(2);
    node.hear(3, nonsense);
    node.sent.clear();
    node.happened.clear();
    cluster.isolate(&[3]);
    cluster.campaign(1);
    cluster.elect(1);
    cluster.at(1, |node| node.propose(1, "a"));
    cluster.settle();
    assert_eq!(cluster.commits(), [1, 1, 0]);
}
