//! Batches of random runs, by their seeds: the same for every log.

use std::ops::Range;

use synod_consensus::ReplicatedLog;
use synod_engine::{Invariants, NodeId, Sometimes};
use synod_log::Bounds;
use synod_sim::replicated::Replicated;
use synod_sim::{Mix, Plan, Report, Sim, Transport};

use crate::{Cluster, Load, Register};

/// A register on these nodes, under this load.
pub fn cluster<E: ReplicatedLog, I: Invariants<E> + Default>(
    plan: Plan,
    engines: impl IntoIterator<Item = (NodeId, E::Config)>,
    load: Load,
) -> Cluster<E, I> {
    Sim::new(plan, engines, Replicated::new(Register::default()), I::default(), load)
}

/// The voters of a new cluster: three or five.
pub fn voters(seed: u64) -> impl Iterator<Item = NodeId> + Clone + use<> {
    let count = [3, 5][(seed % 2) as usize];
    (1..=count).map(NodeId)
}

/// A node that sees snapshots, and a log that does not reach back far enough, all the time.
#[must_use]
pub fn short_logs(seed: u64) -> Bounds {
    Bounds {
        snapshot_every: 10 + seed % 90,
        keep_log_bytes: 15 * (seed % 20) as usize,
        max_cached_log_bytes: 40 * (seed % 7) as usize,
        ..Bounds::default()
    }
}

/// And messages that hold little, of which few are under way.
#[must_use]
pub fn short_logs_and_messages(seed: u64) -> Bounds {
    Bounds {
        max_append_bytes: 64 << (seed % 12),
        max_in_flight_appends: 1 + (seed % 8) as usize,
        ..short_logs(seed)
    }
}

/// Faults for a batch that is to meet some of each kind.
#[must_use]
pub fn faults(seed: u64) -> (Mix, Transport) {
    match seed % 3 {
        0 => (Mix::DEFAULT, Transport::Sessions),
        1 => (Mix::LOSSY, Transport::Datagrams),
        _ => (Mix::CRASHY, Transport::Sessions),
    }
}

/// Runs all seeds; every one must be sound. What they reached.
///
/// # Panics
/// With the report of the first that is not.
pub fn holds(seeds: Range<u64>, run: impl Fn(u64) -> Report) -> Sometimes {
    let mut all = Sometimes::default();
    for seed in seeds {
        let report = run(seed);
        assert!(report.verdict.is_sound(), "{report}");
        all.merge(&report.sometimes);
    }
    all
}

/// Seeds that never came to these points would have tested little.
///
/// # Panics
/// With the first point that was not reached.
pub fn assert_reached(reached: &Sometimes, points: &[&str]) {
    for point in points {
        assert!(reached.count(point) > 0, "never: {point}");
    }
}
