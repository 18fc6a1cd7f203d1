//! A message that decodes but that no correct node could have sent: it is ignored, whatever the role
//! of who hears it. Nothing panics, and no log is harmed.

use bytes::Bytes;
use synod_consensus::{Epoch, Index, Refusal, Role, Snapshot};
use synod_engine::{Engine, Random};
use synod_raft::{AppendResult, Message, ReadId, ReadResult, Timer};

use crate::driver::{
    Node, RaftNode as _, Whole as _, append, batches, entry, founders, matches, pre_vote,
    pre_vote_reply, snapshot, vote,
};

const END: u64 = u64::MAX;

/// Node 1 of three in term 5 with entries of terms 1 1 3 5 (2 of them committed) and the snapshot to
/// none: a follower of node 2, a candidate, and a leader.
fn one_of_each() -> [Node; 3] {
    let mut follower = Node::with_log(1, 3, 5, &[1, 1, 3, 5]);
    follower.hear(2, append(5, entry(4, 5), &[], 2));
    let mut candidate = Node::with_log(1, 3, 5, &[1, 1, 3, 5]);
    candidate.fire(Timer::Election);
    let mut leader = Node::with_log(1, 3, 4, &[1, 1, 3]);
    leader.win(&[2]);
    [follower, candidate, leader]
}

fn install(term: u64, snapshot: Snapshot, voters: &[u64]) -> Message {
    let members = founders(voters.iter().copied());
    Message::Install { term: Epoch(term), snapshot, members }
}

fn conflict(term: u64, previous: u64, last: u64, hint: (u64, u64)) -> Message {
    let (previous, last, hint) = (Index(previous), Index(last), entry(hint.0, hint.1));
    let result = AppendResult::Conflict { previous, last, hint };
    Message::AppendReply { term: Epoch(term), result }
}

fn assert_ignored(message: &Message, from: u64) {
    for node in one_of_each() {
        let mut after = node.clone();
        after.hear(from, message.clone());
        assert_eq!(after.view(), node.view(), "{message} from {from}");
        assert_eq!(after.engine.log(), node.engine.log(), "{message} from {from}");
        assert_eq!(after.records, node.records, "{message} from {from}");
        assert_eq!(after.committed(), node.clone().committed(), "{message} from {from}");
    }
}

#[test]
fn entries_that_do_not_follow_the_previous_one_are_ignored() {
    for first in [1, 3, 6, 7] {
        let entries = batches(first, &[5]).pop();
        let previous = entry(4, 5);
        assert_ignored(&Message::Append { term: Epoch(5), previous, entries, commit: Index(9) }, 2);
    }
}

#[test]
fn entries_of_a_later_term_than_their_leader_or_an_earlier_one_than_before_them_are_ignored() {
    assert_ignored(&append(5, entry(4, 5), &[6], 0), 2);
    assert_ignored(&append(5, entry(4, 5), &[4], 0), 2);
    assert_ignored(&append(5, entry(4, 6), &[], 0), 2);
}

#[test]
fn entries_that_would_replace_committed_ones_are_ignored() {
    let [mut follower, ..] = one_of_each();
    let before = follower.terms();
    assert_eq!(follower.view().commit, Index(2));
    assert_eq!(follower.answer(2, append(5, entry(1, 1), &[4], 4)), []);
    assert_eq!(follower.terms(), before);
    assert_eq!(follower.view().commit, Index(2));
}

#[test]
fn a_term_that_no_election_could_have_reached_is_ignored() {
    let last = entry(9, 5);
    for term in [END, END - 1, 1 << 63, 1 << 41] {
        assert_ignored(&Message::Vote { term: Epoch(term), last, transfer: true }, 2);
        assert_ignored(&Message::PreVote { term: Epoch(term), last }, 2);
        assert_ignored(&pre_vote_reply(term, false), 2);
        assert_ignored(&append(term, entry(0, 0), &[], 0), 2);
    }
    let [mut follower, ..] = one_of_each();
    follower.wait(std::time::Duration::from_secs(1));
    follower.hear(2, Message::Vote { term: Epoch(1 << 40), last, transfer: false });
    assert_eq!(follower.view().term, Epoch(1 << 40), "a node that slept long catches up");
}

#[test]
fn the_last_index_there_is_counts_no_further() {
    let [_, _, leader] = one_of_each();
    for (previous, last) in [(END, END), (END, 0), (4, END), (3, END), (END - 1, END)] {
        assert_ignored(&conflict(5, previous, last, (END, END)), 2);
    }
    let mut after = leader.clone();
    after.hear(
        2,
        Message::AppendReply { term: Epoch(5), result: AppendResult::Matches(Index(END)) },
    );
    assert_eq!(after.view().commit, leader.view().last.index, "no further than its log");
    assert_ignored(&install(5, snapshot(END, 5), &[1, 2, 3]), 2);
    let round = Message::HeartbeatReply { term: Epoch(5), round: END, promise_ms: 0 };
    assert_ignored(&round, 2);
}

