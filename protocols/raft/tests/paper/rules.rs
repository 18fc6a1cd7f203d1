//! What each rule prevents: the same story is told with all rules kept and with one taken out. A
//! planted fault that no story shows would be a rule that nobody needs, or a test that cannot fail.

use std::time::Duration;

use synod_consensus::{Epoch, Event};
use synod_engine::{Input, Without};
use synod_raft::{Message, RULES, Timer};

use crate::cluster::{Cluster, Envelope, RaftCluster as _};
use crate::driver::{Disk, append, config_with, entry, matches, vote, vote_reply};
use crate::{catch_up, forwarding, leases, membership};

/// Returns what went wrong.
type Story = fn(Without) -> Option<String>;

const STORIES: [(&str, &str, Story); 21] = [
    ("vote_is_durable", "One Vote Per Term", a_voter_crashes_and_is_asked_by_another),
    ("one_vote_per_term", "One Vote Per Term", two_candidates_ask_the_same_voter),
    ("vote_for_up_to_date_log", "Leader Completeness", one_who_missed_it_all_campaigns),
    ("entries_are_durable", "Leader Completeness", a_follower_crashes_before_its_disk_is_done),
    ("consistency_check", "Log Matching", entries_come_after_ones_that_differ),
    ("own_term_commit", "Leader Completeness", figure_8),
    ("replies_are_of_this_term", "Election Safety", a_vote_arrives_an_election_late),
    ("read_is_confirmed", "a stale read at 1", a_deposed_leader_is_asked),
    ("read_after_own_commit", "a stale read at 0", a_new_leader_is_asked_at_once),
    ("read_answer_is_fresh", "a stale read at 1", an_answer_comes_a_life_late),
    ("promise_is_kept", "a stale read at 1", leases::voters_lose_their_links),
    ("promise_outlives_restart", "a stale read at 1", leases::voters_start_again),
    ("lease_counts_from_send", "a stale read at 1", leases::promises_arrive_late),
    ("lease_allows_for_drift", "a stale read at 1", leases::a_leader_has_a_slow_clock),
    ("handover_ends_lease", "a stale read at 1", leases::a_successor_takes_over),
    ("noop_before_change", "Leader Completeness", membership::the_single_server_bug_of_2015),
    ("one_change_at_a_time", "Leader Completeness", membership::two_changes_at_once),
    ("catch_up_on_better_log_only", "Committed Entries Stay", catch_up::a_piece_comes_late),
    (
        "new_term_before_cut",
        "State Machine Safety",
        catch_up::a_leader_lives_on_while_its_follower_pulls,
    ),
    ("forwarded_once", "applied 3 times", forwarding::a_forward_is_doubled),
    ("both_majorities", "Leader Completeness", membership::the_old_majority_is_not_asked),
];

#[test]
fn every_rule_prevents_what_its_story_tells() {
    assert_eq!(STORIES.map(|(rule, ..)| rule), RULES, "each rule has its story");
    for (rule, expected, story) in STORIES {
        assert_eq!(story(Without::default()), None, "with all rules kept: {rule}");
        let without = Without::named(RULES, &[rule]).unwrap();
        let found = story(without).unwrap_or_else(|| panic!("nothing happens without {rule}"));
        assert!(found.starts_with(expected), "without {rule}: {found}");
    }
}

fn cluster(rules: Without, term: u64, logs: &[&[u64]]) -> Cluster<Without> {
    let voters = logs.len() as u64;
    Cluster::with_logs(term, logs, |id| config_with(id, voters, rules))
}

fn violation(cluster: &Cluster<Without>) -> Option<String> {
    cluster
        .violation
        .as_ref()
        .map(|violation| format!("{}: {}", violation.invariant, violation.detail))
}

/// Brings the pre-vote of node `id` to its end and leaves its requests for votes on the network.
fn ask_for_votes(cluster: &mut Cluster<Without>, id: u64) {
    cluster.at(id, |node| node.wait(Duration::from_secs(1)));
    cluster.input(id, Input::Timer(Timer::Election));
    while let Some(place) = cluster.network.iter().position(is_pre_vote) {
        cluster.deliver(place);
    }
}

fn is_pre_vote(envelope: &Envelope) -> bool {
    matches!(envelope.message, Message::PreVote { .. } | Message::PreVoteReply { .. })
}

fn a_voter_crashes_and_is_asked_by_another(rules: Without) -> Option<String> {
    let mut cluster = cluster(rules, 0, &[&[], &[], &[]]);
    cluster.at(2, |node| node.hear(1, vote(1, entry(0, 0))));
    cluster.reboot(2);
    cluster.at(2, |node| node.hear(3, vote(1, entry(0, 0))));
    violation(&cluster)
}

fn two_candidates_ask_the_same_voter(rules: Without) -> Option<String> {
    let mut cluster = cluster(rules, 0, &[&[], &[], &[]]);
    cluster.at(2, |node| node.hear(1, vote(1, entry(0, 0))));
    cluster.at(2, |node| node.hear(3, vote(1, entry(0, 0))));
    violation(&cluster)
}

fn one_who_missed_it_all_campaigns(rules: Without) -> Option<String> {
    let mut cluster = cluster(rules, 0, &[&[], &[], &[]]);
    cluster.isolate(&[3]);
    cluster.elect(1);
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.settle();
    assert_eq!(cluster.commits(), [2, 2, 0]);
    cluster.heal();
    cluster.isolate(&[1]);
    cluster.at(3, |node| node.hear(2, vote_reply(1, false)));
    ask_for_votes(&mut cluster, 3);
    cluster.settle();
    violation(&cluster)
}

