//! Leader election: §5.1, §5.2, §5.4.1, "RequestVote RPC" and "Rules for Servers" of figure 2; check
//! of the quorum: thesis §6.2; pre-vote: thesis §9.6.

use std::collections::BTreeSet;
use std::time::Duration;

use synod_consensus::{Epoch, Role};
use synod_engine::{Input, LinkState, NodeId};
use synod_raft::{Message, Record, Timer};

use crate::cluster::{Cluster, Founded as _};
use crate::driver::{
    Node, RaftNode as _, Whole as _, append, config, entry, heartbeat, matches, pre_vote,
    pre_vote_reply, vote, vote_reply, wished_vote,
};

const BEFORE_ANY_TIMEOUT: Duration = Duration::from_millis(299);
const AFTER_ANY_TIMEOUT: Duration = Duration::from_millis(601);

/// Node 1 of three in term 2, with a log of the terms 1 2.
fn follower() -> Node {
    Node::with_log(1, 3, 2, &[1, 2])
}

/// The same node when it asks for votes in term 3.
fn candidate() -> Node {
    let mut node = follower();
    node.fire(Timer::Election);
    node.hear(2, pre_vote_reply(3, true));
    assert_eq!((node.view().role, node.view().term), (Role::Candidate, Epoch(3)));
    node
}

/// The same node when it leads term 3.
fn leader() -> Node {
    let mut node = follower();
    node.win(&[2]);
    node
}

#[test]
fn when_servers_start_up_they_begin_as_followers() {
    let node = Node::founder(1, 3);
    assert_eq!((node.view().role, node.view().leader), (Role::Follower, None));
    assert!(node.timers.contains_key(&Timer::Election));
    assert!(node.sent.is_empty());
}

/// Figure 2, all servers.
#[test]
fn a_higher_term_makes_anyone_a_follower_in_that_term() {
    for mut node in [follower(), candidate(), leader()] {
        let messages = [
            wished_vote(9, entry(0, 0)),
            vote_reply(10, false),
            append(11, entry(2, 2), &[], 0),
            matches(12, 0),
            heartbeat(13, 0),
            Message::HeartbeatReply { term: Epoch(14), round: 0, promise_ms: 0 },
            pre_vote_reply(15, false),
        ];
        for (message, term) in messages.into_iter().zip(9..) {
            node.hear(2, message);
            assert_eq!((node.view().role, node.view().term), (Role::Follower, Epoch(term)));
        }
        assert_eq!(node.view().vote, None, "no vote is carried into another term");
    }
}

/// §5.1: "If a server receives a request with a stale term number, it rejects the request."
#[test]
fn a_request_of_an_earlier_term_is_refused_with_the_later_term() {
    for mut node in [follower(), candidate(), leader()] {
        let before = node.view();
        let refused = vote_reply(before.term.0, false);
        assert_eq!(node.answer(2, vote(1, entry(9, 1))), [refused]);
        for request in [append(1, entry(2, 1), &[1], 3), heartbeat(1, 3)] {
            let answers = node.answer(2, request);
            assert_eq!(answers.len(), 1);
            assert_eq!(answers[0].term(), before.term);
        }
        assert_eq!(node.view(), before);
    }
}

/// §5.2: "each server will vote for at most one candidate in a given term, on a
/// first-come-first-served basis".
#[test]
fn a_node_votes_for_the_first_candidate_of_a_term_and_again_for_that_one_only() {
    let mut node = follower();
    let last = entry(2, 2);
    assert_eq!(node.answer(2, vote(3, last)), [vote_reply(3, true)]);
    assert_eq!(node.answer(3, vote(3, last)), [vote_reply(3, false)]);
    assert_eq!(node.answer(2, vote(3, last)), [vote_reply(3, true)], "its answer may be lost");
    assert_eq!(node.view().vote, Some(NodeId(2)));
    node.reboot();
    assert_eq!(node.answer(3, vote(3, last)), [vote_reply(3, false)]);
    assert_eq!(node.answer(3, vote(4, last)), [vote_reply(4, true)], "a new term, a new vote");
}

/// §5.2: a candidate "votes for itself", and a leader did.
#[test]
fn neither_candidate_nor_leader_votes_for_another_in_its_term() {
    for mut node in [candidate(), leader()] {
        assert_eq!(node.answer(2, vote(3, entry(9, 3))), [vote_reply(3, false)]);
        assert_eq!(node.view().vote, Some(NodeId(1)));
    }
}

