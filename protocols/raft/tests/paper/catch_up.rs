//! A node whose log is behind catches up before it campaigns again: where plain Raft cannot elect anyone
//! (Omni-Paxos, the constrained shape), a leader is found. The proof is in the module `catch_up`.

use std::time::Duration;

use synod_consensus::{Batch, Change, Epoch, Index, Role};
use synod_engine::{NodeId, Sound, Without};
use synod_raft::{EntryId, Message, Rules, Timer};

use crate::cluster::{Cluster, Envelope, Founded as _, RaftCluster as _};
use crate::driver::{
    Disk, RaftNode as _, Whole as _, append, batches, config, config_with, entry, heartbeat,
};
use crate::membership::group;

const LONG: Duration = Duration::from_secs(5);

fn pulled(term: u64, previous: EntryId, entries: Vec<Batch>, last: EntryId) -> Message {
    Message::Pulled { term: Epoch(term), previous, entries, last }
}

fn is_pulled(envelope: &Envelope) -> bool {
    matches!(envelope.message, Message::Pulled { .. })
}

/// Everyone hears `hub`, and nobody else hears anybody.
fn star<R: Rules>(cluster: &mut Cluster<R>, hub: u64) {
    let ids: Vec<u64> = cluster.nodes.keys().copied().collect();
    for a in &ids {
        let others = ids.iter().filter(|b| **b != *a && *a != hub && **b != hub);
        cluster.cut.extend(others.map(|b| (*a, *b)));
    }
}

/// The constrained shape: 1, 2, 3 and 4 went on while 5 was away; then 1 died, and all hear 5 only.
fn constrained(logs: &[&[u64]], term: u64, max_append_bytes: usize) -> Cluster {
    let voters = logs.len() as u64;
    let mut cluster = Cluster::with_logs(term, logs, |id| {
        let mut config = config(id, voters);
        config.bounds.max_append_bytes = max_append_bytes;
        config
    });
    star(&mut cluster, 5);
    cluster.isolate(&[1]);
    cluster
}

#[test]
fn the_only_node_that_is_heard_catches_up_and_leads() {
    let mut cluster =
        constrained(&[&[1, 1, 1], &[1, 1, 1], &[1, 1, 1], &[1, 1, 1], &[1]], 1, 1 << 20);
    cluster.run(LONG);
    assert_eq!(cluster.leader(), Some(5));
    assert_eq!(cluster.nodes[&5].terms()[..3], [1, 1, 1]);
    assert!(cluster.nodes[&5].view().term <= Epoch(3), "terms do not run away");
    assert_eq!(cluster.commits()[1..], [4; 4]);
    cluster.assert_sound();
}

/// What it lacks comes in pieces, some of which are lost, and it may crash after any of them.
#[test]
fn a_log_is_pulled_piece_by_piece_over_losses_and_crashes() {
    let better: &[u64] = &[1, 1, 2, 2, 2, 4, 4];
    let mut cluster = constrained(&[better, better, better, better, &[1, 1, 1, 1, 3]], 4, 1);
    let mut pieces = 0;
    for _ in 0..10 {
        let before = pieces;
        cluster.run_but(Duration::from_millis(700), |envelope| {
            pieces += u32::from(is_pulled(envelope));
            is_pulled(envelope) && pieces > before + 3
        });
        if cluster.leader().is_none() {
            cluster.reboot(5);
        }
        cluster.assert_sound();
    }
    assert!(pieces >= 7, "one entry each: {pieces}");
    assert_eq!(cluster.leader(), Some(5));
    assert_eq!(cluster.nodes[&5].terms()[..7], *better);
}

/// It takes the best log that it finds, and what of its own departs from that is gone.
#[test]
fn the_best_of_the_better_logs_is_taken() {
    let logs: &[&[u64]] =
        &[&[1, 1, 2, 2], &[1, 1, 2], &[1, 1, 2, 2], &[1, 1, 1, 1, 1, 1], &[1, 1, 1]];
    let mut cluster = constrained(logs, 2, 1 << 20);
    cluster.run(LONG);
    assert_eq!(cluster.leader(), Some(5));
    assert_eq!(cluster.nodes[&5].terms()[..4], [1, 1, 2, 2]);
    cluster.assert_sound();
}

/// While a leader is heard nobody serves a pull, and nobody takes one in.
#[test]
fn nothing_is_pulled_where_there_is_a_leader() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.settle();
    cluster.beat(1);
    let zero = entry(0, 0);
    let ask = |term| Message::Pull { term: Epoch(term), last: zero, shared: zero };
    for id in [1, 2] {
        let before = cluster.nodes[&id].view();
        for term in [1, 9] {
            assert_eq!(cluster.node(id).answer(3, ask(term)), []);
        }
        assert_eq!(cluster.nodes[&id].view(), before, "nor does its term rise");
    }
    let piece = pulled(1, entry(2, 1), batches(3, &[1]), entry(3, 1));
    let before = cluster.nodes[&2].view();
    cluster.node(2).hear(3, piece);
    assert_eq!(cluster.nodes[&2].view(), before);
    cluster.node(2).wait(Duration::from_secs(1));
    let answer = cluster.node(2).answer(3, ask(1));
    assert!(matches!(&answer[..], [Message::Pulled { last, .. }] if *last == entry(2, 1)));
}

