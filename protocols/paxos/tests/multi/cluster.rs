//! Several nodes of Multi-Paxos, checked against its invariants.
//!
//! Read on: [`synod_stage::Cluster`].

use synod_engine::{NodeId, Sound};
use synod_paxos::multi::{Config, Invariants, Message, MultiPaxos, Rules, Timer};
use synod_stage::Timers;

use crate::driver::Node;

/// A message on its way.
pub(crate) type Envelope = synod_stage::Envelope<Message>;

/// Nodes of Multi-Paxos, and what is between them.
pub(crate) type Cluster<R = Sound> = synod_stage::Cluster<MultiPaxos<R>, Invariants>;

/// Clusters that keep all rules.
pub(crate) trait Founded {
    /// A new one of so many nodes.
    fn start(nodes: u64) -> Self;

    /// The same, configured like this.
    fn with(nodes: u64, tune: impl Fn(&mut Config)) -> Self;
}

impl Founded for Cluster {
    fn start(nodes: u64) -> Self {
        Self::with(nodes, |_| {})
    }

    fn with(nodes: u64, tune: impl Fn(&mut Config)) -> Self {
        Self::keeping(Sound, nodes, tune)
    }
}

/// What only clusters of Multi-Paxos do.
pub(crate) trait PaxosCluster<R: Rules> {
    /// A new cluster whose nodes keep these rules.
    fn keeping(rules: R, nodes: u64, tune: impl Fn(&mut Config<R>)) -> Self;

    /// Starts an empty node that waits to be added to the group.
    fn join(&mut self, id: u64, rules: R);
}

impl<R: Rules> PaxosCluster<R> for Cluster<R> {
    fn keeping(rules: R, nodes: u64, tune: impl Fn(&mut Config<R>)) -> Self {
        let nodes = (1..=nodes).map(|id| {
            let mut config = Config::with_rules(NodeId(id), (1..=nodes).map(NodeId), rules);
            tune(&mut config);
            Node::recover(config, [])
        });
        Self::of(nodes, Timers { election: Timer::Election, heartbeat: Timer::Heartbeat })
    }

    fn join(&mut self, id: u64, rules: R) {
        let mut config = Config::with_rules(NodeId(id), [], rules);
        config.part.initial_voters = None;
        self.enter(Node::recover(config, []));
    }
}
