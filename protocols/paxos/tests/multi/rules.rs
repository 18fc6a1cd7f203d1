//! What each rule of the two phases prevents: a story that goes well, and breaks an invariant where the rule
//! is taken out. The rules of reads are told in `reads.rs` and `follower_reads.rs`, those of leases in
//! `leases.rs`, those of members in `membership.rs`; `missed.rs` has the simulator miss all.

use synod_consensus::{Index, Role};
use synod_engine::Without;
use synod_paxos::multi::{Message, RULES, Timer};

use crate::cluster::{Cluster, Envelope, PaxosCluster as _};
use crate::driver::{Disk, ballot};

/// Tells a story with all rules, and without this one: which invariant breaks.
fn without(rule: &str, story: impl Fn(&mut Cluster<Without>)) -> Option<&'static str> {
    let broken = |missing: &[&str]| {
        let rules = Without::named(RULES, missing).expect("a rule");
        let mut cluster = Cluster::keeping(rules, 3, |_| {});
        story(&mut cluster);
        cluster.violation.map(|violation| violation.invariant)
    };
    assert_eq!(broken(&[]), None, "with the rule all is well");
    broken(&[rule])
}

fn is_accept(it: &Envelope) -> bool {
    matches!(it.message, Message::Accept { .. })
}

fn is_prepare(it: &Envelope) -> bool {
    matches!(it.message, Message::Prepare { .. })
}

/// Only this node is cut off from here on.
fn isolate_only(cluster: &mut Cluster<Without>, id: u64) {
    cluster.heal();
    cluster.isolate(&[id]);
}

/// 1 leads, and 2 has accepted its value x as well: it is chosen. 3 knows nothing of it, 1 is cut off.
fn chosen_without_3(cluster: &mut Cluster<Without>) {
    cluster.elect(1);
    cluster.isolate(&[3]);
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.settle_but(|it| matches!(it.message, Message::Heartbeat { .. }));
    isolate_only(cluster, 1);
}

#[test]
fn majority_promises_without_it_a_leader_has_not_heard_of_what_is_chosen() {
    let broken = without("majority_promises", |cluster| {
        chosen_without_3(cluster);
        cluster.at(3, |node| node.fire(Timer::Election));
        cluster.settle_but(is_prepare);
        cluster.at(3, |node| node.propose(1, "y"));
        cluster.settle();
    });
    assert_eq!(broken, Some("Chosen once"));
}

/// 2 promised 3 an early ballot, and what it told then comes late: after it accepted what 1 proposed.
#[test]
fn own_ballot_only_without_it_a_late_promise_makes_a_majority_that_never_was() {
    let broken = without("own_ballot_only", |cluster| {
        cluster.at(3, |node| node.fire(Timer::Election));
        cluster.settle_but(|it| it.to == 1 || matches!(it.message, Message::Promise { .. }));
        let (from, chosen) = (Index(1), Index(0));
        let (accepted, next) = (Vec::new(), None);
        let promise = Message::Promise { ballot: ballot(1, 3), from, accepted, next, chosen };
        cluster.isolate(&[3]);
        cluster.campaign(1);
        cluster.elect(1);
        cluster.at(1, |node| node.propose(1, "x"));
        cluster.settle();
        isolate_only(cluster, 1);
        cluster.at(3, |node| node.fire(Timer::Election));
        cluster.settle_but(is_prepare);
        cluster.at(3, |node| node.hear(2, promise));
        cluster.at(3, |node| node.propose(1, "y"));
        cluster.settle();
    });
    assert_eq!(broken, Some("Chosen once"));
}