/// §5.4.1: "If the logs have last entries with different terms, then the log with the later term is
/// more up-to-date. If the logs end with the same term, then whichever log is longer …".
#[test]
fn the_more_up_to_date_log_is_of_the_later_term_or_longer_in_the_same() {
    let up_to_date = [
        ((2, 2), true),
        ((3, 2), true),
        ((1, 3), true),
        ((1, 2), false),
        ((9, 1), false),
        ((0, 0), false),
    ];
    for ((index, term), expected) in up_to_date {
        let granted = follower().answer(2, vote(4, entry(index, term)));
        assert_eq!(granted, [vote_reply(4, expected)], "vote for {index}@{term}");
        let granted = follower().answer(2, pre_vote(4, entry(index, term)));
        let better = Some(entry(2, 2)).filter(|_| !expected);
        let term = Epoch(if expected { 4 } else { 2 });
        let reply = Message::PreVoteReply { term, granted: expected, better };
        assert_eq!(granted, [reply], "pre-vote: who refuses for its log says how that ends");
    }
}

/// Figure 2, followers: "If election timeout elapses without receiving AppendEntries RPC from current
/// leader or granting vote to candidate: convert to candidate".
#[test]
fn only_the_current_leader_and_a_granted_vote_restart_the_election_timeout() {
    let restarts = [
        (append(2, entry(2, 2), &[], 0), true),
        (heartbeat(2, 0), true),
        (vote(3, entry(2, 2)), true),
        (append(1, entry(2, 1), &[], 0), false),
        (heartbeat(1, 0), false),
        (vote(3, entry(1, 1)), false),
        (vote(1, entry(9, 1)), false),
        (pre_vote(3, entry(2, 2)), false),
        (matches(2, 2), false),
    ];
    for (message, expected) in restarts {
        let mut node = follower();
        let due = node.timers[&Timer::Election];
        node.wait(BEFORE_ANY_TIMEOUT);
        node.hear(2, message.clone());
        assert_eq!(node.timers[&Timer::Election] != due, expected, "{message}");
    }
}

/// §5.2: "election timeouts are chosen randomly from a fixed interval"; §9.3.
#[test]
fn election_timeouts_are_spread_over_their_interval() {
    let mut node = follower();
    let timeouts: BTreeSet<_> = (0..100)
        .map(|_| {
            node.hear(2, heartbeat(2, 0));
            node.timers[&Timer::Election].since(node.now)
        })
        .collect();
    assert!(timeouts.len() > 90);
    assert!(timeouts.iter().all(|t| (300..=600).contains(&(t.as_millis() as u64))));
    assert!(timeouts.last().unwrap().saturating_sub(*timeouts.first().unwrap()).as_millis() > 200);
}

/// §5.6: "broadcastTime ≪ electionTimeout": knobs that cannot keep a leader in office are refused.
#[test]
fn heartbeats_must_be_well_below_the_election_timeout() {
    let with = |heartbeat, min, max| {
        let mut config = config(1, 3);
        config.timing.heartbeat_ms = heartbeat;
        (config.timing.election_timeout_min_ms, config.timing.election_timeout_max_ms) = (min, max);
        config.check().is_ok()
    };
    assert!(with(50, 100, 101) && with(1, 2, 3));
    assert!(!with(51, 100, 200) && !with(0, 100, 200) && !with(50, 300, 300));
}

/// Figure 2, candidates: "increment currentTerm, vote for self, reset election timer, send
/// RequestVote RPCs to all other servers".
#[test]
fn an_election_begins_with_a_new_term_a_vote_for_oneself_and_a_request_to_all() {
    let mut node = follower();
    node.fire(Timer::Election);
    node.sent.clear();
    node.hear(2, pre_vote_reply(3, true));
    assert_eq!((node.view().term, node.view().vote), (Epoch(3), Some(NodeId(1))));
    assert!(node.timers[&Timer::Election] > node.now);
    let request = vote(3, entry(2, 2));
    assert_eq!(node.sent, [2, 3].map(|peer| (NodeId(peer), request.clone())));
    assert!(matches!(node.records.last(), Some(Record::HardState(hard)) if hard.term == Epoch(3)));
}

