//! Raft and a state machine of your own in your own program: three nodes that count votes.
//!
//! Run it with `cargo run --package synod-runtime --example embed`.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{SocketAddr, TcpListener};

use bytes::Bytes;
use synod_consensus::{Index, Outcome, RestoreError, StateMachine};
use synod_engine::{ClusterId, NodeId};
use synod_raft::{Config, Raft};
use synod_runtime::{NodeConfig, Oneshot, start};

/// A ballot box: every command is a name, every name has its votes.
#[derive(Default)]
struct Votes(BTreeMap<Vec<u8>, u64>);

impl StateMachine for Votes {
    type Response = u64;
    type Query = &'static str;
    type Answer = u64;
    type Frozen = BTreeMap<Vec<u8>, u64>;

    fn apply(&mut self, _: Index, name: &[u8]) -> u64 {
        let votes = self.0.entry(name.to_vec()).or_default();
        *votes += 1;
        *votes
    }
    fn read(&self, name: &&'static str) -> u64 {
        self.0.get(name.as_bytes()).copied().unwrap_or(0)
    }
    fn freeze(&self) -> Self::Frozen {
        self.0.clone()
    }
    fn chunks(frozen: &Self::Frozen) -> impl Iterator<Item = Bytes> {
        frozen.iter().map(|(name, votes)| [&votes.to_le_bytes(), &name[..]].concat().into())
    }
    fn restore(&self, chunks: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
        let entry = |chunk: Bytes| {
            let (votes, name) = chunk.split_first_chunk()?;
            Some((name.to_vec(), u64::from_le_bytes(*votes)))
        };
        let votes = chunks.map(entry).collect::<Option<_>>();
        votes.map(Self).ok_or_else(|| RestoreError("a name without votes".into()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let voters = [NodeId(1), NodeId(2), NodeId(3)];
    let ports: Vec<_> =
        voters.iter().map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let addresses: Vec<SocketAddr> =
        ports.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    drop(ports);
    let peers: BTreeMap<_, _> = voters.into_iter().zip(addresses).collect();
    let mut nodes = Vec::new();
    for (node, address) in &peers {
        let home = dir.path().join(node.to_string());
        let config = NodeConfig::new(*node, ClusterId(7), home, *address, peers.clone());
        let raft = |_: &_| Config::new(*node, voters);
        nodes.push(start::<Raft, Votes, Oneshot<Votes>>(&config, raft, Votes::default())?);
    }
    let mut leader = nodes[0].handle().leader_changes();
    let leader = leader.wait_for(|now| now.leader.is_some()).await?.leader;
    let leader =
        nodes.iter().find(|node| Some(node.identity().node) == leader).ok_or("no leader")?.handle();
    for name in ["ada", "grace", "ada"] {
        println!("{name}: {:?}", leader.write(name).await);
    }
    assert_eq!(leader.query("ada").await, Outcome::Done(2));
    for node in nodes {
        node.shutdown().await;
    }
    Ok(())
}
