//! A calm cluster of three, and what becomes of it when its disks stand still: the same for every log.

use std::time::Duration;

use synod_consensus::{Epoch, Index, ReplicatedLog, Role};
use synod_engine::{Invariants, NodeId};
use synod_sim::replicated::{Replica, Replicated};
use synod_sim::{Mix, Plan, Sim};

use crate::{Load, Register};

/// Nodes 1 to 3, one of which leads.
pub struct Calm<E: ReplicatedLog, I: Invariants<E>> {
    /// The cluster, under load.
    pub sim: Cluster<E, I>,
    /// Who leads.
    pub leader: NodeId,
}

/// A register on a replicated log.
pub type Cluster<E, I> = Sim<E, Replica<Register>, I, Load>;

/// The nodes of a calm cluster.
pub const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

impl<E: ReplicatedLog, I: Invariants<E> + Default> Calm<E, I> {
    /// Such a cluster, by this seed, once it has led for a second.
    ///
    /// # Panics
    /// If nobody comes to lead within five seconds, or does not stay.
    pub fn new(seed: u64, config: impl Fn(NodeId) -> E::Config) -> Self {
        let plan = Plan { seed, mix: Mix::CALM, ..Plan::default() };
        let engines = NODES.map(|node| (node, config(node)));
        let app = Replicated::new(Register::default());
        let mut sim = Sim::new(plan, engines, app, I::default(), Load::new(4));
        assert!(sim.run_until(Duration::from_secs(5), |sim| leader(sim).is_some()));
        sim.run_for(Duration::from_secs(1));
        let leader = leader(&sim).expect("a calm cluster keeps its leader");
        Self { sim, leader }
    }

    /// The leader's disk stalls for 5 s: that costs no election and stops no write.
    ///
    /// # Panics
    /// If it does.
    pub fn survives_a_stall_of_the_leaders_disk(mut self) {
        let (epoch, before) = (self.standing().0, self.written());
        self.sim.stall_disk(self.leader, Duration::from_secs(5));
        self.sim.run_for(Duration::from_secs(5));
        assert!(self.written() > before + 100, "the followers' disks are a majority");
        self.sim.run_for(Duration::from_secs(1));
        assert_eq!((leader(&self.sim), self.standing().0), (Some(self.leader), epoch));
        self.sim.finish();
        assert!(self.sim.report().verdict.is_sound(), "{}", self.sim.report());
    }

    /// The disks of all nodes stall for 5 s: that costs no election.
    ///
    /// # Panics
    /// If it does.
    pub fn survives_a_stall_of_all_disks(mut self) {
        let (epoch, _) = self.standing();
        NODES.iter().for_each(|node| self.sim.stall_disk(*node, Duration::from_secs(5)));
        self.sim.run_for(Duration::from_secs(6));
        for (node, engine) in self.sim.engines() {
            let status = engine.status();
            assert_eq!((status.leader, status.epoch), (Some(self.leader), epoch), "{node}");
        }
    }

    /// The followers' disks never sync again: nothing is acknowledged any more, and nobody comes to lead
    /// once the leader is gone, for nothing that is not durable is told.
    ///
    /// # Panics
    /// If it is.
    pub fn disks_that_never_sync_promise_nothing(mut self) {
        let others = NODES.into_iter().filter(|node| *node != self.leader);
        others.for_each(|node| self.sim.never_sync(node));
        self.sim.run_for(Duration::from_secs(1));
        let (before, commit) = (self.written(), self.standing().1);
        self.sim.run_for(Duration::from_secs(5));
        assert_eq!(self.written(), before, "one disk of three is no majority");
        assert_eq!(self.standing().1, commit);
        self.sim.crash(self.leader);
        self.sim.run_for(Duration::from_secs(10));
        assert_eq!(leader(&self.sim), None, "a vote that is not durable is not told");
    }

    fn standing(&self) -> (Epoch, Index) {
        let status = self.sim.engine(self.leader).expect("the leader is up").status();
        (status.epoch, status.commit)
    }

    fn written(&self) -> u64 {
        self.sim.report().sometimes.count("write acknowledged")
    }
}

/// Who leads, if somebody does.
pub fn leader<E: ReplicatedLog, I: Invariants<E>>(sim: &Cluster<E, I>) -> Option<NodeId> {
    let mut leaders = sim.engines().filter(|(_, engine)| engine.status().role == Role::Leader);
    leaders.next().map(|(node, _)| node)
}
