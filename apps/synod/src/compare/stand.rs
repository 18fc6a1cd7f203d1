//! A cluster to which nothing happens but what is measured.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use synod_consensus::{Epoch, Index, Request, Role, Status};
use synod_engine::{NodeId, Sound, Token};
use synod_log::Part;
use synod_quorum::Voters;
use synod_sim::{Chance, Decisions, Mix, Plan, Sim, Span, Transport};

use super::probe::{Done, Probe};
use super::tally::{Spent, Tally};
use crate::engines::Wired;
use crate::engines::knobs::LogKnobs;

/// How long every message is under way, D in the tables.
pub(super) const DELAY: Duration = Duration::from_millis(1);
/// How long a sync takes where it takes time, S in the tables.
pub(super) const SYNC: Duration = Duration::from_millis(1);
/// What a write says, in bytes.
pub(super) const VALUE_BYTES: usize = 256;
/// Longest wait for anything, in heartbeats: far beyond what any of it takes.
const PATIENCE: u32 = 400;

/// What can be measured: a log that keeps all of its rules, and whose messages are data.
pub(super) trait Measured: Wired<Rules = Sound, Message: Serialize> {}

impl<L: Wired<Rules = Sound, Message: Serialize>> Measured for L {}

/// What a cluster is like.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) members: u64,
    /// How long a sync takes.
    pub(super) sync: Duration,
    pub(super) transport: Transport,
    /// How long it takes until both ends of a link that broke know so.
    pub(super) notice: Duration,
    pub(super) knobs: LogKnobs,
    /// Whether anything but the engines' own timeouts is left to chance: what arrives at the same moment is
    /// one batch, and a sync takes up to half as long again. Otherwise each input is its own batch.
    pub(super) batches: bool,
    pub(super) seed: u64,
}

impl Setting {
    /// So many members, as they are by default.
    pub(super) fn of(members: u64) -> Self {
        let knobs = LogKnobs { forward_proposals: Some(true), ..LogKnobs::default() };
        let (sync, transport, notice) = (SYNC, Transport::Sessions, DELAY);
        Self { members, sync, transport, notice, knobs, batches: false, seed: 1 }
    }

    /// No heartbeat and no timeout falls into the time that is measured.
    pub(super) fn without_timers(mut self) -> Self {
        const HOUR_MS: u64 = 3_600_000;
        self.knobs.heartbeat_ms = Some(HOUR_MS);
        self.knobs.election_timeout_min_ms = Some(2 * HOUR_MS);
        self.knobs.election_timeout_max_ms = Some(4 * HOUR_MS);
        self
    }

    fn plan(&self) -> Plan {
        let exactly = |time: Duration| Span { low: time, high: time };
        let most = if self.batches { 1 << 30 } else { 1 };
        let mix = Mix {
            name: "measured",
            delay: exactly(DELAY),
            jitter: Span::NONE,
            notice: exactly(self.notice),
            reconnect: exactly(10 * DELAY),
            batch: (most, most),
            sync: exactly(self.sync),
            ..Mix::CALM
        };
        // Draws that are not there are 0: a sync takes as long as it says.
        let calmest = Decisions { seed: self.seed, ..Decisions::default() };
        let chance = if self.batches { Chance::Drawn } else { Chance::Replayed(calmest) };
        let (seed, transport) = (self.seed, self.transport);
        Plan { seed, mix, transport, chance, checkpoint_every: u64::MAX, ..Plan::default() }
    }
}

/// A cluster under measurement.
pub(super) struct Stand<L: Measured> {
    pub(super) sim: Sim<L, Probe, Tally, ()>,
    members: u64,
    heartbeat: Duration,
    tokens: u64,
}

