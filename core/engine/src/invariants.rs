//! What must always hold, as folds over the steps of all nodes.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;

use crate::{Effect, Engine, Instant, NodeId};

/// A protocol's invariants: a fold over what every node did, that keeps what it needs of the past.
///
/// A step must cost in proportion to what changed, which the step's effects tell; what needs to look
/// at everything belongs in [`checkpoint`](Self::checkpoint). The same fold serves the simulator,
/// the explorer, the lab and the merged traces of real clusters.
pub trait Invariants<E: Engine> {
    /// After each step.
    ///
    /// # Errors
    /// The [`Violation`], if the step broke an invariant.
    fn stepped(
        &mut self,
        step: &Stepped<'_, E>,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation>;

    /// When an effect of an earlier step took place: a record is durable, a message left the node, an
    /// event reached the local user, a task started. What a crash overtook never took place; only what
    /// did binds the node after it.
    ///
    /// # Errors
    /// The [`Violation`], if it should not have taken place.
    fn performed(&mut self, node: NodeId, effect: &Effect<E>) -> Result<(), Violation> {
        let _ = (node, effect);
        Ok(())
    }

    /// After a node came back: `engine` was rebuilt from what was durable and has not started yet.
    ///
    /// # Errors
    /// The [`Violation`], if the node lost what it had promised.
    fn recovered(&mut self, node: NodeId, engine: &E) -> Result<(), Violation>;

    /// When a node that is down lost all that it had, as when its directory is emptied: it comes back as
    /// another incarnation. What it promised is gone with it, and so is what was known of it.
    fn wiped(&mut self, node: NodeId) {
        let _ = node;
    }

    /// Now and then, and at the end: everything, at any cost.
    ///
    /// # Errors
    /// The [`Violation`], if the nodes contradict each other.
    fn checkpoint<'a>(
        &mut self,
        nodes: &mut dyn Iterator<Item = (NodeId, &'a E)>,
    ) -> Result<(), Violation>
    where
        E: 'a;
}

/// One step that was taken.
pub struct Stepped<'a, E: Engine> {
    /// By whom.
    pub node: NodeId,
    /// When, by the node's own clock.
    pub now: Instant,
    /// What it asked of its driver.
    pub effects: &'a [Effect<E>],
    /// What it has become.
    pub after: &'a E,
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name in the protocol's guide.
    pub invariant: &'static str,
    /// Who, what, where.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is violated: {}", self.invariant, self.detail)
    }
}

impl core::error::Error for Violation {}

/// How often the interesting things happened: a batch of runs that never reached one of them has not
/// tested it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sometimes(BTreeMap<&'static str, u64>);

impl Sometimes {
    /// It happened once more.
    pub fn reached(&mut self, point: &'static str) {
        *self.0.entry(point).or_default() += 1;
    }

    /// How often it happened.
    #[must_use]
    pub fn count(&self, point: &str) -> u64 {
        self.0.get(point).copied().unwrap_or(0)
    }

    /// All points reached, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(point, count)| (*point, *count))
    }

    /// Adds what another batch reached.
    pub fn merge(&mut self, other: &Self) {
        for (point, count) in other.iter() {
            *self.0.entry(point).or_default() += count;
        }
    }
}
