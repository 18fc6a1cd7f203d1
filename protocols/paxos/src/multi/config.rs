//! Every knob of a Multi-Paxos node.

use core::fmt;
use core::time::Duration;

use synod_consensus::MAX_MEMBERS;
use synod_engine::{Incarnation, NodeId, Sound};
use synod_quorum::Voters;

use synod_log::{Lease, SnapshotBounds};

use crate::Ballot;

/// One day: far beyond any sensible timeout, and far from where nanoseconds overflow.
const MAX_TIMEOUT_MS: u64 = 24 * 60 * 60 * 1000;

/// How a node behaves. The defaults suit a cluster within one data centre on ordinary disks.
#[derive(Clone, Debug)]
pub struct Config<R = Sound> {
    /// This node.
    pub node: NodeId,
    /// The voters of a new cluster, the same on all of them. They become the first record; after
    /// that the records count and this is ignored. `None` on a node that is to join a cluster.
    pub initial_voters: Option<Voters>,
    /// Which life of its directory this is, where the driver keeps account of lives. A node that lost its
    /// data reads on its way about members under its own name: only those of its own life are itself.
    pub incarnation: Option<Incarnation>,
    /// The shortest election timeout. Several heartbeats, so that one lost or late heartbeat is not
    /// taken for a dead leader.
    pub election_timeout_min_ms: u64,
    /// The longest election timeout. Twice the shortest, so that candidates rarely meet.
    pub election_timeout_max_ms: u64,
    /// The leader is heard at least this often. Far above the round trip, far below the timeout.
    pub heartbeat_ms: u64,
    /// A voter of higher priority leads once it was heard and up to date for this long; longer for each
    /// voter of a higher priority still, and after each time that it failed to take over. Long enough that
    /// a node which just restarted, or comes and goes, moves leadership once. `None`: never.
    pub priority_takeover_ms: Option<u64>,
    /// Whether an acceptor that hears a live leader promises nothing to anybody else, unless that leader
    /// hands over: then a node that lost its link, or was paused, disturbs nobody. Off, as in the papers:
    /// whoever is impatient takes over.
    pub sticky_leader: bool,
    /// Entries in one message, in bytes. Large enough to fill a network pipe, small enough that a
    /// heartbeat never waits long behind one.
    pub max_append_bytes: usize,
    /// Unacknowledged `Accept`s to one follower; what a fast network and a slow disk need.
    pub max_in_flight_appends: usize,
    /// Unacknowledged `Accept`s to one follower, in bytes; bounds the memory of its link, and what a
    /// follower keeps behind a gap.
    pub max_in_flight_bytes: usize,
    /// A longer command is refused.
    pub max_command_bytes: usize,
    /// Proposals are refused while this much is not committed, or not durable on the leader itself;
    /// bounds what an isolated leader, or one with a stalled disk, keeps.
    pub max_uncommitted_bytes: usize,
    /// Proposals are refused, and a follower takes no more entries, while the state machine is this
    /// many entries behind; bounds the queue between them.
    pub max_unapplied_entries: u64,
    /// Reads are refused while this many wait.
    pub max_pending_reads: usize,
    /// Proposals are refused, and a follower takes no more entries, while the state machine has this
    /// many bytes of entries to take in; bounds the memory that they hold.
    pub max_unapplied_bytes: usize,
    /// Whether a follower sends its user's proposals on to its leader. Off: a client that goes to the
    /// leader itself saves a hop.
    pub forward_proposals: bool,
    /// Forwarded proposals that wait to be sent or answered, in bytes; beyond it they are refused.
    pub max_forwarded_bytes: usize,
    /// A snapshot is due when the entries since the last one weigh so many times what it weighs, within
    /// the next three bounds. Each writes the whole state: a multiple of 4 adds a quarter to what is
    /// written to the log, 1 would double it.
    pub snapshot_growth: u32,
    /// It is due after this many bytes of entries at the earliest: a small state costs little to write,
    /// but not nothing. Half of `max_log_bytes` is the latest.
    pub snapshot_every_bytes: usize,
    /// And after this many entries in any case. What a restart applies: one or two seconds of work.
    pub snapshot_every: u64,
    /// Bytes of entries kept on disk before a snapshot, so that a follower that is a little late needs
    /// none: a few seconds of the heaviest load.
    pub keep_log_bytes: usize,
    /// Entries that are applied stay in memory up to this many bytes; a follower that needs older ones
    /// is served from disk. A second or so of the heaviest load.
    pub max_cached_log_bytes: usize,
    /// Proposals are refused while so much was written since the last snapshot: none could be written.
    /// Half of it is what a restart holds in memory until it is applied, at most.
    pub max_log_bytes: usize,
    /// How far clocks can be trusted, so that a leader may read without asking a majority each time.
    /// Off unless somebody vouches for the clocks of all nodes. A node that is started
    /// with it taken away, or with a shorter `election_timeout_min_ms`, must have been down for as long
    /// as that was.
    pub lease: Option<Lease>,
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
    /// The most that `max_uncommitted_bytes` may be.
    pub const MAX_UNCOMMITTED_BYTES: usize = 1 << 30;

