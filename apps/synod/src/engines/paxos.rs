//! Multi-Paxos, bound.

use synod_engine::{ConfigError, Incarnation};
use synod_log::Part;
use synod_paxos::multi::{Config, Invariants, MultiPaxos, Rules};
use synod_sim::Wipe;

use super::Wired;
use super::knobs::{LogKnobs, turn};

impl<R: Rules> Wired for MultiPaxos<R> {
    const NAME: &'static str = "paxos";

    type Invariants = Invariants;

    const RULES: &'static [&'static str] = synod_paxos::multi::RULES;

    const POINTS: &'static [&'static str] = &[
        "chosen values learned",
        "chosen out of order",
        "values adopted",
        "members changed behind a closed window",
        "leadership goes to a higher priority",
        "read answered by lease",
    ];

    const LACKS: &'static [&'static str] =
        &["hibernate_after_heartbeats", "sync_limit_ms", "init_limit_ms"];

    fn config(part: Part, knobs: &LogKnobs, rules: R) -> Config<R> {
        let mut config = Config::of(part, rules);
        (config.timing, config.bounds) = (knobs.timing(), knobs.bounds());
        turn!(config, knobs, forward_proposals);
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
