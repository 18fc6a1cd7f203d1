//! Dials a peer, again and again.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use synod_engine::{NodeId, Random};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::handshake::{self, Failure, Refusal};
use super::peers::Peer;
use super::session::Speaker;
use super::version::PeerVersion;
use super::{Net, kind, session, tune};

use crate::hosted::HostedLog;

/// Keeps a session with `peer`, for as long as it is one.
///
/// The node with the lower id calls. The other one lends a hand when nobody called for a while: it may
/// know an address that the lower one does not.
pub(crate) async fn keep<E: HostedLog>(net: Arc<Net<E>>, peer: Arc<Peer>, mut random: Random) {
    let (node, outbox) = (peer.node, peer.outbox.clone());
    drop(peer);
    let (min_ms, max_ms) = (net.limits.redial_min_ms.max(1), net.limits.redial_max_ms.max(1));
    let mut pause_ms = min_ms;
    let mut last = None;
    loop {
        outbox.closed().await;
        if net.me > node {
            sleep(Duration::from_millis(2 * max_ms)).await;
        }
        // Where it is may have changed, and whether it is a peer at all.
        let peer = net.peers.get(node);
        let Some(peer) = peer.filter(|peer| Arc::ptr_eq(&peer.outbox, &outbox)) else { return };
        let connected = match &peer.address {
            Some(address) if !outbox.is_open() => Some(connect(&net, node, address).await),
            Some(_) | None => None,
        };
        match connected {
            None => {}
            Some(Ok((speaker, stream, buffer))) => {
                last = None;
                pause_ms = min_ms;
                session::serve(&net, speaker, net.me, stream, buffer).await;
            }
            Some(Err(failure)) => {
                complain(node, &failure, last.as_ref() == Some(&failure));
                last = Some(failure);
            }
        }
        sleep(Duration::from_millis(random.between(pause_ms.div_ceil(2), pause_ms))).await;
        pause_ms = (pause_ms * 2).min(max_ms);
    }
}

/// Says once what is wrong.
fn complain(peer: NodeId, failure: &Failure, again: bool) {
    match failure {
        _ if again => debug!(%peer, "{failure}"),
        Failure::Broken(_) => debug!(%peer, "{failure}"),
        Failure::Refused(_) | Failure::Refuses(..) | Failure::Garbage(_) => {
            warn!(%peer, "{failure}; trying on");
        }
    }
}

/// A connection, and who is at its other end.
type Connected = (Speaker, TcpStream, BytesMut);

/// Connects in the newest version that both sides speak.
async fn connect<E: HostedLog>(
    net: &Arc<Net<E>>,
    peer: NodeId,
    address: &str,
) -> Result<Connected, Failure> {
    match connect_in(net, net.newest_version, peer, address).await {
        Err(Failure::Refused(Refusal::Version { mine })) if net.versions().contains(&mine) => {
            debug!(%peer, "it speaks version {mine} only");
            connect_in(net, mine, peer, address).await
        }
        connected => connected,
    }
}

async fn connect_in<E: HostedLog>(
    net: &Arc<Net<E>>,
    version: PeerVersion,
    peer: NodeId,
    address: &str,
) -> Result<Connected, Failure> {
    let broken = |error: std::io::Error| Failure::Broken(error.to_string());
    let introduction = async {
        let mut stream = TcpStream::connect(address).await.map_err(broken)?;
        tune(&stream, net.link_timeout()).map_err(broken)?;
        let mut buffer = BytesMut::new();
        let life = handshake::introduce(net, peer, version, &mut stream, &mut buffer).await?;
        match handshake::recognise(net, peer, life).await {
            Ok(()) => handshake::reply(&mut stream, version, kind::READY, &()).await?,
            Err(failure) => {
                if let Failure::Refuses(_, refusal) = &failure {
                    handshake::reply(&mut stream, version, kind::REFUSED, refusal).await?;
                }
                return Err(failure);
            }
        }
        Ok((Speaker { peer, life, version }, stream, buffer))
    };
    match timeout(net.handshake_timeout(), introduction).await {
        Ok(connected) => connected,
        Err(_) => Err(Failure::Broken("no answer in time".into())),
    }
}
