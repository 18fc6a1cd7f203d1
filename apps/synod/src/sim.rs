//! The store on a replicated log, in the simulator: what `synod sim` runs and the tests judge.
//!
//! One seed determines a run: the size of the cluster, its knobs, the faults, what the clients do, and
//! how its members change. A run is sound if figure 3 held after every step, the store answered every
//! duplicate as it had answered the original, the cluster recovered once nothing went wrong
//! any more, and what all clients saw is linearizable.

mod clients;
mod history;
mod lanes;
mod operation;
mod operator;
mod planted;
mod recovery;
mod runs;
mod stale;

use std::time::Duration;

use synod_engine::{NodeId, Random};
use synod_kv::Store;
use synod_raft::{Config, Invariants, Raft};
use synod_sim::replicated::{Replica, Replicated};
use synod_sim::{Plan, Sim};

pub use clients::Clients;
use clients::Habits;
pub use planted::{Lacks, Planted, Run};
pub use runs::{POINTS, Runs};

/// A simulated cluster: Raft keeping the rules `P`, the store keeping the rules `S`.
pub type Cluster<P, S> = Sim<Raft<P>, Replica<Store<S>>, Invariants, Clients>;

/// The cluster that `plan.seed` stands for.
#[must_use]
pub fn cluster<P, S>(plan: Plan, rules: P) -> Cluster<P, S>
where
    P: synod_raft::Rules,
    S: synod_kv::rules::Rules + Default,
{
    let mut shape = Random::new(plan.seed ^ 0x5eed);
    let founders = shape.between(2, 5);
    let churn = shape.chance(700_000).then(|| Duration::from_millis(shape.between(20, 1_000)));
    let spares = if churn.is_some() { shape.between(1, 2) } else { 0 };
    let founders: Vec<_> = (1..=founders).map(NodeId).collect();
    let mut config = Config::with_rules(NodeId(1), founders.clone(), rules);
    config.snapshot_every = shape.between(5, 200);
    config.forward_proposals = shape.chance(300_000);
    config.keep_log_bytes = 100 * shape.below(20) as usize;
    config.max_cached_log_bytes = 200 * shape.below(20) as usize;
    config.max_append_bytes = 64 << shape.below(12);
    config.max_in_flight_appends = shape.between(1, 16) as usize;
    config.max_uncommitted_bytes = config.max_command_bytes;
    let habits = Habits {
        sessions: shape.between(1, 4) as u32,
        lanes: shape.between(1, 3) as u32,
        keys: shape.between(1, 6),
        think: Duration::from_millis(shape.between(1, 100)),
        twice_ppm: 50_000,
        anywhere_ppm: shape.below(1_000_000) as u32,
        churn,
    };
    let app = Replicated {
        lag: Duration::from_millis(if shape.chance(250_000) { shape.below(20) } else { 0 }),
        cancel_ppm: if shape.chance(250_000) { 50_000 } else { 0 },
        ..Replicated::new(Store::default)
    };
    let joiner = Config { initial_voters: None, ..config.clone() };
    let count = founders.len() as u64 + spares;
    let engines = (1..=count).map(NodeId).map(|node| {
        let config = if founders.contains(&node) { &config } else { &joiner };
        (node, Config { node, ..config.clone() })
    });
    let sim = Sim::new(plan, engines, app, Invariants::default(), Clients::new(habits));
    sim.with_wipes(|config, incarnation| Config {
        initial_voters: None,
        incarnation: Some(incarnation),
        ..config.clone()
    })
}
