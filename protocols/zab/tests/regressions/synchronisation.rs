//! What happens to a follower while it takes over its leader's history.

use std::time::Duration;

use synod_engine::Without;
use synod_stage::OldLog;
use synod_zab::{Message, Phase, RULES, Record};

use crate::cluster::{Cluster, Envelope, Founded as _, ZabCluster as _};
use crate::driver::{Disk, called, config, config_with};
use crate::words::{Past, ack_new_leader, diff, entry, new_leader, propose, took_part};

const SECOND: Duration = Duration::from_secs(1);

/// ZOOKEEPER-3911, 4785 (pull requests 1445, 2111): a follower acknowledges NEWLEADER while the proposals
/// of the DIFF before it are still on their way to its disk. Were it to crash, what the leader takes for
/// committed would be gone.
#[test]
fn newleader_is_not_acknowledged_before_the_diff_is_durable() {
    let mut node = called();
    node.disk = Disk::Manual;
    node.hear(2, diff(2, entry(0, 0)));
    node.hear(2, propose(2, entry(0, 0), &[1, 1], 0));
    node.hear(2, propose(2, entry(2, 1), &[1], 0));
    node.hear(2, new_leader(2, entry(3, 1)));
    let mut said = node.said_to(2).contains(&ack_new_leader(2, 3));
    assert!(!said, "nothing is durable yet");
    while node.durable_records().len() < node.records.len() {
        node.sync_one();
        said |= node.said_to(2).contains(&ack_new_leader(2, 3));
        let down = node.rebuilt().log().last();
        let current = synod_engine::Engine::view(&node.rebuilt()).current.0;
        assert!(!said || (down, current) == (entry(3, 1), 2), "{down}, current {current}");
    }
    assert!(said, "once it is durable");
}

/// The same as a story of three: the leader counts on what a follower then loses.
#[test]
fn what_a_leader_established_on_is_not_lost_with_a_follower() {
    fn story(rules: Without) -> Option<String> {
        let pasts = [Past::default(), Past::default(), took_part(&[1, 1])];
        let mut cluster = Cluster::keeping(rules, &pasts);
        cluster.isolate(&[1]);
        assert!(cluster.run_until(|it| it.nodes[&2].view().phase == Phase::Synchronisation));
        cluster.node(2).disk = Disk::Manual;
        cluster.run(SECOND / 5);
        cluster.crash(2);
        cluster.crash(3);
        cluster.heal();
        cluster.node(2).disk = Disk::Instant;
        cluster.restart(2);
        cluster.establish();
        cluster.write(1, "x");
        cluster.restart(3);
        cluster.run(5 * SECOND);
        cluster.found()
    }
    assert_eq!(story(Without::default()), None);
    let rules = Without::named(RULES, &["newleader_ack_after_sync_durable"]).unwrap();
    assert!(story(rules).is_some(), "nobody misses the rule");
}

