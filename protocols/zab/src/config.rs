//! Every knob of a ZAB node.

use core::time::Duration;

use synod_election::fle;
use synod_engine::{ConfigError, NodeId, Sound};
use synod_log::{Bounds, MAX_TIMEOUT_MS, Part};
use synod_quorum::Quorum;

/// The counter of a zxid has 32 bits; what is proposed together may exceed the bound a little.
const MAX_EPOCH_ENTRIES: u64 = (u32::MAX - (1 << 24)) as u64;

/// How a node behaves. The defaults suit a cluster within one data centre on ordinary disks.
#[derive(Clone, Debug)]
pub struct Config<R = Sound> {
    /// What it is to its group.
    pub part: Part,
    /// The leader is heard at least this often. Far above the round trip, far below `sync_limit_ms`.
    /// ZooKeeper's `tickTime`.
    pub heartbeat_ms: u64,
    /// A follower that does not hear its leader for so long looks for another, and so does a leader that
    /// does not hear a quorum. Several heartbeats, so that one that is lost or late is not taken for a
    /// dead node. ZooKeeper's `syncLimit`, in milliseconds.
    pub sync_limit_ms: u64,
    /// Who was elected, or elected another, looks again unless a quorum has accepted the new epoch by then.
    /// Several times what an election takes: who decides early waits for the rest. ZooKeeper's `initLimit`;
    /// here it does not cover the synchronisation, which goes on as long as both sides are heard.
    pub init_limit_ms: u64,
    /// How long an election waits for a better vote: see [`fle::Config::finalize_ms`].
    pub finalize_ms: u64,
    /// How soon a vote is repeated at first: see [`fle::Config::notify_min_ms`].
    pub notify_min_ms: u64,
    /// How soon a vote is repeated at last: see [`fle::Config::notify_max_ms`].
    pub notify_max_ms: u64,
    /// An epoch with so many entries ends, and its leader is elected anew: the counter of a zxid has 32
    /// bits.
    pub max_epoch_entries: u64,
    /// A voter of higher priority leads once it was heard and up to date for this long; longer for each
    /// voter of a higher priority still, and after each time that it failed to take over. Long enough that
    /// a node which just restarted, or comes and goes, moves leadership once. `None`: never.
    pub priority_takeover_ms: Option<u64>,
    /// Whether a follower sends its user's proposals on to its leader, as ZooKeeper's servers do. On: any
    /// node may be asked.
    pub forward_proposals: bool,
    /// How much it takes, sends, and keeps.
    pub bounds: Bounds,
    /// The rules it keeps.
    pub rules: R,
}

impl Config<Sound> {
    /// The defaults for `node` of a new cluster of `voters`.
    pub fn new(node: NodeId, voters: impl IntoIterator<Item = NodeId>) -> Self {
        Self::with_rules(node, voters, Sound)
    }
}

impl<R> Config<R> {
    /// The defaults, keeping `rules`.
    pub fn with_rules(node: NodeId, voters: impl IntoIterator<Item = NodeId>, rules: R) -> Self {
        Self::of(Part::founder(node, voters), rules)
    }

    /// The defaults for a node that takes part like this, keeping `rules`.
    pub fn of(part: Part, rules: R) -> Self {
        Self {
            part,
            heartbeat_ms: 50,
            sync_limit_ms: 400,
            init_limit_ms: 1_000,
            finalize_ms: 50,
            notify_min_ms: 50,
            notify_max_ms: 1_000,
            max_epoch_entries: MAX_EPOCH_ENTRIES,
            priority_takeover_ms: Some(5_000),
            forward_proposals: true,
            bounds: Bounds::default(),
            rules,
        }
    }