/// A piece acknowledges nothing, is durable before it is campaigned with, and counts for a log that is
/// behind and for no other.
#[test]
fn a_piece_counts_only_for_a_log_that_is_behind() {
    let mut node = crate::driver::Node::with_log(1, 3, 3, &[1, 1, 3]);
    node.fire(Timer::Election);
    node.sent.clear();
    let before = node.view();
    let first = entry(1, 1);
    let useless = [
        pulled(3, first, batches(2, &[2]), entry(2, 2)),
        pulled(3, first, batches(2, &[1, 1]), entry(9, 2)),
        pulled(2, first, batches(2, &[4]), entry(2, 4)),
        pulled(3, entry(3, 2), batches(4, &[3]), entry(4, 3)),
        pulled(3, entry(5, 3), batches(6, &[3]), entry(6, 3)),
        pulled(3, first, vec![], entry(4, 3)),
        pulled(3, first, batches(3, &[3]), entry(4, 3)),
        pulled(3, first, batches(2, &[3, 3]), entry(2, 3)),
    ];
    for message in useless {
        node.hear(2, message.clone());
        assert_eq!((node.view(), &node.sent[..]), (before.clone(), &[][..]), "{message}");
    }
    node.disk = Disk::Manual;
    node.hear(2, pulled(3, entry(2, 1), batches(3, &[2, 3, 3]), entry(5, 3)));
    assert_eq!(node.terms(), [1, 1, 2, 3, 3]);
    let is_pre_vote = |(_, message): &(NodeId, Message)| matches!(message, Message::PreVote { .. });
    assert!(node.sent.iter().all(is_pre_vote), "{:?}", node.sent);
    node.sync();
    assert!(node.sent.iter().all(is_pre_vote), "{:?}", node.sent);
    node.reboot();
    assert_eq!(node.terms(), [1, 1, 2, 3, 3]);
}

/// What is committed is never cut, whatever a peer sends.
#[test]
fn a_piece_that_contradicts_what_is_committed_is_ignored() {
    let mut node = crate::driver::Node::with_log(1, 3, 3, &[1, 1]);
    node.hear(2, append(3, entry(2, 1), &[3], 3));
    assert_eq!(node.view().commit.0, 3);
    node.fire(Timer::Election);
    node.hear(3, pulled(3, entry(2, 1), batches(3, &[2, 3]), entry(4, 3)));
    assert_eq!(node.terms(), [1, 1, 3]);
}

/// A leader that comes up meanwhile counts, and what is still on its way does not.
#[test]
fn a_pull_ends_when_a_leader_is_heard() {
    let mut node = crate::driver::Node::with_log(1, 3, 3, &[1]);
    node.fire(Timer::Election);
    node.hear(2, heartbeat(3, 0));
    node.hear(3, pulled(3, entry(1, 1), batches(2, &[2]), entry(2, 2)));
    assert_eq!(node.terms(), [1]);
    node.hear(2, append(3, entry(1, 1), &[3], 0));
    assert_eq!(node.terms(), [1, 3]);
}

fn group_where_2_never_leads() -> Cluster<Sound> {
    let mut cluster = group(3, 0, Sound);
    let wish = Change::Prioritise { node: NodeId(2), priority: 0 };
    cluster.at(1, |node| node.change(20, [wish]));
    cluster.settle();
    cluster
}

/// The only up-to-date node may not lead: another one takes over what it has.
#[test]
fn what_only_a_node_of_priority_0_has_is_not_lost_and_stops_nobody() {
    let mut cluster = group_where_2_never_leads();
    cluster.isolate(&[3]);
    cluster.at(1, |node| node.propose(21, "x"));
    cluster.settle();
    assert_eq!(cluster.commits(), [3, 3, 2]);
    cluster.heal();
    cluster.isolate(&[1]);
    cluster.run(LONG);
    assert_eq!(cluster.leader(), Some(3));
    assert_eq!(cluster.commits()[1..], [4, 4]);
    cluster.assert_sound();
}

/// The same, where it has not heard yet that the terms went on.
#[test]
fn a_node_of_priority_0_in_an_earlier_term_is_pulled_from() {
    let mut cluster = group_where_2_never_leads();
    cluster.beat(1);
    cluster.isolate(&[3]);
    cluster.at(1, |node| node.propose(21, "x"));
    cluster.settle();
    // Node 1 restarts, gets the vote of 3, and dies before it leads; 2 hears nothing of that.
    cluster.heal();
    cluster.isolate(&[2]);
    cluster.reboot(1);
    cluster.nodes.values_mut().for_each(|node| node.wait(Duration::from_secs(1)));
    cluster.at(1, |node| node.fire(Timer::Election));
    cluster.settle_but(|envelope| matches!(envelope.message, Message::VoteReply { .. }));
    assert_eq!([2, 3].map(|id| cluster.nodes[&id].view().term.0), [1, 2]);
    cluster.heal();
    cluster.isolate(&[1]);
    cluster.run(LONG);
    assert_eq!(cluster.leader(), Some(3));
    assert_eq!(cluster.commits()[1..], [4, 4]);
    cluster.assert_sound();
}

