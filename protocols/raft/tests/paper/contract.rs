//! The contract with the driver: nothing is promised before it is durable, nothing waits for the disk
//! without need, every request ends exactly once, and recovery is replay.

use synod_consensus::{Epoch, Event, Index, Refusal};
use synod_engine::{Effect, Engine, Input, NodeId, Random, To, Token, When};
use synod_raft::{AppendResult, Message, Raft, Record, Term, Timer, View};

use crate::chaos::Chaos;
use crate::driver::{
    Disk, Node, append, config, entry, heartbeat, matches, pre_vote, pre_vote_reply, vote,
    vote_reply,
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

/// A candidate that wins by its peers' votes must not count its own before that is durable.
#[test]
fn a_candidate_does_not_count_its_own_vote_early() {
    let mut node = with_a_stalled_disk();
    node.fire(Timer::Election);
    node.hear(2, pre_vote_reply(3, true));
    node.hear(2, vote_reply(3, true));
    assert_eq!(node.view().role, synod_consensus::Role::Candidate);
    node.sync();
    assert_eq!(node.view().role, synod_consensus::Role::Leader);
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
        node.performed.clear();
        for _ in 0..50 {
            one_input(&mut node, &mut random);
        }
        for effect in &node.performed {
            let Effect::Send { message, when, .. } = effect else { continue };
            let (granted, term) = match message {
                Message::PreVote { .. } | Message::HeartbeatReply { .. } => continue,
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
        node.performed.clear();
        for _ in 0..80 {
            one_input(&mut node, &mut random);
            if random.chance(300_000) {
                node.sync_one();
            }
        }
        for effect in &node.performed {
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
    let last = entry(view.last.index.0, view.last.term.0);
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
    let mut node = Node::start(1, 3);
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
        node.hear(3, matches(1, index));
        node.input(Input::Timer(Timer::Election));
    }
    assert_eq!(node.view().role, synod_consensus::Role::Leader);
    assert_eq!(node.committed(), (2..100).collect::<Vec<_>>());
}

#[test]
fn a_follower_whose_disk_stalls_still_confirms_its_leader() {
    let mut node = with_a_stalled_disk();
    node.hear(2, append(2, entry(2, 2), &[2], 3));
    let answer = node.answer(2, heartbeat(2, 3));
    assert_eq!(answer, [Message::HeartbeatReply { term: Epoch(2), round: 0 }]);
    assert_eq!(node.view().commit, Index(3), "and learns what a majority has without it");
}

/// What is not yet durable on the leader counts against the bound, though others have committed it.
#[test]
fn proposals_are_refused_when_too_much_waits_for_the_leaders_disk() {
    let mut config = config(1, 3);
    config.max_command_bytes = 100;
    config.max_uncommitted_bytes = 300;
    let mut node = Node::recover(config, []);
    node.win(&[2, 3]);
    node.hear(2, matches(1, 1));
    node.hear(3, matches(1, 1));
    node.disk = Disk::Manual;
    node.events.clear();
    for token in 0..6 {
        node.propose(token, "0123456789".repeat(10));
        node.hear(2, matches(1, token + 2));
        node.hear(3, matches(1, token + 2));
    }
    let refused = |node: &Node| {
        let is_busy =
            |event: &&Event| matches!(event, Event::Refused { refusal: Refusal::Busy, .. });
        node.events.iter().filter(is_busy).count()
    };
    assert_eq!(refused(&node), 3);
    node.sync();
    node.propose(9, "x");
    assert_eq!(refused(&node), 3);
}

#[test]
fn a_proposal_ends_as_committed_refused_or_unknown() {
    let end = |node: &Node, wanted: u64| {
        let of = |event: &Event| match event {
            Event::Committed { own, .. } => {
                own.iter().any(|(_, token)| token.0 == wanted).then_some("committed")
            }
            Event::Refused { token, .. } => (token.0 == wanted).then_some("refused"),
            Event::Unknown { token } => (token.0 == wanted).then_some("unknown"),
            _ => None,
        };
        node.events.iter().filter_map(of).collect::<Vec<_>>()
    };
    let mut config = config(1, 3);
    config.max_command_bytes = 10;
    let mut node = Node::recover(config, []);
    node.propose(1, "too early");
    node.win(&[2]);
    node.propose(2, "x");
    node.hear(2, matches(1, 2));
    node.propose(3, "much too long");
    node.input(Input::Request { token: Token(4), request: propose("cancelled") });
    node.input(Input::Cancel(Token(4)));
    node.propose(5, "in doubt");
    node.input(Input::Cancel(Token(5)));
    node.input(Input::Request { token: Token(6), request: propose("never sent") });
    node.hear(3, heartbeat(2, 0));
    node.propose(7, "too late");
    let ends: Vec<_> = (1..=7).map(|token| end(&node, token)).collect();
    let expected = ["refused", "committed", "refused", "refused", "unknown", "refused", "refused"];
    assert_eq!(ends, expected.map(|how| vec![how]));
}

fn propose(command: &'static str) -> synod_consensus::Request {
    synod_consensus::Request::Propose(command.into())
}

/// What a crash leaves is what the node was, but for what it may forget.
#[test]
fn recovery_is_replay() {
    let mut snapshots = 0;
    for seed in 0..60 {
        let mut chaos = Chaos::new(seed, 3, |id| {
            let mut config = config(id, 3);
            (config.snapshot_every, config.keep_entries) = (10, 2);
            config
        });
        for _ in 0..600 {
            chaos.happen();
            let id = chaos.random.between(1, 3);
            chaos.cluster.at(id, Node::sync);
            let node = &chaos.cluster.nodes[&id];
            let after = Node::recover(config(id, 3), node.records.clone());
            assert_same_durable_state(node, &after);
            snapshots += u64::from(after.view().base.index > Index(0));
        }
    }
    assert!(snapshots > 100);
}

fn assert_same_durable_state(node: &Node, after: &Node) {
    use synod_consensus::ReplicatedLog;
    let (before, now) = (node.view(), after.view());
    assert_eq!((before.term, before.vote, before.last), (now.term, now.vote, now.last));
    assert_eq!(node.raft.status().voters, after.raft.status().voters);
    assert_eq!(node.raft.status().snapshot, after.raft.status().snapshot);
    let (from, to) = (now.base.index.next(), now.last.index);
    let entries = |node: &Node| {
        let batches = node.raft.log().range(from, to).collect::<Vec<_>>();
        let entry = |(batch, at): (&synod_consensus::Batch, usize)| {
            (batch.epoch(), batch.payloads()[at].clone())
        };
        batches
            .iter()
            .flat_map(|b| (0..b.len()).map(move |at| (b, at)))
            .map(entry)
            .collect::<Vec<_>>()
    };
    assert_eq!(entries(node), entries(after));
    assert!(now.commit <= before.commit, "it never claims more than before");
}

#[test]
fn records_that_no_node_could_have_written_are_corrupt() {
    let hard = |term, vote: Option<u64>| {
        Record::HardState(synod_raft::HardState { term: Epoch(term), vote: vote.map(NodeId) })
    };
    let entries = |first, term| Record::Entries(crate::driver::batches(first, &[term]).remove(0));
    let start = || crate::driver::lived(3, 2, Some(crate::driver::snapshot(4, 1)), &[1, 2]);
    for (record, is_sound) in [
        (hard(2, Some(1)), true),
        (hard(3, None), true),
        (hard(1, None), false),
        (entries(7, 2), true),
        (entries(5, 2), true),
        (entries(8, 2), false),
        (entries(4, 2), false),
        (entries(7, 1), false),
    ] {
        let mut raft = Raft::new(config(1, 3));
        start().into_iter().for_each(|record| raft.replay(record).unwrap());
        assert_eq!(raft.replay(record.clone()).is_ok(), is_sound, "{record}");
    }
    let mut raft: Raft = Raft::new(config(1, 3));
    raft.replay(hard(2, Some(1))).unwrap();
    assert!(raft.replay(hard(2, Some(3))).is_err(), "a vote taken back");
    assert!(raft.replay(hard(2, None)).is_err());
    assert!(raft.replay(hard(3, None)).is_ok());
}