    /// Checks the knobs against each other.
    ///
    /// # Errors
    /// [`ConfigError`], naming the knob.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.part.check()?;
        self.bounds.check()?;
        self.election().check()?;
        ConfigError::among([
            (self.heartbeat_ms == 0, "heartbeat_ms must be above 0"),
            (
                self.sync_limit_ms / 2 < self.heartbeat_ms,
                "sync_limit_ms must be at least twice heartbeat_ms",
            ),
            (self.sync_limit_ms > MAX_TIMEOUT_MS, "sync_limit_ms must be at most one day"),
            (
                self.init_limit_ms < self.sync_limit_ms,
                "init_limit_ms must be at least sync_limit_ms",
            ),
            (self.init_limit_ms > MAX_TIMEOUT_MS, "init_limit_ms must be at most one day"),
            (
                !(1..=MAX_EPOCH_ENTRIES).contains(&self.max_epoch_entries),
                "max_epoch_entries must be above 0, and 2^24 below what a counter of 32 bits holds",
            ),
            (
                self.priority_takeover_ms.is_some_and(|wait_ms| wait_ms > MAX_TIMEOUT_MS),
                "priority_takeover_ms must be at most one day",
            ),
        ])
    }

    /// The knobs of the embedded election.
    pub(crate) fn election(&self) -> fle::Config {
        fle::Config {
            finalize_ms: self.finalize_ms,
            notify_min_ms: self.notify_min_ms,
            notify_max_ms: self.notify_max_ms,
            ..fle::Config::new(self.part.node, Quorum::default())
        }
    }

    pub(crate) fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }

    pub(crate) fn sync_limit(&self) -> Duration {
        Duration::from_millis(self.sync_limit_ms)
    }

    pub(crate) fn init_limit(&self) -> Duration {
        Duration::from_millis(self.init_limit_ms)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn nothing_overflows() {
        let mut config = Config::new(NodeId(1), [1, 2, 3].map(NodeId));
        (config.heartbeat_ms, config.sync_limit_ms) = (u64::MAX, u64::MAX);
        assert!(config.check().is_err());
    }

    /// Of each bound the last value that passes, and the first that is refused by the knob's name. What all
    /// logs share has tables of its own; here is one knob of each, for it must be asked.
    #[test]
    fn every_knob_is_refused_from_its_bound_on() {
        type Set = fn(&mut Config, u64);
        let day_ms = 86_400_000;
        let knobs: [(&str, Set, u64, u64); 13] = [
            ("heartbeat_ms", |it, to| it.heartbeat_ms = to, 1, 0),
            ("sync_limit_ms", |it, to| it.sync_limit_ms = to, 100, 99),
            (
                "sync_limit_ms",
                |it, to| (it.sync_limit_ms, it.init_limit_ms) = (to, to),
                day_ms,
                day_ms + 1,
            ),
            ("init_limit_ms", |it, to| it.init_limit_ms = to, 400, 399),
            ("init_limit_ms", |it, to| it.init_limit_ms = to, day_ms, day_ms + 1),
            ("finalize_ms", |it, to| it.finalize_ms = to, day_ms, day_ms + 1),
            ("notify_min_ms", |it, to| it.notify_min_ms = to, 1, 0),
            ("notify_max_ms", |it, to| it.notify_max_ms = to, 50, 49),
            ("max_epoch_entries", |it, to| it.max_epoch_entries = to, 1, 0),
            (
                "max_epoch_entries",
                |it, to| it.max_epoch_entries = to,
                (1 << 32) - 1 - (1 << 24),
                (1 << 32) - (1 << 24),
            ),
            (
                "priority_takeover_ms",
                |it, to| it.priority_takeover_ms = Some(to),
                day_ms,
                day_ms + 1,
            ),
            ("initial_voters", |it, to| it.part.node = NodeId(to), 3, 4),
            ("max_append_bytes", |it, to| it.bounds.max_append_bytes = to as usize, 1, 0),
        ];
        for (knob, set, passes, refused) in knobs {
            let mut config = Config::new(NodeId(1), [1, 2, 3].map(NodeId));
            set(&mut config, passes);
            assert_eq!(config.check(), Ok(()), "{knob} {passes}");
            set(&mut config, refused);
            let fault = config.check().expect_err(knob).to_string();
            assert!(fault.starts_with(knob), "{knob} {refused}: {fault}");
        }
    }

    #[test]
    fn the_election_has_the_knobs_of_its_owner() {
        let mut config = Config::new(NodeId(2), [1, 2, 3].map(NodeId));
        (config.finalize_ms, config.notify_min_ms, config.notify_max_ms) = (1, 2, 3);
        let election = config.election();
        let knobs = (election.finalize_ms, election.notify_min_ms, election.notify_max_ms);
        assert_eq!((election.node, knobs), (NodeId(2), (1, 2, 3)));
    }
}
