//! Every knob of a gossiping node.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use synod_engine::{ConfigError, NodeId, Random, Sound};

use crate::rumors::RUMOR_OVERHEAD_BYTES;

/// Who gossips, and how. Direction, judgement and stop must be the same on all nodes.
#[derive(Clone, Debug)]
pub struct Config<R = Sound> {
    /// This node.
    pub node: NodeId,
    /// Everybody, this node among them, in order of their ids. Shared by all nodes of a process.
    pub members: Arc<[NodeId]>,
    /// Who tells whom in a call.
    pub direction: Direction,
    /// How a node learns whether telling was useful.
    pub judgement: Judgement,
    /// When a node loses interest.
    pub stop: Stop,
    /// A node calls this often. News takes about log n rounds, and half of that in messages.
    pub round_ms: u64,
    /// Whether a node's first round begins at random within `round_ms`, so that calls are spread over
    /// time; otherwise all nodes that start together call together.
    pub staggered: bool,
    /// A larger rumor is refused. A few must fit in one packet.
    pub max_rumor_bytes: usize,
    /// The rumors in one message, with their bookkeeping; below the 1200 bytes that pass everywhere.
    pub max_packet_bytes: usize,
    /// A node remembers this many rumors, hot and cold. Beyond it forgets the oldest cold one, which
    /// may then be news again; with hot ones alone it takes up no other.
    pub max_rumors: usize,
    /// The rules it keeps.
    pub rules: R,
}

/// Who tells whom in a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// The caller tells; a node without hot rumors calls nobody. Quiet when there is no news.
    Push,
    /// The callee tells. Finds the last susceptible nodes sooner, where there is always some news.
    Pull,
    /// Both tell.
    PushPull,
}

/// How a node learns whether telling was useful.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Judgement {
    /// It does not: every telling counts as useless.
    Blind,
    /// The listener says whether it was news.
    Feedback,
}

/// When a node loses interest in a rumor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stop {
    /// After a round of useless telling, with probability one in this many.
    Coin(u32),
    /// After this many rounds of useless telling in a row.
    Counter(u32),
}

impl Config<Sound> {
    /// The defaults for `node` among `members`: push-pull with feedback and a counter of 3, one round
    /// a second.
    pub fn new(node: NodeId, members: impl IntoIterator<Item = NodeId>) -> Self {
        Self::with_rules(node, members, Sound)
    }
}

impl<R> Config<R> {
    /// The defaults for `node` among `members`, keeping `rules`.
    pub fn with_rules(node: NodeId, members: impl IntoIterator<Item = NodeId>, rules: R) -> Self {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        Self {
            node,
            members: members.into(),
            direction: Direction::PushPull,
            judgement: Judgement::Feedback,
            stop: Stop::Counter(3),
            round_ms: 1000,
            staggered: true,
            max_rumor_bytes: 256,
            max_packet_bytes: 1100,
            max_rumors: 10_000,
            rules,
        }
    }

    /// Checks the knobs against each other.
    ///
    /// # Errors
    /// [`ConfigError`], naming the knob.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (Stop::Coin(k) | Stop::Counter(k)) = self.stop;
        ConfigError::among([
            (!self.members.is_sorted(), "members must be in order"),
            (!self.members.contains(&self.node), "members must contain the node itself"),
            (k == 0, "stop must be after at least 1"),
            (self.round_ms == 0, "round_ms must be above 0"),
            (
                self.max_packet_bytes < self.max_rumor_bytes + RUMOR_OVERHEAD_BYTES,
                "max_packet_bytes must have room for max_rumor_bytes and the bookkeeping",
            ),
            (self.max_rumors == 0, "max_rumors must be above 0"),
        ])
    }

    pub(crate) fn round(&self) -> Duration {
        Duration::from_millis(self.round_ms)
    }

    /// One of the others, uniformly; `None` if there are none.
    pub(crate) fn partner(&self, random: &mut Random) -> Option<NodeId> {
        let others = self.members.len().checked_sub(1).filter(|others| *others > 0)?;
        let own = self.members.binary_search(&self.node).ok()?;
        let drawn = random.below(others as u64) as usize;
        Some(self.members[if drawn < own { drawn } else { drawn + 1 }])
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn the_defaults_fit_each_other_and_a_contradiction_is_named() {
        let mut config = Config::new(NodeId(1), [2, 1].map(NodeId));
        assert_eq!(config.check(), Ok(()));
        config.max_packet_bytes = config.max_rumor_bytes;
        assert!(config.check().unwrap_err().to_string().starts_with("max_packet_bytes"));
        let stranger = Config::new(NodeId(9), [1, 2].map(NodeId));
        assert!(stranger.check().unwrap_err().to_string().starts_with("members"));
    }

    #[test]
    fn the_partner_is_any_other_node_and_each_equally_often() {
        let config = Config::new(NodeId(3), (1..=5).map(NodeId));
        let mut random = Random::new(1);
        let mut calls = BTreeMap::new();
        for _ in 0..4000 {
            *calls.entry(config.partner(&mut random).unwrap()).or_insert(0) += 1;
        }
        assert_eq!(calls.keys().map(|node| node.0).collect::<Vec<_>>(), [1, 2, 4, 5]);
        assert!(calls.values().all(|count| (900..=1100).contains(count)), "{calls:?}");
        let alone = Config::new(NodeId(1), [NodeId(1)]);
        assert_eq!(alone.partner(&mut random), None);
    }
}
