//! Reads at followers and learners: thesis §6.4, last paragraph. "To do this, the follower would issue
//! a request to the leader that just asked for a current readIndex (the leader would execute steps
//! 1-3 above); the follower could then execute steps 4 and 5 on its own state machine for any number of
//! accumulated read-only queries."

use std::time::Duration;

use synod_consensus::{Epoch, Event, Index, Refusal};
use synod_engine::{Input, LinkState, NodeId, Random, Token};
use synod_raft::{Message, ReadId, ReadResult, Timer};

use crate::cluster::{Cluster, Founded as _, RaftCluster as _};
use crate::driver::{
    Node, RaftNode as _, Whole as _, add, append, config, entry, heartbeat, matches, vote_reply,
};
use crate::reads::{confirmed, leader, ready, refused};

/// Node 1 of three follows node 2, whose term is 2, and knows of one committed entry.
fn follower() -> Node {
    let mut node = Node::with_log(1, 3, 2, &[1]);
    node.hear(2, append(2, entry(1, 1), &[], 1));
    assert_eq!(node.view().leader, Some(NodeId(2)));
    node.sent.clear();
    node.events.clear();
    node
}

/// The questions among what was sent to `peer`.
fn questions(node: &mut Node, peer: u64) -> Vec<ReadId> {
    let id = |message| match message {
        Message::ReadIndex { id, .. } => Some(id),
        _ => None,
    };
    node.said_to(peer).into_iter().filter_map(id).collect()
}

/// The one question that was sent to node 2.
fn question(node: &mut Node) -> ReadId {
    let questions = questions(node, 2);
    assert_eq!(questions.len(), 1);
    questions[0]
}

fn answer(id: ReadId, result: ReadResult) -> Message {
    Message::ReadIndexReply { term: Epoch(2), id, result }
}

fn at(index: u64) -> ReadResult {
    ReadResult::Index(Index(index))
}

fn ask(term: u64, number: u64) -> Message {
    Message::ReadIndex { term: Epoch(term), id: ReadId { life: 9, number } }
}

/// The answers among what was sent to `peer`: the number of the question, and what came of it.
fn answers(node: &mut Node, peer: u64) -> Vec<(u64, ReadResult)> {
    let answer = |message| match message {
        Message::ReadIndexReply { id, result, .. } => Some((id.number, result)),
        _ => None,
    };
    node.said_to(peer).into_iter().filter_map(answer).collect()
}

fn not_leader(leader: Option<u64>) -> Refusal {
    Refusal::NotLeader { leader: leader.map(NodeId) }
}

#[test]
fn a_follower_asks_once_per_flush_for_any_number_of_reads() {
    let mut node = follower();
    for token in 0..100 {
        let request = synod_consensus::Request::Read;
        node.input(Input::Request { token: Token(token), request });
    }
    assert_eq!(node.sent.len(), 0, "not before the flush");
    node.input(Input::Flush);
    let due = node.timers[&Timer::Read];
    let id = question(&mut node);
    node.hear(2, answer(id, at(1)));
    assert_eq!(ready(&mut node), [(1, (0..100).collect())]);
    node.wait(Duration::from_millis(10));
    node.read(100);
    assert_eq!(node.timers[&Timer::Read], due, "a new question does not prolong the patience");
}

/// Steps 1 to 3 at the leader: the commit index, current and confirmed in a round that began after the
/// question.
#[test]
fn a_question_joins_the_leaders_next_round() {
    let mut node = leader(3);
    node.read(7);
    node.hear(3, ask(1, 1));
    node.hear(2, confirmed(1));
    assert_eq!((ready(&mut node), answers(&mut node, 3)), (vec![(1, vec![7])], vec![]));
    node.input(Input::Message { from: NodeId(3), message: ask(1, 2) });
    node.read(8);
    node.hear(2, confirmed(3));
    assert_eq!(ready(&mut node), [(1, vec![8])]);
    assert_eq!(answers(&mut node, 3), [(1, at(1)), (2, at(1))]);
}

