//! Several nodes of ZAB, checked against the invariants of the published specification.
//!
//! Read on: [`synod_stage::Cluster`].

use std::time::Duration;

use synod_engine::Sound;
use synod_stage::Timers;
use synod_zab::{Config, Invariants, Message, Phase, Rules, Timer, Zab};

use crate::driver::{config_with, recover};
use crate::words::{Past, add, lived};

/// A message on its way.
pub(crate) type Envelope = synod_stage::Envelope<Message>;

/// Nodes of ZAB, and what is between them.
pub(crate) type Cluster<R = Sound> = synod_stage::Cluster<Zab<R>, Invariants>;

/// Clusters that keep all rules.
pub(crate) trait Founded {
    /// A new one of so many nodes.
    fn start(nodes: u64) -> Self;
}

impl Founded for Cluster {
    fn start(nodes: u64) -> Self {
        Self::keeping(Sound, &vec![Past::default(); nodes as usize])
    }
}

/// What only ZAB's clusters do.
pub(crate) trait ZabCluster<R: Rules> {
    /// Nodes that have lived through this.
    fn with(pasts: &[Past<'_>], config: impl Fn(u64) -> Config<R>) -> Self;

    /// The same with these rules.
    fn keeping(rules: R, pasts: &[Past<'_>]) -> Self;

    /// Starts an empty node that waits to be added to the group, and adds it.
    fn join(&mut self, id: u64, config: Config<R>);

    /// Runs until there is an established leader whom all that are up and not cut off serve.
    fn establish(&mut self) -> u64;

    /// Proposes this at the leader and lets a second pass.
    fn write(&mut self, token: u64, command: &'static str);
}

impl<R: Rules> ZabCluster<R> for Cluster<R> {
    fn with(pasts: &[Past<'_>], config: impl Fn(u64) -> Config<R>) -> Self {
        let voters = pasts.len() as u64;
        let nodes = pasts.iter().zip(1..).map(|(past, id)| {
            let records = if past.is_none() { Vec::new() } else { lived(voters, past) };
            recover(config(id), records)
        });
        Self::of(nodes, Timers { election: Timer::Limit, heartbeat: Timer::Ping })
    }

    fn keeping(rules: R, pasts: &[Past<'_>]) -> Self {
        Self::with(pasts, |id| config_with(id, pasts.len() as u64, rules))
    }

    fn join(&mut self, id: u64, config: Config<R>) {
        self.enter(recover(config, []));
        let leader = self.leader().expect("somebody leads");
        self.at(leader, |node| node.change(id, [add(id)]));
        self.run(Duration::from_secs(1));
    }

    fn establish(&mut self) -> u64 {
        let established = self.run_until(|cluster| {
            let Some(leader) = cluster.leader() else { return false };
            let epoch = cluster.nodes[&leader].view().accepted;
            cluster.nodes.iter().all(|(id, node)| {
                let is_reached = node.is_up && !cluster.cut.contains(&(leader, *id));
                let view = node.view();
                !is_reached || (view.phase, view.current) == (Phase::Broadcast, epoch)
            })
        });
        assert!(established, "nobody leads them all:\n{}", self.picture());
        self.leader().expect("somebody leads")
    }

    fn write(&mut self, token: u64, command: &'static str) {
        let leader = self.leader().expect("somebody leads");
        self.at(leader, |node| node.propose(token, command));
        self.run(Duration::from_secs(1));
    }
}
