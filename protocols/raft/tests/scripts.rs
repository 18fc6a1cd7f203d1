//! Scenarios of Raft, written by hand in `scripts/*.txt`; the vocabulary is in `testkit/script`.

use std::sync::Arc;

use synod_consensus::{Batch, Epoch, Membership};
use synod_engine::NodeId;
use synod_raft::{Checkpoint, Config, HardState, Invariants, Raft, Record};
use synod_script::{Options, Subject};

struct Scripted;

impl Subject for Scripted {
    type Log = Raft;
    type Invariants = Invariants;

    fn config(node: NodeId, nodes: &[NodeId], options: &Options) -> Result<Config, String> {
        let mut config = Config::new(node, nodes.iter().copied());
        config.part.initial_voters.take_if(|_| nodes.is_empty());
        for (name, value) in options {
            match name.as_str() {
                "snapshot_every" => config.bounds.snapshot_every = *value,
                "keep_log_bytes" => config.bounds.keep_log_bytes = *value as usize,
                "max_cached_log_bytes" => config.bounds.max_cached_log_bytes = *value as usize,
                _ => return Err(format!("there is no option {name:?}")),
            }
        }
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    fn lived(nodes: &[NodeId], epoch: Epoch, entries: Vec<Batch>) -> Vec<Record> {
        let born = Record::Checkpoint(Checkpoint {
            hard: HardState { term: epoch, vote: None },
            members: Arc::new(Membership::founded_by(&nodes.iter().copied().collect())),
            snapshot: None,
            keeps: 0,
        });
        std::iter::once(born).chain(entries.into_iter().map(Record::Entries)).collect()
    }

    fn entries(raft: &Raft) -> Vec<Batch> {
        let log = raft.log();
        log.range(log.base().index.next(), log.last().index).collect()
    }
}

synod_script::scripts! {
    Scripted:
    election
    split_vote
    log_replication
    slow_disks
    conflict_backup
    figure_8
    figure_8_own_term
    leader_crash
    snapshot_install
    partitioned_leader
    pre_vote
    chained_partition
    quorum_loss_partition
    constrained_partition
    one_way_partition
    duplicates
    paused_leader
    transfer
}
