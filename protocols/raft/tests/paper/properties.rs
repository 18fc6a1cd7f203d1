//! Figure 3, the five properties, each over random schedules of a small cluster. They are folds over
//! what the nodes do ([`synod_raft::Invariants`]); beside them the users check what they are told
//! ([`crate::chaos`]).

use std::collections::BTreeMap;

use synod_engine::{Sometimes, Sound};
use synod_raft::Config;

use crate::chaos::Chaos;
use crate::driver::config;

/// Small bounds, so that all of them are reached.
fn tight(id: u64, nodes: u64) -> Config<Sound> {
    let mut config = config(id, nodes);
    (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (12, 60);
    config.bounds.max_cached_log_bytes = 30;
    config.forward_proposals = true;
    (config.bounds.max_in_flight_appends, config.bounds.max_append_bytes) = (3, 40);
    config.bounds.max_uncommitted_bytes = config.bounds.max_command_bytes;
    config.bounds.max_unapplied_entries = 15;
    config
}

#[test]
fn the_five_properties_and_every_promise_to_users_hold_over_random_schedules() {
    let mut sometimes = Sometimes::default();
    let mut endings = BTreeMap::<_, u64>::new();
    for seed in 0..150 {
        let nodes = [3, 3, 5, 2, 1][seed as usize % 5];
        let mut chaos = Chaos::new(seed, nodes, |id| {
            let mut config = tight(id, nodes);
            config.hibernate_after_heartbeats = (seed % 2 == 1).then_some(2);
            config
        });
        for _ in 0..1500 {
            chaos.happen();
            assert_eq!(chaos.cluster.violation, None, "seed {seed}");
        }
        chaos.calm();
        chaos.cluster.assert_sound();
        let commits = chaos.cluster.commits();
        assert!(commits.iter().all(|commit| *commit == commits[0]), "seed {seed}: {commits:?}");
        sometimes.merge(&chaos.cluster.sometimes);
        chaos.endings.iter().for_each(|(how, count)| *endings.entry(*how).or_default() += count);
    }
    for point in [
        "leader elected",
        "election under load",
        "leader steps down without a majority",
        "conflict back-up",
        "uncommitted entries replaced",
        "snapshot installed",
    ] {
        assert!(sometimes.count(point) > 0, "no run reached: {point}; {sometimes:?}");
    }
    for ending in ["committed", "refused", "unknown", "read", "transferred"] {
        assert!(endings.contains_key(ending), "no request ended {ending}: {endings:?}");
    }
}
