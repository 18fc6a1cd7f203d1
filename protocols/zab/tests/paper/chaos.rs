//! What may happen to a few nodes: they crash at any moment, disks sync when they like, links part, messages
//! come in any order, twice or never. The invariants are checked after every step.

use synod_engine::Random;
use synod_zab::{Rules, Timer};

use crate::cluster::{Cluster, ZabCluster as _};
use crate::driver::{Disk, Node, ZabNode as _, config_with};
use crate::words::Past;

/// Nodes to which so much has happened.
pub(crate) fn chaos<R: Rules>(seed: u64, steps: u32, rules: R) -> Cluster<R> {
    let mut random = Random::new(seed);
    let nodes = random.between(1, 4);
    let pasts = vec![Past::default(); nodes as usize];
    let (kept, cached) = (random.below(2) as usize * 300, random.below(2) as usize * 300);
    let snapshots = random.between(1, 8);
    let mut cluster = Cluster::with(&pasts, |id| {
        let mut config = config_with(id, nodes, rules);
        (config.bounds.keep_log_bytes, config.bounds.max_cached_log_bytes) = (kept, cached);
        (config.bounds.max_append_bytes, config.bounds.snapshot_every) = (40, snapshots);
        config
    });
    for id in 1..=nodes {
        cluster.node(id).disk = Disk::Manual;
    }
    let mut token = 0;
    for _ in 0..steps {
        happen(&mut cluster, &mut random, &mut token);
        if cluster.violation.is_some() {
            break;
        }
    }
    cluster
}

/// All is well from here on.
pub(crate) fn calm<R: Rules>(cluster: &mut Cluster<R>) {
    cluster.heal();
    for id in cluster.nodes.keys().copied().collect::<Vec<_>>() {
        cluster.node(id).disk = Disk::Instant;
        if cluster.nodes[&id].is_up {
            cluster.at(id, Node::sync);
        } else {
            cluster.restart(id);
        }
    }
}

/// One thing that happens by chance.
fn happen<R: Rules>(cluster: &mut Cluster<R>, random: &mut Random, token: &mut u64) {
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
