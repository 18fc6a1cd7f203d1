//! The store on a replicated log, in the simulator: what `synod sim` runs and the tests judge.
//!
//! One seed determines a run: the size of the cluster, its knobs, the faults, what the clients do, and
//! how its members change. A run is sound if figure 3 held after every step, the store answered every
//! duplicate as it had answered the original, the cluster recovered once nothing went wrong
//! any more, and what all clients saw is linearizable, and what watchers were told is what happened.

mod clients;
mod draw;
mod history;
mod lanes;
mod operation;
mod operator;
mod planted;
mod recovery;
mod rivals;
mod runs;
mod stale;
mod watchers;

use synod_engine::NodeId;
use synod_kv::Store;
use synod_raft::{Config, Invariants, Raft};
use synod_sim::replicated::{Replica, Replicated};
use synod_sim::{Plan, Sim};

pub use clients::Clients;
use draw::Drawn;
pub use planted::{Lacks, Planted, Run};
pub use runs::{POINTS, Runs};

/// A simulated cluster: Raft keeping the rules `P`, the store keeping the rules `S`.
pub type Cluster<P, S> = Sim<Raft<P>, Replica<Store<S>>, Invariants, Clients>;

/// The cluster that `plan.seed` stands for.
#[must_use]
pub fn cluster<P, S>(mut plan: Plan, rules: P) -> Cluster<P, S>
where
    P: synod_raft::Rules,
    S: synod_kv::rules::Rules + Default,
{
    let drawn = draw::draw(plan.seed, &plan.mix, rules);
    let Drawn { config, founders, spares, habits, lag, cancel_ppm } = drawn;
    if habits.rivals.is_some() {
        plan.mix = draw::stormy(&plan.mix);
    }
    let app = Replicated { lag, cancel_ppm, ..Replicated::new(Store::default) };
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