#[test]
fn votes_of_a_majority_make_a_leader_and_no_fewer() {
    let mut node = Node::with_log(1, 5, 0, &[]);
    node.fire(Timer::Election);
    node.hear(2, pre_vote_reply(1, true));
    node.hear(3, pre_vote_reply(1, true));
    node.hear(2, vote_reply(1, true));
    node.hear(2, vote_reply(1, true));
    assert_eq!(node.view().role, Role::Candidate, "two of five, one of them twice");
    node.hear(3, vote_reply(0, true));
    assert_eq!(node.view().role, Role::Candidate, "a vote of an earlier term");
    node.hear(4, vote_reply(1, false));
    assert_eq!(node.view().role, Role::Candidate, "a refusal");
    node.hear(5, vote_reply(1, true));
    assert_eq!(node.view().role, Role::Leader);
}

#[test]
fn a_cluster_of_one_leads_itself_at_once() {
    let node = Node::founder(1, 1);
    assert_eq!((node.view().role, node.view().term), (Role::Leader, Epoch(1)));
    assert_eq!(node.view().commit.0, 1);
}

/// §5.2: "If the leader's term is at least as large as the candidate's current term, then the
/// candidate recognizes the leader as legitimate and returns to follower state. If the term in the RPC
/// is smaller … the candidate rejects the RPC and continues in candidate state."
#[test]
fn a_candidate_yields_to_a_leader_of_its_term_and_to_none_of_an_earlier_one() {
    for message in [append(3, entry(2, 2), &[3], 0), heartbeat(3, 0)] {
        let mut node = candidate();
        node.hear(2, append(2, entry(2, 2), &[], 0));
        node.hear(2, heartbeat(2, 0));
        assert_eq!(node.view().role, Role::Candidate);
        node.hear(2, message);
        assert_eq!((node.view().role, node.view().leader), (Role::Follower, Some(NodeId(2))));
        assert_eq!(node.view().vote, Some(NodeId(1)), "its vote in this term is given");
    }
}

/// §5.2: a split vote: "each candidate will time out and start a new election by incrementing its
/// term".
#[test]
fn a_split_vote_ends_in_another_election() {
    let mut cluster = Cluster::start(4);
    cluster.nodes.values_mut().for_each(|node| node.wait(AFTER_ANY_TIMEOUT));
    cluster.at(1, |node| node.fire(Timer::Election));
    cluster.at(2, |node| node.fire(Timer::Election));
    let same_half = |a: u64, b: u64| a % 2 == b % 2;
    cluster.settle_but(|envelope| {
        matches!(envelope.message, Message::Vote { .. }) && !same_half(envelope.from, envelope.to)
    });
    let terms: Vec<_> = cluster.nodes.values().map(|node| node.view().term.0).collect();
    assert_eq!(cluster.leader(), None);
    cluster.run(Duration::from_secs(5));
    let leader = cluster.leader().expect("somebody won");
    assert!(cluster.nodes[&leader].view().term.0 > terms[0]);
    cluster.assert_sound();
}

/// §5.2: the winner "sends heartbeat messages to all of the other servers to establish its authority";
/// figure 2: "repeat during idle periods".
#[test]
fn a_leader_is_heard_at_once_and_then_regularly() {
    let mut node = candidate();
    node.sent.clear();
    node.hear(2, vote_reply(3, true));
    let to: BTreeSet<_> = node.sent.iter().map(|(to, _)| to.0).collect();
    assert_eq!(to, BTreeSet::from([2, 3]));
    for _ in 0..3 {
        node.sent.clear();
        let due = node.timers[&Timer::Heartbeat].since(node.now);
        assert!(due <= Duration::from_millis(50));
        node.fire(Timer::Heartbeat);
        assert!(matches!(node.said_to(2)[0], Message::Heartbeat { term: Epoch(3), .. }));
        assert!(matches!(node.said_to(3)[0], Message::Heartbeat { term: Epoch(3), .. }));
    }
}

