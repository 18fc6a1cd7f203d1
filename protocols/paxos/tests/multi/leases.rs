//! Leases, and what each of their rules prevents: a leader that was overtaken answers a read by what it
//! still believes. All clocks show the same time unless a story says otherwise.

use std::time::Duration;

use synod_consensus::{Event, Role};
use synod_engine::{Input, Instant, LinkState, NodeId, Sound, Token, Without};
use synod_log::Lease;
use synod_paxos::multi::{Message, RULES, Rules, Timer};

use crate::cluster::{Cluster, Envelope, Founded as _, PaxosCluster as _};

const MS: Duration = Duration::from_millis(1);

fn without(rule: &str) -> Without {
    Without::named(RULES, &[rule]).expect("a rule")
}

/// 1 leads three nodes, and holds a lease since the time that is returned.
fn leased<R: Rules>(rules: R) -> (Cluster<R>, Instant) {
    let mut cluster = Cluster::keeping(rules, 3, |config| {
        config.timing.lease = Some(Lease { max_drift_percent: 10 });
    });
    cluster.elect(1);
    cluster.at(1, |node| node.propose(1, "old"));
    cluster.settle();
    cluster.beat(1);
    let now = cluster.node(1).now;
    (cluster, now)
}

/// Whether 1 answers a read at once, so long after it got the lease, by its own clock.
fn answers_at<R: Rules>(cluster: &mut Cluster<R>, since: Instant, after: Duration) -> bool {
    let node = cluster.node(1);
    node.now = since + after;
    node.read(7);
    node.events
        .iter()
        .any(|event| matches!(event, Event::ReadReady { tokens, .. } if *tokens == [Token(7)]))
}

/// 2 campaigns as soon as it wants to; whether it leads, and so may have chosen what 1 does not know of.
fn overtakes<R: Rules>(cluster: &mut Cluster<R>) -> bool {
    cluster.isolate(&[1]);
    cluster.input(2, Input::Timer(Timer::Election));
    cluster.settle();
    cluster.node(2).view().role == Role::Leader
}

fn links_close<R: Rules>(cluster: &mut Cluster<R>) {
    for id in [2, 3] {
        cluster.input(id, Input::Link { peer: NodeId(1), state: LinkState::Closed });
    }
}

#[test]
fn a_lease_answers_without_a_round_and_ends_before_the_promises_do() {
    let (mut cluster, since) = leased(Sound);
    assert!(answers_at(&mut cluster.clone(), since, 240 * MS));
    assert!(!answers_at(&mut cluster.clone(), since, 250 * MS), "300 ms of a fast clock");
    assert!(!overtakes(&mut cluster));
}

#[test]
fn a_follower_with_a_fast_clock_is_free_while_a_lease_that_ignores_drift_lasts() {
    let (mut cluster, since) = leased(without("lease_allows_for_drift"));
    cluster.nodes.values_mut().for_each(|node| node.now = since + 301 * MS);
    assert!(overtakes(&mut cluster), "their clocks run ten percent fast");
    assert!(answers_at(&mut cluster, since, 275 * MS), "a stale read");
    let (mut sound, since) = leased(Sound);
    assert!(!answers_at(&mut sound, since, 275 * MS));
}

#[test]
fn a_broken_link_frees_nobody_from_a_promise() {
    for (sound, rules) in [(true, Without::default()), (false, without("lease_is_kept"))] {
        let (mut cluster, since) = leased(rules);
        links_close(&mut cluster);
        assert_eq!(overtakes(&mut cluster), !sound);
        assert!(answers_at(&mut cluster, since, 100 * MS));
    }
}

#[test]
fn a_restart_frees_nobody_from_a_promise() {
    for (sound, rules) in [(true, Without::default()), (false, without("lease_outlives_restart"))] {
        let (mut cluster, since) = leased(rules);
        cluster.reboot(2);
        cluster.reboot(3);
        assert_eq!(overtakes(&mut cluster), !sound);
        assert!(answers_at(&mut cluster, since, 100 * MS));
    }
}

/// The answers to a heartbeat take 200 ms. Who counts from when they arrive believes in promises that are
/// over.
#[test]
fn a_lease_counts_from_when_it_was_asked_for() {
    for (sound, rules) in [(true, Without::default()), (false, without("lease_counts_from_send"))] {
        let (mut cluster, _) = leased(rules);
        cluster.nodes.values_mut().for_each(|node| node.wait(Duration::from_secs(1)));
        cluster.at(1, |node| node.fire(Timer::Heartbeat));
        let since = cluster.node(1).now;
        let is_beat = |it: &Envelope| matches!(it.message, Message::Heartbeat { .. });
        while let Some(place) = cluster.network.iter().position(is_beat) {
            cluster.deliver(place);
        }
        cluster.nodes.values_mut().for_each(|node| node.wait(200 * MS));
        cluster.settle();
        cluster.nodes.values_mut().for_each(|node| node.wait(200 * MS));
        links_close(&mut cluster);
        assert!(overtakes(&mut cluster), "400 ms have passed");
        assert_eq!(answers_at(&mut cluster, since, 420 * MS), !sound);
    }
}

/// 1 is cut off from a majority, which follows 2 and is bound to it; but 1 still leads as far as it knows,
/// and wishes for 5.
#[test]
fn who_was_overtaken_releases_nobody_from_a_promise_to_another() {
    let mut cluster = Cluster::with(5, |config| {
        config.timing.lease = Some(Lease { max_drift_percent: 10 });
    });
    cluster.elect(1);
    cluster.isolate(&[1, 5]);
    cluster.elect(2);
    cluster.beat(2);
    cluster.network.clear();
    cluster.at(1, |node| node.transfer(5, 5));
    cluster.settle_but(|it| it.to == 1);
    cluster.heal();
    cluster.isolate(&[2]);
    cluster.input(5, Input::Timer(Timer::Heartbeat));
    cluster.settle();
    assert_ne!(cluster.node(5).view().role, Role::Leader);
    assert_eq!(cluster.node(3).view().ballot.proposer, NodeId(2));
    let since = cluster.node(2).now;
    cluster.node(2).now = since + 50 * MS;
    cluster.node(2).read(7);
    let ready = |event: &Event| matches!(event, Event::ReadReady { .. });
    assert!(cluster.node(2).events.iter().any(ready), "by its lease, rightly");
}

#[test]
fn a_leader_that_wishes_for_a_successor_holds_no_lease() {
    for (sound, rules) in [(true, Without::default()), (false, without("handover_ends_lease"))] {
        let (mut cluster, since) = leased(rules);
        cluster.at(1, |node| node.transfer(5, 2));
        cluster.settle_but(|it| it.to == 1);
        assert_eq!(cluster.node(2).view().role, Role::Leader);
        cluster.isolate(&[1]);
        assert_eq!(answers_at(&mut cluster, since, 50 * MS), !sound);
    }
}
