//! Every knob of a Multi-Paxos node.

use synod_engine::{ConfigError, NodeId, Sound};
use synod_log::{Bounds, MAX_TIMEOUT_MS, Part, Timing};

use crate::Ballot;

/// How a node behaves. The defaults suit a cluster within one data centre on ordinary disks.
#[derive(Clone, Debug)]
pub struct Config<R = Sound> {
    /// What it is to its group.
    pub part: Part,
    /// How often a leader is heard, and how long it is missed.
    pub timing: Timing,
    /// A voter of higher priority leads once it was heard and up to date for this long; longer for each
    /// voter of a higher priority still, and after each time that it failed to take over. Long enough that
    /// a node which just restarted, or comes and goes, moves leadership once. `None`: never.
    pub priority_takeover_ms: Option<u64>,
    /// Whether an acceptor that hears a live leader promises nothing to anybody else, unless that leader
    /// hands over: then a node that lost its link, or was paused, disturbs nobody. Off, as in the papers:
    /// whoever is impatient takes over.
    pub sticky_leader: bool,
    /// Whether a follower sends its user's proposals on to its leader. Off: a client that goes to the
    /// leader itself saves a hop.
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
    /// The most that `max_uncommitted_bytes` may be.
    pub const MAX_UNCOMMITTED_BYTES: usize = 1 << 30;

    /// The defaults, keeping `rules`.
    pub fn with_rules(node: NodeId, voters: impl IntoIterator<Item = NodeId>, rules: R) -> Self {
        Self::of(Part::founder(node, voters), rules)
    }

    /// The defaults for a node that takes part like this, keeping `rules`.
    pub fn of(part: Part, rules: R) -> Self {
        Self {
            part,
            timing: Timing::default(),
            priority_takeover_ms: Some(5_000),
            sticky_leader: true,
            forward_proposals: false,
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
        self.timing.check()?;
        self.bounds.check()?;
        ConfigError::among([
            (
                self.priority_takeover_ms.is_some_and(|wait_ms| wait_ms > MAX_TIMEOUT_MS),
                "priority_takeover_ms must be at most one day",
            ),
            (
                self.bounds.max_uncommitted_bytes > Self::MAX_UNCOMMITTED_BYTES,
                "max_uncommitted_bytes must be at most 1 GiB",
            ),
            (self.part.node > Ballot::LAST_PROPOSER, "node must be below 65536"),
        ])
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    /// Of each bound the last value that passes, and the first that is refused by the knob's name. What all
    /// logs share has tables of its own; here is one knob of each, for it must be asked.
    #[test]
    fn every_knob_is_refused_from_its_bound_on() {
        type Set = fn(&mut Config, u64);
        let day_ms = 86_400_000;
        let knobs: [(&str, Set, u64, u64); 6] = [
            ("initial_voters", |it, to| it.part.node = NodeId(to), 3, 4),
            ("heartbeat_ms", |it, to| it.timing.heartbeat_ms = to, 1, 0),
            ("max_append_bytes", |it, to| it.bounds.max_append_bytes = to as usize, 1, 0),
            (
                "priority_takeover_ms",
                |it, to| it.priority_takeover_ms = Some(to),
                day_ms,
                day_ms + 1,
            ),
            (
                "max_uncommitted_bytes",
                |it, to| it.bounds.max_uncommitted_bytes = to as usize,
                1 << 30,
                (1 << 30) + 1,
            ),
            (
                "node",
                |it, to| (it.part.node, it.part.initial_voters) = (NodeId(to), None),
                65_535,
                65_536,
            ),
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
}
