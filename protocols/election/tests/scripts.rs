//! Scenarios of the elections, written by hand in `scripts/*.txt`; the vocabulary is in `testkit/script`.

mod keeper;

use synod_consensus::{Batch, Epoch};
use synod_election::fle::Zxid;
use synod_engine::NodeId;
use synod_quorum::Voters;
use synod_script::{Options, Subject};

use keeper::{Config, Keeper, Kept, Standing};

struct Scripted;

impl Subject for Scripted {
    type Log = Keeper;
    type Invariants = Kept;

    fn config(node: NodeId, nodes: &[NodeId], options: &Options) -> Result<Config, String> {
        let mut voters = nodes.len();
        for (name, value) in options {
            match name.as_str() {
                "voters" => voters = *value as usize,
                _ => return Err(format!("there is no option {name:?}")),
            }
        }
        Ok(Config { node, voters: Voters::new(nodes.iter().take(voters).copied()) })
    }

    fn lived(_: &[NodeId], epoch: Epoch, entries: Vec<Batch>) -> Vec<Standing> {
        // The last entry's zxid: how many entries of its epoch there are.
        let last = entries
            .last()
            .map_or(Zxid::ZERO, |batch| Zxid::new(batch.epoch().0 as u32, batch.len() as u32));
        vec![Standing { epoch: epoch.0 as u32, zxid: last }]
    }

    fn entries(_: &Keeper) -> Vec<Batch> {
        Vec::new()
    }
}

synod_script::scripts! {
    Scripted:
    fle_start_up
    fle_leader_crash
    fle_all_at_once
    fle_better_vote_in_time
    fle_dead_leader
    fle_laggard
    fle_observer
}
