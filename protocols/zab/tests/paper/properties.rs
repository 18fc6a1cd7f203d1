//! Section III: what holds of every execution, whatever happens. Then all is well, and what was promised must
//! come.

use std::time::Duration;

use synod_engine::{Sometimes, Sound};

use crate::chaos::{calm, chaos};
use crate::cluster::ZabCluster as _;

#[test]
fn the_properties_hold_whatever_happens_and_all_agree_when_it_ends() {
    let mut sometimes = Sometimes::default();
    for seed in 0..60 {
        let mut cluster = chaos(seed, 6000, Sound);
        assert_eq!(cluster.violation, None, "seed {seed}");
        calm(&mut cluster);
        cluster.run(Duration::from_secs(20));
        cluster.establish();
        cluster.write(1_000_000, "last");
        let commits = cluster.commits();
        let all = cluster.lasts()[0];
        assert!(commits.iter().all(|commit| *commit == all), "seed {seed}: {commits:?}");
        cluster.assert_sound();
        sometimes.merge(&cluster.sometimes);
    }
    for point in [
        "DIFF",
        "TRUNC",
        "SNAP",
        "snapshot installed",
        "an epoch was accepted of another",
        "uncommitted entries replaced",
        "a leader gives up",
        "leader elected",
    ] {
        assert!(sometimes.count(point) > 0, "never: {point}");
    }
}
