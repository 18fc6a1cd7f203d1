//! Read-only queries: §8; ReadIndex: thesis §6.4.

use std::time::Duration;

use synod_consensus::{Epoch, Event, Index, Refusal, Role};
use synod_engine::{Input, NodeId, Token};
use synod_raft::{Message, Rules, Timer};

use crate::cluster::{Cluster, Founded as _};
use crate::driver::{Node, RaftNode as _, Whole as _, append, config, entry, matches};

/// Node 1 of `voters` leads term 1; its no-op is committed.
pub(crate) fn leader(voters: u64) -> Node {
    let mut node = Node::founder(1, voters);
    let majority: Vec<u64> = (2..=voters / 2 + 1).collect();
    node.win(&majority);
    majority.iter().for_each(|peer| node.hear(*peer, matches(1, 1)));
    assert_eq!(node.view().commit, Index(1));
    node.sent.clear();
    node.events.clear();
    node
}

pub(crate) fn confirmed(round: u64) -> Message {
    Message::HeartbeatReply { term: Epoch(1), round, promise_ms: 0 }
}

/// Takes out the reads that are ready: their index and tokens.
pub(crate) fn ready<R: Rules>(node: &mut Node<R>) -> Vec<(u64, Vec<u64>)> {
    let ready = |event| match event {
        Event::ReadReady { index, tokens } => {
            Some((index.0, tokens.iter().map(|token| token.0).collect()))
        }
        _ => None,
    };
    node.events.drain(..).filter_map(ready).collect()
}

pub(crate) fn refused<R: Rules>(node: &mut Node<R>) -> Vec<(Token, Refusal)> {
    let refused = |event| match event {
        Event::Refused { token, refusal } => Some((token, refusal)),
        _ => None,
    };
    node.events.drain(..).filter_map(refused).collect()
}

/// The round that the heartbeats among what was sent to `peer` ask for.
fn round_asked(node: &mut Node, peer: u64) -> Option<u64> {
    node.said_to(peer).into_iter().find_map(|message| match message {
        Message::Heartbeat { round, .. } => round,
        _ => None,
    })
}

/// §8: "a leader must check whether it has been deposed before processing a read-only request".
#[test]
fn a_read_waits_for_a_majority_that_confirms_the_leader() {
    let mut node = leader(5);
    node.read(7);
    assert_eq!(ready(&mut node), []);
    assert_eq!((2..=5).map(|peer| round_asked(&mut node, peer)).max(), Some(Some(1)));
    node.hear(2, confirmed(1));
    node.hear(2, confirmed(1));
    assert_eq!(ready(&mut node), [], "two of five, one of them twice");
    node.hear(3, confirmed(1));
    assert_eq!(ready(&mut node), [(1, vec![7])]);
    node.hear(4, confirmed(1));
    assert_eq!(ready(&mut node), [], "and it is ready once");
}

/// Thesis §6.4, step 3: the round is one that began after the read was asked for.
#[test]
fn a_confirmation_of_what_was_asked_before_the_read_does_not_count() {
    let mut node = leader(3);
    node.fire(Timer::Heartbeat);
    let old = round_asked(&mut node, 2).unwrap();
    node.read(7);
    node.hear(2, confirmed(old));
    assert_eq!(ready(&mut node), []);
    node.read(8);
    node.hear(2, confirmed(1));
    assert_eq!(ready(&mut node), [(1, vec![7])], "nor that of an earlier read");
    node.hear(2, confirmed(2));
    assert_eq!(ready(&mut node), [(1, vec![8])]);
}

#[test]
fn confirmations_of_an_earlier_term_do_not_count() {
    let mut node = leader(3);
    node.read(7);
    let term = Epoch(0);
    node.hear(2, Message::HeartbeatReply { term, round: 1, promise_ms: 0 });
    assert_eq!(ready(&mut node), []);
}

/// Thesis §6.4, step 2: "the leader saves its current commit index in a local variable readIndex";
/// writes that complete later need not be seen.
#[test]
fn a_read_is_of_the_commit_index_when_its_round_began() {
    let mut node = leader(3);
    node.propose(1, "x");
    node.read(7);
    node.hear(2, matches(1, 2));
    node.hear(2, confirmed(1));
    assert_eq!(ready(&mut node), [(1, vec![7])]);
    node.read(8);
    node.hear(2, confirmed(2));
    assert_eq!(ready(&mut node), [(2, vec![8])]);
}

#[test]
fn a_read_is_ready_only_after_the_entries_that_it_must_see_were_told() {
    let mut node = leader(3);
    node.propose(1, "x");
    node.input(Input::Message { from: NodeId(2), message: matches(1, 2) });
    node.read(7);
    node.hear(2, confirmed(1));
    let place = |wanted: fn(&Event) -> bool| node.events.iter().position(wanted).unwrap();
    let committed = place(|event| matches!(event, Event::Committed { .. }));
    assert!(
        committed < place(|event| matches!(event, Event::ReadReady { index, .. } if index.0 == 2))
    );
}

