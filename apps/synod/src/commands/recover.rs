//! `synod recover`: makes one survivor of a lost majority a cluster of its own.

use serde_json::json;
use synod_engine::Sound;
use synod_raft::{Config, Raft};
use synod_runtime::Lock;
use synod_runtime::force::{ForceError, force};

use crate::cli::RecoverArgs;
use crate::commands::repair::engine_of;
use crate::engines::EngineName;
use crate::exit::{Exit, Failure, Result};
use crate::output::{say, tell};

/// What it costs, told before and after.
const PRICE: &str = "Writes that only the lost nodes knew, acknowledged ones among them, are lost for \
                     good, and the old nodes can never join this one again without `synod repair`.";

pub(crate) fn run(args: &RecoverArgs) -> Result<Exit> {
    recover(args).map_err(|failure| failure.in_json(args.json))
}

fn recover(args: &RecoverArgs) -> Result<Exit> {
    if !args.accept_data_loss {
        let what = format!(
            "this makes the node in {} a cluster of its own. {PRICE} Do it only if a majority of the \
             members will never come back, on the survivor that has the most (`synod status`, or \
             `synod repair --dry-run`). To go on, give --accept-data-loss. Nothing was changed",
            args.dir.display()
        );
        return Err(Failure::usage(what));
    }
    let failed = |error: ForceError| Failure::new(Exit::Data, error);
    let lock = Lock::take_existing(&args.dir).map_err(|error| failed(error.into()))?;
    let engine = engine_of(&lock)?;
    if engine != EngineName::Raft {
        let what = format!(
            "the cluster of {} runs {engine}, which cannot go on from one survivor; nothing was changed; bring \
             back a majority, or begin anew",
            args.dir.display()
        );
        return Err(Failure::new(Exit::Data, what));
    }
    let engine = |identity: &synod_runtime::Identity, _| {
        let mut config = Config::new(identity.node, [identity.node]);
        config.part.initial_voters = None;
        config
    };
    let identity = force::<Raft<Sound>, _>(&lock, engine, Raft::force_alone).map_err(failed)?;
    let (node, cluster) = (identity.node.0, format!("{:016x}", identity.cluster.0));
    if args.json {
        tell(&json!({ "node": node, "cluster": cluster }));
        return Ok(Exit::Done);
    }
    say!("Node {node} is the only member of a new cluster, {cluster}. {PRICE}");
    say!("1. In its configuration and in cluster.toml, set: cluster = \"{cluster}\"");
    say!("2. Start it. It leads at once.");
    say!(
        "3. Every other node that is left: `synod repair --force --cluster {cluster} DIR`, the new"
    );
    say!(
        "   cluster id and `join = true` in its configuration, start it, and `synod members add` it."
    );
    Ok(Exit::Done)
}
