//! When a node is silent, impatient and trusting, where a group elects by timeouts as Raft and Multi-Paxos
//! do.

use core::time::Duration;

use synod_engine::ConfigError;

use crate::Lease;

/// One day: far beyond any sensible timeout, and far from where nanoseconds overflow.
pub const MAX_TIMEOUT_MS: u64 = 24 * 60 * 60 * 1000;

/// How often a leader is heard, how long it is missed, and what clocks are good for. The defaults suit a
/// cluster within one data centre.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// The shortest election timeout. Several heartbeats, so that one lost or late heartbeat is not
    /// taken for a dead leader.
    pub election_timeout_min_ms: u64,
    /// The longest election timeout. Twice the shortest, so that candidates rarely meet and split votes are
    /// rare (Raft's thesis §9.3).
    pub election_timeout_max_ms: u64,
    /// The leader is heard at least this often. Far above the round trip, far below the timeout.
    pub heartbeat_ms: u64,
    /// How far clocks can be trusted, so that a leader may read without asking a majority each time
    /// (Raft's thesis §6.4.1). Off unless somebody vouches for the clocks of all nodes. A node that is
    /// started with it taken away, or with a shorter `election_timeout_min_ms`, must have been down for as
    /// long as that was.
    pub lease: Option<Lease>,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            election_timeout_min_ms: 300,
            election_timeout_max_ms: 600,
            heartbeat_ms: 50,
            lease: None,
        }
    }
}

impl Timing {
    /// Checks the knobs against each other.
    ///
    /// # Errors
    /// [`ConfigError`], naming the knob.
    pub fn check(&self) -> Result<(), ConfigError> {
        ConfigError::among([
            (self.heartbeat_ms == 0, "heartbeat_ms must be above 0"),
            (
                self.election_timeout_min_ms / 2 < self.heartbeat_ms,
                "election_timeout_min_ms must be at least twice heartbeat_ms",
            ),
            (
                self.election_timeout_max_ms <= self.election_timeout_min_ms,
                "election_timeout_max_ms must be above election_timeout_min_ms",
            ),
            (
                self.election_timeout_max_ms > MAX_TIMEOUT_MS,
                "election_timeout_max_ms must be at most one day",
            ),
            (
                self.lease.is_some_and(|lease| lease.max_drift_percent > 50),
                "lease.max_drift_percent must be at most 50",
            ),
        ])
    }

    /// Between two heartbeats.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }

    /// The shortest election timeout.
    #[must_use]
    pub fn election_timeout_min(&self) -> Duration {
        Duration::from_millis(self.election_timeout_min_ms)
    }

    /// The longest election timeout.
    #[must_use]
    pub fn election_timeout_max(&self) -> Duration {
        Duration::from_millis(self.election_timeout_max_ms)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    /// Of each bound the last value that passes, and the first that is refused by the knob's name.
    #[test]
    fn every_knob_is_refused_from_its_bound_on() {
        type Set = fn(&mut Timing, u64);
        let day_ms = 86_400_000;
        let knobs: [(&str, Set, u64, u64); 5] = [
            ("heartbeat_ms", |it, to| it.heartbeat_ms = to, 1, 0),
            ("election_timeout_min_ms", |it, to| it.election_timeout_min_ms = to, 100, 99),
            ("election_timeout_max_ms", |it, to| it.election_timeout_max_ms = to, 301, 300),
            (
                "election_timeout_max_ms",
                |it, to| it.election_timeout_max_ms = to,
                day_ms,
                day_ms + 1,
            ),
            ("lease", |it, to| it.lease = Some(Lease { max_drift_percent: to as u8 }), 50, 51),
        ];
        for (knob, set, passes, refused) in knobs {
            let mut timing = Timing::default();
            set(&mut timing, passes);
            assert_eq!(timing.check(), Ok(()), "{knob} {passes}");
            set(&mut timing, refused);
            let fault = timing.check().expect_err(knob).to_string();
            assert!(fault.starts_with(knob), "{knob} {refused}: {fault}");
        }
    }

    #[test]
    fn a_contradiction_is_named_and_nothing_overflows() {
        let mut timing = Timing::default();
        assert_eq!(timing.check(), Ok(()));
        timing.election_timeout_max_ms = timing.election_timeout_min_ms;
        let fault = timing.check().unwrap_err().to_string();
        assert!(fault.starts_with("election_timeout_max_ms"), "{fault}");
        (timing.heartbeat_ms, timing.election_timeout_max_ms) = (u64::MAX, u64::MAX);
        assert!(timing.check().is_err());
    }
}
