//! Leadership is handed over (thesis §3.10), and goes to where the priorities want it.

use std::time::Duration;

use synod_consensus::{BadChange, Change, Epoch, Event, Refusal, Role};
use synod_engine::{Input, NodeId, Sound, Token};
use synod_raft::{Message, Timer};

use crate::cluster::{Cluster, Envelope, Founded as _, RaftCluster as _};
use crate::driver::{
    Node, RaftNode as _, Whole as _, append, entry, heartbeat, matches, vote_reply, wished_vote,
};
use crate::membership::{group, is_committed, promote, refusal, remove};

const ELECTION_TIMEOUT: Duration = Duration::from_millis(300);

/// Node 1 of three leads term 1 with four entries; 2 has them all, 3 none.
fn leader() -> Node {
    let mut node = Node::founder(1, 3);
    node.win(&[2, 3]);
    for token in 101..104 {
        node.propose(token, "x");
    }
    node.hear(2, matches(1, 4));
    node.hear(3, matches(1, 0));
    node.sent.clear();
    node.events.clear();
    node
}

fn timeout_now(term: u64, index: u64) -> Message {
    Message::TimeoutNow { term: Epoch(term), last: entry(index, term) }
}

fn is_call(envelope: &Envelope) -> bool {
    matches!(envelope.message, Message::TimeoutNow { .. })
}

fn refused(token: u64, refusal: Refusal) -> Event {
    Event::Refused { token: Token(token), refusal }
}

fn not_leader(leader: u64) -> Refusal {
    Refusal::NotLeader { leader: Some(NodeId(leader)) }
}

fn transferred(token: u64) -> Event {
    Event::Transferred { token: Token(token) }
}

/// How a request of a node ended, each time that it did.
fn endings(node: &Node, token: u64) -> Vec<Event> {
    let is_for = |event: &&Event| match event {
        Event::Refused { token: Token(ended), .. } | Event::Transferred { token: Token(ended) } => {
            *ended == token
        }
        _ => false,
    };
    node.events.iter().filter(is_for).cloned().collect()
}

/// Thesis §3.10: "The prior leader fully updates the target server's log to match its own … The prior
/// leader sends a TimeoutNow request to the target server."
#[test]
fn the_successor_is_told_to_campaign_once_its_log_is_the_leaders_and_durable() {
    let mut node = leader();
    node.transfer(7, 3);
    assert!(!node.said_to(3).contains(&timeout_now(1, 4)), "it has nothing yet");
    node.hear(3, matches(1, 3));
    assert!(!node.said_to(3).contains(&timeout_now(1, 4)), "one is missing");
    node.hear(3, matches(1, 4));
    assert_eq!(node.said_to(3), [timeout_now(1, 4)]);
    let mut ready = leader();
    ready.transfer(7, 2);
    assert_eq!(ready.said_to(2), [timeout_now(1, 4)], "who has all is told at once");
}

/// Thesis §3.10: it "starts a new election (incrementing its term and becoming a candidate)", and
/// §4.2.3: those who hear the leader vote all the same.
#[test]
fn who_is_told_campaigns_at_once_and_wins_although_the_leader_is_heard() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.beat(1);
    cluster.at(1, |node| node.transfer(7, 2));
    let mut pre_votes = 0;
    cluster.settle_but(|envelope| {
        pre_votes += u32::from(matches!(envelope.message, Message::PreVote { .. }));
        false
    });
    assert_eq!((cluster.leader(), pre_votes), (Some(2), 0));
    assert_eq!(cluster.nodes[&2].view().term, Epoch(2));
    assert_eq!(endings(&cluster.nodes[&1], 7), [transferred(7)]);
    assert_eq!(cluster.nodes[&1].view().leader, Some(NodeId(2)));
    cluster.assert_sound();
}

/// It asks for votes as whom the leader wishes, and its term and vote are durable before it does.
#[test]
fn a_wished_campaign_begins_with_a_durable_vote_for_oneself() {
    let mut node = Node::with_log(2, 3, 1, &[1]);
    node.hear(1, heartbeat(1, 1));
    node.sent.clear();
    node.disk = crate::driver::Disk::Manual;
    node.hear(1, timeout_now(1, 1));
    assert_eq!((node.view().role, node.view().term), (Role::Candidate, Epoch(2)));
    assert_eq!(node.sent, []);
    node.sync();
    let request = wished_vote(2, entry(1, 1));
    assert_eq!(node.sent, [1, 3].map(|peer| (NodeId(peer), request.clone())));
}

