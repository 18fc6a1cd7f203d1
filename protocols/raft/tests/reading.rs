//! Reads at every node under the simulator's faults: each sees all writes that were acknowledged before
//! it was asked for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use synod_consensus::{Index, Outcome, Refusal, RestoreError, StateMachine};
use synod_engine::{NodeId, Sometimes, Sound, Violation, Without};
use synod_raft::{Config, Invariants, Lease, RULES, Raft, Rules};
use synod_sim::replicated::{Answer, Call, Replica, Replicated};
use synod_sim::{ClientId, Mix, Outside, Plan, Report, Sim, Transport, Workload};

/// Knows the last write that it has applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LastWrite(Index);

impl StateMachine for LastWrite {
    type Response = Index;
    type Query = ();
    type Answer = Index;
    type Frozen = Index;

    fn apply(&mut self, index: Index, _: &[u8]) -> Index {
        self.0 = index;
        index
    }

    fn read(&self, (): &()) -> Index {
        self.0
    }

    fn freeze(&self) -> Index {
        self.0
    }

    fn chunks(frozen: &Index) -> impl Iterator<Item = Bytes> {
        std::iter::once(Bytes::copy_from_slice(&frozen.0.to_le_bytes()))
    }

    fn restore(&self, chunks: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
        let last = chunks.last().and_then(|chunk| chunk.as_ref().try_into().ok());
        let index = last.ok_or(RestoreError("no index".into()))?;
        Ok(Self(Index(u64::from_le_bytes(index))))
    }
}

/// Clients that read anywhere, and write where they believe the leader to be.
struct Load {
    /// Where each writes.
    targets: Vec<usize>,
    /// The last write of which anybody heard that it is done.
    acknowledged: Index,
    /// Reads under way: what they must see, and who serves them.
    reads: BTreeMap<u64, (Index, NodeId)>,
    leader: Option<NodeId>,
}

impl Load {
    fn new(clients: usize) -> Self {
        let targets = (0..clients).collect();
        Self { targets, acknowledged: Index::ZERO, reads: BTreeMap::new(), leader: None }
    }
}

type World<'a, R> = Outside<'a, Raft<R>, Replica<LastWrite>>;

impl<R: Rules> Workload<Raft<R>, Replica<LastWrite>> for Load {
    fn begin(&mut self, world: &mut World<'_, R>) {
        for client in 0..self.targets.len() as u32 {
            world.wake(ClientId(client), Duration::from_millis(u64::from(client)));
        }
    }

    fn woken(&mut self, world: &mut World<'_, R>, client: ClientId) {
        let nodes = world.nodes().to_vec();
        if world.dice().chance(600_000) {
            let node = nodes[world.dice().below(nodes.len() as u64) as usize];
            let call = world.call(client, node, Call::Read(()));
            self.reads.insert(call, (self.acknowledged, node));
        } else {
            let target = &mut self.targets[client.0 as usize];
            *target += usize::from(world.dice().chance(50_000));
            world.call(client, nodes[*target % nodes.len()], Call::Write(Bytes::new()));
        }
        let pause = Duration::from_micros(world.dice().between(500, 40_000));
        world.wake(client, pause);
    }

    fn answered(
        &mut self,
        world: &mut World<'_, R>,
        client: ClientId,
        call: u64,
        answer: Answer<Index, Index>,
    ) {
        match answer {
            Answer::Written(Outcome::Done(index)) => {
                self.acknowledged = self.acknowledged.max(index);
                world.reached("write acknowledged");
            }
            Answer::Written(Outcome::Refused(Refusal::NotLeader { leader })) => {
                let known = |leader| world.nodes().iter().position(|node| *node == leader);
                let target = &mut self.targets[client.0 as usize];
                *target = leader.and_then(known).unwrap_or(*target + 1);
                self.leader = leader.or(self.leader);
            }
            Answer::Read(Outcome::Done(seen)) => {
                let Some((at_least, node)) = self.reads.remove(&call) else { return };
                if Some(node) != self.leader && self.leader.is_some() {
                    world.reached("read at a follower");
                }
                if seen < at_least {
                    let detail = format!("{node}: {seen}, and {at_least} was acknowledged before");
                    world.violated(Violation { invariant: "reads are fresh", detail });
                }
            }
            Answer::Written(_)
            | Answer::Read(_)
            | Answer::Changed(_)
            | Answer::Transferred(_)
            | Answer::Stale { .. }
            | Answer::Told { .. } => {}
        }
    }
}

