//! Several nodes of Raft, checked against the invariants of figure 3.
//!
//! Read on: [`synod_stage::Cluster`].

use synod_engine::{Input, NodeId, Sound};
use synod_log::Part;
use synod_raft::{Config, Invariants, Message, Raft, Rules, Timer};
use synod_stage::Timers;

use crate::driver::{Node, config, lived};

/// A message on its way.
pub(crate) type Envelope = synod_stage::Envelope<Message>;

/// Nodes of Raft, and what is between them.
pub(crate) type Cluster<R = Sound> = synod_stage::Cluster<Raft<R>, Invariants>;

/// Clusters that keep all rules.
pub(crate) trait Founded {
    /// A new one of so many nodes.
    fn start(nodes: u64) -> Self;

    /// Three nodes: 1 leads, and has compacted the 21 entries it committed with 2 while 3 was cut off.
    fn with_one_behind() -> Self;
}

impl Founded for Cluster {
    fn start(nodes: u64) -> Self {
        Self::with_logs(0, &vec![&[][..]; nodes as usize], |id| config(id, nodes))
    }

    fn with_one_behind() -> Self {
        let mut cluster = Self::with_logs(0, &[&[], &[], &[]], |id| {
            let mut config = config(id, 3);
            (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (10, 0);
            config
        });
        cluster.elect(1);
        cluster.isolate(&[3]);
        for token in 0..20 {
            cluster.at(1, |node| node.propose(token, "x"));
            cluster.settle();
        }
        cluster.at(1, |node| {
            node.compact(21);
            node.input(Input::Flush);
        });
        cluster
    }
}

/// What only Raft's clusters do.
pub(crate) trait RaftCluster<R: Rules> {
    /// Nodes in `term` whose logs hold entries of these terms.
    fn with_logs(term: u64, logs: &[&[u64]], config: impl Fn(u64) -> Config<R>) -> Self;

    /// Starts an empty node that waits to be added to the group.
    fn join(&mut self, id: u64, config: Config<R>);
}

impl<R: Rules> RaftCluster<R> for Cluster<R> {
    fn with_logs(term: u64, logs: &[&[u64]], config: impl Fn(u64) -> Config<R>) -> Self {
        let voters = logs.len() as u64;
        let lived = |log| lived(voters, term, None, log);
        let nodes = logs.iter().zip(1..).map(|(log, id)| Node::recover(config(id), lived(log)));
        Self::of(nodes, Timers { election: Timer::Election, heartbeat: Timer::Heartbeat })
    }

    fn join(&mut self, id: u64, mut config: Config<R>) {
        config.part = Part { node: NodeId(id), initial_voters: None, incarnation: None };
        self.enter(Node::recover(config, []));
    }
}
