//! What a replicated log is configured by: the same knobs with the same names for all engines, as far as
//! they have them.

use serde::{Deserialize, Serialize};
use synod_log::{Bounds, Lease, Timing};

/// How a node takes part in its group; `None` leaves a knob at its engine's default. See [`Bounds`],
/// [`Timing`] and [`synod_raft::Config`] for what each means, [`synod_zab::Config`] for ZAB's own.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "each is documented where it is used")]
pub struct LogKnobs {
    pub election_timeout_min_ms: Option<u64>,
    pub election_timeout_max_ms: Option<u64>,
    pub heartbeat_ms: Option<u64>,
    pub sync_limit_ms: Option<u64>,
    pub init_limit_ms: Option<u64>,
    pub snapshot_growth: Option<u32>,
    pub snapshot_every: Option<u64>,
    pub snapshot_every_bytes: Option<usize>,
    pub keep_log_bytes: Option<usize>,
    pub max_cached_log_bytes: Option<usize>,
    pub max_log_bytes: Option<usize>,
    pub max_uncommitted_bytes: Option<usize>,
    /// 0: never.
    pub priority_takeover_ms: Option<u64>,
    /// Never, if it is not set.
    pub hibernate_after_heartbeats: Option<u32>,
    pub forward_proposals: Option<bool>,
    pub max_forwarded_bytes: Option<usize>,
    pub max_in_flight_appends: Option<usize>,
    pub max_in_flight_bytes: Option<usize>,
    /// No leases, if it is not set.
    pub lease_max_drift_percent: Option<u8>,
    /// Drawn in simulations; no file sets it.
    #[serde(skip)]
    pub max_append_bytes: Option<usize>,
    /// What the service bounds its commands by; no file sets it.
    #[serde(skip)]
    pub max_command_bytes: Option<usize>,
}

/// Takes over the knobs that are set.
macro_rules! turn {
    ($target:expr, $knobs:expr, $($knob:ident),+ $(,)?) => {
        $(if let Some(value) = $knobs.$knob { $target.$knob = value; })+
    };
}
pub(crate) use turn;

impl LogKnobs {
    /// How much a node takes, sends, and keeps.
    pub(crate) fn bounds(&self) -> Bounds {
        let mut bounds = Bounds::default();
        turn!(
            bounds,
            self,
            max_append_bytes,
            max_in_flight_appends,
            max_in_flight_bytes,
            max_command_bytes,
            max_uncommitted_bytes,
            max_forwarded_bytes,
            snapshot_growth,
            snapshot_every,
            snapshot_every_bytes,
            keep_log_bytes,
            max_cached_log_bytes,
            max_log_bytes,
        );
        bounds
    }

    /// When a node is silent, impatient and trusting, where a group elects by timeouts.
    pub(crate) fn timing(&self) -> Timing {
        let mut timing = Timing::default();
        turn!(timing, self, election_timeout_min_ms, election_timeout_max_ms, heartbeat_ms);
        timing.lease =
            self.lease_max_drift_percent.map(|max_drift_percent| Lease { max_drift_percent });
        timing
    }

    /// When a voter of higher priority leads, if an engine's default is this.
    pub(crate) fn takeover_ms(&self, default: Option<u64>) -> Option<u64> {
        match self.priority_takeover_ms {
            Some(0) => None,
            Some(takeover_ms) => Some(takeover_ms),
            None => default,
        }
    }

    /// Whether all are as their engine has them.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