/// What a run is about: how nodes read, what they lack, and what happens to them.
#[derive(Clone)]
struct Run<R> {
    lease: Option<Lease>,
    rules: R,
    mix: Mix,
    transport: Transport,
}

const TENTH: Option<Lease> = Some(Lease { max_drift_percent: 10 });

fn run<R: Rules>(seed: u64, run: Run<R>) -> Report {
    let Run { lease, rules, mix, transport } = run;
    let voters = [3, 5][(seed % 2) as usize];
    let ids = (1..=voters).map(NodeId);
    let engines = ids.clone().map(|id| {
        let mut config = Config::with_rules(id, ids.clone(), rules);
        config.bounds.snapshot_every = 10 + seed % 90;
        config.timing.lease = lease;
        (id, config)
    });
    let plan = Plan { seed, mix, transport, ..Plan::default() };
    let lag = Duration::from_millis(seed % 3 * 20);
    let app = Replicated { lag, cancel_ppm: 20_000, ..Replicated::new(LastWrite::default()) };
    let (invariants, load) = (Invariants::default(), Load::new(4));
    Sim::<Raft<R>, Replica<LastWrite>, _, _>::new(plan, engines, app, invariants, load).run()
}

/// Runs all seeds; every one must be sound.
fn holds(lease: Option<Lease>, mix: Mix, transport: Transport, seeds: Range<u64>) {
    let mut all = Sometimes::default();
    let sound = Run { lease, rules: Sound, mix, transport };
    for seed in seeds {
        let report = run(seed, sound.clone());
        assert!(report.verdict.is_sound(), "{report}");
        all.merge(&report.sometimes);
    }
    for point in ["write acknowledged", "read at a follower"] {
        assert!(all.count(point) > 1000, "hardly ever: {point}");
    }
}

#[test]
fn reads_are_fresh_at_every_node_over_ordered_links() {
    holds(None, Mix::DEFAULT, Transport::Sessions, 0..30);
}

#[test]
fn reads_are_fresh_at_every_node_over_datagrams() {
    holds(None, Mix::LOSSY, Transport::Datagrams, 0..30);
}

#[test]
fn reads_are_fresh_at_every_node_while_nodes_crash_and_pause() {
    holds(None, Mix::CRASHY, Transport::Datagrams, 0..30);
}

#[test]
fn reads_by_rounds_are_fresh_whatever_clocks_do() {
    holds(None, Mix::BAD_CLOCKS, Transport::Sessions, 0..30);
}

#[test]
fn reads_by_lease_are_fresh_while_clocks_keep_their_bound() {
    holds(TENTH, Mix::DRIFTING, Transport::Sessions, 0..60);
    holds(TENTH, Mix::DRIFTING, Transport::Datagrams, 0..60);
    holds(TENTH, Mix::CRASHY, Transport::Sessions, 0..30);
    holds(TENTH, Mix::LOSSY, Transport::Datagrams, 0..30);
}

/// The first of these runs in which a stale read is found.
fn found<R: Rules>(planted: &Run<R>, seeds: Range<u64>) -> Option<String> {
    seeds.into_iter().find_map(|seed| {
        let report = run(seed, planted.clone());
        (!report.verdict.is_sound()).then(|| report.to_string())
    })
}

/// What finds nothing where something is wrong would prove nothing.
#[test]
fn a_stale_read_is_found_when_a_rule_about_reads_is_taken_out() {
    let faults = [
        ("read_is_confirmed", None, Mix::BAD_CLOCKS, Transport::Sessions),
        ("read_answer_is_fresh", None, Mix::LOSSY, Transport::Datagrams),
    ];
    for (rule, lease, mix, transport) in faults {
        let rules = Without::named(RULES, &[rule]).unwrap();
        let found = found(&Run { lease, rules, mix, transport }, 0..200);
        let found = found.unwrap_or_else(|| panic!("nothing is found without {rule}"));
        assert!(found.contains("reads are fresh"), "{found}");
    }
}

#[test]
fn a_stale_read_by_lease_is_found_when_clocks_break_their_bound() {
    let (mix, transport) = (Mix::BAD_CLOCKS, Transport::Sessions);
    let found = found(&Run { lease: TENTH, rules: Sound, mix, transport }, 0..400);
    assert!(found.expect("nothing is found").contains("reads are fresh"));
}