/// Three nodes: 3 leads and has compacted what it committed with 2 while 1 was cut off.
fn one_behind(entries: u64, snapshot: u64) -> Cluster {
    let mut cluster = Cluster::with(&[Past::default(), Past::default(), Past::default()], |id| {
        let mut config = config(id, 3);
        (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (snapshot, 0);
        config
    });
    cluster.isolate(&[1]);
    assert_eq!(cluster.establish(), 3);
    (0..entries).for_each(|token| cluster.write(token, "x"));
    for id in [2, 3] {
        cluster.at(id, |node| node.compact(snapshot));
    }
    cluster
}

fn is_snap(envelope: &Envelope) -> bool {
    matches!(envelope.message, Message::Snap { .. })
}

/// ZOOKEEPER-3642: a follower takes a SNAP, which is not on its disk yet, and its leader dies before
/// NEWLEADER. The next leader finds that a DIFF will do. The follower acknowledges, restarts, and lacks
/// what the snapshot held.
#[test]
fn a_snapshot_of_a_leader_that_died_is_there_after_a_diff_of_the_next_and_a_restart() {
    let mut cluster = one_behind(12, 10);
    cluster.heal();
    assert!(cluster.run_until(|cluster| cluster.network.first().is_some_and(is_snap)));
    cluster.deliver(0);
    let is_installed = |record: &Record| matches!(record, Record::Checkpoint(checkpoint) if checkpoint.snapshot.is_some());
    assert!(cluster.nodes[&1].durable_records().iter().any(is_installed), "durable at once");
    assert_eq!(cluster.nodes[&1].view().last.0, 10);
    cluster.crash(3);
    let (mut diffs, mut snaps) = (0, 0);
    cluster.run_until_but(
        |envelope| {
            let is_sync = (envelope.from, envelope.to) == (2, 1);
            diffs += usize::from(is_sync && matches!(envelope.message, Message::Diff { .. }));
            snaps += usize::from(is_sync && is_snap(envelope));
            false
        },
        |cluster| cluster.leader().is_some() && cluster.nodes[&1].view().commit.0 == 12,
    );
    assert_eq!(cluster.leader(), Some(2));
    assert!(diffs > 0 && snaps == 0, "the snapshot need not be sent again");
    cluster.crash(1);
    cluster.restart(1);
    assert_eq!(cluster.nodes[&1].view().last.0, 12);
    cluster.crash(2);
    cluster.restart(3);
    cluster.establish();
    cluster.write(100, "y");
    assert_eq!(cluster.lasts()[0], 13, "the two of them go on where they were");
    cluster.restart(2);
    cluster.establish();
    cluster.assert_sound();
}

/// ZOOKEEPER-4925 (pull request 2254): one proposal of a synchronisation is missing in what a follower
/// keeps of it in memory. It becomes the leader and hands the hole on.
#[test]
fn a_lost_proposal_leaves_no_hole_that_a_new_leader_could_hand_on() {
    fn story(rules: Without, lose: usize) -> Option<String> {
        let pasts = [Past::default(), Past::default(), took_part(&[1, 1, 1, 1, 1])];
        let mut cluster = Cluster::with(&pasts, |id| {
            let mut config = config_with(id, 3, rules);
            config.bounds.max_append_bytes = 1;
            config
        });
        let mut proposals = 0;
        let is_lost = |envelope: &Envelope| {
            let is_one = envelope.to == 2 && matches!(envelope.message, Message::Propose { .. });
            proposals += usize::from(is_one);
            is_one && proposals == lose
        };
        cluster.isolate(&[1]);
        let done = |it: &mut Cluster<Without>| {
            it.leader() == Some(3) && it.nodes[&2].view().phase == Phase::Broadcast
        };
        cluster.run_until_but(is_lost, done);
        // The one with the hole, if it has one, leads next.
        cluster.crash(3);
        cluster.heal();
        cluster.run(10 * SECOND);
        if cluster.leader().is_some() {
            cluster.write(1, "x");
        }
        cluster.restart(3);
        cluster.run(10 * SECOND);
        cluster.found()
    }
    let broken = Without::named(RULES, &["sync_never_skips"]).unwrap();
    let mut missed = 0;
    for lose in 1..=5 {
        assert_eq!(story(Without::default(), lose), None, "proposal {lose} is lost");
        missed += usize::from(story(broken, lose).is_some());
    }
    assert!(missed > 0, "nobody misses the rule");
}

/// ZOOKEEPER-2678, 3531 and their like (pull requests 314, 972, 1745): the leader sends a DIFF of what it
/// has on disk although its oldest entry there is not the one after the follower's last; and where it has
/// everything from the first on, it takes the 0 of that for "nothing".
#[test]
fn a_diff_begins_right_behind_the_followers_last_entry_wherever_that_is() {
    for (kept, oldest) in [(0, 8), (60, 3), (600, 0)] {
        for behind in 0..=12 {
            let history = vec![1; behind];
            let pasts = [
                Past { history: &history, ..took_part(&[1]) },
                took_part(&[1; 12]),
                took_part(&[1; 12]),
            ];
            let mut cluster = Cluster::with(&pasts, |id| {
                let mut config = config(id, 3);
                (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (8, kept);
                (config.bounds.max_cached_log_bytes, config.bounds.max_append_bytes) = (0, 1);
                config
            });
            cluster.isolate(&[1]);
            assert_eq!(cluster.establish(), 3);
            cluster.at(3, |node| node.compact(8));
            let base = cluster.nodes[&3].view().base.0;
            assert_eq!(base, oldest, "its oldest entry is the next");
            let mut first = None;
            cluster.heal();
            let done = cluster.run_until_but(
                |envelope| {
                    let begins = matches!(
                        envelope.message,
                        Message::Diff { .. } | Message::Trunc { .. } | Message::Snap { .. }
                    );
                    if (envelope.from, envelope.to) == (3, 1) && begins && first.is_none() {
                        first = Some(envelope.message.clone());
                    }
                    false
                },
                |cluster| cluster.nodes[&1].view().phase == Phase::Broadcast,
            );
            let case = format!("{behind} entries against {base}..12");
            assert!(done, "{case}: {}", cluster.picture());
            let epoch = u64::from(behind > 0);
            match first {
                Some(Message::Diff { after, .. }) => {
                    assert_eq!(after, entry(behind as u64, epoch), "{case}");
                    assert!(behind as u64 >= base, "{case}");
                }
                Some(Message::Snap { .. }) => assert!((behind as u64) < base, "{case}"),
                other => panic!("{case}: {other:?}"),
            }
            cluster.run(SECOND);
            assert_eq!(cluster.lasts(), [12, 12, 12], "{case}");
            assert_eq!(cluster.commits(), [12, 12, 12], "{case}");
            cluster.assert_sound();
        }
    }
}

/// The same where what is on disk cannot be read: nothing is skipped, and the follower gets it later.
#[test]
fn where_old_entries_cannot_be_read_nothing_is_skipped() {
    let pasts = [Past::default(), took_part(&[1; 12]), took_part(&[1; 12])];
    let mut cluster = Cluster::with(&pasts, |id| {
        let mut config = config(id, 3);
        (config.bounds.max_cached_log_bytes, config.bounds.max_append_bytes) = (0, 1);
        config
    });
    cluster.isolate(&[1]);
    assert_eq!(cluster.establish(), 3);
    cluster.at(3, |node| node.applied(12));
    cluster.node(3).old_log = OldLog::Unreadable;
    cluster.heal();
    cluster.run(5 * SECOND);
    assert_eq!((cluster.lasts()[0], cluster.commits()[0]), (0, 0), "{}", cluster.picture());
    cluster.node(3).old_log = OldLog::AtOnce;
    cluster.run(5 * SECOND);
    assert_eq!(cluster.commits(), [12, 12, 12]);
    cluster.assert_sound();
}

/// Found here, by seed 474 of the paper tests' properties: a follower that has followed before is synchronised
/// again, and NEWLEADER is lost. The leader took the first acknowledgement for one of the second, and the
/// follower waited for ever.
#[test]
fn newleader_that_is_lost_the_second_time_comes_again() {
    let mut cluster = Cluster::start(3);
    assert_eq!(cluster.establish(), 3);
    cluster.write(1, "x");
    cluster.reconnect(1, 3);
    let mut lost = 0;
    cluster.run_but(2 * SECOND, |envelope| {
        let is_it = envelope.to == 1 && matches!(envelope.message, Message::NewLeader { .. });
        lost += usize::from(is_it);
        is_it && lost == 1
    });
    assert!(lost > 1, "it was lost, and came again");
    assert_eq!(cluster.nodes[&1].view().phase, Phase::Broadcast);
    cluster.write(2, "y");
    assert_eq!(cluster.commits(), [2, 2, 2]);
    cluster.assert_sound();
}

/// Found here, by reading: over links that double and lose. DIFF comes again behind NEWLEADER, and takes the
/// follower back; it says how its history ends, that is lost, and the leader holds it for one that follows and
/// has everything. Neither said anything more, and the follower never served.
#[test]
fn a_synchronisation_that_begins_again_unasked_comes_to_an_end() {
    let mut cluster = Cluster::start(3);
    cluster.isolate(&[1]);
    assert_eq!(cluster.establish(), 3);
    cluster.write(1, "x");
    cluster.heal();
    let mut begun = None;
    let is_next = |cluster: &mut Cluster| {
        let next = cluster.network.first();
        let next = next.filter(|envelope| (envelope.from, envelope.to) == (3, 1));
        if let Some(Envelope { message: Message::Diff { .. }, .. }) = next {
            begun = next.cloned();
        }
        next.is_some_and(|it| matches!(it.message, Message::NewLeader { .. }))
    };
    assert!(cluster.run_until(is_next), "{}", cluster.picture());
    cluster.deliver(0);
    let begun = begun.expect("it began with DIFF");
    cluster.at(1, |node| node.hear(3, begun.message));
    let mut lost = 0;
    cluster.run_but(SECOND / 2, |envelope| {
        let is_it = envelope.from == 1 && matches!(envelope.message, Message::AckEpoch { .. });
        lost += usize::from(is_it);
        is_it
    });
    assert_eq!((lost, cluster.nodes[&1].view().phase), (1, Phase::Synchronisation));
    cluster.run(2 * SECOND);
    assert_eq!(cluster.nodes[&1].view().phase, Phase::Broadcast);
    cluster.write(2, "y");
    assert_eq!(cluster.commits(), [2, 2, 2]);
    cluster.assert_sound();
}
