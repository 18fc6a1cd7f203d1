//! Stories of a node that lost its data: nobody counts it until the members name its new life, and
//! nobody listens to its old one from then on.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

#[allow(dead_code, reason = "not every story needs every helper")]
mod story;

use std::path::Path;
use std::time::Duration;

use story::{LineNode, addresses, begin, begin_with, config, lines, raft, until, write};
use synod_consensus::{Change, Contact, Outcome, Refusal, Role, Seat};
use synod_engine::{Incarnation, NodeId};
use synod_runtime::{Lock, NodeConfig, Operation, repair};

const LOST: NodeId = NodeId(3);

/// Gives up what the node has, and starts it as the newcomer that it is.
fn reborn(config: &NodeConfig) -> (Incarnation, LineNode) {
    let lock = Lock::take_existing(&config.dir).unwrap();
    let renewed = repair::give_up(&lock, None).unwrap();
    drop(lock);
    assert!(renewed.identity.is_repaired() && renewed.aside.unwrap().join("log").exists());
    (renewed.identity.incarnation, newcomer(config))
}

fn newcomer(config: &NodeConfig) -> LineNode {
    let mut raft = raft(config);
    raft.part.initial_voters = None;
    begin_with(config, raft).unwrap()
}

async fn leader<'a>(nodes: &[&'a LineNode]) -> &'a LineNode {
    let leads = |node: &LineNode| node.handle().status().log.role == Role::Leader;
    until("a leader", || nodes.iter().any(|node| leads(node))).await;
    nodes.iter().find(|node| leads(node)).unwrap()
}

/// Operates on whoever leads, until it is done.
async fn operate(nodes: &[&LineNode], wish: Change) {
    for _ in 0..1000 {
        let operation = Operation::Change(vec![wish.clone()]);
        match leader(nodes).await.handle().operate(operation).await {
            Outcome::Done(()) => return,
            Outcome::Unknown
            | Outcome::Refused(
                Refusal::NotLeader { .. } | Refusal::ChangePending | Refusal::NotCaughtUp { .. },
            ) => tokio::time::sleep(Duration::from_millis(10)).await,
            Outcome::Refused(other) => panic!("{wish}: {other}"),
        }
    }
    panic!("{wish} is never done");
}

/// Whether `node` has a session with the lost one.
fn has_let_in(node: &LineNode) -> bool {
    let peers = node.handle().status().peers;
    peers.iter().any(|peer| peer.node == LOST && peer.version.is_some())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_repaired_node_counts_once_it_is_admitted_and_its_old_life_never_again() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let addresses = addresses(3);
    let configs: Vec<_> = (1..=3).map(|id| hasty(id, &dirs, &addresses)).collect();
    let one = begin(&configs[0]).unwrap();
    let two = begin(&configs[1]).unwrap();
    let three = begin(&configs[2]).unwrap();
    write(&[&one, &two, &three], "first").await;
    until("all have met", || has_let_in(&one) && has_let_in(&two)).await;
    three.shutdown().await;
    let old = tempfile::tempdir().unwrap();
    copy(dirs[2].path(), old.path());
    let (incarnation, three) = reborn(&configs[2]);

    // One of the old ones, and the newcomer: no majority.
    write(&[&one, &two], "by the two that remember").await;
    two.shutdown().await;
    let patience = Duration::from_millis(1500);
    let handle = one.handle();
    let decided = tokio::time::timeout(patience, handle.write("by an amnesiac")).await;
    assert!(!matches!(decided, Ok(Outcome::Done(_))), "{decided:?}");
    assert!(three.handle().status().log.members.is_empty(), "it belongs to nothing");
    let two = begin(&configs[1]).unwrap();
    write(&[&one, &two], "by the two again").await;
    until("those who know a leader refuse it", || !has_let_in(&one) && !has_let_in(&two)).await;

    // Admitted under its new incarnation, it learns, votes, and counts.
    let address = addresses[2].to_string();
    let contact = Contact { incarnation, address, client_address: String::new() };
    operate(&[&one, &two], Change::Remove(LOST)).await;
    operate(&[&one, &two], Change::Add { node: LOST, contact }).await;
    until("it is let in", || has_let_in(&one) && has_let_in(&two)).await;
    operate(&[&one, &two], Change::Promote(LOST)).await;
    let seat = || three.handle().status().log.members.member(LOST).map(|member| member.seat);
    until("it knows", || seat() == Some(Seat::Voter)).await;
    two.shutdown().await;
    write(&[&one, &three], "with the newcomer").await;
    let all = lines(&[&one, &three]).await;
    assert_eq!(all.last().unwrap(), "with the newcomer");
    assert_eq!(all[0], "first");

    // It starts again as what it is now.
    three.shutdown().await;
    let three = newcomer(&configs[2]);
    write(&[&one, &three], "after a restart").await;

    // Its old files come back from somewhere: nobody listens to them, not even who restarts.
    three.shutdown().await;
    let mut ghost = configs[2].clone();
    ghost.dir = old.path().to_owned();
    let ghost = begin(&ghost).unwrap();
    one.shutdown().await;
    let one = begin(&configs[0]).unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!has_let_in(&one), "a ghost is let in");
    assert_ne!(one.handle().status().log.role, Role::Leader, "a ghost voted");
    drop(ghost);
    let two = begin(&configs[1]).unwrap();
    write(&[&one, &two], "the end").await;
}

/// Found by churn in simulation, seed 286: who was away knows only followers, and took the leader for one
/// whose directory was lost.
#[tokio::test]
async fn who_was_away_follows_a_leader_in_a_life_that_it_never_heard_of() {
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let addresses = addresses(4);
    let configs: Vec<_> = (1..=4).map(|id| hasty(id, &dirs, &addresses)).collect();
    let [one, two, three, four] = [0, 1, 2, 3].map(|place| begin(&configs[place]).unwrap());
    write(&[&one, &two, &three, &four], "first").await;
    until("all have met", || [&one, &two, &four].iter().all(|node| has_let_in(node))).await;
    one.shutdown().await;
    three.shutdown().await;
    let one = begin(&configs[0]).unwrap();
    operate(&[&one, &two, &four], Change::Remove(LOST)).await;
    until("all have heard", || !one.handle().status().log.members.contains(LOST)).await;
    one.shutdown().await;
    let (incarnation, three) = reborn(&configs[2]);
    let address = addresses[2].to_string();
    let contact = Contact { incarnation, address, client_address: String::new() };
    operate(&[&two, &four], Change::Add { node: LOST, contact }).await;
    operate(&[&two, &four], Change::Promote(LOST)).await;
    let handle = three.handle();
    while handle.status().log.role != Role::Leader {
        let old = leader(&[&two, &three, &four]).await.handle();
        match old.operate(Operation::Transfer(Some(LOST))).await {
            Outcome::Done(()) | Outcome::Refused(_) | Outcome::Unknown => {}
        }
    }
    write(&[&three], "by the newcomer").await;
    let one = begin(&configs[0]).unwrap();
    until("it has heard of the newcomer", || {
        let log = one.handle().status().log;
        log.members.contains(LOST) && log.applied == handle.status().log.applied
    })
    .await;
}

/// A configuration of a node that does not wait long for anything.
fn hasty(id: u64, dirs: &[tempfile::TempDir], addresses: &[std::net::SocketAddr]) -> NodeConfig {
    let mut config = config(id, dirs[id as usize - 1].path(), addresses);
    config.limits.departure_ms = 300;
    config.limits.redial_max_ms = 50;
    config
}
