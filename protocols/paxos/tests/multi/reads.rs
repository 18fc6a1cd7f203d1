//! Reads at a leader: its own user's, and those that followers ask about. It confirms first that it leads,
//! and knows what earlier leaders got chosen.

use synod_consensus::{Event, Index, Refusal};
use synod_engine::{NodeId, Sound, Token, Without};
use synod_log::ReadId;
use synod_paxos::multi::{Message, RULES, ReadResult, Rules, Timer};

use crate::cluster::{Cluster, Founded as _, PaxosCluster as _};
use crate::driver::{Node, ballot, heartbeat};

/// What the user was told to be ready, and nobody took yet: at which index, and for whom.
pub(crate) fn ready<R: Rules>(node: &mut Node<R>) -> Vec<(u64, Vec<u64>)> {
    let is_ready = |event: &mut Event| matches!(event, Event::ReadReady { .. });
    let events = node.events.extract_if(.., is_ready);
    let ready = |event| match event {
        Event::ReadReady { index, tokens } => {
            Some((index.0, tokens.into_iter().map(|token| token.0).collect()))
        }
        _ => None,
    };
    events.filter_map(ready).collect()
}

/// What the user was refused, and nobody took yet.
pub(crate) fn refused<R: Rules>(node: &mut Node<R>) -> Vec<(Token, Refusal)> {
    let is_refused = |event: &mut Event| matches!(event, Event::Refused { .. });
    let events = node.events.extract_if(.., is_refused);
    let refused = |event| match event {
        Event::Refused { token, refusal } => Some((token, refusal)),
        _ => None,
    };
    events.filter_map(refused).collect()
}

/// Node 1, which leads three in its first ballot; one value is chosen.
fn leader<R: Rules>(rules: R, max_pending_reads: usize) -> Node<R> {
    let mut cluster =
        Cluster::keeping(rules, 3, |config| config.bounds.max_pending_reads = max_pending_reads);
    cluster.elect(1);
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.settle();
    let mut node = cluster.nodes.remove(&1).expect("one of three");
    node.sent.clear();
    node.events.clear();
    node
}

fn confirmed(round: u64) -> Message {
    Message::HeartbeatReply { ballot: ballot(1, 1), round, promise_ms: 0 }
}

fn ask(proposer: u64, number: u64) -> Message {
    Message::ReadIndex { ballot: ballot(1, proposer), id: ReadId { life: 9, number } }
}

/// The answers among what was sent to `peer`: the number of the question, and what came of it.
fn answers<R: Rules>(node: &mut Node<R>, peer: u64) -> Vec<(u64, ReadResult)> {
    let answer = |message| match message {
        Message::ReadIndexReply { id, result, .. } => Some((id.number, result)),
        _ => None,
    };
    node.said_to(peer).into_iter().filter_map(answer).collect()
}

fn at(index: u64) -> ReadResult {
    ReadResult::Index(Index(index))
}

/// Whether a leader that nobody confirms answers a read.
fn answers_unconfirmed<R: Rules>(rules: R) -> bool {
    let mut node = leader(rules, 10);
    node.read(7);
    let asked = node.said_to(2);
    assert!(asked.iter().any(|it| matches!(it, Message::Heartbeat { round: Some(1), .. })));
    node.hear(2, confirmed(0));
    !ready(&mut node).is_empty()
}

#[test]
fn read_is_confirmed_without_it_a_leader_that_was_overtaken_answers() {
    assert!(!answers_unconfirmed(Sound));
    assert!(answers_unconfirmed(Without::named(RULES, &["read_is_confirmed"]).expect("a rule")));
    let mut node = leader(Sound, 10);
    node.read(7);
    node.hear(2, confirmed(1));
    assert_eq!(ready(&mut node), [(1, vec![7])]);
}

#[test]
fn a_question_joins_the_leaders_next_round() {
    let mut node = leader(Sound, 10);
    node.read(7);
    node.hear(3, ask(1, 1));
    node.hear(2, confirmed(1));
    assert_eq!((ready(&mut node), answers(&mut node, 3)), (vec![(1, vec![7])], vec![]));
    node.input(synod_engine::Input::Message { from: NodeId(3), message: ask(1, 2) });
    node.read(8);
    node.hear(2, confirmed(3));
    assert_eq!(ready(&mut node), [(1, vec![8])]);
    assert_eq!(answers(&mut node, 3), [(1, at(1)), (2, at(1))]);
}

