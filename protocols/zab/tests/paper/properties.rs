//! Section III: what holds of every execution. Nodes crash at any moment, disks sync when they like, messages
//! come in any order, twice or never; the invariants are checked after every step. Then all is well, and
//! what was promised must come.

use std::time::Duration;

use synod_engine::{Random, Sometimes};
use synod_zab::Timer;

use crate::cluster::Cluster;
use crate::driver::{Disk, Node, config};
use crate::words::Past;

/// One thing that happens by chance.
fn happen(cluster: &mut Cluster, random: &mut Random, token: &mut u64) {
    let nodes = cluster.nodes.len() as u64;
    let id = random.between(1, nodes);
    let is_up = cluster.nodes[&id].is_up;
    match random.below(100) {
        0 => cluster.crash(id),
        1..5 if !is_up => cluster.restart(id),
        5 if random.chance(200_000) => cluster.isolate(&[id]),
        5 if random.chance(500_000) => cluster.heal(),
        5 => {
            let other = random.between(1, nodes);
            if id != other {
                cluster.reconnect(id, other);
            }
        }
        6..14 if is_up => {
            *token += 1;
            let command = token.to_string();
            cluster.at(id, |node| node.propose(*token, command));
        }
        14..18 if is_up => cluster.at(id, Node::catch_up),
        18..40 if is_up => cluster.at(id, Node::sync_one),
        40..43 => {
            let timers = &cluster.nodes[&id].timers;
            let any: Vec<Timer> = timers.keys().copied().collect();
            if let Some(timer) = any.get(random.below(any.len().max(1) as u64) as usize) {
                cluster.at(id, |node| node.fire(*timer));
            }
        }
        draw => {
            // The oldest mostly, so that something gets done.
            let under_way = cluster.network.len() as u64;
            if under_way == 0 {
                let due = cluster.nodes.iter().filter(|(_, node)| node.is_up);
                let due =
                    due.flat_map(|(id, node)| node.timers.iter().map(|(it, at)| (*at, *id, *it)));
                if let Some((_, id, timer)) = due.min() {
                    cluster.at(id, |node| node.fire(timer));
                }
                return;
            }
            let place = if random.chance(700_000) { 0 } else { random.below(under_way) as usize };
            match draw {
                43..45 => drop(cluster.network.remove(place)),
                45..48 => {
                    let twin = cluster.network[place].clone();
                    cluster.network.push(twin);
                }
                _ => cluster.deliver(place),
            }
        }
    }
}

#[test]
fn the_properties_hold_whatever_happens_and_all_agree_when_it_ends() {
    let mut sometimes = Sometimes::default();
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let nodes = random.between(1, 4);
        let pasts = vec![Past::default(); nodes as usize];
        let (kept, cached) = (random.below(2) as usize * 300, random.below(2) as usize * 300);
        let snapshots = random.between(1, 8);
        let mut cluster = Cluster::with(&pasts, |id| {
            let mut config = config(id, nodes);
            (config.keep_log_bytes, config.max_cached_log_bytes) = (kept, cached);
            (config.max_append_bytes, config.snapshot_every) = (40, snapshots);
            config
        });
        let mut token = 0;
        for id in 1..=nodes {
            cluster.node(id).disk = Disk::Manual;
        }
        for _ in 0..6000 {
            happen(&mut cluster, &mut random, &mut token);
            assert_eq!(cluster.violation, None, "seed {seed}");
        }
        cluster.heal();
        for id in 1..=nodes {
            cluster.node(id).disk = Disk::Instant;
            if cluster.nodes[&id].is_up {
                cluster.at(id, Node::sync);
            } else {
                cluster.restart(id);
            }
        }
        cluster.run(Duration::from_secs(20));
        cluster.establish();
        cluster.write(1_000_000, "last");
        let commits = cluster.commits();
        assert!(
            commits.iter().all(|commit| *commit == cluster.lasts()[0]),
            "seed {seed}: {commits:?}"
        );
        cluster.assert_sound();
        sometimes.merge(&cluster.sometimes);
    }
    for point in [
        "DIFF",
        "TRUNC",
        "SNAP",
        "snapshot installed",
        "an epoch was accepted of another",
        "uncommitted entries replaced",
        "a leader gives up",
        "leader elected",
    ] {
        assert!(sometimes.count(point) > 0, "never: {point}");
    }
}
