//! Scenarios of Multi-Paxos, written by hand in `scripts/*.txt`; the vocabulary is in `testkit/script`. A
//! ballot shows as `2.n1` in messages and records; users are told it as an epoch, 65,536 times its round
//! and the node's number: 131,073.

use std::sync::Arc;

use synod_consensus::{Batch, Epoch, Index, Membership};
use synod_engine::NodeId;
use synod_paxos::Ballot;
use synod_paxos::multi::{Checkpoint, Config, Invariants, MultiPaxos, Record};
use synod_script::{Options, Subject};

struct Scripted;

impl Subject for Scripted {
    type Log = MultiPaxos;
    type Invariants = Invariants;

    fn config(node: NodeId, nodes: &[NodeId], options: &Options) -> Result<Config, String> {
        let mut config = Config::new(node, nodes.iter().copied());
        config.part.initial_voters.take_if(|_| nodes.is_empty());
        for (name, value) in options {
            match name.as_str() {
                "snapshot_every" => config.bounds.snapshot_every = *value,
                "keep_log_bytes" => config.bounds.keep_log_bytes = *value as usize,
                "forward" => config.forward_proposals = *value > 0,
                _ => return Err(format!("there is no option {name:?}")),
            }
        }
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    fn lived(nodes: &[NodeId], epoch: Epoch, entries: Vec<Batch>) -> Vec<Record> {
        let born = Record::Checkpoint(Checkpoint {
            promised: Ballot::LOWEST,
            members: Arc::new(Membership::founded_by(&nodes.iter().copied().collect())),
            snapshot: None,
            base: Index::ZERO,
            keeps: 0,
        });
        let accept = |batch| Record::Accept { batch, chosen: Index::ZERO };
        let promise = Record::Promise(Ballot::of(epoch));
        std::iter::once(born).chain(entries.into_iter().map(accept)).chain([promise]).collect()
    }

    fn entries(paxos: &MultiPaxos) -> Vec<Batch> {
        let slots = paxos.slots();
        slots.range(slots.base().next(), slots.last()).collect()
    }
}

synod_script::scripts! {
    Scripted:
    stable_leader
    out_of_order
    leader_crash
    duelling_leaders
    late_member
    read_round
    closed_window
    snapshot_install
    forwarding
    transfer
    slow_disks
    chained_partition
    quorum_loss_partition
    constrained_partition
}