/// Thesis §6.2: "a leader steps down if an election timeout elapses without a successful round of
/// heartbeats to a majority of its cluster".
#[test]
fn a_leader_that_hears_no_majority_for_an_election_timeout_steps_down() {
    let mut node = leader();
    for _ in 0..3 {
        node.hear(2, Message::HeartbeatReply { term: Epoch(3), round: 0, promise_ms: 0 });
        node.fire(Timer::Election);
        assert_eq!(node.view().role, Role::Leader, "two of three are a majority");
    }
    node.fire(Timer::Election);
    assert_eq!((node.view().role, node.view().term), (Role::Follower, Epoch(3)));
    assert_eq!(node.view().leader, None);
    assert!(!node.timers.contains_key(&Timer::Heartbeat), "it does not pretend to lead");
    assert!(node.timers.contains_key(&Timer::Election), "it may lead again");
}

/// Thesis §6.2 for five: the others must be two.
#[test]
fn one_follower_of_four_does_not_keep_a_leader_in_office() {
    let mut node = Node::founder(1, 5);
    node.win(&[2, 3]);
    node.hear(2, matches(1, 1));
    node.hear(2, Message::HeartbeatReply { term: Epoch(1), round: 0, promise_ms: 0 });
    node.fire(Timer::Election);
    assert_eq!(node.view().role, Role::Follower);
}

/// Thesis §9.6: a candidate "only increments its term if it first learns from a majority of the
/// cluster that they would be willing to grant the candidate their votes".
#[test]
fn no_term_begins_before_a_majority_would_vote() {
    let mut node = Node::with_log(1, 5, 2, &[1, 2]);
    let records = node.records.len();
    node.fire(Timer::Election);
    let request = pre_vote(3, entry(2, 2));
    assert_eq!(node.sent, [2, 3, 4, 5].map(|peer| (NodeId(peer), request.clone())));
    node.hear(2, pre_vote_reply(3, true));
    node.hear(2, pre_vote_reply(3, true));
    node.hear(3, pre_vote_reply(2, false));
    node.hear(4, pre_vote_reply(4, true));
    assert_eq!((node.view().term, node.view().vote), (Epoch(2), None));
    assert_eq!(node.records.len(), records, "a pre-vote leaves no trace");
    node.hear(5, pre_vote_reply(3, true));
    assert_eq!((node.view().term, node.view().vote), (Epoch(3), Some(NodeId(1))));
}

#[test]
fn a_pre_vote_changes_nothing_at_the_one_who_is_asked() {
    for mut node in [follower(), candidate(), leader()] {
        let before = (node.view(), node.records.clone(), node.timers.clone());
        node.hear(2, pre_vote(7, entry(9, 6)));
        assert_eq!((node.view(), node.records, node.timers), before);
    }
}

/// Thesis §9.6: the others answer yes only "if they have not received heartbeats from a valid leader
/// for at least a baseline election timeout".
#[test]
fn who_hears_a_leader_and_who_leads_would_not_vote() {
    let mut node = follower();
    let would_vote = |node: &mut Node| node.answer(3, pre_vote(3, entry(2, 2)));
    node.hear(2, heartbeat(2, 0));
    assert_eq!(would_vote(&mut node), [pre_vote_reply(2, false)]);
    node.wait(BEFORE_ANY_TIMEOUT);
    assert_eq!(would_vote(&mut node), [pre_vote_reply(2, false)]);
    node.wait(Duration::from_millis(1));
    assert_eq!(would_vote(&mut node), [pre_vote_reply(3, true)]);
    assert_eq!(leader().answer(3, pre_vote(4, entry(3, 3))), [pre_vote_reply(3, false)]);
    assert_eq!(candidate().answer(3, pre_vote(4, entry(3, 3))), [pre_vote_reply(4, true)]);
}

#[test]
fn a_pre_vote_for_no_later_term_is_refused_with_the_own_term() {
    let mut node = Node::with_log(1, 3, 3, &[1, 1]);
    assert_eq!(node.answer(3, pre_vote(3, entry(9, 2))), [pre_vote_reply(3, false)]);
    assert_eq!(node.answer(3, pre_vote(2, entry(9, 1))), [pre_vote_reply(3, false)]);
}

/// openraft #1808: a pre-vote that is answered after the election it led to was won.
#[test]
fn a_late_pre_vote_reply_starts_no_second_election() {
    for mut node in [candidate(), leader()] {
        let before = node.view();
        node.hear(3, pre_vote_reply(3, true));
        node.hear(3, pre_vote_reply(4, true));
        node.hear(2, pre_vote_reply(4, true));
        assert_eq!(node.view(), before);
    }
}