/// Thesis §3.10: "The prior leader stops accepting new client requests." Here they wait.
#[test]
fn what_is_proposed_meanwhile_is_refused_with_the_successors_name_if_it_takes_over() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(1, |node| {
        node.transfer(7, 2);
        node.propose(8, "x");
    });
    assert_eq!(cluster.nodes[&1].view().last, entry(1, 1), "nothing is appended");
    cluster.settle();
    assert_eq!(cluster.leader(), Some(2));
    assert_eq!(endings(&cluster.nodes[&1], 8), [refused(8, not_leader(2))]);
    assert_eq!(endings(&cluster.nodes[&1], 7), [transferred(7)]);
}

/// Thesis §3.10: "If leadership transfer does not complete after about an election timeout, the prior
/// leader aborts the transfer and resumes accepting client requests."
#[test]
fn a_leader_whose_successor_does_not_take_over_goes_on() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(1, |node| {
        node.transfer(7, 2);
        node.propose(8, "x");
    });
    cluster.run_but(ELECTION_TIMEOUT / 2, is_call);
    assert_eq!(endings(&cluster.nodes[&1], 7), []);
    cluster.run_but(ELECTION_TIMEOUT, is_call);
    assert_eq!(endings(&cluster.nodes[&1], 7), [refused(7, Refusal::NoSuccessor)]);
    assert!(is_committed(&cluster.nodes[&1], 8), "what waited is appended");
    assert_eq!((cluster.leader(), cluster.nodes[&1].view().term), (Some(1), Epoch(1)));
    cluster.at(1, |node| node.transfer(9, 3));
    cluster.settle();
    assert_eq!(cluster.leader(), Some(3), "another may follow");
    cluster.assert_sound();
}

/// What waits is bounded like everything that is not committed.
#[test]
fn what_waits_for_a_transfer_is_bounded() {
    let mut config = crate::driver::config(1, 3);
    (config.bounds.max_uncommitted_bytes, config.bounds.max_command_bytes) = (1_000, 1_000);
    let mut node = Node::recover(config, []);
    node.win(&[2, 3]);
    node.transfer(7, 3);
    for token in 10..20 {
        node.propose(token, vec![0; 300]);
    }
    let busy = (10..20).filter(|token| endings(&node, *token) == [refused(*token, Refusal::Busy)]);
    assert!(busy.count() >= 6);
}

/// The message may be lost: it comes again with the next heartbeat.
#[test]
fn a_lost_call_is_repeated() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(1, |node| node.transfer(7, 2));
    cluster.settle_but(is_call);
    assert_eq!(cluster.leader(), Some(1));
    cluster.at(1, |node| node.fire(Timer::Heartbeat));
    cluster.settle();
    assert_eq!(cluster.leader(), Some(2));
}

/// openraft #1747: reads keep the followers waiting for a leader that does not write any more. Here they
/// are answered, and the transfer ends all the same.
#[test]
fn reads_go_on_during_a_transfer_and_do_not_prolong_it() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(1, |node| node.transfer(7, 2));
    for token in 10..20 {
        cluster.at(1, |node| node.read(token));
        cluster.run_but(ELECTION_TIMEOUT / 8, is_call);
    }
    let ready = |event: &&Event| matches!(event, Event::ReadReady { .. });
    assert_eq!(cluster.nodes[&1].events.iter().filter(ready).count(), 10);
    assert_eq!(endings(&cluster.nodes[&1], 7), [refused(7, Refusal::NoSuccessor)]);
}

/// A successor that campaigns and loses: whoever leads then is named. At worst "an extra election".
#[test]
fn a_transfer_that_another_node_wins_is_refused_with_its_name() {
    let mut node = leader();
    node.transfer(7, 2);
    node.hear(2, wished_vote(2, entry(4, 1)));
    assert_eq!((node.view().role, endings(&node, 7)), (Role::Follower, vec![]));
    node.hear(3, append(3, entry(4, 1), &[3], 0));
    assert_eq!(endings(&node, 7), [refused(7, not_leader(3))]);
    node.hear(2, append(4, entry(4, 1), &[4], 0));
    assert_eq!(endings(&node, 7).len(), 1, "it ended once");
}

#[test]
fn a_transfer_after_which_nobody_is_heard_is_refused_in_time() {
    let mut node = leader();
    node.transfer(7, 2);
    node.hear(2, wished_vote(2, entry(4, 1)));
    node.fire(Timer::Election);
    assert_eq!(endings(&node, 7), [refused(7, Refusal::NotLeader { leader: None })]);
}

