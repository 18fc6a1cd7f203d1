//! Every knob of a Paxos node.

use alloc::collections::BTreeSet;
use core::time::Duration;

use synod_engine::{ConfigError, NodeId, Sound};
use synod_quorum::Voters;

/// Who plays which role, and how patient they are. The roles must be the same on all nodes.
#[derive(Clone, Debug)]
pub struct Config<R = Sound> {
    /// This node.
    pub node: NodeId,
    /// Who gets values chosen. One is enough for progress; more survive its crash, and duel.
    pub proposers: BTreeSet<NodeId>,
    /// Who remembers; a majority of them chooses.
    pub acceptors: Voters,
    /// Who is to know the outcome.
    pub learners: BTreeSet<NodeId>,
    /// Whom of the learners the acceptors tell.
    pub learning: Learning,
    /// The first ballot is given up after one to two times this without an outcome, the second after
    /// twice that, and so on: however slow disks and links are, some ballot has the time it needs.
    /// Several round trips and syncs.
    pub attempt_ms: u64,
    /// The most that becomes of `attempt_ms` by doubling.
    pub attempt_max_ms: u64,
    /// A proposer whose first ballot is refused waits up to this before it tries a higher one, after
    /// the second up to twice this, and so on. About the time that the other one needs to finish.
    pub backoff_ms: u64,
    /// The most that becomes of `backoff_ms` by doubling.
    pub backoff_max_ms: u64,
    /// A client without an outcome turns to the next proposer after one to two times this. Longer
    /// than an attempt.
    pub resend_ms: u64,
    /// A learner that does not know the outcome asks all acceptors and learners this often. The price of
    /// a missed message against that of one question in vain.
    pub ask_ms: u64,
    /// A learner that knows of an acceptance and has asked so often in vain has a proposer settle it. As
    /// long as a ballot may be under way that needs no help.
    pub vain_asks: u32,
    /// A larger value is refused. What fits in a packet, for all messages are datagrams.
    pub max_value_bytes: usize,
    /// Requests are refused while this many wait for the outcome.
    pub max_open_requests: usize,
    /// The rules it keeps.
    pub rules: R,
}

/// How learners find out what the acceptors have accepted (§2.3).
///
/// However they do, a learner that misses the outcome asks all acceptors and learners for it. So the loss
/// of distinguished learners costs time, never the outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Learning {
    /// Every acceptor tells every learner: one delay, and as many messages as there are pairs.
    Everyone,
    /// Every acceptor tells this learner, which tells the others: one delay more, and about as many
    /// messages as there are nodes. While it is down, all others have to ask.
    One(NodeId),
    /// Every acceptor tells these learners, each of which tells the others: between the two in both.
    Few(BTreeSet<NodeId>),
}

impl Learning {
    /// Whether acceptors tell `learner`.
    #[must_use]
    pub fn is_told(&self, learner: NodeId) -> bool {
        match self {
            Self::Everyone => true,
            Self::One(one) => *one == learner,
            Self::Few(few) => few.contains(&learner),
        }
    }

    /// The learners that must be there for it.
    fn distinguished(&self) -> impl Iterator<Item = &NodeId> {
        let (one, few) = match self {
            Self::Everyone => (None, None),
            Self::One(one) => (Some(one), None),
            Self::Few(few) => (None, Some(few)),
        };
        one.into_iter().chain(few.into_iter().flatten())
    }
}

impl Config<Sound> {
    /// The defaults for `node`, where all `nodes` play all roles.
    pub fn new(node: NodeId, nodes: impl IntoIterator<Item = NodeId>) -> Self {
        Self::with_rules(node, nodes, Sound)
    }
}

impl<R> Config<R> {
    /// The defaults for `node`, where all `nodes` play all roles, keeping `rules`.
    pub fn with_rules(node: NodeId, nodes: impl IntoIterator<Item = NodeId>, rules: R) -> Self {
        let nodes: BTreeSet<_> = nodes.into_iter().collect();
        Self {
            node,
            acceptors: nodes.iter().copied().collect(),
            learners: nodes.clone(),
            learning: Learning::Everyone,
            proposers: nodes,
            attempt_ms: 200,
            attempt_max_ms: 5000,
            backoff_ms: 20,
            backoff_max_ms: 1000,
            resend_ms: 500,
            ask_ms: 1000,
            vain_asks: 2,
            max_value_bytes: 1024,
            max_open_requests: 1024,
            rules,
        }
    }

