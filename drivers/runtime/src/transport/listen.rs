//! Answers whoever connects: peers, peers with bulk bytes, and strangers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use synod_engine::NodeId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::handshake::{self, Failure, Hello, Purpose, Refusal, Welcome};
use super::session::Speaker;
use super::version::PeerVersion;
use super::{Net, kind, session, tune};
use crate::blobs::receive;
use crate::hosted::HostedLog;

/// How many culprits are remembered, so that each complaint about one is logged once.
const MAX_REMEMBERED: usize = 256;

/// Takes connections, for ever.
pub(crate) async fn run<E: HostedLog>(net: Arc<Net<E>>, listener: TcpListener) {
    let handshakes = Arc::new(Semaphore::new(net.limits.max_handshakes.max(1)));
    let complaints = Arc::new(Complaints::default());
    loop {
        let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                complaints.log((None, None), &format!("no connection can be taken: {error}"));
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (net, complaints) = (net.clone(), complaints.clone());
        tokio::spawn(async move {
            let greeted = match timeout(net.handshake_timeout(), greet(&net, stream)).await {
                Ok(greeted) => greeted,
                Err(_) => Err(Failure::Broken("it did not introduce itself in time".into())),
            };
            drop(permit);
            match greeted {
                Ok((version, hello, stream, buffer)) => {
                    complaints.forget((Some(address.ip()), Some(hello.from)));
                    let (peer, life) = (hello.from, hello.incarnation);
                    match hello.purpose {
                        Purpose::Link => {
                            let speaker = Speaker { peer, life, version };
                            session::serve(&net, speaker, peer, stream, buffer).await;
                        }
                        Purpose::Blob => receive::accept(&net, (peer, life), stream, buffer),
                    }
                }
                Err(Failure::Broken(why)) => debug!(%address, "no connection: {why}"),
                Err(failure) => {
                    let node = match &failure {
                        Failure::Refuses(node, _) => Some(*node),
                        Failure::Refused(_) | Failure::Broken(_) | Failure::Garbage(_) => None,
                    };
                    complaints.log((Some(address.ip()), node), &failure.to_string());
                }
            }
        });
    }
}

/// The handshake. Whoever is refused is told why.
async fn greet<E: HostedLog>(
    net: &Arc<Net<E>>,
    mut stream: TcpStream,
) -> Result<(PeerVersion, Hello, TcpStream, BytesMut), Failure> {
    tune(&stream, net.link_timeout()).map_err(|error| Failure::Broken(error.to_string()))?;
    let mut buffer = BytesMut::new();
    let (version, hello) = handshake::hear(&mut stream, &mut buffer).await?;
    let judged = match handshake::judge(net, version, &hello) {
        Ok(hello) => handshake::recognise(net, hello.from, hello.incarnation).await.map(|()| hello),
        Err(failure) => Err(failure),
    };
    match judged {
        Ok(hello) => {
            let incarnation = net.hello(hello.from, hello.purpose).incarnation;
            let welcome = Welcome { incarnation };
            handshake::reply(&mut stream, version, kind::WELCOME, &welcome).await?;
            handshake::ready(version, &mut stream, &mut buffer).await?;
            Ok((version, hello, stream, buffer))
        }
        Err(failure) => {
            if let Failure::Refuses(_, refusal) = &failure {
                // A stranger to this version understands the version that answers, and nothing else.
                let spoken = if let Refusal::Version { mine } = refusal { *mine } else { version };
                handshake::reply(&mut stream, spoken, kind::REFUSED, refusal).await?;
            }
            Err(failure)
        }
    }
}

/// Who is complained about: an address, and the node it claims to be.
type Culprit = (Option<IpAddr>, Option<NodeId>);

/// What was last complained about.
#[derive(Default)]
struct Complaints(Mutex<BTreeMap<Culprit, String>>);

impl Complaints {
    /// Logs `what`, unless it is what was logged last of this culprit.
    fn log(&self, culprit: Culprit, what: &str) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(&culprit).is_some_and(|last| last == what) {
            debug!("{what}");
            return;
        }
        if last.len() >= MAX_REMEMBERED {
            last.clear();
        }
        last.insert(culprit, what.to_owned());
        match culprit.0 {
            Some(address) => warn!(%address, "{what}"),
            None => warn!("{what}"),
        }
    }

    fn forget(&self, culprit: Culprit) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&culprit);
    }
}
