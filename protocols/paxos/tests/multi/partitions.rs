//! The partial partitions that stop protocols whose leaders must know the whole log, or that listen to
//! whoever is most impatient (Omni-Paxos, figure 1). Five nodes; timers fire by themselves.

use std::time::Duration;

use synod_consensus::Role;

use crate::cluster::{Cluster, Envelope, Founded as _};

const SECOND: Duration = Duration::from_secs(1);

/// Only the links between these pairs work.
fn only(pairs: &'static [(u64, u64)]) -> impl Fn(&Envelope) -> bool {
    move |it| !pairs.iter().any(|(a, b)| [(*a, *b), (*b, *a)].contains(&(it.from, it.to)))
}

/// So many nodes, whose timeouts are drawn from this seed.
fn drawn(nodes: u64, seed: u64) -> Cluster {
    let mut cluster = Cluster::start(nodes);
    cluster.nodes.values_mut().for_each(|node| node.reseed(seed));
    cluster
}

/// Who leads and has something chosen, of what is asked of each node now.
fn serves(cluster: &mut Cluster, lost: impl Fn(&Envelope) -> bool + Copy) -> Option<u64> {
    let before = cluster.commits().into_iter().max();
    for id in 1..=5 {
        cluster.at(id, |node| node.propose(node.now.as_nanos() + id, "x"));
        cluster.settle_but(lost);
    }
    let leader = cluster.leader()?;
    (Some(cluster.nodes[&leader].view().commit.0) > before).then_some(leader)
}

/// How often leaders were elected.
fn elections(cluster: &Cluster) -> u64 {
    cluster.sometimes.count("leader elected")
}

/// The leader loses its majority, but is heard by 3, the only one that all others hear.
#[test]
fn quorum_loss_the_hub_takes_over() {
    for seed in 0..50 {
        let mut cluster = drawn(5, seed);
        cluster.elect(1);
        let lost = only(&[(3, 1), (3, 2), (3, 4), (3, 5)]);
        cluster.run_but(3 * SECOND, &lost);
        assert_eq!(serves(&mut cluster, &lost), Some(3), "{seed}");
        let before = elections(&cluster);
        cluster.run_but(5 * SECOND, &lost);
        assert_eq!((serves(&mut cluster, &lost), elections(&cluster)), (Some(3), before), "stays");
        cluster.assert_sound();
    }
}

/// The leader is gone. Who can be heard by a majority has less of the log than all others.
#[test]
fn constrained_election_the_hub_leads_whatever_it_has() {
    for seed in 0..50 {
        let mut cluster = drawn(5, seed);
        cluster.elect(1);
        cluster.isolate(&[3]);
        for token in 0..10 {
            cluster.at(1, |node| node.propose(token, "x"));
            cluster.settle();
        }
        assert_eq!(cluster.commits(), [10, 10, 0, 10, 10]);
        cluster.heal();
        let lost = only(&[(3, 2), (3, 4), (3, 5)]);
        cluster.run_but(3 * SECOND, &lost);
        assert_eq!(serves(&mut cluster, &lost), Some(3), "{seed}");
        assert!(cluster.node(3).view().commit.0 > 10, "with all that was chosen");
        cluster.assert_sound();
    }
}

/// 1, 2, 3 stand in a row, and the leader stands at its end: 3 does not hear it, but 2 does.
#[test]
fn chained_the_leader_stays() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    let lost = only(&[(1, 2), (2, 3)]);
    cluster.run_but(10 * SECOND, &lost);
    assert_eq!((cluster.leader(), elections(&cluster)), (Some(1), 1));
    let before = cluster.node(1).view().commit;
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.settle_but(&lost);
    assert!(cluster.node(1).view().commit > before);
    cluster.assert_sound();
}

#[test]
fn a_leader_that_nobody_hears_steps_down() {
    let mut cluster = Cluster::start(5);
    cluster.elect(1);
    cluster.run_but(SECOND, only(&[(2, 3), (3, 4), (4, 5), (5, 2)]));
    assert_ne!(cluster.node(1).view().role, Role::Leader);
}
