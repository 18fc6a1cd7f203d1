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
use crate::inbox::Control;
use crate::outlets::{Link, Session};
use crate::transport::peers::Peer;

/// Begins to dial a peer.
pub(crate) type Dial = Box<dyn FnMut(Arc<Peer>) + Send>;

impl<L: HostedLog, S: HostedState, R: Reply<S>> Core<L, S, R> {
    /// A session of the link that all groups share began: every group with this peer is told, whether or
    /// not this life of it counts there.
    pub(crate) fn link_opened(&mut self, now: Instant, peer: NodeId, session: Session) {
        // A stranger that was let in is met here for the first time.
        let Some(met) = self.shared.net.peers.get(peer) else { return };
        let link = self.shared.links.entry(peer).or_insert_with(|| Link::new(met.outbox.clone()));
        link.session = Some(session);
        let first = self.shared.net.acquaintances.first(peer);
        for place in (0..self.groups.len()).map(Place) {
            let group = &mut self.groups[place.0];
            group.own.judge(peer, session.life, first);
            if group.has(peer) {
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
        if std::mem::take(&mut self.shared.is_leader_news) {
            self.take_bearings(now);
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
            self.depart_later(now, peer);
        }
        // What the engines were told may make them say something.
        self.flush(now);
    }

    /// While a group has no leader, strangers are let in: one of them may lead. Once all have one, those
    /// who did not come to be known are let go, so that they hear why.
    fn take_bearings(&mut self, now: Instant) {
        let is_astray = self.groups.iter().any(|group| group.own.leader.is_none());
        self.shared.net.peers.astray(is_astray);
        if !is_astray {
            let peers: Vec<_> = self.shared.links.keys().copied().collect();
            let strangers = peers.into_iter().filter(|peer| self.is_strange(*peer));
            strangers.collect::<Vec<_>>().into_iter().for_each(|peer| self.depart_later(now, peer));
        }
    }

    /// Whether no group has this life of `peer` as a member, or follows it, or might come to.
    fn is_strange(&self, peer: NodeId) -> bool {
        !self.groups.iter().any(|group| {
            let own = &group.own;
            let counts = own.members.contains(peer) && !own.strange.contains(&peer);
            counts || own.members.is_empty() || own.leader == Some(peer)
        })
    }

    fn depart_later(&mut self, now: Instant, peer: NodeId) {
        if !self.departing.iter().any(|(_, departing)| *departing == peer) {
            let departure = Duration::from_millis(self.limits.departure_ms);
            self.departing.push_back((now + departure, peer));
        }
    }

    /// A peer that is a member of no group, unless it has become one again, is a peer no more. Of one that
    /// is a member in another life the session ends.
    fn depart(&mut self, peer: NodeId) {
        if !self.is_strange(peer) {
            return;
        }
        if self.groups.iter().any(|group| group.own.members.contains(peer)) {
            let Some(link) = self.shared.links.get(&peer) else { return };
            let Some(Session { number, .. }) = link.session else { return };
            if !self.shared.net.peers.is_astray() && link.outbox.close(number) {
                tracing::info!(%peer, "the members name another life of it: the session ends");
                let closed = Control::Closed { peer, session: number };
                self.inbox.put(|arrivals| arrivals.control.push_back(closed));
            }
            return;
        }
        tracing::info!(%peer, "no member: the link ends");
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
            self.groups[place.0].own.judge(peer, life, first);
            self.input(place);
            self.groups[place.0].link(now, peer, LinkState::Opened, &mut self.shared);
        }
    }
}
