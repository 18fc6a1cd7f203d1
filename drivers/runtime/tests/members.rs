//! Stories of members that come and go while the cluster serves: no configuration names them.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

#[allow(dead_code, reason = "not every story needs every helper")]
mod story;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use story::{LineNode, addresses, begin_with, config, raft, until, write};
use synod_consensus::{Change, Contact, Outcome, Refusal, Role};
use synod_engine::NodeId;
use synod_runtime::{NodeConfig, Operation};
use tempfile::TempDir;

struct World {
    dirs: Vec<TempDir>,
    addresses: Vec<SocketAddr>,
    founders: [u64; 2],
}

impl World {
    /// As many nodes, of which two found the cluster.
    fn new(nodes: usize, founders: [u64; 2]) -> Self {
        let dirs = (0..nodes).map(|_| tempfile::tempdir().unwrap()).collect();
        Self { dirs, addresses: addresses(nodes), founders }
    }

    /// Nobody is told of others than the founders, and newcomers of nobody.
    fn config(&self, node: u64) -> NodeConfig {
        let mut config = config(node, self.dirs[node as usize - 1].path(), &self.addresses);
        let known = |node: &u64| (NodeId(*node), self.addresses[*node as usize - 1]);
        config.peers = match self.founders.contains(&node) {
            true => self.founders.iter().map(known).collect(),
            false => BTreeMap::new(),
        };
        config.limits.departure_ms = 300;
        config.limits.redial_max_ms = 50;
        config.joins = !self.founders.contains(&node);
        config
    }

    fn begin(&self, node: u64) -> LineNode {
        let config = self.config(node);
        let mut raft = raft(&config);
        if !self.founders.contains(&node) {
            raft.part.initial_voters = None;
        }
        begin_with(&config, raft).unwrap()
    }

    fn contact(&self, node: &LineNode) -> Contact {
        let id = node.identity();
        Contact {
            incarnation: id.incarnation,
            address: self.addresses[id.node.0 as usize - 1].to_string(),
            client_address: String::new(),
        }
    }
}

