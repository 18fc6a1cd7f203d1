//! Raft, bound.

use synod_engine::{ConfigError, Incarnation};
use synod_log::Part;
use synod_raft::{Config, Invariants, Raft, Rules};
use synod_sim::Wipe;

use super::Wired;
use super::knobs::{LogKnobs, turn};

impl<R: Rules> Wired for Raft<R> {
    const NAME: &'static str = "raft";

    type Invariants = Invariants;

    const RULES: &'static [&'static str] = synod_raft::RULES;

    const POINTS: &'static [&'static str] = &[
        "election under load",
        "conflict back-up",
        "uncommitted entries replaced",
        "idle group falls quiet",
        "quiet group wakes",
        "leadership goes to a higher priority",
        "joint change left",
        "read answered by lease",
    ];

    const LACKS: &'static [&'static str] = &["sync_limit_ms", "init_limit_ms"];

    fn config(part: Part, knobs: &LogKnobs, rules: R) -> Config<R> {
        let mut config = Config::of(part, rules);
        (config.timing, config.bounds) = (knobs.timing(), knobs.bounds());
        turn!(config, knobs, forward_proposals);
        config.hibernate_after_heartbeats = knobs.hibernate_after_heartbeats;
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