    /// The defaults, keeping `rules`.
    pub fn with_rules(node: NodeId, voters: impl IntoIterator<Item = NodeId>, rules: R) -> Self {
        Self {
            node,
            initial_voters: Some(Voters::new(voters)),
            incarnation: None,
            election_timeout_min_ms: 300,
            election_timeout_max_ms: 600,
            heartbeat_ms: 50,
            priority_takeover_ms: Some(5_000),
            sticky_leader: true,
            max_append_bytes: 1 << 20,
            max_in_flight_appends: 256,
            max_in_flight_bytes: 32 << 20,
            max_command_bytes: 2 << 20,
            max_uncommitted_bytes: 64 << 20,
            max_unapplied_entries: 200_000,
            max_unapplied_bytes: 64 << 20,
            max_pending_reads: 100_000,
            forward_proposals: false,
            max_forwarded_bytes: 8 << 20,
            snapshot_growth: 4,
            snapshot_every_bytes: 64 << 20,
            snapshot_every: 2_000_000,
            keep_log_bytes: 128 << 20,
            max_cached_log_bytes: 64 << 20,
            max_log_bytes: 1 << 30,
            lease: None,
            rules,
        }
    }

    /// Checks the knobs against each other.
    ///
    /// # Errors
    /// [`ConfigError`], naming the knob.
    pub fn check(&self) -> Result<(), ConfigError> {
        let faults = [
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
                self.priority_takeover_ms.is_some_and(|wait_ms| wait_ms > MAX_TIMEOUT_MS),
                "priority_takeover_ms must be at most one day",
            ),
            (self.max_append_bytes == 0, "max_append_bytes must be above 0"),
            (self.max_in_flight_appends == 0, "max_in_flight_appends must be above 0"),
            (self.max_in_flight_bytes == 0, "max_in_flight_bytes must be above 0"),
            (self.max_command_bytes == 0, "max_command_bytes must be above 0"),
            (
                self.max_uncommitted_bytes < self.max_command_bytes,
                "max_uncommitted_bytes must be at least max_command_bytes",
            ),
            (
                self.max_uncommitted_bytes > Self::MAX_UNCOMMITTED_BYTES,
                "max_uncommitted_bytes must be at most 1 GiB",
            ),
            (self.max_unapplied_entries == 0, "max_unapplied_entries must be above 0"),
            (self.max_unapplied_bytes == 0, "max_unapplied_bytes must be above 0"),
            (self.max_pending_reads == 0, "max_pending_reads must be above 0"),
            (self.snapshot_every == 0, "snapshot_every must be above 0"),
            (self.snapshot_every_bytes == 0, "snapshot_every_bytes must be above 0"),
            (self.snapshot_growth == 0, "snapshot_growth must be above 0"),
            (
                self.max_log_bytes <= self.snapshot_every_bytes,
                "max_log_bytes must be above snapshot_every_bytes",
            ),
            (
                self.lease.is_some_and(|lease| lease.max_drift_percent > 50),
                "lease.max_drift_percent must be at most 50",
            ),
            (self.node > Ballot::LAST_PROPOSER, "node must be below 65536"),
            (
                self.initial_voters.as_ref().is_some_and(|voters| !voters.contains(self.node)),
                "initial_voters must contain the node itself",
            ),
            (
                self.initial_voters.as_ref().is_some_and(|voters| voters.len() > MAX_MEMBERS),
                "initial_voters must be no more than a group may have members",
            ),
        ];
        match faults.into_iter().find(|(fault, _)| *fault) {
            Some((_, knob)) => Err(ConfigError(knob)),
            None => Ok(()),
        }
    }

    /// How much of the log is looked up on disk as one. Small enough that a checkpoint keeps about
    /// what it should, large enough that a log of 1 GiB is 16,000 of them.
    pub(crate) fn stretch_bytes(&self) -> usize {
        (self.keep_log_bytes / 16).min(64 << 10)
    }

    pub(crate) fn snapshot_bounds(&self) -> SnapshotBounds {
        SnapshotBounds {
            growth: self.snapshot_growth,
            every_bytes: self.snapshot_every_bytes,
            every: self.snapshot_every,
            max_log_bytes: self.max_log_bytes,
        }
    }

    pub(crate) fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }

    pub(crate) fn election_timeout_min(&self) -> Duration {
        Duration::from_millis(self.election_timeout_min_ms)
    }

    pub(crate) fn election_timeout_max(&self) -> Duration {
        Duration::from_millis(self.election_timeout_max_ms)
    }
}