/// A healthy group never pulls: whoever's log is good campaigns a moment later.
#[test]
fn nobody_pulls_where_a_good_candidate_is_heard() {
    let mut cluster = Cluster::with_logs(1, &[&[1, 1], &[1, 1], &[1]], |id| config(id, 3));
    let mut pulls = 0;
    cluster.isolate(&[1]);
    cluster.at(3, |node| node.fire(Timer::Election));
    cluster.run_but(LONG, |envelope| {
        pulls += u32::from(is_pulled(envelope));
        false
    });
    assert_eq!((cluster.leader(), pulls), (Some(2), 0));
    assert_eq!(cluster.nodes[&2].view().role, Role::Leader);
}

/// The rule's story. Before it hears of the new leader 1, node 3 pulls from 2, whose log is better. The
/// piece is late: 3 has followed 1 meanwhile, who counted it for an entry that the piece would cut.
pub(crate) fn a_piece_comes_late(rules: Without) -> Option<String> {
    let logs: &[&[u64]] = &[&[1], &[1, 2], &[1]];
    let mut cluster = Cluster::with_logs(2, logs, |id| config_with(id, 3, rules));
    let piece = pulled(3, entry(1, 1), batches(2, &[2]), entry(2, 2));
    cluster.isolate(&[2]);
    cluster.elect_but(1, |envelope| matches!(envelope.message, Message::Heartbeat { .. }));
    assert_eq!(cluster.commits(), [2, 0, 0]);
    cluster.heal();
    cluster.isolate(&[1]);
    cluster.at(3, |node| {
        node.fire(Timer::Election);
        node.hear(2, piece);
    });
    let violation = cluster.violation.as_ref()?;
    Some(format!("{}: {}", violation.invariant, violation.detail))
}

/// Node 1 leads term 3 and brings 4 up to date as far as entry 6 of term 1. Then 4 and 5 are cut off together,
/// and 4 pulls another entry 6, of term 2, while 1 commits its own with 2 and 3. Then all hear all again.
fn pulled_what_was_acknowledged<R: Rules>(rules: R) -> Cluster<R> {
    let logs: &[&[u64]] = &[&[1; 8], &[1; 4], &[1; 4], &[1; 3], &[1, 1, 1, 1, 1, 2]];
    let mut cluster = Cluster::with_logs(2, logs, |id| {
        let mut config = config_with(id, 5, rules);
        config.bounds.max_append_bytes = 1;
        config
    });
    cluster.isolate(&[5]);
    let last = |envelope: &Envelope| match &envelope.message {
        Message::Append { entries: Some(entries), .. } => Some(entries.last().0),
        _ => None,
    };
    let mut probed = false;
    cluster.elect_but(1, |envelope| {
        let is_late = last(envelope).is_some_and(|last| last > 6);
        let is_lost = if envelope.to == 4 { is_late && probed } else { last(envelope).is_some() };
        probed |= envelope.to == 4 && is_late;
        is_lost
    });
    assert_eq!(cluster.nodes[&4].terms(), [1; 6]);
    cluster.heal();
    cluster.isolate(&[4, 5]);
    cluster.run(LONG);
    assert_eq!((cluster.leader(), cluster.nodes[&1].view().commit), (Some(1), Index(9)));
    assert_eq!(cluster.nodes[&4].terms(), [1, 1, 1, 1, 1, 2]);
    cluster.heal();
    cluster
}

/// The rule's story. Node 1 believes that the log of 4 is still its own up to entry 6, and says so.
pub(crate) fn a_leader_lives_on_while_its_follower_pulls(rules: Without) -> Option<String> {
    let mut cluster = pulled_what_was_acknowledged(rules);
    cluster.at(1, |node| node.fire(Timer::Heartbeat));
    cluster.settle();
    let violation = cluster.violation.as_ref()?;
    Some(format!("{}: {}", violation.invariant, violation.detail))
}

/// Its leader is not heard any more, and the next one finds where their logs depart.
#[test]
fn a_log_that_cut_what_it_acknowledged_is_repaired() {
    let mut cluster = pulled_what_was_acknowledged(Sound);
    assert_eq!(cluster.sometimes.count("a pull cut entries"), 1);
    assert_eq!(cluster.nodes[&4].view().commit, Index(0));
    cluster.run(LONG);
    for node in cluster.nodes.values() {
        assert_eq!(node.terms()[..9], [1, 1, 1, 1, 1, 1, 1, 1, 3], "{}", node.view());
    }
    cluster.assert_sound();
}
