//! The core's side of the links: sessions begin and end, and so do peers, as the members of groups come
//! and go.
//!
//! Next: [`crate::transport::peers`], the table that everybody else looks at.

use std::sync::Arc;
use std::time::Duration;

use synod_engine::{Instant, LinkState, NodeId};

use crate::Reply;
use crate::core::Core;
use crate::groups::Place;
use crate::hosted::{HostedLog, HostedState};
use crate::outlets::{Link, Session};
use crate::transport::peers::Peer;

/// Begins to dial a peer.
pub(crate) type Dial = Box<dyn FnMut(Arc<Peer>) + Send>;

impl<L: HostedLog, S: HostedState, R: Reply<S>> Core<L, S, R> {
    /// A session of the link that all groups share began: every group is told for which this life of the
    /// peer counts.
    pub(crate) fn link_opened(&mut self, now: Instant, peer: NodeId, session: Session) {
        // A stranger that was let in is met here for the first time.
        let Some(met) = self.shared.net.peers.get(peer) else { return };
        let link = self.shared.links.entry(peer).or_insert_with(|| Link::new(met.outbox.clone()));
        link.session = Some(session);
        let first = self.shared.net.acquaintances.first(peer);
        for place in (0..self.groups.len()).map(Place) {
            let group = &mut self.groups[place.0];
            let counts = group.own.judge(peer, session.life, first);
            if counts && group.has(peer) {
                self.input(place);
                self.groups[place.0].link(now, peer, LinkState::Opened, &mut self.shared);
            }
        }
    }

    /// The session ended: every group with this peer is told.
    pub(crate) fn link_closed(&mut self, now: Instant, peer: NodeId, session: u64) {
        let Some(link) = self.shared.links.get_mut(&peer) else { return };
        if link.session.take_if(|current| current.number == session).is_none() {
            return;
        }
        for place in (0..self.groups.len()).map(Place) {
            if self.groups[place.0].has(peer) {
                self.input(place);
                self.groups[place.0].link(now, peer, LinkState::Closed, &mut self.shared);
            }
        }
    }

    /// Sees to it that there are links with all members of all groups, and with nobody else.
    pub(crate) fn regroup(&mut self, now: Instant) {
        while let Some((_, peer)) = self.departing.pop_front_if(|(when, _)| *when <= now) {
            self.depart(peer);
        }
        if self.shared.regrouped.is_empty() {
            return;
        }
        for place in std::mem::take(&mut self.shared.regrouped) {
            self.tell_of_links(now, place);
        }
        let members = self.groups.iter().map(|group| &*group.own.members);
        let changes = self.shared.net.peers.update(members);
        for peer in changes.added {
            self.departing.retain(|(_, departing)| *departing != peer.node);
            let link = self.shared.links.entry(peer.node);
            let link = link.or_insert_with(|| Link::new(peer.outbox.clone()));
            if !std::mem::replace(&mut link.is_dialled, true) {
                (self.dial)(peer);
            }
        }
        for peer in changes.departing {
            if !self.departing.iter().any(|(_, departing)| *departing == peer) {
                let departure = Duration::from_millis(self.limits.departure_ms);
                self.departing.push_back((now + departure, peer));
            }
        }
        // What the engines were told may make them say something.
        self.flush(now);
    }

    /// A peer that is a member of no group, unless it has become one again, is a peer no more.
    fn depart(&mut self, peer: NodeId) {
        if self.groups.iter().any(|group| group.own.members.contains(peer)) {
            return;
        }
        tracing::info!(%peer, "no member any more: the link ends");
        self.shared.net.peers.remove(peer);
        self.shared.links.remove(&peer);
    }

    /// The members of a group changed: it hears of the links to the new ones that are open already.
    fn tell_of_links(&mut self, now: Instant, place: Place) {
        let group = &mut self.groups[place.0];
        if group.own.members.is_empty() {
            return;
        }
        let me = self.shared.net.me;
        let others = group.own.members.iter().map(|member| member.node);
        let others = others.filter(|node| *node != me).collect();
        for peer in group.host.regroup(others) {
            let session = self.shared.links.get(&peer).and_then(|link| link.session);
            let Some(Session { life, .. }) = session else { continue };
            let first = self.shared.net.acquaintances.first(peer);
            if self.groups[place.0].own.judge(peer, life, first) {
                self.input(place);
                self.groups[place.0].link(now, peer, LinkState::Opened, &mut self.shared);
            }
        }
    }
}
