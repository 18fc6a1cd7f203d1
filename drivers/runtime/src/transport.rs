//! Peers over TCP: one connection per pair of nodes, dialled by the lower id, and connections of
//! their own for bulk bytes.
//!
//! A connection begins with a [`handshake`], in which either side may refuse the other. From then on
//! it is a [`session`]: messages of all groups both ways, in order, until it breaks or one side
//! falls silent ([`pulse`]). Either end tells its engines of the beginning and the end. What is to be sent
//! waits in the peer's [`outbox`].
//!
//! Next: [`peers`] (who they are), [`handshake`], [`version`], [`session`], [`outbox`], [`pulse`], [`dial`],
//! [`listen`].

pub(crate) mod dial;
pub(crate) mod handshake;
pub(crate) mod lane;
pub(crate) mod listen;
pub(crate) mod outbox;
pub(crate) mod peers;
pub(crate) mod pulse;
pub(crate) mod session;
pub(crate) mod version;

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use synod_engine::{Engine, Incarnation, NodeId};

use crate::acquaintances::{Acquaintance, Acquaintances};
use crate::admissions::{Admission, Admissions};
use crate::blobs::{Store, Transfers};
use crate::groups::Groups;
use crate::inbox::Inbox;
use crate::metrics::Metrics;
use crate::{Identity, Limits};
use handshake::{Hello, Purpose};
use peers::Peers;
use version::PeerVersion;

/// What frames name as their group that concern the connection itself.
pub(crate) const NO_GROUP: u32 = 0;

/// Kinds of frames.
pub(crate) mod kind {
    pub(crate) const HELLO: u8 = 1;
    pub(crate) const WELCOME: u8 = 2;
    pub(crate) const REFUSED: u8 = 3;
    pub(crate) const READY: u8 = 4;
    pub(crate) const MESSAGE: u8 = 16;
    pub(crate) const BEAT: u8 = 17;
    pub(crate) const MESSAGES: u8 = 18;
    pub(crate) const OFFER: u8 = 32;
    pub(crate) const RESUME: u8 = 33;
    pub(crate) const CHUNK: u8 = 34;
    pub(crate) const DONE: u8 = 35;
    pub(crate) const FAILED: u8 = 36;
}

/// What all connections of a node share.
pub(crate) struct Net<E: Engine> {
    pub(crate) me: NodeId,
    pub(crate) groups: Groups,
    /// Who this node is. Whom it knows by now: `acquaintances`. Which life of each counts: `admissions`.
    pub(crate) identity: Identity,
    pub(crate) acquaintances: Acquaintances,
    pub(crate) admissions: Admissions,
    pub(crate) store: Store,
    pub(crate) peers: Peers,
    pub(crate) inbox: Arc<Inbox<E>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    /// The newest version that is offered and taken.
    pub(crate) newest_version: PeerVersion,
    /// The peers to and from whom a blob is under way.
    pub(crate) transfers: Arc<Transfers>,
    pub(crate) sessions: AtomicU64,
    /// The disk is low: no bulk bytes are taken.
    pub(crate) disk_low: AtomicBool,
    /// The node has stopped: transfers end.
    pub(crate) stopped: Arc<AtomicBool>,
}

impl<E: Engine> Net<E> {
    /// How this node introduces itself.
    pub(crate) fn hello(&self, to: NodeId, purpose: Purpose) -> Hello {
        let Identity { cluster, node, incarnation, .. } = self.identity;
        Hello { cluster, from: node, to, incarnation, purpose }
    }

    /// Whether this life of `peer` is let in. One met for the first time is remembered durably: may wait
    /// for the disk.
    ///
    /// While nobody is known to lead, a newcomer is let in too, where another life is known: it may have
    /// been admitted while this node was away, and lead. What it says counts in no quorum. Not so who takes
    /// itself for a founder: its life is over, or its directory was emptied.
    pub(crate) fn recognise(&self, peer: NodeId, life: Incarnation) -> io::Result<Acquaintance> {
        let met = match self.admissions.judge(peer, life) {
            Admission::Named => Acquaintance::Known,
            Admission::Replaced { by } => Acquaintance::Replaced { known: by },
            Admission::Open => self.acquaintances.meet(peer, life)?,
        };
        match met {
            Acquaintance::Replaced { .. } if life.is_newcomer() && self.peers.is_astray() => {
                Ok(Acquaintance::Known)
            }
            Acquaintance::Known | Acquaintance::Replaced { .. } => Ok(met),
        }
    }

    /// The versions that are spoken.
    pub(crate) fn versions(&self) -> RangeInclusive<PeerVersion> {
        PeerVersion::OLDEST..=self.newest_version
    }

    /// The node stops: all sessions end, transfers too.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        for peer in self.peers.all() {
            peer.outbox.close_any();
        }
    }

    /// A new name for a session.
    pub(crate) fn session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.limits.handshake_timeout_ms)
    }

    pub(crate) fn link_timeout(&self) -> Duration {
        Duration::from_millis(self.limits.link_timeout_ms.max(1))
    }
}

/// No delay for small writes; a peer whose machine does not answer is noticed while anything is sent.
pub(crate) fn tune<'a>(stream: impl Into<SockRef<'a>>, patience: Duration) -> io::Result<()> {
    let socket = stream.into();
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(patience))
}
