//! ZAB, bound.

use synod_engine::{ConfigError, Incarnation};
use synod_log::Part;
use synod_sim::Wipe;
use synod_zab::{Config, Invariants, Rules, Zab};

use super::Wired;
use super::knobs::{LogKnobs, turn};

impl<R: Rules> Wired for Zab<R> {
    const NAME: &'static str = "zab";

    type Invariants = Invariants;

    const RULES: &'static [&'static str] = synod_zab::RULES;

    const POINTS: &'static [&'static str] = &[
        "election under load",
        "DIFF",
        "TRUNC",
        "SNAP",
        "an observer is informed",
        "uncommitted entries replaced",
        "joint change left",
    ];

    const LACKS: &'static [&'static str] = &[
        "election_timeout_min_ms",
        "election_timeout_max_ms",
        "hibernate_after_heartbeats",
        "lease_max_drift_percent",
    ];

    fn config(part: Part, knobs: &LogKnobs, rules: R) -> Config<R> {
        let mut config = Config::of(part, rules);
        config.bounds = knobs.bounds();
        if let Some(patience_ms) = knobs.election_timeout_min_ms {
            // Only simulations draw it. It is how long a leader may be silent, here as there.
            config.sync_limit_ms = patience_ms;
            config.init_limit_ms = config.init_limit_ms.max(2 * patience_ms);
        }
        turn!(config, knobs, heartbeat_ms, sync_limit_ms, init_limit_ms, forward_proposals);
        config.priority_takeover_ms = knobs.takeover_ms(config.priority_takeover_ms);
        config
    }

    fn check(config: &Config<R>) -> Result<(), ConfigError> {
        config.check()
    }

    fn after(config: &Config<R>, wipe: Wipe, incarnation: Incarnation) -> Config<R> {
        let part = match wipe {
            Wipe::Repaired => config.part.reborn(incarnation),
            Wipe::Emptied => Part { incarnation: Some(incarnation), ..config.part.clone() },
        };
        Config { part, ..config.clone() }
    }
}