/// Cancelled by its user, before or after the leader stepped down.
#[test]
fn a_cancelled_transfer_ends_once_and_the_leader_goes_on() {
    let mut node = leader();
    node.transfer(7, 3);
    node.propose(8, "x");
    node.input(Input::Cancel(Token(7)));
    node.input(Input::Flush);
    assert_eq!(endings(&node, 7), [refused(7, Refusal::Cancelled)]);
    assert_eq!(node.view().last, entry(5, 1));
    assert!(!node.timers.contains_key(&Timer::Transfer));
    node.hear(3, matches(1, 5));
    assert!(!node.said_to(3).contains(&timeout_now(1, 5)));
    let mut late = leader();
    late.transfer(7, 2);
    late.hear(2, wished_vote(2, entry(4, 1)));
    late.input(Input::Cancel(Token(7)));
    late.hear(2, heartbeat(2, 0));
    assert_eq!(endings(&late, 7), [refused(7, Refusal::Cancelled)]);
}

/// Neither a learner nor a stranger nor a node of priority 0 is a successor; oneself needs none.
#[test]
fn leadership_goes_only_to_those_who_may_lead() {
    let mut cluster = group(3, 1, Sound);
    let never = Change::Prioritise { node: NodeId(3), priority: 0 };
    cluster.at(1, |node| node.change(20, [never]));
    cluster.settle();
    for (token, successor) in [(30, 4), (31, 9), (32, 3)] {
        cluster.at(1, |node| node.transfer(token, successor));
        assert_eq!(endings(&cluster.nodes[&1], token), [refused(token, Refusal::NoSuccessor)]);
    }
    cluster.at(1, |node| node.transfer(33, 1));
    assert_eq!(endings(&cluster.nodes[&1], 33), [transferred(33)]);
    cluster.at(2, |node| node.transfer(34, 2));
    assert_eq!(endings(&cluster.nodes[&2], 34), [refused(34, not_leader(1))]);
    cluster.isolate(&[2]);
    cluster.run(2 * ELECTION_TIMEOUT);
    cluster.at(1, |node| node.transfer(35, None));
    assert_eq!(endings(&cluster.nodes[&1], 35), [refused(35, Refusal::NoSuccessor)]);
}

/// Unnamed, it is the best of those that are heard: up to date, of high priority, with the longest log.
#[test]
fn the_best_successor_is_up_to_date_then_of_high_priority() {
    let mut cluster = group(5, 0, Sound);
    let wish = |node, priority| Change::Prioritise { node: NodeId(node), priority };
    cluster.at(1, |node| node.change(20, [wish(3, 3), wish(4, 9), wish(5, 2)]));
    cluster.settle();
    cluster.isolate(&[4]);
    for token in 40..50 {
        cluster.at(1, |node| node.propose(token, "x"));
    }
    cluster.beat(1);
    cluster.beat(1);
    cluster.heal();
    cluster.at(1, |node| node.transfer(7, None));
    cluster.settle();
    assert_eq!(cluster.leader(), Some(3), "4 lags, 2 and 5 are lower");
    cluster.assert_sound();
}

#[test]
fn a_second_transfer_waits_for_its_turn_and_so_do_the_members() {
    let mut cluster = group(3, 0, Sound);
    cluster.at(1, |node| {
        node.transfer(30, 2);
        node.transfer(31, 3);
        node.change(32, [remove(3)]);
    });
    assert_eq!(endings(&cluster.nodes[&1], 31), [refused(31, Refusal::Busy)]);
    assert_eq!(refusal(&cluster.nodes[&1], 32), Some(Refusal::ChangePending));
    cluster.settle();
    assert_eq!(endings(&cluster.nodes[&1], 30), [transferred(30)]);
    cluster.assert_sound();
}

/// openraft #1805: the leader knows that its target was promoted, and the target does not. It campaigns
/// only with the very log that the leader had.
#[test]
fn a_stale_successor_does_not_campaign() {
    let mut cluster = group(3, 1, Sound);
    cluster.isolate(&[4]);
    cluster.at(1, |node| node.change(20, [promote(4)]));
    cluster.settle();
    cluster.at(1, |node| node.transfer(7, 4));
    let before = cluster.nodes[&4].view();
    cluster.heal();
    for index in [before.last.index.0 + 1, 1] {
        let last = entry(index, 1);
        let call = Message::TimeoutNow { term: Epoch(1), last };
        cluster.at(4, |node| node.hear(1, call));
        assert_eq!(cluster.nodes[&4].view().role, Role::Follower);
    }
    let last = before.last;
    cluster.at(4, |node| node.hear(1, Message::TimeoutNow { term: Epoch(1), last }));
    assert_eq!(
        cluster.nodes[&4].view().role,
        Role::Follower,
        "it is a learner, as far as it knows"
    );
    cluster.beat(1);
    assert_eq!(cluster.leader(), Some(4), "once it knows, it takes over");
    assert_eq!(endings(&cluster.nodes[&1], 7), [transferred(7)]);
    cluster.assert_sound();
}

