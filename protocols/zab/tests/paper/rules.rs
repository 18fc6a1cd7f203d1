//! What each rule prevents: the same happens with all rules kept and with one taken out. A planted fault that
//! nothing shows would be a rule that nobody needs, or a test that cannot fail.
//!
//! Most of them are missed by [chaos] within a few seeds; for those that need more than chance a story is
//! told.

use std::time::Duration;

use synod_election::fle::{self, State, Vote};
use synod_engine::{NodeId, Without};
use synod_zab::{Message, Phase, RULES, Timer, Zxid};

use crate::chaos::chaos;
use crate::cluster::{Cluster, Envelope, ZabCluster as _};
use crate::driver::{Node, ZabNode as _, config_with, elected_with};
use crate::words::{Past, promote, remove, says};

const SECOND: Duration = Duration::from_secs(1);

/// Some three hundred are enough at the time of writing, for most rules twenty.
const SEEDS: u64 = 1000;

/// Returns what went wrong.
type Story = fn(Without) -> Option<String>;

/// How it is shown what a rule prevents.
enum Shown {
    /// By what happens by chance.
    Chaos,
    /// By a story, at the end of which this is found.
    Story(&'static str, Story),
}

use Shown::{Chaos, Story as Told};

const SHOWN: [(&str, Shown); 18] = [
    ("accepted_epoch_is_durable", Chaos),
    ("epoch_is_new", Told("two lead epoch 1", two_leaders_choose_the_same_epoch)),
    ("history_newest_leads", Told("Primary Integrity", one_who_missed_it_all_is_elected)),
    ("earlier_leaders_are_left", Told("Prefix Consistency", an_old_leaders_proposal_comes_late)),
    ("trunc_before_diff", Chaos),
    ("sync_never_skips", Chaos),
    ("current_epoch_after_history", Chaos),
    ("newleader_ack_after_sync_durable", Chaos),
    ("proposals_before_newleader_wait", Chaos),
    ("proposals_are_durable", Chaos),
    ("commit_after_quorum", Chaos),
    ("commit_in_order", Chaos),
    ("read_is_confirmed", Told("a stale read at 1", a_deposed_leader_is_asked)),
    ("read_answer_is_fresh", Told("a stale read at 1", an_answer_comes_late)),
    (
        "established_before_change",
        Told("Primary Integrity", members_change_in_the_middle_of_a_synchronisation),
    ),
    ("one_change_at_a_time", Told("Primary Integrity", two_changes_at_once)),
    ("both_majorities", Told("Primary Integrity", the_old_majority_is_not_asked)),
    ("forwarded_once", Chaos),
];

#[test]
fn every_rule_prevents_what_happens_without_it() {
    assert_eq!(SHOWN.map(|(rule, _)| rule), RULES, "each rule is shown");
    for (rule, shown) in SHOWN {
        let without = Without::named(RULES, &[rule]).unwrap();
        let (expected, found) = match shown {
            Chaos => ("", (0..SEEDS).find_map(|seed| chaos(seed, 6000, without).found())),
            Told(expected, story) => {
                assert_eq!(story(Without::default()), None, "with all rules kept: {rule}");
                (expected, story(without))
            }
        };
        let found = found.unwrap_or_else(|| panic!("nothing happens without {rule}"));
        assert!(found.starts_with(expected), "without {rule}: {found}");
    }
}

fn cluster(nodes: u64, rules: Without) -> Cluster<Without> {
    Cluster::with(&vec![Past::default(); nodes as usize], |id| config_with(id, nodes, rules))
}

/// Node 3 of three leads, is cut off, and does not know that 2 leads by now.
fn depose(cluster: &mut Cluster<Without>) {
    cluster.isolate(&[3]);
    let is_led = |cluster: &mut Cluster<Without>| {
        let view = cluster.nodes[&1].view();
        (view.phase, view.leader) == (Phase::Broadcast, Some(NodeId(2)))
    };
    assert!(cluster.run_until(is_led), "{}", cluster.picture());
    cluster.settle();
}

/// Two nodes are elected, each by its own, and both hear first of an epoch 0.
fn two_leaders_choose_the_same_epoch(rules: Without) -> Option<String> {
    let mut voter = Node::lived_with(3, 3, &Past::default(), rules);
    let mut epochs = Vec::new();
    for id in [1, 2] {
        let mut rival = elected_with(id, 3, &Past::default(), rules);
        // It has asked before the voter accepted the epoch of the first.
        rival.hear(3, Message::FollowerInfo { accepted: synod_consensus::Epoch(0) });
        voter.follow(id);
        // Phase 1 only: whoever takes over a history would not follow the second.
        let asks = |rival: &mut Node<Without>| {
            let mut asked = rival.said_to(3).into_iter();
            asked.rfind(|message| matches!(message, Message::NewEpoch { .. }))
        };
        while let Some(asked) = asks(&mut rival) {
            for answer in voter.answer(id, asked) {
                rival.hear(3, answer);
            }
        }
        assert_eq!(rival.view().phase, Phase::Synchronisation, "{}", rival.view());
        epochs.push(rival.view().current);
    }
    (epochs[0] == epochs[1]).then(|| format!("two lead epoch {}", epochs[0]))
}

/// Every vote is counted for node 3, which lacks what the others have committed. The election is a
/// suggestion; discovery turns it down, and in the end the right one leads.
fn one_who_missed_it_all_is_elected(rules: Without) -> Option<String> {
    let mut cluster = cluster(3, rules);
    cluster.isolate(&[3]);
    assert_eq!(cluster.establish(), 2);
    cluster.write(1, "x");
    (1..=3).for_each(|id| cluster.crash(id));
    cluster.heal();
    [1, 3].into_iter().for_each(|id| cluster.restart(id));
    cluster.network.clear();
    let vote = Vote { epoch: 0, zxid: Zxid::ZERO, leader: NodeId(3) };
    cluster.at(3, |node| node.hear(1, says(State::Looking, vote)));
    cluster.at(3, |node| node.fire(Timer::Election(fle::Timer::Finalize)));
    cluster.at(1, |node| node.follow(3));
    cluster.establish();
    cluster.found()
}

/// What an old leader proposed arrives at a follower that has a new one, and is taken for an acknowledgement
/// of what that one proposed.
fn an_old_leaders_proposal_comes_late(rules: Without) -> Option<String> {
    let mut cluster = cluster(3, rules);
    assert_eq!(cluster.establish(), 3);
    cluster.at(3, |node| node.propose(1, "old"));
    let is_late = |envelope: &Envelope| {
        envelope.to == 1 && matches!(envelope.message, Message::Propose { .. })
    };
    let late = cluster.network.iter().find(|envelope| is_late(envelope)).cloned();
    depose(&mut cluster);
    cluster.at(2, |node| node.propose(2, "new"));
    cluster.network.clear();
    cluster.network.extend(late);
    cluster.settle();
    // The new leader dies before its own proposal reached anybody.
    cluster.crash(2);
    cluster.heal();
    cluster.establish();
    cluster.write(3, "next");
    cluster.found()
}

/// A leader that sleeps does not know that another leads by now.
fn a_deposed_leader_is_asked(rules: Without) -> Option<String> {
    let mut cluster = cluster(3, rules);
    assert_eq!(cluster.establish(), 3);
    cluster.write(1, "x");
    depose(&mut cluster);
    cluster.at(2, |node| node.propose(2, "y"));
    cluster.settle();
    assert_eq!(cluster.commits(), [2, 2, 1]);
    cluster.at(3, |node| node.read(3));
    cluster.nodes[&3].ready_at(3).map(|index| format!("a stale read at {index}"))
}

/// An answer to an earlier question comes again, after a later write.
fn an_answer_comes_late(rules: Without) -> Option<String> {
    let mut cluster = cluster(3, rules);
    assert_eq!(cluster.establish(), 3);
    cluster.write(1, "x");
    cluster.at(1, |node| node.read(2));
    let mut late = Vec::new();
    cluster.settle_but(|envelope| {
        if let Message::SyncReply { .. } = &envelope.message {
            late.push(envelope.clone());
        }
        false
    });
    assert_eq!(cluster.nodes[&1].ready_at(2), Some(1));
    cluster.at(3, |node| node.propose(3, "y"));
    cluster.settle_but(|envelope| envelope.to == 1);
    assert_eq!(cluster.nodes[&3].view().commit.0, 2);
    cluster.at(1, |node| node.read(4));
    cluster.network.clear();
    cluster.network.extend(late);
    cluster.settle();
    cluster.nodes[&1].ready_at(4).map(|index| format!("a stale read at {index}"))
}

/// The last of so many voters leads, and so many observers more have all that it has.
fn group(voters: u64, observers: u64, rules: Without) -> Cluster<Without> {
    let mut cluster = cluster(voters, rules);
    assert_eq!(cluster.establish(), voters);
    for id in voters + 1..=voters + observers {
        let mut config = config_with(id, id, rules);
        config.part.initial_voters = None;
        cluster.join(id, config);
    }
    cluster
}

/// Ongaro's bug of 2015, for ZAB: a change of a leader that came to nothing, and one of the next in the
/// middle of its synchronisation. The majorities of the two do not meet.
fn members_change_in_the_middle_of_a_synchronisation(rules: Without) -> Option<String> {
    let mut cluster = group(4, 1, rules);
    cluster.isolate(&[4, 5]);
    cluster.at(4, |node| node.change(50, [promote(5)]));
    cluster.settle();
    let is_phase_2 = |envelope: &Envelope| {
        envelope.from == 3
            && matches!(
                envelope.message,
                Message::Diff { .. } | Message::Propose { .. } | Message::NewLeader { .. }
            )
    };
    let leads = |cluster: &mut Cluster<Without>| {
        let view = cluster.nodes[&3].view();
        (view.phase, view.leader) == (Phase::Synchronisation, Some(NodeId(3)))
    };
    assert!(cluster.run_until_but(is_phase_2, leads), "{}", cluster.picture());
    cluster.isolate(&[2, 3]);
    cluster.at(3, |node| node.change(51, [remove(4)]));
    cluster.run_but(SECOND / 4, |_| false);
    cluster.heal();
    cluster.isolate(&[2, 3]);
    for id in [1, 5] {
        cluster.at(id, |node| node.follow(4));
    }
    cluster.settle();
    cluster.at(4, |node| node.wins(&[1, 5]));
    cluster.run(5 * SECOND);
    cluster.found()
}

/// Two promotions in a row: the new majority and the old one do not meet.
fn two_changes_at_once(rules: Without) -> Option<String> {
    let mut cluster = group(3, 2, rules);
    cluster.isolate(&[3, 4, 5]);
    cluster.at(3, |node| {
        node.change(50, [promote(4)]);
        node.change(51, [promote(5)]);
    });
    cluster.settle();
    cluster.run(5 * SECOND);
    cluster.found()
}

/// A whole new majority, and the old one that was not asked.
fn the_old_majority_is_not_asked(rules: Without) -> Option<String> {
    let mut cluster = group(3, 2, rules);
    cluster.isolate(&[3, 4, 5]);
    cluster.at(3, |node| node.change(50, [promote(4), promote(5), remove(1), remove(2)]));
    cluster.settle();
    cluster.run(5 * SECOND);
    cluster.found()
}
