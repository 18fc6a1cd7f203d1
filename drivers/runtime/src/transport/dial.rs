//! Dials the peers with a higher id, again and again.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use serde::de::DeserializeOwned;
use synod_engine::{Engine, Incarnation, NodeId, Random};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::handshake::{self, Failure, Purpose};
use super::{Net, kind, session, tune};

/// Keeps a session with `peer`, for ever.
pub(crate) async fn keep<E>(net: Arc<Net<E>>, peer: NodeId, mut random: Random)
where
    E: Engine + 'static,
    E::Message: DeserializeOwned + Send,
    E::Output: Send,
{
    let (min_ms, max_ms) = (net.limits.redial_min_ms.max(1), net.limits.redial_max_ms.max(1));
    let mut pause_ms = min_ms;
    let mut last = None;
    loop {
        match connect(&net, peer).await {
            Ok((life, stream, buffer)) => {
                last = None;
                pause_ms = min_ms;
                session::serve(&net, (peer, life), stream, buffer).await;
            }
            Err(failure) => {
                let again = last.as_ref() == Some(&failure);
                match &failure {
                    _ if again => debug!(%peer, "{failure}"),
                    Failure::Broken(_) => debug!(%peer, "{failure}"),
                    Failure::Refused(_) | Failure::Refuses(..) | Failure::Garbage(_) => {
                        warn!(%peer, "{failure}; trying on");
                    }
                }
                last = Some(failure);
            }
        }
        sleep(Duration::from_millis(random.between(pause_ms.div_ceil(2), pause_ms))).await;
        pause_ms = (pause_ms * 2).min(max_ms);
    }
}

/// A connection, and the life of the peer that is at its other end.
type Connected = (Incarnation, TcpStream, BytesMut);

async fn connect<E>(net: &Arc<Net<E>>, peer: NodeId) -> Result<Connected, Failure>
where
    E: Engine + 'static,
    E::Message: Send,
    E::Output: Send,
{
    let broken = |error: std::io::Error| Failure::Broken(error.to_string());
    let introduction = async {
        let address = net.peers[&peer].address;
        let mut stream = TcpStream::connect(address).await.map_err(broken)?;
        tune(&stream, net.link_timeout()).map_err(broken)?;
        let mut buffer = BytesMut::new();
        let purpose = Purpose::Link;
        let life = handshake::introduce(net, peer, purpose, &mut stream, &mut buffer).await?;
        match handshake::recognise(net, peer, life).await {
            Ok(()) => handshake::reply(&mut stream, kind::READY, &()).await?,
            Err(failure) => {
                if let Failure::Refuses(_, refusal) = &failure {
                    handshake::reply(&mut stream, kind::REFUSED, refusal).await?;
                }
                return Err(failure);
            }
        }
        Ok((life, stream, buffer))
    };
    match timeout(net.handshake_timeout(), introduction).await {
        Ok(connected) => connected,
        Err(_) => Err(Failure::Broken("no answer in time".into())),
    }
}