/// raft-rs #234: a call that comes late, when the leader has given up and gone on, is void; one of an
/// earlier term is answered with the later one.
#[test]
fn a_late_call_is_void() {
    let mut node = Node::with_log(2, 3, 1, &[1, 1]);
    node.hear(1, append(1, entry(2, 1), &[1], 2));
    let before = node.view();
    node.hear(1, timeout_now(1, 2));
    assert_eq!(node.view(), before);
    node.hear(3, heartbeat(2, 0));
    let before = node.view();
    let answer = node.answer(1, timeout_now(1, 3));
    assert_eq!(answer.iter().map(Message::term).collect::<Vec<_>>(), [Epoch(2)]);
    assert_eq!(node.view(), before);
}

/// A doubled call starts no second election, and a leader obeys none.
#[test]
fn a_doubled_call_is_obeyed_once() {
    let mut node = Node::with_log(2, 3, 1, &[1]);
    node.hear(1, timeout_now(1, 1));
    node.hear(1, timeout_now(1, 1));
    assert_eq!((node.view().role, node.view().term), (Role::Candidate, Epoch(2)));
    node.hear(3, vote_reply(2, true));
    node.hear(1, timeout_now(2, 2));
    assert_eq!((node.view().role, node.view().term), (Role::Leader, Epoch(2)));
}

/// Thesis §4.2.2 with §3.10: a removed leader does not leave the group to its election timeouts.
#[test]
fn a_removed_leader_hands_over_at_once() {
    let mut cluster = group(3, 0, Sound);
    cluster.at(1, |node| node.change(7, [remove(1)]));
    cluster.settle();
    assert!(is_committed(&cluster.nodes[&1], 7));
    assert!(matches!(cluster.leader(), Some(2 | 3)));
    cluster.run(ELECTION_TIMEOUT / 2);
    assert_eq!(cluster.nodes[&1].view().role, Role::Follower, "it hears that it leads no more");
    cluster.assert_sound();
}

#[test]
fn a_removed_leader_that_nobody_replaces_steps_down() {
    let mut cluster = group(3, 0, Sound);
    cluster.at(1, |node| node.change(7, [remove(1)]));
    cluster.settle_but(is_call);
    assert_eq!(cluster.leader(), Some(1));
    cluster.at(1, |node| node.propose(8, "x"));
    cluster.run_but(ELECTION_TIMEOUT, is_call);
    assert_eq!(cluster.nodes[&1].view().role, Role::Follower);
    assert_eq!(cluster.nodes[&1].view().term, Epoch(1));
    let not_appended = Refusal::NotLeader { leader: None };
    assert_eq!(refusal(&cluster.nodes[&1], 8), Some(not_appended), "it appended nothing more");
    cluster.assert_sound();
}

/// A group of three led by 1, whose voters have these priorities.
fn with_priorities(priorities: [u8; 3]) -> Cluster {
    let mut cluster = group(3, 0, Sound);
    let wishes = (1..).zip(priorities);
    let wishes = wishes.map(|(id, priority)| Change::Prioritise { node: NodeId(id), priority });
    cluster.at(1, |node| node.change(20, wishes.collect::<Vec<_>>()));
    cluster.settle();
    cluster
}

#[test]
fn a_voter_of_higher_priority_leads_once_it_is_up_to_date_for_long_enough() {
    let mut cluster = with_priorities([1, 1, 2]);
    cluster.isolate(&[3]);
    cluster.run(Duration::from_secs(20));
    assert_eq!(cluster.leader(), Some(1), "it is not there");
    cluster.heal();
    cluster.run(Duration::from_millis(4_900));
    assert_eq!(cluster.leader(), Some(1), "not long enough");
    cluster.run(Duration::from_millis(300));
    assert_eq!((cluster.leader(), cluster.nodes[&3].view().term), (Some(3), Epoch(2)));
    cluster.run(Duration::from_secs(60));
    assert_eq!((cluster.leader(), cluster.nodes[&3].view().term), (Some(3), Epoch(2)), "it stays");
    cluster.assert_sound();
}