/// Changes the members, through whoever leads, until it is done.
async fn change(nodes: &[&LineNode], wish: Change) {
    let begin = std::time::Instant::now();
    while begin.elapsed() < Duration::from_secs(20) {
        for node in nodes {
            let operation = Operation::Change(vec![wish.clone()]);
            match node.handle().operate(operation).await {
                Outcome::Done(()) | Outcome::Refused(Refusal::BadChange(_)) => return,
                Outcome::Refused(_) | Outcome::Unknown => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{wish} is never done");
}

/// Hands leadership to this one.
async fn lead(nodes: &[&LineNode], to: &LineNode) {
    let id = to.identity().node;
    for _ in 0..1000 {
        if to.handle().status().log.role == Role::Leader {
            return;
        }
        for node in nodes {
            match node.handle().operate(Operation::Transfer(Some(id))).await {
                Outcome::Done(()) | Outcome::Refused(_) | Outcome::Unknown => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{id} never leads");
}

fn peers(node: &LineNode) -> Vec<(u64, bool)> {
    let peers = node.handle().status().peers;
    peers.iter().map(|peer| (peer.node.0, peer.version.is_some())).collect()
}

async fn add(world: &World, nodes: &[&LineNode], newcomer: &LineNode) {
    let node = newcomer.identity().node;
    change(nodes, Change::Add { node, contact: world.contact(newcomer) }).await;
    let handle = newcomer.handle();
    until("it has caught up", || {
        let log = handle.status().log;
        log.members.contains(node) && log.applied == log.last
    })
    .await;
    change(nodes, Change::Promote(node)).await;
}

#[tokio::test]
async fn a_newcomer_is_dialled_by_the_members_and_becomes_one_of_them() {
    let world = World::new(4, [2, 3]);
    let [two, three] = [world.begin(2), world.begin(3)];
    write(&[&two, &three], "before").await;
    // One with a higher id than the founders, and one with a lower: it knows nobody it could call.
    let [four, one] = [world.begin(4), world.begin(1)];
    add(&world, &[&two, &three], &four).await;
    add(&world, &[&two, &three], &one).await;
    let all = [&one, &two, &three, &four];
    until("all are linked with all", || {
        all.iter().all(|node| peers(node).len() == 3 && peers(node).iter().all(|(_, open)| *open))
    })
    .await;
    // It counts: of four, three decide.
    two.shutdown().await;
    let rest = [&one, &three, &four];
    write(&rest, "after").await;
    drop(one);
    let one = world.begin(1);
    write(&[&one, &three, &four], "it finds the others again by the log alone").await;
}

#[tokio::test]
async fn who_is_removed_is_told_and_let_go() {
    let world = World::new(3, [1, 2]);
    let [one, two] = [world.begin(1), world.begin(2)];
    write(&[&one, &two], "first").await;
    let three = world.begin(3);
    add(&world, &[&one, &two], &three).await;
    let all = [&one, &two, &three];
    until("all are linked", || all.iter().all(|node| peers(node).len() == 2)).await;
    change(&[&one, &two, &three], Change::Remove(NodeId(1))).await;
    until("it knows", || !one.handle().status().log.members.contains(NodeId(1))).await;
    let linked = |node: &LineNode| peers(node).iter().any(|(peer, open)| *peer == 1 && *open);
    until("the others have let it go", || !linked(&two) && !linked(&three)).await;
    let alone = || peers(&one).iter().all(|(_, open)| !open);
    until("it is alone", alone).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(alone(), "it calls, and is refused");
    write(&[&two, &three], "without it").await;
    assert_ne!(one.handle().status().log.role, Role::Leader);
}

#[tokio::test]
async fn a_stranger_whom_nobody_added_stays_one() {
    let world = World::new(3, [1, 2]);
    let [one, two] = [world.begin(1), world.begin(2)];
    write(&[&one, &two], "first").await;
    let mut config = world.config(3);
    config.peers = (1..=3).map(|node| (NodeId(node), world.addresses[node as usize - 1])).collect();
    let mut raft = raft(&config);
    raft.part.initial_voters = None;
    let three = begin_with(&config, raft).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(peers(&three).iter().all(|(_, open)| !open), "{:?}", peers(&three));
    assert_eq!(peers(&one), [(2, true)]);
    add(&world, &[&one, &two], &three).await;
    write(&[&one, &two, &three], "now it is let in").await;
}

/// Found by churn of real processes: who was away knew one follower, and took the leader for a stranger.
#[tokio::test]
async fn who_was_away_follows_a_leader_of_whom_it_never_heard() {
    let world = World::new(4, [1, 2]);
    let [one, two] = [world.begin(1), world.begin(2)];
    write(&[&one, &two], "first").await;
    let three = world.begin(3);
    add(&world, &[&one, &two], &three).await;
    until("it has heard of the third", || {
        one.handle().status().log.commit == two.handle().status().log.commit
    })
    .await;
    one.shutdown().await;
    // The founders' addresses are in no log: a newcomer that may have to call them must be told.
    let mut config = world.config(4);
    config.peers = world.config(1).peers;
    let mut raft = raft(&config);
    raft.part.initial_voters = None;
    let four = begin_with(&config, raft).unwrap();
    add(&world, &[&two, &three], &four).await;
    change(&[&two, &three, &four], Change::Remove(NodeId(3))).await;
    three.shutdown().await;
    lead(&[&two, &four], &four).await;
    write(&[&four], "by the newcomer").await;
    let one = world.begin(1);
    until("it has caught up", || {
        one.handle().status().log.applied == four.handle().status().log.applied
    })
    .await;
    assert_eq!(four.handle().status().log.role, Role::Leader);
}

/// Found by torture of real processes: the newcomer met the leader's new life first, took it for the older one
/// when its way through the log came to the old, and let it in no more.
#[tokio::test]
async fn a_newcomer_follows_its_leader_through_a_past_that_names_another_life_of_it() {
    let world = World::new(4, [1, 2]);
    let [one, two] = [world.begin(1), world.begin(2)];
    write(&[&one, &two], "first").await;
    let three = world.begin(3);
    add(&world, &[&one, &two], &three).await;
    // So many that they do not travel with what comes after them.
    for _ in 0..20 {
        write(&[&one, &two, &three], &"long ".repeat(50_000)).await;
    }
    change(&[&one, &two, &three], Change::Remove(NodeId(3))).await;
    three.shutdown().await;
    std::fs::remove_dir_all(world.dirs[2].path()).unwrap();
    let three = world.begin(3);
    add(&world, &[&one, &two], &three).await;
    lead(&[&one, &two, &three], &three).await;
    let four = world.begin(4);
    add(&world, &[&one, &two, &three], &four).await;
    assert_eq!(three.handle().status().log.role, Role::Leader);
}
