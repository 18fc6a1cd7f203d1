//! Every knob of a node that elects.

use core::time::Duration;

use synod_engine::{ConfigError, NodeId, Sound};
use synod_quorum::Quorum;

/// One day: far beyond any sensible time, and far from where nanoseconds overflow.
const MAX_MS: u64 = 24 * 60 * 60 * 1000;

/// Who elects, and how patient they are.
#[derive(Clone, Debug)]
pub struct Config<R = Sound> {
    /// This node. If it is not one of the voters it observes.
    pub node: NodeId,
    /// Who votes and may be elected, when the node looks for a leader by itself at its start. An outer
    /// engine names them with each [`Request::Look`](super::Request::Look) instead.
    pub voters: Quorum,
    /// A quorum of equal votes waits so long for a better one. More than the links' delays differ by:
    /// who decides earlier than a better vote reaches it elects a leader whom the others leave.
    /// ZooKeeper's `finalizeWait`; its default.
    pub finalize_ms: u64,
    /// A node that looks repeats its vote after this, then after twice that, and so on. Several round
    /// trips. ZooKeeper's `minNotificationInterval`; its default.
    pub notify_min_ms: u64,
    /// The most that becomes of `notify_min_ms` by doubling, and so the longest that a node whose
    /// messages were lost stays alone. ZooKeeper waits a minute; a vote of 40 bytes may come oftener.
    pub notify_max_ms: u64,
    /// The rules it keeps.
    pub rules: R,
}

impl Config<Sound> {
    /// The defaults for `node` and these voters.
    pub fn new(node: NodeId, voters: impl Into<Quorum>) -> Self {
        Self::with_rules(node, voters, Sound)
    }
}

impl<R> Config<R> {
    /// The defaults for `node` and these voters, keeping `rules`.
    pub fn with_rules(node: NodeId, voters: impl Into<Quorum>, rules: R) -> Self {
        Self {
            node,
            voters: voters.into(),
            finalize_ms: 200,
            notify_min_ms: 200,
            notify_max_ms: 5000,
            rules,
        }
    }

    /// Checks the knobs against each other.
    ///
    /// # Errors
    /// [`ConfigError`], naming the knob.
    pub fn check(&self) -> Result<(), ConfigError> {
        ConfigError::among([
            (self.finalize_ms > MAX_MS, "finalize_ms must be at most a day"),
            (self.notify_min_ms == 0, "notify_min_ms must be above 0"),
            (
                self.notify_max_ms < self.notify_min_ms,
                "notify_max_ms must be at least notify_min_ms",
            ),
            (self.notify_max_ms > MAX_MS, "notify_max_ms must be at most a day"),
        ])
    }

    pub(crate) fn finalize(&self) -> Duration {
        Duration::from_millis(self.finalize_ms)
    }

    /// How long to wait for news after this many vain repetitions.
    pub(crate) fn notify(&self, vain: u32) -> Duration {
        let factor = 1_u64.checked_shl(vain).unwrap_or(u64::MAX);
        Duration::from_millis(self.notify_min_ms.saturating_mul(factor).min(self.notify_max_ms))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use synod_quorum::Voters;

    use super::*;

    fn config() -> Config {
        Config::new(NodeId(1), Voters::new([1, 2, 3].map(NodeId)))
    }

    #[test]
    fn the_defaults_fit_each_other_and_a_contradiction_is_named() {
        assert_eq!(config().check(), Ok(()));
        let contradictions = [
            ("finalize_ms", Config { finalize_ms: MAX_MS + 1, ..config() }),
            ("notify_min_ms", Config { notify_min_ms: 0, ..config() }),
            ("notify_max_ms must be at least", Config { notify_max_ms: 199, ..config() }),
            ("notify_max_ms must be at most", Config { notify_max_ms: MAX_MS + 1, ..config() }),
        ];
        for (knob, config) in contradictions {
            assert!(config.check().unwrap_err().to_string().starts_with(knob), "{knob}");
        }
    }

    #[test]
    fn the_interval_doubles_up_to_its_bound() {
        let waits = [0, 1, 4, 5, 64].map(|vain| config().notify(vain).as_millis());
        assert_eq!(waits, [200, 400, 3200, 5000, 5000]);
    }
}