    /// Checks the knobs against each other.
    ///
    /// # Errors
    /// [`ConfigError`], naming the knob.
    pub fn check(&self) -> Result<(), ConfigError> {
        ConfigError::among([
            (self.proposers.is_empty(), "proposers must name at least one node"),
            (self.acceptors.is_empty(), "acceptors must name at least one node"),
            (self.learners.is_empty(), "learners must name at least one node"),
            (
                self.learning == Learning::Few(BTreeSet::new()),
                "learning must distinguish at least one learner",
            ),
            (
                !self.learning.distinguished().all(|node| self.learners.contains(node)),
                "learning must distinguish learners only",
            ),
            (self.attempt_ms == 0, "attempt_ms must be above 0"),
            (self.attempt_max_ms < self.attempt_ms, "attempt_max_ms must be at least attempt_ms"),
            (self.backoff_ms == 0, "backoff_ms must be above 0"),
            (self.backoff_max_ms < self.backoff_ms, "backoff_max_ms must be at least backoff_ms"),
            (self.resend_ms < self.attempt_ms, "resend_ms must be at least attempt_ms"),
            (self.ask_ms == 0, "ask_ms must be above 0"),
            (self.max_value_bytes == 0, "max_value_bytes must be above 0"),
            (self.max_open_requests == 0, "max_open_requests must be above 0"),
        ])
    }

    /// The learners that acceptors tell.
    pub(crate) fn told(&self) -> impl Iterator<Item = NodeId> {
        self.learners.iter().copied().filter(|node| self.learning.is_told(*node))
    }

    /// The learners that hear the outcome from those that acceptors tell.
    pub(crate) fn untold(&self) -> impl Iterator<Item = NodeId> {
        self.learners.iter().copied().filter(|node| !self.learning.is_told(*node))
    }

    /// Whether acceptors tell `node` what they accept.
    pub(crate) fn is_told(&self, node: NodeId) -> bool {
        self.learners.contains(&node) && self.learning.is_told(node)
    }

    /// The shortest time for an attempt that follows this many vain ones.
    pub(crate) fn attempt(&self, vain: u32) -> Duration {
        doubled(self.attempt_ms, vain, self.attempt_max_ms)
    }

    /// The longest delay after a refusal that follows this many vain attempts.
    pub(crate) fn backoff(&self, vain: u32) -> Duration {
        doubled(self.backoff_ms, vain, self.backoff_max_ms)
    }

    pub(crate) fn resend(&self) -> Duration {
        Duration::from_millis(self.resend_ms)
    }

    pub(crate) fn ask(&self) -> Duration {
        Duration::from_millis(self.ask_ms)
    }
}

/// So many milliseconds, doubled so often, up to a bound.
fn doubled(ms: u64, times: u32, max_ms: u64) -> Duration {
    let factor = 1_u64.checked_shl(times).unwrap_or(u64::MAX);
    Duration::from_millis(ms.saturating_mul(factor).min(max_ms))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn the_defaults_fit_each_other_and_a_contradiction_is_named() {
        let mut config = Config::new(NodeId(1), [1, 2, 3].map(NodeId));
        assert_eq!(config.check(), Ok(()));
        config.resend_ms = config.attempt_ms - 1;
        assert!(config.check().unwrap_err().to_string().starts_with("resend_ms"));
        assert!(
            Config::new(NodeId(1), []).check().unwrap_err().to_string().starts_with("proposers")
        );
        for learning in [Learning::Few(BTreeSet::new()), Learning::One(NodeId(4))] {
            let config = Config { learning, ..Config::new(NodeId(1), [1, 2, 3].map(NodeId)) };
            assert!(config.check().unwrap_err().to_string().starts_with("learning"));
        }
    }

    #[test]
    fn knobs_may_be_as_low_as_they_say_and_no_lower() {
        type Set = fn(&mut Config, u64);
        let lowest: [(&str, u64, Set); 9] = [
            ("attempt_ms", 1, |config, to| config.attempt_ms = to),
            ("attempt_max_ms", 200, |config, to| config.attempt_max_ms = to),
            ("backoff_ms", 1, |config, to| config.backoff_ms = to),
            ("backoff_max_ms", 20, |config, to| config.backoff_max_ms = to),
            ("resend_ms", 200, |config, to| config.resend_ms = to),
            ("ask_ms", 1, |config, to| config.ask_ms = to),
            ("max_value_bytes", 1, |config, to| config.max_value_bytes = to as usize),
            ("max_open_requests", 1, |config, to| config.max_open_requests = to as usize),
            ("learners", 1, |config, to| config.learners = (0..to).map(NodeId).collect()),
        ];
        for (knob, low, set) in lowest {
            let mut config = Config::new(NodeId(0), [NodeId(0)]);
            set(&mut config, low);
            assert_eq!(config.check(), Ok(()), "{knob}");
            set(&mut config, low - 1);
            assert!(config.check().unwrap_err().to_string().starts_with(knob), "{knob}");
        }
    }

    #[test]
    fn the_delay_doubles_with_each_vain_attempt_up_to_its_bound() {
        let config = Config::new(NodeId(1), [NodeId(1)]);
        let delays = [0, 1, 2, 5, 6, 63, 1000].map(|vain| config.backoff(vain).as_millis());
        assert_eq!(delays, [20, 40, 80, 640, 1000, 1000, 1000]);
    }
}
