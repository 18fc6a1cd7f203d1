//! Where clients find each node: what the members say, and what the configuration says of those who
//! say nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use synod_consensus::Membership;
use synod_engine::NodeId;

/// Looked up whenever a client must be told of another node, since members come and go.
pub(crate) struct Addresses {
    configured: BTreeMap<NodeId, String>,
    members: Box<dyn Fn() -> Arc<Membership> + Send + Sync>,
}

impl Addresses {
    /// `members` yields the newest membership.
    pub(crate) fn new(
        configured: BTreeMap<NodeId, String>,
        members: impl Fn() -> Arc<Membership> + Send + Sync + 'static,
    ) -> Self {
        Self { configured, members: Box::new(members) }
    }

    /// `host:port` of every member that says so, or whom the configuration names.
    pub(crate) fn all(&self) -> Vec<String> {
        let members = (self.members)();
        members.iter().filter_map(|member| self.within(&members, member.node)).collect()
    }

    /// `host:port` of a node.
    pub(crate) fn of(&self, node: NodeId) -> Option<String> {
        self.within(&(self.members)(), node)
    }

    fn within(&self, members: &Membership, node: NodeId) -> Option<String> {
        let contact = members.member(node).and_then(|member| member.contact.as_ref());
        match contact {
            Some(contact) => Some(contact.client_address.clone()),
            None => self.configured.get(&node).cloned(),
        }
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.configured.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use synod_consensus::{Contact, Member, Seat};
    use synod_engine::Incarnation;

    use super::*;

    #[test]
    fn what_a_member_says_counts_before_the_configuration() {
        let configured = BTreeMap::from([1, 2].map(|id| (NodeId(id), format!("configured:{id}"))));
        let contact = Contact {
            incarnation: Incarnation(7),
            address: "peer:2".into(),
            client_address: "client:2".into(),
        };
        let second =
            Member { node: NodeId(2), seat: Seat::Voter, priority: 1, contact: Some(contact) };
        let members = Membership::new([Member::founder(NodeId(1)), second]).unwrap_or_default();
        let members = Arc::new(members);
        let addresses = Addresses::new(configured, move || members.clone());
        let found = [1, 2, 3].map(|id| addresses.of(NodeId(id)));
        assert_eq!(found, [Some("configured:1".into()), Some("client:2".into()), None]);
        assert_eq!(addresses.all(), ["configured:1", "client:2"]);
    }
}