#[test]
fn a_new_leader_answers_no_question_before_it_committed_an_entry_of_its_term() {
    let mut node = Node::with_log(1, 3, 1, &[1, 1]);
    node.win(&[2]);
    node.hear(3, ask(2, 1));
    node.hear(2, Message::HeartbeatReply { term: Epoch(2), round: 0, promise_ms: 0 });
    assert_eq!(answers(&mut node, 3), []);
    node.hear(2, matches(2, 3));
    node.hear(2, Message::HeartbeatReply { term: Epoch(2), round: 1, promise_ms: 0 });
    assert_eq!(answers(&mut node, 3), [(1, at(3))]);
}

/// Steps 4 and 5 at the follower: "wait for its state machine to advance at least as far as the
/// readIndex".
#[test]
fn a_read_is_ready_once_the_follower_told_everything_up_to_its_index() {
    let mut node = follower();
    node.read(7);
    let id = question(&mut node);
    node.hear(2, answer(id, at(3)));
    assert_eq!(ready(&mut node), []);
    node.hear(2, append(2, entry(1, 1), &[2, 2], 2));
    assert_eq!(ready(&mut node), []);
    node.hear(2, append(2, entry(3, 2), &[2], 4));
    let place = |wanted: fn(&Event) -> bool| node.events.iter().position(wanted).unwrap();
    let committed = place(|event| matches!(event, Event::Committed { .. }));
    assert!(committed < place(|event| matches!(event, Event::ReadReady { index: Index(3), .. })));
}

#[test]
fn a_read_is_ready_once_a_snapshot_reached_its_index() {
    let mut node = follower();
    node.read(7);
    let id = question(&mut node);
    node.hear(2, answer(id, at(9)));
    let members = crate::driver::founders(1..=3);
    let snapshot = crate::driver::snapshot(9, 2);
    node.hear(2, Message::Install { term: Epoch(2), snapshot, members });
    assert!(matches!(node.events[..], [Event::Members(_), Event::Install(_), _]));
    assert_eq!(ready(&mut node), [(9, vec![7])]);
}

#[test]
fn a_learner_serves_reads() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.join(4, config(1, 3));
    cluster.at(1, |node| node.change(1, [add(4)]));
    cluster.settle();
    cluster.at(1, |node| node.propose(2, "x"));
    cluster.settle();
    cluster.at(4, |node| node.read(7));
    cluster.settle();
    assert_eq!(ready(cluster.node(4)), [(3, vec![7])]);
    cluster.assert_sound();
}

/// raft PR #397 and etcd #21399: a question that is asked again is another one. What was answered to
/// the first is not for reads that came since.
#[test]
fn raft_397_a_question_that_is_asked_again_has_another_name() {
    let mut node = follower();
    node.read(7);
    let first = question(&mut node);
    node.fire(Timer::Read);
    assert_eq!(questions(&mut node, 2), [], "not before a heartbeat's time");
    node.read(8);
    let second = question(&mut node);
    node.fire(Timer::Read);
    let again = question(&mut node);
    assert!(first.number < second.number && second.number < again.number);
    node.hear(2, answer(first, at(1)));
    assert_eq!(ready(&mut node), [], "the first is void");
    node.hear(2, answer(second, at(1)));
    assert_eq!(ready(&mut node), [(1, vec![8])], "and answers none that came before it was void");
    node.hear(2, answer(again, at(1)));
    assert_eq!(ready(&mut node), [(1, vec![7])]);
    node.fire(Timer::Read);
    assert!(!node.timers.contains_key(&Timer::Read), "nothing waits");
}

#[test]
fn an_answer_counts_for_its_question_and_earlier_ones_only() {
    let mut node = follower();
    node.read(7);
    let first = question(&mut node);
    node.read(8);
    let second = question(&mut node);
    node.hear(2, answer(first, at(1)));
    assert_eq!(ready(&mut node), [(1, vec![7])]);
    node.read(9);
    node.hear(2, answer(second, at(1)));
    node.hear(2, answer(second, at(1)));
    assert_eq!(ready(&mut node), [(1, vec![8])], "and a doubled answer for none");
    let third = question(&mut node);
    node.read(10);
    let fourth = question(&mut node);
    node.hear(2, answer(fourth, at(1)));
    assert_eq!(ready(&mut node), [(1, vec![9, 10])]);
    node.hear(2, answer(third, at(0)));
    assert_eq!(ready(&mut node), []);
}

