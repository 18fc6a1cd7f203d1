//! Scenarios of ZAB, written by hand in `scripts/*.txt`; the vocabulary is in `testkit/script`.

use std::sync::Arc;

use synod_consensus::{Batch, Epoch, Index, Membership};
use synod_engine::NodeId;
use synod_script::{Options, Subject};
use synod_zab::{Checkpoint, Config, Epochs, Invariants, Record, Zab};

struct Scripted;

impl Subject for Scripted {
    type Log = Zab;
    type Invariants = Invariants;

    fn config(node: NodeId, nodes: &[NodeId], options: &Options) -> Result<Config, String> {
        let mut config = Config::new(node, nodes.iter().copied());
        config.part.initial_voters.take_if(|_| nodes.is_empty());
        for (name, value) in options {
            match name.as_str() {
                "snapshot_every" => config.bounds.snapshot_every = *value,
                "keep_log_bytes" => config.bounds.keep_log_bytes = *value as usize,
                "max_epoch_entries" => config.max_epoch_entries = *value,
                _ => return Err(format!("there is no option {name:?}")),
            }
        }
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    fn lived(nodes: &[NodeId], epoch: Epoch, entries: Vec<Batch>) -> Vec<Record> {
        let last = entries.last().map_or(epoch, Batch::epoch);
        let first = entries.iter().find(|batch| batch.epoch() == last).map(Batch::first);
        let end = entries.last().map(Batch::last).unwrap_or_default();
        let began = first.filter(|_| last == epoch).and_then(Index::previous).unwrap_or(end);
        let born = Record::Checkpoint(Checkpoint {
            epochs: Epochs { accepted: epoch, leader: None, current: Epoch(0), began: Index(0) },
            members: Arc::new(Membership::founded_by(&nodes.iter().copied().collect())),
            snapshot: None,
            began: Index(0),
            keeps: 0,
        });
        let epochs = Epochs { accepted: epoch, leader: None, current: epoch, began };
        let entries = entries.into_iter().map(Record::Entries);
        std::iter::once(born).chain(entries).chain([Record::Epochs(epochs)]).collect()
    }

    fn entries(zab: &Zab) -> Vec<Batch> {
        let log = zab.log();
        log.range(log.base().index.next(), log.last().index).collect()
    }
}

synod_script::scripts! {
    Scripted:
    start_up
    leader_crash
    diff_and_trunc
    snap
    forwarding
    transfer
    slow_disks
    partitioned_leader
    epoch_ends
}
