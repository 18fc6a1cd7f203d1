//! Every knob of a clerk.

use std::time::Duration;

use synod_engine::ClusterId;
use synod_kv::limits::MAX_UNANSWERED;
use tokio::sync::Semaphore;

/// How a clerk behaves. The defaults suit a cluster on one continent.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster that it must be; `None`: whichever answers.
    pub cluster: Option<ClusterId>,
    /// How long a call may take before it ends as not done or unknown. 5 s: long enough to sit out a
    /// change of leader several times over.
    pub timeout_ms: u64,
    /// How long opening a connection to one server may take, its welcome included. 1 s: a server that
    /// needs longer is better left for the next one.
    pub open_timeout_ms: u64,
    /// How long a server with calls under way may stay silent before the clerk asks another. 2 s: a
    /// suspended leader is given up before calls reach their deadline.
    pub stall_timeout_ms: u64,
    /// Calls under way at a time, over all clones of the clerk, at least one; beyond it, calls wait for
    /// a place. 2,048: as many writes as the store takes from one session before it is answered.
    pub max_in_flight: usize,
    /// How long the session outlives the last word from this clerk, in replicated time. 60 s: the
    /// process may be suspended that long without a write becoming unknown.
    pub lease_ms: u64,
}

/// A time that can be added to any instant.
pub(crate) fn bounded(time: Duration) -> Duration {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    time.min(YEAR)
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cluster: None,
            timeout_ms: 5_000,
            open_timeout_ms: 1_000,
            stall_timeout_ms: 2_000,
            max_in_flight: MAX_UNANSWERED as usize,
            lease_ms: 60_000,
        }
    }
}

impl Options {
    pub(crate) fn timeout(&self) -> Duration {
        bounded(Duration::from_millis(self.timeout_ms))
    }

    pub(crate) fn open_timeout(&self) -> Duration {
        bounded(Duration::from_millis(self.open_timeout_ms))
    }

    pub(crate) fn stall_timeout(&self) -> Duration {
        bounded(Duration::from_millis(self.stall_timeout_ms))
    }

    pub(crate) fn max_in_flight(&self) -> usize {
        self.max_in_flight.clamp(1, Semaphore::MAX_PERMITS)
    }
}
