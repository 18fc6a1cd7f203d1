//! Whom this node has links with, and where they are: the members of its groups.
//!
//! The configuration's list of peers says where members of the first hour are, whose contact the log does
//! not name. While a group has no members yet, because the node is new and waits to be added, that list
//! counts in full, and strangers of the same cluster may call: the leader does, once the node is a member.
//! So they may while nobody is known to lead a group: what this node knows of the members may be old, and
//! who leads them now one of whom it has never heard.
//!
//! The core changes the table when the members of a group change; everybody else only looks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synod_consensus::{MAX_MEMBERS, Membership};
use synod_engine::NodeId;

use super::outbox::Outbox;

/// Another node.
pub(crate) struct Peer {
    pub(crate) node: NodeId,
    /// Where it listens, as it is spelled; `None` if it is not known, and it has to call.
    pub(crate) address: Option<String>,
    pub(crate) outbox: Arc<Outbox>,
}

/// All peers.
pub(crate) struct Peers {
    me: NodeId,
    hints: BTreeMap<NodeId, String>,
    max_outbox_bytes: usize,
    table: Mutex<Table>,
}

struct Table {
    peers: BTreeMap<NodeId, Arc<Peer>>,
    /// A group has no members yet.
    is_joining: bool,
    /// A group has no leader, as far as this node knows.
    is_astray: bool,
}

/// What became of the peers.
#[derive(Default)]
pub(crate) struct Changes {
    /// New, or found elsewhere than before.
    pub(crate) added: Vec<Arc<Peer>>,
    /// A peer of nobody any more. It stays in the table until [`Peers::remove`].
    pub(crate) departing: Vec<NodeId>,
}

