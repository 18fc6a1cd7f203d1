//! Reads at followers and learners: they ask their leader which index a read must reach, and answer it from
//! their own state.

use std::time::Duration;

use synod_consensus::{Event, Index, Refusal, Request};
use synod_engine::{Input, LinkState, NodeId, Random, Sound, Token, Without};
use synod_log::ReadId;
use synod_paxos::multi::{Message, RULES, ReadResult, Rules, Timer};

use crate::cluster::{Cluster, Founded as _, PaxosCluster as _};
use crate::driver::{Node, add, ballot, founders, heartbeat, snapshot, values};
use crate::reads::{ready, refused};

/// Node 2 of three follows node 1 in its first ballot, and knows of one chosen value.
fn follower<R: Rules>(rules: R) -> Node<R> {
    let mut cluster = Cluster::keeping(rules, 3, |_| {});
    cluster.elect(1);
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.settle();
    let mut node = cluster.nodes.remove(&2).expect("one of three");
    node.sent.clear();
    node.events.clear();
    node
}

/// The questions among what was sent to node 1.
fn questions<R: Rules>(node: &mut Node<R>) -> Vec<ReadId> {
    let id = |message| match message {
        Message::ReadIndex { id, .. } => Some(id),
        _ => None,
    };
    node.said_to(1).into_iter().filter_map(id).collect()
}

/// The one question that was sent to node 1.
fn question<R: Rules>(node: &mut Node<R>) -> ReadId {
    let questions = questions(node);
    assert_eq!(questions.len(), 1);
    questions[0]
}

fn answer(id: ReadId, index: u64) -> Message {
    said(id, ReadResult::Index(Index(index)))
}

fn said(id: ReadId, result: ReadResult) -> Message {
    Message::ReadIndexReply { ballot: ballot(1, 1), id, result }
}

fn accept(first: u64, words: &[&'static str], chosen: u64) -> Message {
    Message::Accept { batch: values(first, ballot(1, 1), words), chosen: Index(chosen) }
}

fn not_leader(leader: Option<u64>) -> Refusal {
    Refusal::NotLeader { leader: leader.map(NodeId) }
}

#[test]
fn a_follower_asks_once_per_flush_for_any_number_of_reads() {
    let mut node = follower(Sound);
    for token in 0..100 {
        node.input(Input::Request { token: Token(token), request: Request::Read });
    }
    assert_eq!(node.sent.len(), 0, "not before the flush");
    node.input(Input::Flush);
    let due = node.timers[&Timer::Read];
    let id = question(&mut node);
    node.hear(1, answer(id, 1));
    assert_eq!(ready(&mut node), [(1, (0..100).collect())]);
    node.wait(Duration::from_millis(10));
    node.read(100);
    assert_eq!(node.timers[&Timer::Read], due, "a new question does not prolong the patience");
}

#[test]
fn a_read_is_ready_once_the_follower_told_everything_up_to_its_index() {
    let mut node = follower(Sound);
    node.read(7);
    let id = question(&mut node);
    node.hear(1, answer(id, 3));
    assert_eq!(ready(&mut node), []);
    node.hear(1, accept(2, &["y", "z"], 2));
    assert_eq!(ready(&mut node), []);
    node.hear(1, accept(4, &["u"], 4));
    let place = |wanted: fn(&Event) -> bool| node.events.iter().rposition(wanted).unwrap();
    let told = place(|event| matches!(event, Event::Committed { .. }));
    assert!(told < place(|event| matches!(event, Event::ReadReady { index: Index(3), .. })));
}

#[test]
fn a_read_is_ready_once_a_snapshot_reached_its_index() {
    let mut node = follower(Sound);
    node.read(7);
    let id = question(&mut node);
    node.hear(1, answer(id, 9));
    let ballot = ballot(1, 1);
    let (snapshot, members) = (snapshot(9, ballot.epoch().0), founders(1..=3));
    node.hear(1, Message::Install { ballot, snapshot, members });
    assert!(matches!(node.events[..], [Event::Members(_), Event::Install(_), _]));
    assert_eq!(ready(&mut node), [(9, vec![7])]);
}

#[test]
fn a_learner_serves_reads() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.join(4, Sound);
    cluster.at(1, |node| node.change(1, [add(4)]));
    cluster.settle();
    cluster.beat(1);
    cluster.at(1, |node| node.propose(2, "x"));
    cluster.settle();
    cluster.at(4, |node| node.read(7));
    cluster.settle();
    assert_eq!(ready(cluster.node(4)), [(2, vec![7])]);
    cluster.assert_sound();
}