#[test]
fn a_snapshot_without_voters_or_of_an_impossible_term_is_ignored() {
    assert_ignored(&install(5, snapshot(9, 5), &[]), 2);
    assert_ignored(&install(5, snapshot(9, 6), &[1, 2, 3]), 2);
    let [follower, ..] = one_of_each();
    let mut after = follower.clone();
    after.hear(2, install(5, snapshot(9, 0), &[1, 2, 3]));
    assert_eq!(after.records, follower.records, "terms do not fall behind what is committed");
}

/// A stranger may be a member of whom a node has not read yet, so its requests are heard (thesis §4.1);
/// what it answers counts for nothing.
#[test]
fn the_answers_of_strangers_count_for_nothing() {
    assert_ignored(&matches(5, 9), 4);
    assert_ignored(&conflict(5, 3, 1, (1, 1)), 4);
    assert_ignored(&Message::HeartbeatReply { term: Epoch(5), round: 1, promise_ms: 0 }, 4);
    let id = ReadId { life: 1, number: 1 };
    let result = ReadResult::Index(Index(4));
    assert_ignored(&Message::ReadIndexReply { term: Epoch(5), id, result }, 4);
    let [_, mut candidate, _] = one_of_each();
    candidate.hear(4, Message::VoteReply { term: Epoch(5), granted: true });
    candidate.hear(5, Message::VoteReply { term: Epoch(5), granted: true });
    assert_eq!(candidate.view().role, Role::Candidate);
}

#[test]
fn what_claims_to_come_from_oneself_but_only_a_peer_says_is_ignored() {
    let last = entry(9, 9);
    assert_ignored(&Message::Vote { term: Epoch(6), last, transfer: true }, 1);
    assert_ignored(&Message::TimeoutNow { term: Epoch(6), last }, 1);
    assert_ignored(&append(5, entry(4, 5), &[5], 4), 1);
    assert_ignored(&append(6, entry(4, 5), &[6], 4), 1);
    assert_ignored(&install(6, snapshot(9, 6), &[1, 2, 3]), 1);
    assert_ignored(&conflict(5, 3, 1, (1, 1)), 1);
}

/// Whether a node of any role does anything at all when it hears this from node 2.
fn is_heard(message: &Message) -> bool {
    one_of_each().into_iter().any(|mut node| {
        node.happened.clear();
        node.hear(2, message.clone());
        node.steps().any(|effects| !effects.is_empty())
    })
}

/// Of each bound that a message shows by itself, what is heard just within it and not beyond it.
#[test]
fn what_contradicts_itself_is_not_even_heard() {
    let term = Epoch(5);
    let forward = |first, count: usize| {
        let commands = vec![Bytes::from_static(b"x"); count];
        Message::Forward { term, lane: 1, first, commands }
    };
    let pull = |last, shared| Message::Pull { term, last, shared };
    let pulled = |first, terms: &[u64], last| {
        let entries = batches(first, terms);
        Message::Pulled { term, previous: entry(4, 5), entries, last }
    };
    let last_index = (1 << 62) - 1;
    for (within, beyond) in [
        (append(5, entry(4, 5), &[], 0), append(5, entry(4, 6), &[], 0)),
        (append(5, entry(4, 5), &[5], 0), append(5, entry(4, 5), &[6], 0)),
        (forward(last_index, 1), forward(last_index + 1, 1)),
        (forward(0, 1), forward(0, 0)),
        (
            Message::TimeoutNow { term, last: entry(9, 5) },
            Message::TimeoutNow { term, last: entry(9, 6) },
        ),
        (vote(5, entry(9, 5)), vote(5, entry(9, 6))),
        (pre_vote(5, entry(9, 4)), pre_vote(5, entry(9, 5))),
        (Message::Rest { term, last: entry(9, 5) }, Message::Rest { term, last: entry(9, 6) }),
        (install(5, snapshot(last_index, 5), &[1]), install(5, snapshot(last_index + 1, 5), &[1])),
        (install(5, snapshot(9, 5), &[1]), install(5, snapshot(9, 5), &[])),
        (pull(entry(9, 5), entry(2, 1)), pull(entry(9, 6), entry(2, 1))),
        (pull(entry(9, 1), entry(2, 1)), pull(entry(9, 0), entry(2, 1))),
        (pull(entry(2, 4), entry(2, 1)), pull(entry(1, 4), entry(2, 1))),
        (pulled(5, &[5], entry(5, 5)), pulled(6, &[5], entry(6, 5))),
        (pulled(5, &[5, 5], entry(6, 5)), pulled(5, &[4, 5], entry(6, 5))),
        (pulled(5, &[5], entry(9, 5)), pulled(5, &[5, 5], entry(5, 5))),
        (pulled(5, &[5], entry(last_index, 5)), pulled(5, &[5], entry(last_index + 1, 5))),
        (pulled(5, &[5], entry(5, 5)), pulled(5, &[5], entry(5, 6))),
        (pulled(5, &[5], entry(5, 5)), pulled(5, &[6], entry(5, 5))),
        (pulled(5, &[5], entry(5, 5)), pulled(5, &[], entry(5, 5))),
    ] {
        assert!(is_heard(&within), "{within}");
        assert!(!is_heard(&beyond), "{beyond}");
    }
}

