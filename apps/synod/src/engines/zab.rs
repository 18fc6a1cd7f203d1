//! ZAB, bound.

use synod_engine::Incarnation;
use synod_quorum::Voters;
use synod_zab::{Config, Invariants, Rules, Zab};

use super::knobs::{LogKnobs, turn};
use super::{Part, Wired};

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
        let Part { node, founders, incarnation } = part;
        let mut config = Config::with_rules(node, [node], rules);
        config.initial_voters = founders.map(Voters::new);
        config.incarnation = incarnation;
        if let Some(patience_ms) = knobs.election_timeout_min_ms {
            // Only simulations draw it. It is how long a leader may be silent, here as there.
            config.sync_limit_ms = patience_ms;
            config.init_limit_ms = config.init_limit_ms.max(2 * patience_ms);
        }
        turn!(
            config,
            knobs,
            heartbeat_ms,
            sync_limit_ms,
            init_limit_ms,
            max_append_bytes,
            max_in_flight_appends,
            max_in_flight_bytes,
            max_command_bytes,
            max_uncommitted_bytes,
            forward_proposals,
            max_forwarded_bytes,
            snapshot_growth,
            snapshot_every,
            snapshot_every_bytes,
            keep_log_bytes,
            max_cached_log_bytes,
            max_log_bytes,
        );
        config.priority_takeover_ms = knobs.takeover_ms(config.priority_takeover_ms);
        config
    }

    fn check(config: &Config<R>) -> Result<(), String> {
        config.check().map_err(|error| error.to_string())
    }

    fn reborn(config: &Config<R>, incarnation: Incarnation) -> Config<R> {
        Config { initial_voters: None, incarnation: Some(incarnation), ..config.clone() }
    }
}