#[test]
fn an_answer_counts_for_its_question_and_earlier_ones_only() {
    let mut node = follower(Sound);
    node.read(7);
    let first = question(&mut node);
    node.read(8);
    let second = question(&mut node);
    node.hear(1, answer(first, 1));
    assert_eq!(ready(&mut node), [(1, vec![7])]);
    node.read(9);
    node.hear(1, answer(second, 1));
    node.hear(1, answer(second, 1));
    assert_eq!(ready(&mut node), [(1, vec![8])], "and a doubled answer for none");
    let third = question(&mut node);
    node.read(10);
    let fourth = question(&mut node);
    node.hear(1, answer(fourth, 1));
    assert_eq!(ready(&mut node), [(1, vec![9, 10])]);
    node.hear(1, answer(third, 0));
    assert_eq!(ready(&mut node), []);
}

/// A late answer to a question that was asked before the read: what was chosen in between it does not know.
fn is_stale<R: Rules>(rules: R) -> bool {
    let mut node = follower(rules);
    node.read(7);
    let first = question(&mut node);
    node.fire(Timer::Read);
    node.fire(Timer::Read);
    assert_ne!(question(&mut node), first, "asked again, under another name");
    node.read(8);
    node.hear(1, answer(first, 1));
    !ready(&mut node).is_empty()
}

#[test]
fn read_answer_is_fresh_without_it_a_late_answer_serves_later_reads() {
    assert!(!is_stale(Sound));
    assert!(is_stale(Without::named(RULES, &["read_answer_is_fresh"]).expect("a rule")));
}

#[test]
fn a_question_that_is_asked_again_has_another_name() {
    let mut node = follower(Sound);
    node.read(7);
    let first = question(&mut node);
    node.fire(Timer::Read);
    assert_eq!(questions(&mut node), [], "not before a heartbeat's time");
    node.read(8);
    let second = question(&mut node);
    node.fire(Timer::Read);
    let again = question(&mut node);
    assert!(first.number < second.number && second.number < again.number);
    node.hear(1, answer(second, 1));
    assert_eq!(ready(&mut node), [(1, vec![8])], "and answers none that was asked for again");
    node.hear(1, answer(again, 1));
    assert_eq!(ready(&mut node), [(1, vec![7])]);
    node.fire(Timer::Read);
    assert!(!node.timers.contains_key(&Timer::Read), "nothing waits");
}

#[test]
fn an_answer_to_an_earlier_life_is_not_taken() {
    let mut node = follower(Sound);
    node.read(7);
    let id = question(&mut node);
    node.reboot();
    node.reseed(99);
    node.hear(1, heartbeat(ballot(1, 1), 1));
    node.read(8);
    let after = question(&mut node);
    assert_eq!(after.number, id.number, "only the life tells them apart");
    node.hear(1, answer(id, 0));
    assert_eq!(ready(&mut node), []);
    node.hear(1, answer(after, 0));
    assert_eq!(ready(&mut node), [(0, vec![8])]);
}

#[test]
fn only_the_leader_of_the_ballot_answers() {
    let mut node = follower(Sound);
    node.read(7);
    let id = question(&mut node);
    node.hear(3, answer(id, 1));
    let result = ReadResult::Index(Index(1));
    node.hear(1, Message::ReadIndexReply { ballot: ballot(0, 1), id, result });
    assert_eq!(ready(&mut node), []);
    node.hear(1, answer(id, 1));
    assert_eq!(ready(&mut node), [(1, vec![7])]);
}