impl Peers {
    /// The peers of node `me`, of which the configuration knows these.
    pub(crate) fn new(
        me: NodeId,
        hints: &BTreeMap<NodeId, SocketAddr>,
        max_outbox_bytes: usize,
    ) -> Self {
        let hints = hints.iter().filter(|(node, _)| **node != me);
        Self {
            me,
            hints: hints.map(|(node, address)| (*node, address.to_string())).collect(),
            max_outbox_bytes,
            table: Mutex::new(Table { peers: BTreeMap::new(), is_joining: true, is_astray: true }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of the configuration.
    pub(crate) fn hinted(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.hints.keys().copied()
    }

    /// A peer.
    pub(crate) fn get(&self, node: NodeId) -> Option<Arc<Peer>> {
        self.lock().peers.get(&node).cloned()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Peer>> {
        self.lock().peers.values().cloned().collect()
    }

    /// Whether a group has no leader, as far as this node knows, or all have one.
    pub(crate) fn astray(&self, is_astray: bool) {
        self.lock().is_astray = is_astray;
    }

    /// Whether what this node knows of the members may be old.
    pub(crate) fn is_astray(&self) -> bool {
        self.lock().is_astray
    }

    /// Whether `node` may call.
    pub(crate) fn is_welcome(&self, node: NodeId) -> bool {
        let table = self.lock();
        let is_open = table.is_joining || table.is_astray;
        table.peers.contains_key(&node)
            || is_open && table.peers.len() < MAX_MEMBERS && node != self.me
    }

    /// The peer that calls, if it may: one that was not known is from now on.
    pub(crate) fn caller(&self, node: NodeId) -> Option<Arc<Peer>> {
        if !self.is_welcome(node) {
            return None;
        }
        let mut table = self.lock();
        let stranger = || Arc::new(self.peer(node, None));
        Some(table.peers.entry(node).or_insert_with(stranger).clone())
    }

    fn peer(&self, node: NodeId, address: Option<String>) -> Peer {
        Peer { node, address, outbox: Arc::new(Outbox::new(self.max_outbox_bytes)) }
    }

    /// The groups have these members.
    pub(crate) fn update<'a>(&self, groups: impl Iterator<Item = &'a Membership>) -> Changes {
        let mut wanted = BTreeMap::new();
        let mut is_joining = false;
        for members in groups {
            is_joining |= members.is_empty();
            for member in members.iter().filter(|member| member.node != self.me) {
                let named = member.contact.as_ref().map(|contact| contact.address.clone());
                let address = named.or_else(|| self.hints.get(&member.node).cloned());
                let known = wanted.entry(member.node).or_insert(None);
                *known = address.or(known.take());
            }
        }
        if is_joining {
            for (node, address) in &self.hints {
                wanted.entry(*node).or_insert_with(|| Some(address.clone()));
            }
        }
        let mut changes = Changes::default();
        let mut table = self.lock();
        table.is_joining = is_joining;
        let departing = table.peers.keys().filter(|node| !wanted.contains_key(node));
        changes.departing = departing.copied().filter(|_| !is_joining).collect();
        for (node, address) in wanted {
            let known = table.peers.get(&node);
            if known.is_some_and(|known| known.address == address) {
                continue;
            }
            let outbox = known.map(|known| known.outbox.clone());
            let mut peer = self.peer(node, address);
            peer.outbox = outbox.unwrap_or(peer.outbox);
            let peer = Arc::new(peer);
            table.peers.insert(node, peer.clone());
            changes.added.push(peer);
        }
        changes
    }

    /// Nobody needs this peer any more: its session ends, and it is not welcome.
    pub(crate) fn remove(&self, node: NodeId) {
        let removed = self.lock().peers.remove(&node);
        if let Some(peer) = removed {
            peer.outbox.close_any();
        }
    }
}

#[cfg(test)]
mod tests {
    use synod_consensus::{Contact, Member};
    use synod_engine::Incarnation;

    use super::*;
    use crate::transport::version::PeerVersion;

    fn peers() -> Peers {
        let hints = [1, 2, 3].map(|node: u8| {
            (NodeId(node.into()), SocketAddr::from(([127, 0, 0, 1], 7000 + u16::from(node))))
        });
        Peers::new(NodeId(1), &hints.into_iter().collect(), 1 << 20)
    }

    fn members(founders: &[u64], added: &[(u64, &str)]) -> Membership {
        let added = added.iter().map(|(node, address)| Member {
            contact: Some(Contact {
                incarnation: Incarnation(7),
                address: (*address).to_owned(),
                client_address: String::new(),
            }),
            ..Member::founder(NodeId(*node))
        });
        let founders = founders.iter().map(|node| Member::founder(NodeId(*node)));
        Membership::new(founders.chain(added)).unwrap()
    }

    fn added(changes: &Changes) -> Vec<(u64, Option<&str>)> {
        changes.added.iter().map(|peer| (peer.node.0, peer.address.as_deref())).collect()
    }

    #[test]
    fn members_are_found_by_their_contact_or_by_the_configuration() {
        let peers = peers();
        peers.astray(false);
        let changes = peers.update([members(&[1, 2], &[(4, "four:1")])].iter());
        assert_eq!(added(&changes), [(2, Some("127.0.0.1:7002")), (4, Some("four:1"))]);
        assert!(!peers.is_welcome(NodeId(3)), "the configuration alone makes no member");
        let changes = peers.update([members(&[1, 2, 9], &[(4, "four:2")])].iter());
        assert_eq!(added(&changes), [(4, Some("four:2")), (9, None)]);
        assert!(peers.update([members(&[1, 2, 9], &[(4, "four:2")])].iter()).added.is_empty());
    }

    #[test]
    fn a_peer_stays_while_any_group_has_it_and_goes_when_it_is_told_to() {
        let peers = peers();
        peers.astray(false);
        peers.update([members(&[1, 2, 3], &[]), members(&[1, 3], &[])].iter());
        let changes = peers.update([members(&[1], &[]), members(&[1, 3], &[])].iter());
        assert_eq!(changes.departing, [NodeId(2)]);
        assert!(peers.is_welcome(NodeId(2)), "it may still hear that it is removed");
        let gone = peers.get(NodeId(2)).unwrap();
        gone.outbox.open(1, PeerVersion::NEWEST);
        peers.remove(NodeId(2));
        assert!(!gone.outbox.is_open() && !peers.is_welcome(NodeId(2)));
    }

    #[test]
    fn who_waits_to_be_added_listens_to_strangers_until_then() {
        let peers = peers();
        peers.astray(false);
        let changes = peers.update([Membership::default(), members(&[1, 2], &[])].iter());
        assert_eq!(changes.added.len(), 2, "all of the configuration");
        let stranger = peers.caller(NodeId(8)).unwrap();
        assert_eq!(stranger.address, None);
        assert!(Arc::ptr_eq(&stranger, &peers.caller(NodeId(8)).unwrap()));
        (10..200).for_each(|node| drop(peers.caller(NodeId(node))));
        assert!(peers.all().len() <= MAX_MEMBERS, "not any number of them");
        let changes = peers.update([members(&[1, 8], &[]), members(&[1, 2], &[])].iter());
        assert!(changes.departing.contains(&NodeId(3)) && !changes.departing.contains(&NodeId(8)));
        assert!(peers.caller(NodeId(9)).is_none());
    }

    #[test]
    fn who_knows_no_leader_listens_to_strangers() {
        let peers = peers();
        peers.update([members(&[1, 2], &[])].iter());
        assert!(peers.is_welcome(NodeId(9)), "nobody is known to lead at first");
        peers.astray(false);
        assert!(!peers.is_welcome(NodeId(9)));
    }
}
