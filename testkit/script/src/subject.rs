//! What a script must know of the log that it tests.

use std::collections::BTreeMap;

use synod_consensus::{Batch, Epoch, ReplicatedLog};
use synod_engine::{Engine, Invariants, NodeId};

/// The options of a `nodes` command.
pub type Options = BTreeMap<String, u64>;

/// A replicated log as the subject of scripts.
pub trait Subject {
    /// The engine.
    type Log: ReplicatedLog;
    /// What must hold after every step.
    type Invariants: Invariants<Self::Log> + Default;

    /// The configuration of `node` in a new cluster of `nodes`; of none, if it waits to be added to one.
    ///
    /// # Errors
    /// What is wrong with the options.
    fn config(
        node: NodeId,
        nodes: &[NodeId],
        options: &Options,
    ) -> Result<<Self::Log as Engine>::Config, String>;

    /// The records of a node that has reached `epoch` and holds these entries.
    fn lived(
        nodes: &[NodeId],
        epoch: Epoch,
        entries: Vec<Batch>,
    ) -> Vec<<Self::Log as Engine>::Record>;

    /// The entries that a node keeps, in order.
    fn entries(log: &Self::Log) -> Vec<Batch>;
}