#[test]
fn reads_end_when_the_leader_or_the_ballot_changes_or_the_link_closes() {
    let asking = || {
        let mut node = follower(Sound);
        node.read(7);
        let id = question(&mut node);
        node.hear(1, answer(id, 9));
        node.read(8);
        node.input(Input::Request { token: Token(9), request: Request::Read });
        node
    };
    let all = |leader| [7, 8, 9].map(|token| (Token(token), not_leader(leader)));
    let mut node = asking();
    node.hear(3, heartbeat(ballot(2, 3), 0));
    assert_eq!(refused(&mut node), all(None), "a higher ballot");
    let mut node = asking();
    node.input(Input::Link { peer: NodeId(1), state: LinkState::Closed });
    assert_eq!(refused(&mut node), all(None), "the link closed");
    let mut node = asking();
    node.fire(Timer::Election);
    assert_eq!(refused(&mut node), all(None), "no leader is heard");
    assert!(!node.timers.contains_key(&Timer::Read));
    node.read(10);
    assert_eq!(refused(&mut node), [(Token(10), not_leader(None))], "a candidate knows none");
    let mut node = asking();
    node.input(Input::Link { peer: NodeId(3), state: LinkState::Closed });
    assert_eq!(refused(&mut node), [], "the link to another");
}

#[test]
fn reads_end_when_the_leader_says_that_it_is_none_or_busy() {
    for (result, refusal) in
        [(ReadResult::NotLeader, not_leader(None)), (ReadResult::Busy, Refusal::Busy)]
    {
        let mut node = follower(Sound);
        node.read(7);
        let first = question(&mut node);
        node.read(8);
        let second = question(&mut node);
        node.hear(1, said(first, result));
        node.hear(1, said(first, result));
        assert_eq!(refused(&mut node), [(Token(7), refusal)]);
        node.hear(1, answer(second, 1));
        assert_eq!(ready(&mut node), [(1, vec![8])]);
    }
}

/// A learner has no election timeout that would tell it that its leader is gone.
#[test]
fn reads_end_when_no_answer_comes_for_an_election_timeout() {
    let mut node = follower(Sound);
    node.read(7);
    let timeouts = (1..=100).find(|_| {
        node.timers.remove(&Timer::Election);
        node.fire(Timer::Read);
        !node.events.is_empty()
    });
    let heartbeats = 600 / 50;
    assert!((heartbeats..heartbeats + 3).contains(&timeouts.unwrap()), "{timeouts:?}");
    assert_eq!(refused(&mut node), [(Token(7), not_leader(Some(1)))]);
    assert!(!node.timers.contains_key(&Timer::Read));
}

#[test]
fn a_cancelled_read_is_refused_once_and_never_ready() {
    let mut node = follower(Sound);
    node.read(7);
    node.read(8);
    for _ in 0..2 {
        node.input(Input::Cancel(Token(7)));
    }
    assert_eq!(refused(&mut node), [(Token(7), Refusal::Cancelled)]);
    let id = *questions(&mut node).last().unwrap();
    node.hear(1, answer(id, 1));
    assert_eq!(ready(&mut node), [(1, vec![8])]);
}

/// Every read at every node ends once, and none is stale, whatever is lost, doubled or late: the
/// leader's answers come in any order.
#[test]
fn reads_of_followers_are_fresh_under_any_order_of_messages() {
    let mut answered = 0;
    for seed in 0..50 {
        let mut random = Random::new(seed);
        let mut cluster = Cluster::start(3);
        cluster.elect(1);
        let mut floor = Vec::new();
        for token in 0..40 {
            match random.below(4) {
                0 => cluster.at(1, |node| node.propose(1000 + token, "x")),
                1 => cluster.at(random.between(2, 3), |node| node.fire(Timer::Read)),
                _ => {
                    let node = random.between(1, 3);
                    floor.push((token, cluster.commits().into_iter().max().unwrap()));
                    cluster.at(node, |node| node.read(token));
                }
            }
            for _ in 0..random.below(12) {
                if cluster.network.is_empty() {
                    break;
                }
                let place = random.below(cluster.network.len() as u64) as usize;
                if random.chance(200_000) {
                    let again = cluster.network[place].clone();
                    cluster.network.push(again);
                }
                cluster.deliver(place);
            }
        }
        cluster.run(Duration::from_secs(2));
        for id in 1..=3 {
            for (index, tokens) in ready(cluster.node(id)) {
                for token in tokens {
                    let place = floor.iter().position(|(asked, _)| *asked == token);
                    let (_, at_least) = floor.swap_remove(place.expect("it ends once"));
                    assert!(index >= at_least, "seed {seed}: {token} at {index} of {at_least}");
                    answered += 1;
                }
            }
        }
        cluster.assert_sound();
        assert_eq!(floor, [], "seed {seed}: with a leader that stays, every read is answered");
    }
    assert!(answered > 250);
}
