//! The store on a replicated log, in the simulator: what `synod sim` runs and the tests judge.
//!
//! One seed determines a run: the size of the cluster, its knobs, the faults, what the clients do, and
//! how its members change. A run is sound if the log's invariants held after every step, the store answered every
//! duplicate as it had answered the original, the cluster recovered once nothing went wrong
//! any more, and what all clients saw is linearizable, and what watchers were told is what happened.

mod clients;
mod core;
mod draw;
mod history;
mod lanes;
mod operation;
mod operator;
mod planted;
mod recovery;
mod rivals;
mod runs;
mod shrink;
mod stale;
mod watchers;

use synod_engine::NodeId;
use synod_kv::Store;
use synod_log::Part;
use synod_quorum::Voters;
use synod_sim::replicated::{Replica, Replicated};
use synod_sim::{Plan, Sim};

use crate::engines::Wired;

pub use clients::Clients;
use draw::Drawn;
pub use planted::{Planted, Run};
pub use runs::Runs;
pub use shrink::{Budget, Shrunk, shrink};

/// A simulated cluster: the log `L`, the store keeping the rules `S`.
pub type Cluster<L, S> = Sim<L, Replica<Store<S>>, <L as Wired>::Invariants, Clients>;

/// The cluster that `plan.seed` stands for, its log keeping `rules`, the stores theirs.
#[must_use]
pub fn cluster<L, S>(mut plan: Plan, rules: L::Rules, of_stores: S) -> Cluster<L, S>
where
    L: Wired<Rules: Copy>,
    S: synod_kv::rules::Rules,
{
    let drawn = draw::draw(plan.seed, &plan.mix);
    let Drawn { knobs, founders, spares, habits, lag, cancel_ppm } = drawn;
    if habits.rivals.is_some() {
        plan.mix = draw::stormy(&plan.mix);
    }
    let app = Replicated { lag, cancel_ppm, ..Replicated::new(Store::new().with_rules(of_stores)) };
    let count = founders.len() as u64 + spares;
    let engines = (1..=count).map(NodeId).map(|node| {
        let initial_voters = founders.contains(&node).then(|| Voters::new(founders.clone()));
        (node, L::config(Part { node, initial_voters, incarnation: None }, &knobs, rules))
    });
    let sim = Sim::new(plan, engines, app, L::Invariants::default(), Clients::new(habits));
    sim.with_wipes(L::after)
}