/// A knob that contradicts another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError(&'static str);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn the_defaults_fit_each_other_and_a_contradiction_is_named() {
        let mut config = Config::new(NodeId(1), [1, 2, 3].map(NodeId));
        assert_eq!(config.check(), Ok(()));
        config.election_timeout_max_ms = config.election_timeout_min_ms;
        assert!(config.check().unwrap_err().0.starts_with("election_timeout_max_ms"));
        (config.heartbeat_ms, config.election_timeout_max_ms) = (u64::MAX, u64::MAX);
        assert!(config.check().is_err(), "and nothing overflows");
        let stranger = Config::new(NodeId(9), [1, 2, 3].map(NodeId));
        assert!(stranger.check().unwrap_err().0.starts_with("initial_voters"));
    }

    /// Of each bound the last value that passes, and the first that is refused by the knob's name.
    #[test]
    fn every_knob_is_refused_from_its_bound_on() {
        type Set = fn(&mut Config, u64);
        let day_ms = 86_400_000;
        let knobs: [(&str, Set, u64, u64); 22] = [
            ("heartbeat_ms", |it, to| it.heartbeat_ms = to, 1, 0),
            ("election_timeout_min_ms", |it, to| it.election_timeout_min_ms = to, 100, 99),
            ("election_timeout_max_ms", |it, to| it.election_timeout_max_ms = to, 301, 300),
            (
                "election_timeout_max_ms",
                |it, to| it.election_timeout_max_ms = to,
                day_ms,
                day_ms + 1,
            ),
            (
                "priority_takeover_ms",
                |it, to| it.priority_takeover_ms = Some(to),
                day_ms,
                day_ms + 1,
            ),
            ("max_append_bytes", |it, to| it.max_append_bytes = to as usize, 1, 0),
            ("max_in_flight_appends", |it, to| it.max_in_flight_appends = to as usize, 1, 0),
            ("max_in_flight_bytes", |it, to| it.max_in_flight_bytes = to as usize, 1, 0),
            ("max_command_bytes", |it, to| it.max_command_bytes = to as usize, 1, 0),
            (
                "max_uncommitted_bytes",
                |it, to| it.max_uncommitted_bytes = to as usize,
                2 << 20,
                (2 << 20) - 1,
            ),
            (
                "max_uncommitted_bytes",
                |it, to| it.max_uncommitted_bytes = to as usize,
                1 << 30,
                (1 << 30) + 1,
            ),
            ("max_unapplied_entries", |it, to| it.max_unapplied_entries = to, 1, 0),
            ("max_unapplied_bytes", |it, to| it.max_unapplied_bytes = to as usize, 1, 0),
            ("max_pending_reads", |it, to| it.max_pending_reads = to as usize, 1, 0),
            ("snapshot_every ", |it, to| it.snapshot_every = to, 1, 0),
            ("snapshot_growth", |it, to| it.snapshot_growth = to as u32, 1, 0),
            ("snapshot_every_bytes", |it, to| it.snapshot_every_bytes = to as usize, 1, 0),
            ("max_log_bytes", |it, to| it.max_log_bytes = to as usize, (256 << 20) + 1, 256 << 20),
            ("node", |it, to| (it.node, it.initial_voters) = (NodeId(to), None), 65_535, 65_536),
            ("lease", |it, to| it.lease = Some(Lease { max_drift_percent: to as u8 }), 50, 51),
            ("initial_voters", |it, to| it.node = NodeId(to), 3, 4),
            (
                "initial_voters",
                |it, to| it.initial_voters = Some((1..=to).map(NodeId).collect()),
                64,
                65,
            ),
        ];
        for (knob, set, passes, refused) in knobs {
            let mut config = Config::new(NodeId(1), [1, 2, 3].map(NodeId));
            config.snapshot_every_bytes = 256 << 20;
            set(&mut config, passes);
            assert_eq!(config.check(), Ok(()), "{knob} {passes}");
            set(&mut config, refused);
            let fault = config.check().expect_err(knob).to_string();
            assert!(fault.starts_with(knob), "{knob} {refused}: {fault}");
        }
    }

    #[test]
    fn what_is_cached_by_default_is_still_kept_on_disk_and_looked_up_in_small_parts() {
        let mut config = Config::new(NodeId(1), [1, 2, 3].map(NodeId));
        assert!(config.keep_log_bytes >= config.max_cached_log_bytes);
        assert!(config.keep_log_bytes < config.max_log_bytes);
        assert!(config.max_forwarded_bytes >= config.max_command_bytes);
        assert_eq!((1 << 30) / config.stretch_bytes(), 16 * 1024, "of a log of 1 GiB");
        config.keep_log_bytes = 1000;
        assert_eq!(config.stretch_bytes(), 62);
    }
}