/// 3 leads, and a value that its predecessor may have got chosen is not known to be yet: whether it answers.
fn answers_before_what_was_adopted_is_chosen<R: Rules>(rules: R) -> bool {
    let mut cluster = Cluster::keeping(rules, 3, |_| {});
    cluster.elect(1);
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.settle_but(|it| it.to == 1);
    cluster.isolate(&[1]);
    cluster.elect_but(3, |it| matches!(it.message, Message::Accept { .. }));
    assert_eq!(cluster.node(3).view().commit, Index(0));
    cluster.at(3, |node| node.read(7));
    cluster.settle_but(|it| matches!(it.message, Message::Accept { .. }));
    let is_stale = !ready(cluster.node(3)).is_empty();
    for _ in 0..3 {
        cluster.beat(3);
    }
    assert_eq!(cluster.node(3).view().commit, Index(1));
    assert_eq!(ready(cluster.node(3)).len(), usize::from(!is_stale), "in the end it is answered");
    is_stale
}

#[test]
fn read_after_adopted_is_chosen_without_it_a_new_leader_misses_what_was_acknowledged() {
    assert!(!answers_before_what_was_adopted_is_chosen(Sound));
    let rules = Without::named(RULES, &["read_after_adopted_is_chosen"]).expect("a rule");
    assert!(answers_before_what_was_adopted_is_chosen(rules));
}

#[test]
fn no_more_reads_wait_than_the_bound_allows_here_and_at_the_leader() {
    let mut node = leader(Sound, 2);
    (1..=3).for_each(|number| node.hear(2 + number % 2, ask(1, number)));
    node.read(7);
    assert_eq!(answers(&mut node, 3), [(3, ReadResult::Busy)]);
    assert_eq!(refused(&mut node), [(Token(7), Refusal::Busy)], "questions of others count");
    node.hear(2, confirmed(2));
    assert_eq!(answers(&mut node, 3), [(1, at(1))]);
    assert_eq!(answers(&mut node, 2), [(2, at(1))]);

    let mut cluster = Cluster::with(3, |config| config.bounds.max_pending_reads = 2);
    cluster.elect(1);
    (0..3).for_each(|token| cluster.at(2, |node| node.read(token)));
    assert_eq!(refused(cluster.node(2)), [(Token(2), Refusal::Busy)]);
}

#[test]
fn questions_die_with_the_leadership_and_strangers_ask_in_vain() {
    let mut node = leader(Sound, 10);
    node.hear(9, ask(1, 1));
    node.hear(3, ask(1, 1));
    node.read(7);
    node.sent.clear();
    node.hear(2, heartbeat(ballot(2, 2), 0));
    node.hear(2, confirmed(2));
    assert_eq!(answers(&mut node, 3), []);
    assert_eq!(refused(&mut node), [(Token(7), Refusal::NotLeader { leader: None })]);
    node.hear(3, ask(1, 3));
    assert_eq!(answers(&mut node, 3), [(3, ReadResult::NotLeader)]);
    assert_eq!(answers(&mut node, 9), []);
}

/// What was asked of one leader is not answered by what it still says once another leads.
#[test]
fn a_question_under_way_while_the_leader_changes_yields_no_old_index() {
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
    assert_eq!(ready(cluster.node(3)), []);
    cluster.settle();
    assert_eq!(ready(cluster.node(3)), [(1, vec![8])]);
    let refusal = Refusal::NotLeader { leader: None };
    assert_eq!(refused(cluster.node(3)), [(Token(7), refusal)]);
    cluster.assert_sound();
}

#[test]
fn a_leader_without_a_majority_answers_nothing_and_refuses_when_it_steps_down() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.isolate(&[1]);
    cluster.at(1, |node| node.read(7));
    cluster.at(1, |node| node.fire(Timer::Heartbeat));
    assert_eq!(ready(cluster.node(1)), []);
    for _ in 0..2 {
        cluster.at(1, |node| node.fire(Timer::Election));
    }
    assert_eq!(refused(cluster.node(1)), [(Token(7), Refusal::NotLeader { leader: None })]);
}