/// §8: "a leader must have the latest information on which entries are committed … it needs to commit
/// an entry from its term".
#[test]
fn a_new_leader_serves_no_read_before_it_committed_an_entry_of_its_term() {
    let mut node = Node::with_log(1, 3, 1, &[1, 1]);
    node.win(&[2]);
    node.sent.clear();
    node.read(7);
    assert!(round_asked(&mut node, 2).is_none_or(|round| round == 0), "no round is opened");
    node.hear(2, Message::HeartbeatReply { term: Epoch(2), round: 0, promise_ms: 0 });
    node.hear(2, Message::HeartbeatReply { term: Epoch(2), round: 1, promise_ms: 0 });
    assert_eq!(ready(&mut node), []);
    node.hear(2, matches(2, 3));
    assert_eq!(round_asked(&mut node, 2), Some(1));
    node.hear(2, Message::HeartbeatReply { term: Epoch(2), round: 1, promise_ms: 0 });
    assert_eq!(ready(&mut node), [(3, vec![7])]);
}

/// Thesis §6.4: "to amortize the cost … a single round of heartbeats for any number of read-only
/// queries that it has accumulated".
#[test]
fn one_round_serves_all_reads_that_wait() {
    let mut node = leader(3);
    for token in 0..100 {
        let request = synod_consensus::Request::Read;
        node.input(Input::Request { token: Token(token), request });
    }
    node.input(Input::Flush);
    assert_eq!(node.said_to(2).len(), 1);
    node.hear(2, confirmed(1));
    assert_eq!(ready(&mut node), [(1, (0..100).collect())]);
}

#[test]
fn a_lost_round_is_asked_again_with_the_next_heartbeat() {
    let mut node = leader(3);
    node.read(7);
    node.sent.clear();
    node.fire(Timer::Heartbeat);
    assert_eq!(round_asked(&mut node, 2), Some(1));
    node.hear(2, confirmed(1));
    assert_eq!(ready(&mut node), [(1, vec![7])]);
}

#[test]
fn a_later_confirmation_answers_all_earlier_rounds() {
    let mut node = leader(3);
    node.read(7);
    node.read(8);
    node.hear(2, confirmed(2));
    assert_eq!(ready(&mut node), [(1, vec![7]), (1, vec![8])]);
}

#[test]
fn a_confirmation_of_a_round_that_was_never_opened_counts_for_no_later_one() {
    let mut node = leader(3);
    node.hear(2, confirmed(5));
    node.read(7);
    assert_eq!(ready(&mut node), []);
}

#[test]
fn a_cluster_of_one_confirms_itself() {
    let mut node = Node::founder(1, 1);
    node.read(7);
    assert_eq!(ready(&mut node), [(1, vec![7])]);
}

/// A follower confirms at once what it was asked, and only to the leader of its term.
#[test]
fn a_follower_confirms_rounds_of_its_own_term_only() {
    let ask = |term| Message::Heartbeat {
        term: Epoch(term),
        commit: Index(0),
        matched: Index(0),
        round: Some(7),
    };
    let mut node = Node::with_log(1, 3, 2, &[]);
    assert_eq!(
        node.answer(2, ask(2)),
        [Message::HeartbeatReply { term: Epoch(2), round: 7, promise_ms: 0 }]
    );
    assert_eq!(
        node.answer(2, ask(1)),
        [Message::HeartbeatReply { term: Epoch(2), round: 0, promise_ms: 0 }],
        "the old leader learns the term and gets no confirmation"
    );
}

#[test]
fn reads_of_a_leader_that_is_deposed_are_refused() {
    let mut node = leader(3);
    node.read(7);
    node.hear(2, append(2, entry(1, 1), &[], 1));
    let leader = None;
    assert_eq!(refused(&mut node), [(Token(7), Refusal::NotLeader { leader })]);
    node.hear(2, confirmed(1));
    assert_eq!(ready(&mut node), []);
}

#[test]
fn a_cancelled_read_is_refused_once_and_never_ready() {
    let mut node = leader(3);
    node.read(7);
    node.read(8);
    node.input(Input::Cancel(Token(7)));
    node.input(Input::Cancel(Token(7)));
    assert_eq!(refused(&mut node), [(Token(7), Refusal::Cancelled)]);
    node.hear(2, confirmed(2));
    assert_eq!(ready(&mut node), [(1, vec![8])]);
}

#[test]
fn no_more_reads_wait_than_the_bound_allows() {
    let mut config = config(1, 3);
    config.bounds.max_pending_reads = 2;
    let mut node = Node::recover(config, []);
    node.win(&[2]);
    (0..3).for_each(|token| node.read(token));
    assert_eq!(refused(&mut node), [(Token(2), Refusal::Busy)]);
    node.hear(2, matches(1, 1));
    node.hear(2, confirmed(1));
    assert_eq!(ready(&mut node), [(1, vec![0, 1])]);
    node.read(3);
    assert_eq!(refused(&mut node), [], "there is room again");
}

/// §8, and etcd #20418: a leader that was paused while another was elected must not answer from its
/// past.
#[test]
fn a_leader_that_slept_through_an_election_answers_no_read() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.isolate(&[1]);
    cluster.run(Duration::from_millis(250));
    let mut asleep = cluster.nodes[&1].clone();
    cluster.run_but(Duration::from_secs(3), |envelope| envelope.to == 1);
    let leader = cluster.leader().unwrap();
    assert_ne!(leader, 1);
    cluster.at(leader, |node| node.propose(1, "new"));
    cluster.settle();
    assert_eq!(asleep.view().role, Role::Leader);
    asleep.sent.clear();
    asleep.read(7);
    for (to, message) in asleep.sent.clone() {
        let answers = cluster.node(to.0).answer(1, message);
        answers.into_iter().for_each(|answer| asleep.hear(to.0, answer));
    }
    assert_eq!(ready(&mut asleep.clone()), []);
    assert!(matches!(refused(&mut asleep)[..], [(Token(7), Refusal::NotLeader { .. })]));
}