fn a_follower_crashes_before_its_disk_is_done(rules: Without) -> Option<String> {
    let mut cluster = cluster(rules, 0, &[&[], &[], &[]]);
    cluster.elect(1);
    cluster.isolate(&[3]);
    cluster.node(2).disk = Disk::Manual;
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.settle();
    cluster.reboot(2);
    cluster.heal();
    cluster.isolate(&[1]);
    cluster.node(2).disk = Disk::Instant;
    ask_for_votes(&mut cluster, 3);
    cluster.settle();
    violation(&cluster)
}

fn entries_come_after_ones_that_differ(rules: Without) -> Option<String> {
    let mut cluster = cluster(rules, 3, &[&[1, 3], &[1, 3], &[1, 2]]);
    cluster.elect(1);
    violation(&cluster)
}

/// Figure 8 from (c) to (d).
fn figure_8(rules: Without) -> Option<String> {
    let mut cluster = cluster(rules, 3, &[&[1, 2], &[1, 2], &[1], &[1], &[1, 3]]);
    cluster.isolate(&[4, 5]);
    cluster.at(4, |node| node.hear(5, vote_reply(3, false)));
    cluster.input(1, Input::Timer(Timer::Election));
    let answer = Message::PreVoteReply { term: Epoch(4), granted: true, better: None };
    cluster.at(1, |node| {
        node.hear(4, answer.clone());
        node.hear(5, answer);
        node.hear(4, vote_reply(4, true));
        node.hear(5, vote_reply(4, true));
    });
    cluster.network.clear();
    cluster.at(1, |node| node.hear(2, matches(4, 2)));
    cluster.at(3, |node| node.hear(1, append(4, entry(1, 1), &[2], 0)));
    cluster.settle_but(|envelope| envelope.from == 1);
    cluster.heal();
    cluster.isolate(&[1]);
    cluster.at(5, |node| node.hear(4, vote_reply(4, false)));
    ask_for_votes(&mut cluster, 5);
    cluster.settle();
    violation(&cluster)
}

fn a_vote_arrives_an_election_late(rules: Without) -> Option<String> {
    let mut cluster = cluster(rules, 0, &[&[], &[], &[]]);
    ask_for_votes(&mut cluster, 1);
    cluster.network.retain(|envelope| envelope.to == 2);
    cluster.deliver(0);
    let late = cluster.network.pop().expect("a vote of term 1");
    assert_eq!((late.to, late.message.clone()), (1, vote_reply(1, true)));
    ask_for_votes(&mut cluster, 1);
    cluster.network.clear();
    cluster.isolate(&[1]);
    cluster.at(3, |node| node.hear(2, vote_reply(1, false)));
    ask_for_votes(&mut cluster, 3);
    cluster.settle();
    cluster.at(1, |node| node.hear(2, late.message));
    violation(&cluster)
}

/// The index at which some read of node `id` is ready.
pub(crate) fn read_index(cluster: &Cluster<Without>, id: u64) -> Option<u64> {
    cluster.nodes[&id].events.iter().find_map(|event| match event {
        Event::ReadReady { index, .. } => Some(index.0),
        _ => None,
    })
}

fn a_deposed_leader_is_asked(rules: Without) -> Option<String> {
    let mut cluster = cluster(rules, 0, &[&[], &[], &[]]);
    cluster.elect(1);
    cluster.isolate(&[1]);
    cluster.elect(2);
    cluster.at(2, |node| node.propose(1, "x"));
    cluster.settle();
    assert_eq!(cluster.commits(), [1, 3, 3]);
    cluster.at(1, |node| node.read(7));
    let index = read_index(&cluster, 1)?;
    Some(format!("a stale read at {index}, and 3 was committed"))
}

fn an_answer_comes_a_life_late(rules: Without) -> Option<String> {
    let mut cluster = cluster(rules, 0, &[&[], &[], &[]]);
    cluster.elect(1);
    cluster.at(2, |node| node.read(6));
    let mut late = Vec::new();
    cluster.settle_but(|envelope| {
        let is_answer = matches!(envelope.message, Message::ReadIndexReply { .. });
        late.extend(is_answer.then(|| envelope.message.clone()));
        is_answer
    });
    cluster.reboot(2);
    cluster.at(1, |node| node.fire(Timer::Heartbeat));
    cluster.settle();
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.settle_but(|envelope| envelope.to == 2);
    assert_eq!(cluster.commits(), [2, 1, 2]);
    cluster.at(2, |node| node.read(7));
    cluster.at(2, |node| node.hear(1, late.pop().expect("an answer to the earlier life")));
    let index = read_index(&cluster, 2)?;
    Some(format!("a stale read at {index}, and 2 was committed"))
}

fn a_new_leader_is_asked_at_once(rules: Without) -> Option<String> {
    let mut cluster = cluster(rules, 0, &[&[], &[], &[]]);
    cluster.elect(1);
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.settle();
    cluster.reboot(2);
    cluster.isolate(&[1]);
    ask_for_votes(&mut cluster, 2);
    cluster.settle_but(|envelope| matches!(envelope.message, Message::AppendReply { .. }));
    cluster.at(2, |node| node.read(7));
    cluster.at(2, |node| {
        node.hear(3, Message::HeartbeatReply { term: Epoch(2), round: 1, promise_ms: 0 });
    });
    let index = read_index(&cluster, 2)?;
    Some(format!("a stale read at {index}, and 2 was committed"))
}