#[test]
fn an_answer_to_an_earlier_life_is_not_taken() {
    let mut node = follower();
    node.read(7);
    let id = question(&mut node);
    node.reboot();
    node.hear(2, heartbeat(2, 0));
    node.read(8);
    let after = question(&mut node);
    assert_eq!(after.number, id.number, "only the life tells them apart");
    node.hear(2, answer(id, at(0)));
    assert_eq!(ready(&mut node), []);
    node.hear(2, answer(after, at(0)));
    assert_eq!(ready(&mut node), [(0, vec![8])]);
}

#[test]
fn only_the_leader_of_the_term_answers() {
    let mut node = follower();
    node.read(7);
    let id = question(&mut node);
    node.hear(3, answer(id, at(1)));
    node.hear(2, Message::ReadIndexReply { term: Epoch(1), id, result: at(1) });
    assert_eq!(ready(&mut node), []);
}

#[test]
fn reads_end_when_the_leader_or_the_term_changes_or_the_link_closes() {
    let asking = || {
        let mut node = follower();
        node.read(7);
        let id = question(&mut node);
        node.hear(2, answer(id, at(9)));
        node.read(8);
        node.input(Input::Request { token: Token(9), request: synod_consensus::Request::Read });
        node
    };
    let all = |leader| [7, 8, 9].map(|token| (Token(token), not_leader(leader)));
    let mut node = asking();
    node.hear(3, vote_reply(3, false));
    assert_eq!(refused(&mut node), all(None), "a later term");
    let mut node = asking();
    node.input(Input::Link { peer: NodeId(2), state: LinkState::Closed });
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
        let mut node = follower();
        node.read(7);
        let first = question(&mut node);
        node.read(8);
        let second = question(&mut node);
        node.hear(2, answer(first, result));
        node.hear(2, answer(first, result));
        assert_eq!(refused(&mut node), [(Token(7), refusal)]);
        node.hear(2, answer(second, at(1)));
        assert_eq!(ready(&mut node), [(1, vec![8])]);
    }
}

/// A learner has no election timeout that would tell it that its leader is gone.
#[test]
fn reads_end_when_no_answer_comes_for_an_election_timeout() {
    let mut node = follower();
    node.read(7);
    let timeouts = (1..=100).find(|_| {
        node.timers.remove(&Timer::Election);
        node.fire(Timer::Read);
        !node.events.is_empty()
    });
    let heartbeats = config(1, 3).timing.election_timeout_max_ms / config(1, 3).timing.heartbeat_ms;
    assert!((heartbeats..heartbeats + 3).contains(&timeouts.unwrap()), "{timeouts:?}");
    assert_eq!(refused(&mut node), [(Token(7), not_leader(Some(2)))]);
    assert!(!node.timers.contains_key(&Timer::Read));
}

#[test]
fn a_cancelled_read_is_refused_once_and_never_ready() {
    let mut node = follower();
    node.read(7);
    node.read(8);
    for _ in 0..2 {
        node.input(Input::Cancel(Token(7)));
    }
    assert_eq!(refused(&mut node), [(Token(7), Refusal::Cancelled)]);
    let id = *questions(&mut node, 2).last().unwrap();
    node.hear(2, answer(id, at(1)));
    assert_eq!(ready(&mut node), [(1, vec![8])]);
}