#[test]
fn of_two_that_come_back_the_higher_leads_and_leadership_moves_once() {
    let mut cluster = with_priorities([1, 3, 2]);
    cluster.isolate(&[2]);
    cluster.run(Duration::from_secs(8));
    assert_eq!(cluster.leader(), Some(1), "the lower rank waits twice as long");
    cluster.heal();
    cluster.run(Duration::from_secs(4));
    assert_eq!(cluster.leader(), Some(1), "for how long another was the best does not count");
    cluster.run(Duration::from_secs(30));
    assert_eq!((cluster.leader(), cluster.nodes[&2].view().term), (Some(2), Epoch(2)));
}

/// Stops writes once in 5, 15, 35, … seconds, not all the time.
#[test]
fn an_heir_that_cannot_lead_is_tried_less_and_less() {
    let mut cluster = with_priorities([1, 1, 2]);
    let mut calls = Vec::new();
    for second in 0..100 {
        let mut called = false;
        cluster.run_but(Duration::from_secs(1), |envelope| {
            called |= is_call(envelope);
            is_call(envelope)
        });
        if called {
            calls.push(second);
        }
    }
    calls.dedup_by(|later, earlier| *later - *earlier <= 1);
    assert_eq!((calls.len(), cluster.leader()), (4, Some(1)), "tried at {calls:?}");
    assert_eq!(cluster.nodes[&1].view().term, Epoch(1));
}

#[test]
fn equal_priorities_move_nothing_and_no_knob_no_takeover() {
    let mut equal = with_priorities([7, 7, 7]);
    equal.run(Duration::from_secs(60));
    assert_eq!((equal.leader(), equal.nodes[&1].view().term), (Some(1), Epoch(1)));
    let logs = [&[][..]; 3];
    let mut off = Cluster::with_logs(0, &logs, |id| {
        let mut config = crate::driver::config(id, 3);
        config.priority_takeover_ms = None;
        config
    });
    off.elect(1);
    let wish = Change::Prioritise { node: NodeId(3), priority: 9 };
    off.at(1, |node| node.change(20, [wish]));
    off.run(Duration::from_secs(60));
    assert_eq!((off.leader(), off.nodes[&1].view().term), (Some(1), Epoch(1)));
}

/// A voter of priority 0 votes, keeps the log, and never campaigns, not when it is called either; and it is
/// never the only one that is left.
#[test]
fn a_node_of_priority_0_never_campaigns() {
    let mut cluster = with_priorities([1, 0, 0]);
    cluster.isolate(&[1]);
    cluster.run(Duration::from_secs(10));
    for id in [2, 3] {
        assert_eq!(cluster.nodes[&id].view().role, Role::Follower);
        cluster.at(id, |node| node.fire(Timer::Election));
        assert_eq!(cluster.nodes[&id].view().role, Role::Follower);
        let last = cluster.nodes[&id].view().last;
        cluster.at(id, |node| node.hear(1, Message::TimeoutNow { term: Epoch(1), last }));
        assert_eq!(cluster.nodes[&id].view().role, Role::Follower);
    }
    cluster.heal();
    cluster.run(Duration::from_secs(2));
    assert_eq!(cluster.leader(), Some(1), "they voted for the one that may");
    cluster.at(1, |node| node.change(21, [remove(2)]));
    cluster.settle();
    cluster.at(1, |node| node.change(22, [remove(3)]));
    cluster.settle();
    let never = Change::Prioritise { node: NodeId(1), priority: 0 };
    cluster.at(1, |node| node.change(23, [never]));
    cluster.settle();
    let nobody = Refusal::BadChange(BadChange::NoVoters);
    assert_eq!(refusal(&cluster.nodes[&1], 23), Some(nobody), "nobody could lead any more");
}

/// Who gets a priority while no leader is heard any more must not wait for one.
#[test]
fn a_priority_that_comes_with_the_last_entries_counts_at_once() {
    let mut cluster = with_priorities([1, 0, 0]);
    let wish = Change::Prioritise { node: NodeId(3), priority: 1 };
    cluster.at(1, |node| node.change(30, [wish]));
    cluster.settle();
    cluster.isolate(&[1]);
    cluster.run(Duration::from_secs(2));
    assert_eq!(cluster.leader(), Some(3));
    cluster.assert_sound();
}
