//! One node of Multi-Paxos on a bench, and what tests say to it.
//!
//! Read on: [`synod_stage::Node`], [`crate::cluster`].

use bytes::Bytes;
use synod_consensus::{Batch, Index, Payload};
use synod_engine::{NodeId, Sound};
use synod_paxos::Ballot;
use synod_paxos::multi::{Message, MultiPaxos};
pub(crate) use synod_stage::Disk;
pub(crate) use synod_stage::words::{add, founders, snapshot};

/// A node of Multi-Paxos and its driver.
pub(crate) type Node<R = Sound> = synod_stage::Node<MultiPaxos<R>>;

/// The ballot of this round and proposer.
pub(crate) fn ballot(round: u64, proposer: u64) -> Ballot {
    Ballot { round, proposer: NodeId(proposer) }
}

/// Values from instance `first` on, accepted in this ballot.
pub(crate) fn values(first: u64, ballot: Ballot, values: &[&'static str]) -> Batch {
    let payloads: Vec<_> =
        values.iter().map(|it| Payload::Command(Bytes::from_static(it.as_bytes()))).collect();
    Batch::new(Index(first), ballot.epoch(), payloads)
}

/// A leader of this ballot is there, and says up to where values are chosen.
pub(crate) fn heartbeat(ballot: Ballot, chosen: u64) -> Message {
    let (prefix, last, round) = (Index::ZERO, None, None);
    Message::Heartbeat { ballot, chosen: Index(chosen), prefix, last, round }
}
