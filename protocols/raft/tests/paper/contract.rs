//! The contract with the driver: nothing is promised before it is durable, and nothing waits for the
//! disk without need.

use synod_consensus::{Epoch, Event, Index, Role};
use synod_engine::{Effect, Engine, Input, NodeId, Random, To, When};
use synod_raft::{AppendResult, Message, Raft, Term, Timer, View};

use crate::driver::{
    Disk, Node, RaftNode as _, Whole as _, append, entry, heartbeat, matches, pre_vote,
    pre_vote_reply, vote, vote_reply,
};

/// Node 1 of three in term 2, whose disk does nothing by itself from now on.
fn with_a_stalled_disk() -> Node {
    let mut node = Node::with_log(1, 3, 2, &[1, 2]);
    node.disk = Disk::Manual;
    node
}

#[test]
fn a_vote_is_told_once_it_is_durable_and_asking_again_does_not_hasten_it() {
    let mut node = with_a_stalled_disk();
    for _ in 0..3 {
        assert_eq!(node.answer(2, vote(3, entry(2, 2))), []);
    }
    node.sync_one();
    assert_eq!(node.said_to(2), [], "the term is durable, the vote is not");
    node.sync_one();
    assert_eq!(node.said_to(2), vec![vote_reply(3, true); 3]);
}

#[test]
fn a_candidate_shows_itself_once_its_term_is_durable() {
    let mut node = with_a_stalled_disk();
    node.fire(Timer::Election);
    node.sent.clear();
    node.hear(2, pre_vote_reply(3, true));
    assert_eq!(node.sent, []);
    node.sync();
    assert_eq!(node.said_to(3), [vote(3, entry(2, 2))]);
}

/// A pre-vote promises nothing, so it waits for no disk.
#[test]
fn pre_votes_are_asked_for_and_given_while_the_disk_stalls() {
    let mut node = with_a_stalled_disk();
    node.hear(2, append(2, entry(2, 2), &[2], 0));
    node.fire(Timer::Election);
    assert_eq!(node.said_to(3), [pre_vote(3, entry(3, 2))]);
    assert_eq!(node.answer(3, pre_vote(3, entry(3, 2))), [pre_vote_reply(3, true)]);
}

/// A candidate that wins by its peers' votes must not count its own before that is durable.
#[test]
fn a_candidate_does_not_count_its_own_vote_early() {
    let mut node = with_a_stalled_disk();
    node.fire(Timer::Election);
    node.hear(2, pre_vote_reply(3, true));
    node.hear(2, vote_reply(3, true));
    assert_eq!(node.view().role, Role::Candidate);
    node.sync();
    assert_eq!(node.view().role, Role::Leader);
}

#[test]
fn entries_are_acknowledged_once_they_are_durable_and_a_doubled_append_does_not_hasten_it() {
    let mut node = with_a_stalled_disk();
    for _ in 0..3 {
        assert_eq!(node.answer(2, append(2, entry(2, 2), &[2], 3)), []);
    }
    assert_eq!(node.answer(2, append(2, entry(3, 2), &[], 3)), [], "nor does a question");
    node.sync();
    assert_eq!(node.said_to(2), vec![matches(2, 3); 4]);
}

#[test]
fn a_refusal_that_names_a_new_term_waits_for_the_disk_too() {
    let mut node = with_a_stalled_disk();
    node.hear(2, vote(7, entry(0, 0)));
    assert_eq!(node.answer(3, vote(3, entry(9, 3))), []);
    assert_eq!(node.answer(3, pre_vote(7, entry(9, 3))), []);
    assert_eq!(node.answer(3, append(3, entry(2, 2), &[3], 0)), []);
    assert_eq!(node.answer(3, heartbeat(3, 0)), []);
}

/// "A disk that never syncs leaks no promise", whatever is thrown at the node.
#[test]
fn a_disk_that_never_syncs_leaks_no_promise() {
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let mut node = with_a_stalled_disk();
        node.happened.clear();
        for _ in 0..50 {
            one_input(&mut node, &mut random);
        }
        for effect in node.performed() {
            let Effect::Send { message, when, .. } = effect else { continue };
            let (granted, term) = match message {
                Message::PreVote { .. } | Message::HeartbeatReply { .. } => continue,
                // It goes to the leader of its term, to whom the term is no news.
                Message::ReadIndex { .. } => continue,
                Message::PreVoteReply { granted, .. } if *granted => continue,
                Message::VoteReply { granted, term } => (*granted, *term),
                _ => (false, message.term()),
            };
            assert!(!granted && term <= Epoch(2), "seed {seed}: {message} {when}");
            let acknowledged = matches!(
                message,
                Message::AppendReply { result: AppendResult::Matches(index), .. } if index.0 > 2
            );
            assert!(!acknowledged, "seed {seed}: {message}");
        }
    }
}

/// Each promise is performed after the record it rests on, however the disk takes its time.
#[test]
fn every_promise_follows_its_record() {
    let mut promises = 0;
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let mut node = with_a_stalled_disk();
        let mut durable = node.rebuilt();
        node.happened.clear();
        for _ in 0..80 {
            one_input(&mut node, &mut random);
            if random.chance(300_000) {
                node.sync_one();
            }
        }
        for effect in node.performed() {
            if let Effect::Persist(record) = effect {
                durable.replay(record.clone()).unwrap();
            }
            promises += u64::from(assert_kept(&durable, effect));
        }
    }
    assert!(promises > 1000, "only {promises} promises were made");
}

