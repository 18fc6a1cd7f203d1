//! Messages that decode but that no correct node could have sent: nothing panics, whatever the role of who
//! hears them, and nothing is told that is not there.

use synod_consensus::{Index, Membership, Snapshot};
use synod_engine::{Blob, NodeId, Random};
use synod_paxos::Ballot;
use synod_paxos::multi::{Message, Timer};

use crate::cluster::{Cluster, Founded as _};
use crate::driver::{Node, values};

/// A follower, a candidate and a leader of three, each with values chosen and accepted.
fn one_of_each() -> Vec<Node> {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    for token in 0..4 {
        cluster.at(1, |node| node.propose(token, "x"));
    }
    cluster.settle_but(
        |it| matches!(&it.message, Message::Accept { batch, .. } if batch.first() == Index(3)),
    );
    let mut candidate = cluster.nodes[&3].clone();
    candidate.fire(Timer::Election);
    vec![cluster.nodes[&1].clone(), cluster.nodes[&2].clone(), candidate]
}

fn number(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => random.below(8),
        1 => 1 << random.below(64),
        2 => u64::MAX - random.below(3),
        _ => (1 << 62) - random.below(3),
    }
}

fn index(random: &mut Random) -> Index {
    Index(number(random))
}

fn ballot(random: &mut Random, proposer: u64) -> Ballot {
    let proposer = if random.chance(800_000) { proposer } else { number(random) };
    Ballot { round: number(random), proposer: NodeId(proposer) }
}

fn nonsense(random: &mut Random, from: u64) -> Message {
    let ballot = ballot(random, from);
    let (one, two) = (index(random), index(random));
    let low = Ballot { round: ballot.round & 0xff, proposer: NodeId(from) };
    let batch = values(one.0.clamp(1, 1 << 63), low, &["?"]);
    match random.below(9) {
        0 => Message::Prepare {
            ballot,
            from: one,
            handover: random.chance(500_000).then_some(ballot),
        },
        1 => Message::Promise {
            ballot,
            from: one,
            accepted: vec![batch],
            next: Some(two),
            chosen: two,
        },
        2 => Message::Refused { ballot, promised: ballot },
        3 => Message::Accept { batch, chosen: two },
        4 => Message::Accepted { ballot, prefix: one, beyond: Some((two, one)), chosen: two },
        5 => Message::Heartbeat {
            ballot,
            chosen: one,
            prefix: two,
            last: Some(one),
            round: Some(one.0),
        },
        6 => Message::Learn { ballot, from: one },
        7 => Message::Learned { ballot, values: Vec::new(), chosen: two },
        _ => {
            let blob = Blob { id: 1, size_bytes: 1, checksum: 0 };
            let snapshot = Snapshot { index: one, epoch: low.epoch(), blob };
            Message::Install { ballot, snapshot, members: Membership::default().into() }
        }
    }
}

#[test]
fn nonsense_harms_nobody() {
    let mut random = Random::new(1);
    let nodes = one_of_each();
    for _ in 0..5_000 {
        for node in &nodes {
            let mut after = node.clone();
            let from = random.between(1, 5);
            for _ in 0..3 {
                let message = nonsense(&mut random, from);
                after.hear(from, message);
            }
            let (before, after) = (node.view().commit, after.view());
            assert!((before..=after.last).contains(&after.commit));
        }
    }
}