#[test]
fn no_more_reads_wait_than_the_bound_allows_here_and_at_the_leader() {
    let mut config = config(1, 3);
    config.bounds.max_pending_reads = 2;
    let mut node = Node::recover(config.clone(), []);
    node.hear(2, append(2, entry(0, 0), &[], 0));
    (0..3).for_each(|token| node.read(token));
    assert_eq!(refused(&mut node), [(Token(2), Refusal::Busy)]);
    let mut node = Node::recover(config, []);
    node.win(&[2]);
    node.sent.clear();
    (1..=3).for_each(|number| node.hear(2 + number % 2, ask(1, number)));
    node.read(7);
    assert_eq!(answers(&mut node, 3), [(3, ReadResult::Busy)]);
    assert_eq!(refused(&mut node), [(Token(7), Refusal::Busy)], "questions of others count");
    node.hear(2, matches(1, 1));
    node.hear(2, confirmed(1));
    assert_eq!(answers(&mut node, 3), [(1, at(1))]);
    assert_eq!(answers(&mut node, 2), [(2, at(1))]);
}

#[test]
fn questions_die_with_the_leadership_and_strangers_ask_in_vain() {
    let mut node = leader(3);
    node.hear(9, ask(1, 1));
    node.hear(3, ask(1, 1));
    node.sent.clear();
    node.hear(2, vote_reply(2, false));
    node.hear(2, confirmed(1));
    assert_eq!(answers(&mut node, 3), []);
    node.hear(3, ask(2, 2));
    node.hear(3, ask(1, 3));
    assert_eq!(answers(&mut node, 3), [(2, ReadResult::NotLeader), (3, ReadResult::NotLeader)]);
    assert_eq!(answers(&mut node, 9), []);
}

/// etcd #21375 (3.6.9): a question that was asked of one leader is not answered by what the next one
/// knows before its own term has committed anything, nor by what the first one still says.
#[test]
fn etcd_21375_a_question_under_way_while_the_leader_changes_yields_no_old_index() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(3, |node| node.read(7));
    let mut late = Vec::new();
    cluster.settle_but(|envelope| {
        let is_answer = matches!(envelope.message, Message::ReadIndexReply { .. });
        late.extend(is_answer.then(|| envelope.message.clone()));
        is_answer
    });
    cluster.isolate(&[1]);
    cluster.elect(2);
    cluster.at(2, |node| node.propose(1, "new"));
    cluster.settle();
    cluster.at(3, |node| node.read(8));
    cluster.at(3, |node| node.hear(1, late.pop().expect("an answer of the first leader")));
    assert_eq!(ready(&mut cluster.node(3).clone()), []);
    cluster.settle();
    assert_eq!(ready(&mut cluster.node(3).clone()), [(3, vec![8])]);
    assert_eq!(refused(cluster.node(3)), [(Token(7), not_leader(None))]);
    cluster.assert_sound();
}

/// etcd #20418: a follower that was paused while others wrote, and a leader that was paused while
/// another was elected, take up what they had asked, or were asked, before.
#[test]
fn etcd_20418_a_question_asked_before_a_pause_yields_no_old_index_after_it() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(3, |node| node.read(7));
    let place = cluster.network.iter().position(|envelope| envelope.to == 1).unwrap();
    let asked = cluster.network.remove(place).message;
    cluster.settle();
    let mut asleep = cluster.nodes[&1].clone();
    cluster.isolate(&[1]);
    cluster.run_but(Duration::from_secs(3), |envelope| envelope.to == 1);
    let leader = cluster.leader().unwrap();
    cluster.at(leader, |node| node.propose(1, "new"));
    cluster.settle();
    cluster.at(3, |node| node.read(8));
    asleep.now = cluster.nodes[&3].now;
    asleep.sent.clear();
    asleep.hear(3, asked);
    assert_eq!(answers(&mut asleep, 3), [], "it asks a majority first");
    cluster.node(3).events.clear();
    for (to, message) in asleep.sent.clone() {
        cluster.at(to.0, |node| node.hear(1, message));
    }
    cluster.heal();
    cluster.settle();
    for (index, _) in ready(cluster.node(3)) {
        assert!(index >= cluster.nodes[&leader].view().commit.0, "{index}");
    }
    cluster.assert_sound();
}

/// Every read at every node ends once, and none is stale, whatever is lost, doubled or late: the
/// leader's answers come in any order.
#[test]
fn reads_of_followers_are_fresh_under_any_order_of_messages() {
    let mut answered = 0;
    for seed in 0..200 {
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
    assert!(answered > 1000);
}
