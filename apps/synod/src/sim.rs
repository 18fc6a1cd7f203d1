//! The store on a replicated log, in the simulator: what `synod sim` runs and the tests judge.
//!
//! One seed determines a run: the size of the cluster, its knobs, the faults, what the clients do. A
//! run is sound if figure 3 held after every step, the store answered every duplicate as it had
//! answered the original, and what all clients saw is linearizable.

mod clients;
mod history;
mod operation;
mod planted;
mod runs;

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
    let ids: Vec<_> = (1..=3 + 2 * shape.below(2)).map(NodeId).collect();
    let mut config = Config::with_rules(NodeId(1), ids.clone(), rules);
    config.snapshot_every = shape.between(5, 200);
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
    };
    let app = Replicated {
        lag: Duration::from_millis(if shape.chance(250_000) { shape.below(20) } else { 0 }),
        cancel_ppm: if shape.chance(250_000) { 50_000 } else { 0 },
        ..Replicated::new(Store::default)
    };
    let engines = ids.into_iter().map(|node| (node, Config { node, ..config.clone() }));
    Sim::new(plan, engines, app, Invariants::default(), Clients::new(habits))
}