/// x was accepted by 1 alone, y by 2 and 3 in a higher ballot: y is chosen, though nobody was told.
#[test]
fn highest_accepted_is_adopted_without_it_a_value_that_lost_is_proposed_again() {
    let broken = without("highest_accepted_is_adopted", |cluster| {
        cluster.elect(1);
        cluster.isolate(&[1]);
        cluster.at(1, |node| node.propose(1, "x"));
        cluster.elect(2);
        cluster.at(2, |node| node.propose(1, "y"));
        cluster.settle_but(|it| matches!(it.message, Message::Accepted { .. }));
        for _ in 0..2 {
            cluster.at(1, |node| node.fire(Timer::Election));
        }
        isolate_only(cluster, 2);
        cluster.elect(3);
    });
    assert_eq!(broken, Some("Chosen once"));
}

/// Of a, b, c only a and c reached 3. The next leader must leave the place of b alone.
#[test]
fn gaps_are_noops_without_it_values_move_down_into_the_gap() {
    let broken = without("gaps_are_noops", |cluster| {
        cluster.elect(1);
        for (token, word) in [(1, "a"), (2, "b"), (3, "c")] {
            cluster.at(1, |node| node.propose(token, word));
        }
        let mut accepts = 0;
        cluster.settle_but(|it| {
            accepts += u32::from(is_accept(it) && it.to == 3);
            is_accept(it) && (it.to == 2 || accepts == 2)
        });
        cluster.isolate(&[1]);
        cluster.elect(2);
        cluster.at(2, |node| node.propose(4, "d"));
        cluster.settle();
    });
    assert_eq!(broken, Some("Chosen once"));
}

#[test]
fn majority_accepts_without_it_what_one_node_accepted_is_told() {
    let broken = without("majority_accepts", |cluster| {
        cluster.elect(1);
        cluster.isolate(&[1]);
        cluster.at(1, |node| node.propose(1, "x"));
    });
    assert_eq!(broken, Some("Only what is chosen is told"));
}

#[test]
fn promise_is_durable_without_it_a_crash_takes_a_promise_back() {
    let broken = without("promise_is_durable", |cluster| {
        cluster.elect(1);
        cluster.reboot(2);
    });
    assert_eq!(broken, Some("Promises are kept"));
}

#[test]
fn promises_are_kept_without_it_a_deposed_leader_is_still_obeyed() {
    let broken = without("promises_are_kept", |cluster| {
        cluster.elect(1);
        cluster.isolate(&[1]);
        cluster.elect(2);
        cluster.heal();
        cluster.at(1, |node| node.propose(1, "x"));
        cluster.settle();
    });
    assert_eq!(broken, Some("Promises are kept"));
}

#[test]
fn accept_is_durable_without_it_what_is_told_may_be_lost() {
    let broken = without("accept_is_durable", |cluster| {
        cluster.elect(1);
        cluster.node(2).disk = Disk::Manual;
        cluster.isolate(&[3]);
        cluster.at(1, |node| node.propose(1, "x"));
        cluster.settle();
    });
    assert_eq!(broken, Some("Only what is chosen is told"));
}

/// It lost the promise of its own ballot, so that nothing tells it that it has led in that.
#[test]
fn ballot_is_unique_across_restarts_without_it_a_leader_leads_its_ballot_again() {
    let broken = without("ballot_is_unique_across_restarts", |cluster| {
        cluster.elect(1);
        cluster.reboot(1);
        cluster.elect(1);
    });
    assert_eq!(broken, Some("Promises are kept"));
}

/// 1 accepted x in its own ballot, and y was chosen in a higher one.
#[test]
fn chosen_in_own_ballot_only_without_it_a_follower_tells_a_value_that_lost() {
    let broken = without("chosen_in_own_ballot_only", |cluster| {
        cluster.elect(1);
        cluster.isolate(&[1]);
        cluster.at(1, |node| node.propose(1, "x"));
        cluster.elect(2);
        cluster.at(2, |node| node.propose(1, "y"));
        cluster.settle();
        cluster.heal();
        cluster.at(2, |node| node.fire(Timer::Heartbeat));
        cluster.settle_but(is_accept);
        assert_ne!(cluster.node(1).view().role, Role::Leader);
    });
    assert_eq!(broken, Some("Agreement"));
}