impl<L: Measured> Stand<L> {
    /// Such a cluster, with a leader whom all follow.
    pub(super) fn new(setting: &Setting) -> Self {
        let ids: Vec<NodeId> = (1..=setting.members).map(NodeId).collect();
        let engines = ids.iter().map(|&node| {
            let part =
                Part { node, initial_voters: Some(Voters::new(ids.clone())), incarnation: None };
            (node, L::config(part, &setting.knobs, Sound))
        });
        let sim = Sim::new(setting.plan(), engines, (), Tally::default(), ());
        let heartbeat = Duration::from_millis(setting.knobs.heartbeat_ms.unwrap_or(50));
        let mut stand = Self { sim, members: setting.members, heartbeat, tokens: 0 };
        stand.settle();
        // Those who came to lead say so once more within a heartbeat; not just when something is measured.
        stand.sim.run_for(heartbeat / 2);
        stand
    }

    /// Waits until one leads, all follow it, and all have taken in all that it has.
    pub(super) fn settle(&mut self) -> NodeId {
        for _ in 0..PATIENCE {
            self.sim.run_for(self.heartbeat);
            if let Some(leader) = self.settled() {
                return leader;
            }
        }
        panic!("{} of {} members never settled", L::NAME, self.members);
    }

    fn settled(&self) -> Option<NodeId> {
        let mut all: Vec<Status> = self.sim.engines().map(|(_, engine)| engine.status()).collect();
        let leads = all.iter().position(|status| status.role == Role::Leader)?;
        let leader = all.swap_remove(leads);
        let has_all = |status: &Status| status.applied == leader.last;
        let agrees = |status: &Status| status.leader == Some(leader.node) && has_all(status);
        (has_all(&leader) && all.iter().all(agrees)).then_some(leader.node)
    }

    /// All nodes, up or not.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> + use<L> {
        (1..=self.members).map(NodeId)
    }

    /// The next request's name.
    pub(super) fn next(&self) -> Token {
        Token(self.tokens + 1)
    }

    /// Asks a node for something.
    pub(super) fn ask(&mut self, node: NodeId, request: Request) -> Token {
        let token = self.next();
        self.tokens += 1;
        self.sim.request(node, token, request);
        token
    }

    /// Asks a node to write as many values at one moment.
    pub(super) fn write(&mut self, node: NodeId, count: u64) {
        let first = self.next().0;
        self.tokens += count;
        let requests = (first..first + count).map(|token| (Token(token), value()));
        self.sim.request_all(node, requests);
    }

    /// How a request of this node ended, if it took effect.
    pub(super) fn done(&self, node: NodeId, token: Token) -> Option<Done> {
        self.sim.app(node)?.done(token)
    }

    /// When the first of the requests from this one on was done, anywhere.
    pub(super) fn first_done(&self, first: Token) -> Option<Duration> {
        self.done_since(first).into_iter().min()
    }

    /// When the requests from this one on were done, in no order.
    pub(super) fn done_since(&self, first: Token) -> Vec<Duration> {
        let probes = self.nodes().filter_map(|node| self.sim.app(node));
        probes.flat_map(|probe| probe.done_since(first).map(|(_, done)| done.at)).collect()
    }

    /// The epochs in which somebody who is up came to lead.
    pub(super) fn reigns(&self) -> BTreeSet<Epoch> {
        let probes = self.nodes().filter_map(|node| self.sim.app(node));
        probes.flat_map(Probe::reigns).copied().collect()
    }

    /// When a node's user was told of an entry; the end of time if it was not.
    pub(super) fn told(&self, node: NodeId, index: Index) -> Duration {
        self.sim.app(node).and_then(|probe| probe.told(index)).unwrap_or(Duration::MAX)
    }

    /// What was spent so far.
    pub(super) fn spent(&self) -> Spent {
        Spent { syncs: self.sim.report().counts.syncs, ..self.sim.invariants().spent().clone() }
    }
}

/// A write.
pub(super) fn value() -> Request {
    Request::Propose(Bytes::from_static(&[7; VALUE_BYTES]))
}
