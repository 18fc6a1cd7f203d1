//! Members come and go while messages are lost and nodes crash; then some nodes die for good. As long as those
//! who are left are a quorum of every membership that may count, one of them comes to lead.

use std::time::Duration;

use synod_consensus::{Change, Membership, ReplicatedLog as _};
use synod_engine::{NodeId, Random};

use crate::cluster::{Cluster, Founded as _, ZabCluster as _};
use crate::driver::config;
use crate::words::{add, promote, remove};

/// A group whose members change, by whoever leads, while much is lost.
fn turmoil(random: &mut Random) -> Cluster {
    let founders = random.between(2, 4);
    let mut cluster = Cluster::start(founders);
    cluster.establish();
    let nodes = founders + 2;
    for id in founders + 1..=nodes {
        let mut config = config(id, id);
        config.part.initial_voters = None;
        cluster.join(id, config);
    }
    for token in 100..100 + random.between(5, 30) {
        if let Some(leader) = cluster.leader() {
            let wishes: Vec<_> = (0..random.between(1, 2)).map(|_| wish(random, nodes)).collect();
            cluster.at(leader, |node| node.change(token, wishes));
        }
        let id = random.between(1, nodes);
        match random.below(5) {
            0 if cluster.nodes[&id].is_up => cluster.crash(id),
            1 => cluster.isolate(&[id]),
            2 => cluster.isolate(&[id, random.between(1, nodes)]),
            3 => cluster.heal(),
            _ => {}
        }
        if !cluster.nodes[&id].is_up && random.chance(500_000) {
            cluster.restart(id);
        }
        let deaf = random.between(1, nodes);
        let loss_ppm = [0, 300_000, 1_000_000][random.below(3) as usize];
        let time = Duration::from_millis(random.below(1_000));
        cluster.run_but(time, |envelope| envelope.to == deaf && random.chance(loss_ppm));
    }
    cluster
}

/// Anything that an operator might want of one of so many nodes.
fn wish(random: &mut Random, nodes: u64) -> Change {
    let node = random.between(1, nodes);
    match random.below(6) {
        0 => add(node),
        1 | 2 => promote(node),
        3 => Change::Demote(NodeId(node)),
        4 => remove(node),
        _ => Change::Prioritise { node: NodeId(node), priority: random.between(1, 3) as u8 },
    }
}

/// Who may die for good: without them there is a quorum of each membership that a node has.
fn expendable(cluster: &Cluster, random: &mut Random) -> Vec<u64> {
    let memberships: Vec<_> = cluster
        .nodes
        .values()
        .map(|node| node.rebuilt().status().members)
        .filter(|members| !members.is_empty())
        .collect();
    let decides = |members: &Membership, gone: &[u64]| {
        members.quorum().is_quorum(|node| !gone.contains(&node.0))
    };
    let mut gone = Vec::new();
    for _ in 0..2 {
        gone.push(random.between(1, cluster.nodes.len() as u64));
        if !memberships.iter().all(|members| decides(members, &gone)) {
            gone.pop();
        }
    }
    gone
}

#[test]
fn who_is_left_of_a_group_whose_members_changed_goes_on() {
    let mut dead = 0;
    // Those beyond the first sixty found what regressions/elections.rs tells of.
    for seed in (0..60).chain(740..760).chain(900..920).chain(1340..1350).chain(12930..12940) {
        let mut random = Random::new(seed);
        let mut cluster = turmoil(&mut random);
        let gone = expendable(&cluster, &mut random);
        dead += gone.len();
        cluster.heal();
        for id in 1..=cluster.nodes.len() as u64 {
            match (gone.contains(&id), cluster.nodes[&id].is_up) {
                (true, true) => cluster.crash(id),
                (false, false) => cluster.restart(id),
                (true, false) | (false, true) => {}
            }
        }
        let is_led = |cluster: &mut Cluster| cluster.leader().is_some();
        assert!(cluster.run_until(is_led), "seed {seed}, without {gone:?}:\n{}", cluster.picture());
        cluster.run(Duration::from_secs(10));
        let before = cluster.commits().into_iter().max();
        cluster.write(1_000, "x");
        assert!(cluster.commits().into_iter().max() > before, "seed {seed}, without {gone:?}");
        cluster.assert_sound();
    }
    assert!(dead > 50, "{dead} only");
}