/// Thesis §4.2.3: "if a server receives a RequestVote request within the minimum election timeout of
/// hearing from a current leader, it does not update its term or grant its vote"; and a leader counts as
/// hearing itself.
#[test]
fn a_vote_that_no_leader_wished_for_changes_nothing_where_one_is_heard() {
    let mut hears = follower();
    hears.hear(2, heartbeat(2, 0));
    for mut node in [hears.clone(), leader()] {
        let before = (node.view(), node.records.clone(), node.timers.clone());
        assert_eq!(node.answer(3, vote(9, entry(9, 8))), []);
        assert_eq!((node.view(), node.records.clone(), node.timers.clone()), before);
        assert_eq!(node.answer(3, wished_vote(9, entry(9, 8))), [vote_reply(9, true)]);
    }
    hears.wait(BEFORE_ANY_TIMEOUT);
    assert_eq!(hears.answer(3, vote(9, entry(9, 8))), [], "until the shortest timeout is over");
    hears.wait(Duration::from_millis(1));
    assert_eq!(hears.answer(3, vote(9, entry(9, 8))), [vote_reply(9, true)]);
}

/// Thesis §4.2.3 is about requests of a later term: in its own term a node votes as ever.
#[test]
fn a_sticky_node_still_votes_in_its_own_term() {
    let mut node = follower();
    node.hear(2, heartbeat(2, 0));
    assert_eq!(node.answer(3, vote(2, entry(2, 2))), [vote_reply(2, true)]);
}

/// Sticky followers must not shut out for ever a node whose term is higher than the leader's: its answer
/// to the leader makes that step down.
#[test]
fn a_candidate_that_nobody_listens_to_gets_back_in_by_its_answers() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.beat(1);
    cluster.at(3, |node| node.hear(2, vote_reply(7, false)));
    cluster.beat(1);
    assert_eq!(cluster.nodes[&1].view().role, Role::Follower);
    cluster.run(Duration::from_secs(2));
    let leader = cluster.leader().expect("somebody leads in a later term");
    let term = cluster.nodes[&leader].view().term;
    assert_eq!(term, Epoch(8));
    assert!(cluster.nodes.values().all(|node| node.view().term == term));
    cluster.assert_sound();
}

/// Thesis §9.6: what pre-vote is for.
#[test]
fn a_node_that_was_cut_off_disturbs_nobody_when_it_comes_back() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.isolate(&[3]);
    cluster.run(Duration::from_secs(10));
    assert_eq!(cluster.nodes[&3].view().term, Epoch(1), "no term rose while it was cut off");
    cluster.heal();
    cluster.run(Duration::from_secs(1));
    let view = cluster.nodes[&1].view();
    assert_eq!((view.role, view.term), (Role::Leader, Epoch(1)));
    assert_eq!(cluster.nodes[&3].view().leader, Some(NodeId(1)));
    cluster.assert_sound();
}

/// A node whose term is ahead cannot follow; the leader learns of its term and a new election brings
/// all together.
#[test]
fn a_node_that_is_ahead_in_terms_is_not_left_out_for_ever() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(3, |node| node.hear(2, vote_reply(7, false)));
    cluster.run(Duration::from_secs(5));
    let terms: Vec<_> = cluster.nodes.values().map(|node| node.view().term).collect();
    assert!(terms[0] >= Epoch(7) && terms.iter().all(|term| *term == terms[0]), "{terms:?}");
    assert!(cluster.leader().is_some());
    cluster.assert_sound();
}

/// The leader's death is noticed by its link before any timeout; a leader that others hear stays.
#[test]
fn a_broken_link_to_the_leader_shortens_the_wait_and_nothing_else() {
    let mut node = follower();
    node.hear(2, heartbeat(2, 0));
    let closed = |peer| Input::Link { peer: NodeId(peer), state: LinkState::Closed };
    let due = node.timers[&Timer::Election];
    node.input(closed(3));
    assert_eq!(node.timers[&Timer::Election], due, "that is not the leader");
    node.input(closed(2));
    let wait = node.timers[&Timer::Election].since(node.now);
    assert!(wait < Duration::from_millis(151), "{wait:?}");
    assert_eq!(node.answer(3, pre_vote(3, entry(2, 2))), [pre_vote_reply(3, true)]);
    assert_eq!(node.view().term, Epoch(2));
}