/// Whatever is thrown at it: the log stays a log, what is committed stays, and a restart reads it.
#[test]
fn no_nonsense_breaks_a_node() {
    for seed in 0..3_000 {
        let mut random = Random::new(seed);
        let mut node = one_of_each()[seed as usize % 3].clone();
        let mut committed = Vec::new();
        for _ in 0..40 {
            let message = nonsense(&mut random);
            let from = random.between(1, 4);
            node.hear(from, message);
            if random.chance(100_000) {
                node.fire(if random.chance(500_000) { Timer::Election } else { Timer::Heartbeat });
            }
            committed.extend(node.committed());
            let (view, terms) = (node.view(), node.terms());
            assert!(terms.is_sorted() && terms.iter().all(|term| *term <= view.term.0), "{view}");
            assert!(view.base.index <= view.commit && view.commit <= view.last.index, "{view}");
        }
        assert!(committed.is_sorted_by(|a, b| a < b), "seed {seed}: {committed:?}");
        let rebuilt = node.rebuilt().view();
        assert_eq!((rebuilt.term, rebuilt.last), (node.view().term, node.view().last));
        assert_ne!(rebuilt.role, Role::Leader);
    }
}

/// A message of small and extreme numbers, more often nearly right than not.
fn nonsense(random: &mut Random) -> Message {
    let term = Epoch(number(random, 5));
    let last = entry(number(random, 4), number(random, 5));
    let granted = random.chance(500_000);
    let index = Index(number(random, 4));
    let id = ReadId { life: number(random, 0), number: number(random, 1) };
    match random.below(17) {
        14 => {
            let commands = vec![Bytes::from_static(b"x"); random.below(3) as usize];
            Message::Forward { term, lane: random.below(3), first: number(random, 2), commands }
        }
        15 => {
            let answers = vec![Ok(index), Err(Refusal::Busy)];
            Message::Forwarded { term, lane: random.below(3), first: number(random, 2), answers }
        }
        0 => Message::PreVote { term, last },
        1 => Message::PreVoteReply { term, granted, better: Some(last).filter(|_| !granted) },
        2 => Message::Vote { term, last, transfer: random.chance(500_000) },
        3 => Message::VoteReply { term, granted },
        4 | 5 => {
            let terms = vec![random.between(1, 7); random.between(1, 3) as usize];
            let first = last.index.0.saturating_add(random.below(2)).clamp(1, END - 9);
            let entries = batches(first, &terms).pop().filter(|_| random.chance(800_000));
            Message::Append { term, previous: last, entries, commit: index }
        }
        6 => Message::AppendReply { term, result: AppendResult::Matches(index) },
        7 => conflict(term.0, index.0, number(random, 4), (last.index.0, last.epoch.0)),
        12 => Message::Pull { term, last, shared: entry(number(random, 4), number(random, 5)) },
        13 => {
            let terms = vec![random.between(1, 7); random.between(1, 3) as usize];
            let first = last.index.0.saturating_add(1).clamp(1, END - 9);
            let entries = batches(first, &terms);
            let end = entry(number(random, 6), number(random, 5));
            Message::Pulled { term, previous: last, entries, last: end }
        }
        9 if granted => Message::TimeoutNow { term, last },
        9 => Message::Rest { term, last },
        8 if granted => Message::HeartbeatReply { term, round: number(random, 2), promise_ms: 0 },
        8 => Message::Heartbeat {
            term,
            commit: index,
            matched: Index(number(random, 4)),
            round: Some(number(random, 2)),
        },
        10 => Message::ReadIndex { term, id },
        11 => {
            let result = match random.below(3) {
                0 => ReadResult::Busy,
                1 => ReadResult::NotLeader,
                _ => ReadResult::Index(index),
            };
            Message::ReadIndexReply { term, id, result }
        }
        _ => {
            install(term.0, snapshot(index.0, last.epoch.0), &[1, 2, 3][..random.below(4) as usize])
        }
    }
}

fn number(random: &mut Random, usual: u64) -> u64 {
    match random.below(8) {
        0 => [0, END, END - 1, 1 << 62, (1 << 62) - 1, 1 << 40][random.below(6) as usize],
        1..=4 => usual + random.below(3),
        _ => random.below(usual + 1),
    }
}
