//! Who missed something gets it: from its leader's memory, its disk, or as a snapshot; and a candidate
//! from whoever knows more.

use synod_consensus::{Event, Index, Role};
use synod_paxos::multi::{Config, Message, Timer};

use crate::cluster::{Cluster, Founded as _};

/// Three nodes: 1 leads, and 20 values were chosen with 2 while 3 was cut off.
fn with_one_behind(tune: impl Fn(&mut Config)) -> Cluster {
    let mut cluster = Cluster::with(3, tune);
    cluster.elect(1);
    cluster.isolate(&[3]);
    for token in 0..20 {
        cluster.at(1, |node| node.propose(token, "x"));
        cluster.settle();
    }
    cluster
}

fn said(cluster: &Cluster, wanted: impl Fn(&Message) -> bool) -> bool {
    cluster.network.iter().any(|it| wanted(&it.message))
}

#[test]
fn a_follower_that_was_cut_off_is_sent_what_is_in_memory() {
    let mut cluster = with_one_behind(|_| {});
    cluster.heal();
    cluster.beat(1);
    cluster.beat(1);
    assert_eq!(cluster.commits(), [20, 20, 20]);
    cluster.assert_sound();
}

#[test]
fn values_that_left_memory_are_read_from_disk_piece_by_piece() {
    let mut cluster = with_one_behind(|config| {
        (
            config.bounds.max_cached_log_bytes,
            config.bounds.max_append_bytes,
            config.bounds.keep_log_bytes,
        ) = (0, 40, 160);
    });
    cluster.input(1, synod_engine::Input::Applied(20));
    assert_eq!(cluster.node(1).engine.slots().size_bytes(), 0);
    cluster.heal();
    cluster.beat(1);
    cluster.beat(1);
    assert_eq!(cluster.commits(), [20, 20, 20]);
    assert!(cluster.sometimes.count("chosen values learned") >= 4);
    cluster.assert_sound();
}

#[test]
fn values_that_were_given_up_come_as_a_snapshot_and_the_rest_behind_it() {
    let mut cluster = with_one_behind(|config| {
        (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (10, 0);
    });
    cluster.at(1, |node| node.compact(15));
    cluster.heal();
    for _ in 0..3 {
        cluster.beat(1);
    }
    assert_eq!(cluster.commits(), [20, 20, 20]);
    let installed = |event: &Event| matches!(event, Event::Install(it) if it.index == Index(15));
    assert_eq!(cluster.node(3).events.iter().filter(|it| installed(it)).count(), 1);
    cluster.reboot(3);
    assert!(cluster.node(3).view().commit >= Index(15));
    cluster.assert_sound();
}

/// Whatever its log: phase 1 tells it that more is chosen, and it learns that before it leads.
#[test]
fn a_candidate_learns_what_others_know_to_be_chosen_before_it_leads() {
    for compacted in [false, true] {
        let mut cluster = with_one_behind(|config| {
            (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (10, 0);
            config.bounds.max_append_bytes = 40;
        });
        if compacted {
            cluster.at(2, |node| node.compact(20));
        }
        cluster.heal();
        cluster.isolate(&[1]);
        cluster.elect(3);
        cluster.settle();
        assert_eq!(cluster.node(3).view().role, Role::Leader);
        assert!(cluster.node(3).view().commit >= Index(20));
        cluster.at(3, |node| node.propose(1, "y"));
        cluster.settle();
        assert_eq!(cluster.commits()[1..], [21, 21]);
        cluster.assert_sound();
    }
}

/// What an acceptor has accepted comes in pieces, and a lost one is asked for again.
#[test]
fn a_candidate_asks_for_every_piece_until_it_has_it() {
    let mut cluster = Cluster::with(3, |config| config.bounds.max_append_bytes = 20);
    cluster.elect(1);
    for token in 0..10 {
        cluster.at(1, |node| node.propose(token, "x"));
    }
    cluster.settle_but(|it| it.to == 3 || matches!(it.message, Message::Accepted { .. }));
    assert_eq!(cluster.commits(), [0, 0, 0]);
    cluster.isolate(&[1]);
    let mut count = 0;
    let mut every_third_lost = |it: &crate::cluster::Envelope| {
        count += u32::from(matches!(it.message, Message::Promise { .. }));
        matches!(it.message, Message::Promise { .. }) && count % 3 == 2
    };
    cluster.at(3, |node| node.fire(Timer::Election));
    for _ in 0..20 {
        cluster.settle_but(&mut every_third_lost);
        if cluster.node(3).view().role == Role::Candidate {
            cluster.at(3, |node| node.fire(Timer::Heartbeat));
        }
    }
    assert_eq!(cluster.node(3).view().role, Role::Leader);
    assert_eq!(cluster.commits()[1..], [10, 10]);
    cluster.assert_sound();
}

#[test]
fn what_was_lost_with_a_link_is_sent_again_together_with_what_is_new() {
    use synod_engine::{Input, LinkState, NodeId};
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.isolate(&[3]);
    for token in 0..5 {
        cluster.at(1, |node| node.propose(token, "x"));
    }
    cluster.network.clear();
    cluster.heal();
    for state in [LinkState::Closed, LinkState::Opened] {
        cluster.input(1, Input::Link { peer: NodeId(3), state });
        cluster.input(1, Input::Link { peer: NodeId(2), state });
    }
    cluster.at(1, |node| node.propose(9, "y"));
    assert!(!said(&cluster, |it| matches!(it, Message::Accept { .. })), "nobody is heard yet");
    cluster.beat(1);
    assert_eq!(cluster.commits(), [6, 6, 6]);
    cluster.assert_sound();
}
