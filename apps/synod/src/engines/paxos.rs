//! Multi-Paxos, bound.

use synod_engine::Incarnation;
use synod_log::Lease;
use synod_paxos::multi::{Config, Invariants, MultiPaxos, Rules};
use synod_quorum::Voters;

use super::knobs::{LogKnobs, turn};
use super::{Part, Wired};

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
        let Part { node, founders, incarnation } = part;
        let mut config = Config::with_rules(node, [node], rules);
        config.initial_voters = founders.map(Voters::new);
        config.incarnation = incarnation;
        turn!(
            config,
            knobs,
            election_timeout_min_ms,
            election_timeout_max_ms,
            heartbeat_ms,
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
        config.lease =
            knobs.lease_max_drift_percent.map(|max_drift_percent| Lease { max_drift_percent });
        config
    }

    fn check(config: &Config<R>) -> Result<(), String> {
        config.check().map_err(|error| error.to_string())
    }

    fn reborn(config: &Config<R>, incarnation: Incarnation) -> Config<R> {
        Config { initial_voters: None, incarnation: Some(incarnation), ..config.clone() }
    }
}
