//! Looks for a leader (phase 0): the embedded election does, or a leader calls.

use alloc::collections::BTreeMap;

use synod_consensus::{Epoch, MAX_MEMBERS};
use synod_engine::NodeId;

/// A node without a leader.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Looking {
    /// Who has elected this node already, with the epoch that each has accepted: elections do not end
    /// everywhere at once.
    pub(crate) infos: BTreeMap<NodeId, Epoch>,
}

impl Looking {
    /// A node has elected this one.
    pub(crate) fn elected_by(&mut self, node: NodeId, accepted: Epoch) {
        if self.infos.len() < MAX_MEMBERS || self.infos.contains_key(&node) {
            self.infos.insert(node, accepted);
        }
    }
}