/// Panics unless `durable`, the node as a crash would leave it now, keeps what `effect` promises;
/// returns whether that is anything.
fn assert_kept(durable: &Raft, effect: &Effect<Raft>) -> bool {
    let Effect::Send { to: To::Node(to), message, when } = effect else { return false };
    let view = durable.view();
    match message {
        Message::VoteReply { term, granted: true } => {
            assert_cast(&view, *term, *to);
        }
        Message::Vote { term, .. } => {
            assert_cast(&view, *term, NodeId(1));
        }
        Message::AppendReply { result: AppendResult::Matches(index), .. } => {
            assert!(view.last.index >= *index, "{message}, and on disk is {view}");
            assert_eq!(*when, When::Held);
        }
        Message::AppendReply { term, .. } | Message::Append { term, .. } => {
            assert!(view.term >= *term, "{message}, and on disk is {view}");
        }
        _ => return false,
    }
    true
}

fn assert_cast(durable: &View, term: Term, vote: NodeId) {
    let is_cast = (durable.term, durable.vote) == (term, Some(vote));
    assert!(
        is_cast || durable.term > term,
        "a vote for {vote} in {term}, and on disk is {durable}"
    );
}

/// An input that makes sense to a node among three, in terms that rise slowly.
fn one_input(node: &mut Node, random: &mut Random) {
    let view = node.view();
    let from = random.between(2, 3);
    let term = view.term.0 + u64::from(random.chance(50_000));
    let last = entry(view.last.index.0, view.last.epoch.0);
    match random.below(12) {
        0 => node.hear(from, vote(term, last)),
        1 => node.hear(from, pre_vote(term + 1, last)),
        2 if has_asked_for_votes(node) => node.hear(from, vote_reply(term, true)),
        2 => {}
        3 => node.hear(from, pre_vote_reply(view.term.0 + 1, true)),
        4 | 5 => {
            let leader = 2 + term % 2;
            let new = vec![term; random.below(3) as usize];
            node.hear(leader, append(term, last, &new, random.below(9)));
        }
        6 => node.hear(2 + term % 2, heartbeat(term, random.below(9))),
        7 => node.hear(from, matches(term, random.below(9))),
        8 => node.input(Input::Timer(Timer::Election)),
        9 => node.fire(Timer::Heartbeat),
        10 => node.propose(random.bits(), "x"),
        _ => node.read(random.bits()),
    }
}

/// Whether its request for votes in this term has left the node, so that an answer may come.
fn has_asked_for_votes(node: &Node) -> bool {
    let term = node.view().term;
    node.sent
        .iter()
        .any(|(_, message)| matches!(message, Message::Vote { term: t, .. } if *t == term))
}

/// "A disk that stalls delays no heartbeat and costs no leadership."
#[test]
fn a_leader_whose_disk_stalls_still_sends_and_stays_in_office() {
    let mut node = Node::founder(1, 3);
    node.win(&[2, 3]);
    node.hear(2, matches(1, 1));
    node.hear(3, matches(1, 1));
    node.disk = Disk::Manual;
    node.events.clear();
    for index in 2..100 {
        node.sent.clear();
        node.propose(index, "x");
        assert!(matches!(node.said_to(2)[..], [Message::Append { .. }]));
        node.fire(Timer::Heartbeat);
        assert!(matches!(node.said_to(3).last(), Some(Message::Heartbeat { .. })));
        node.hear(2, matches(1, index));
        node.sent.clear();
        node.hear(3, matches(1, index));
        let told = node.said_to(2);
        assert!(matches!(told[..], [Message::Heartbeat { commit, .. }] if commit.0 == index));
        node.read(1000 + index);
        assert!(matches!(node.said_to(2)[..], [Message::Heartbeat { round: Some(_), .. }]));
        node.hear(2, Message::HeartbeatReply { term: Epoch(1), round: index - 1, promise_ms: 0 });
        assert!(matches!(node.events.last(), Some(Event::ReadReady { .. })));
        node.input(Input::Timer(Timer::Election));
    }
    assert_eq!(node.view().role, Role::Leader);
    assert_eq!(node.committed(), (2..100).collect::<Vec<_>>());
}

#[test]
fn a_follower_whose_disk_stalls_still_confirms_its_leader() {
    let mut node = with_a_stalled_disk();
    node.hear(2, append(2, entry(2, 2), &[2], 3));
    let answer = node.answer(2, heartbeat(2, 3));
    assert_eq!(answer, [Message::HeartbeatReply { term: Epoch(2), round: 0, promise_ms: 0 }]);
    assert_eq!(node.view().commit, Index(3), "and learns what a majority has without it");
}

/// The local user hears of every change of role, leader and term, when it is durable, and of no more.
#[test]
fn leadership_is_announced_once_when_it_changes() {
    let announced = |node: &mut Node| {
        let leadership = |event| match event {
            Event::Leadership { role, leader, epoch } => {
                Some((role, leader.map(|leader: NodeId| leader.0), epoch.0))
            }
            _ => None,
        };
        node.events.drain(..).filter_map(leadership).collect::<Vec<_>>()
    };
    let mut node = Node::founder(1, 3);
    assert_eq!(announced(&mut node), [(Role::Follower, None, 0)]);
    node.fire(Timer::Election);
    node.disk = Disk::Manual;
    node.hear(2, pre_vote_reply(1, true));
    assert_eq!(announced(&mut node), [(Role::Candidate, None, 0)], "the new term is not durable");
    node.sync();
    assert_eq!(announced(&mut node), [(Role::Candidate, None, 1)]);
    node.hear(2, vote_reply(1, true));
    node.hear(2, matches(1, 1));
    node.sync();
    assert_eq!(announced(&mut node), [(Role::Leader, Some(1), 1)]);
    node.hear(3, heartbeat(2, 0));
    node.hear(3, heartbeat(2, 0));
    node.sync();
    assert_eq!(announced(&mut node), [(Role::Follower, Some(3), 2)]);
}
