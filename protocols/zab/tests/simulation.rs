//! ZAB under the simulator's faults: the invariants of the published specification hold after every step,
//! over links with and without order.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use synod_consensus::{
    Change, Contact, Index, Outcome, Refusal, ReplicatedLog, RestoreError, Role, StateMachine,
};
use synod_engine::{Incarnation, NodeId, Sometimes, Sound};
use synod_sim::replicated::{Answer, Call, Replica, Replicated};
use synod_sim::{ClientId, Mix, Outside, Plan, Report, Sim, Transport, Workload};
use synod_zab::{Config, Invariants, Rules, Zab};

/// A register: each command is its new value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Register(Bytes);

impl StateMachine for Register {
    type Response = Index;
    type Query = ();
    type Answer = Bytes;
    type Frozen = Bytes;

    fn apply(&mut self, index: Index, command: &[u8]) -> Index {
        self.0 = Bytes::copy_from_slice(command);
        index
    }

    fn read(&self, (): &()) -> Bytes {
        self.0.clone()
    }

    fn freeze(&self) -> Bytes {
        self.0.clone()
    }

    fn chunks(frozen: &Bytes) -> impl Iterator<Item = Bytes> {
        std::iter::once(frozen.clone())
    }

    fn restore(&self, chunks: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
        chunks.last().map(Self).ok_or(RestoreError("no value".into()))
    }
}

/// The last of the clients changes members and moves leadership all the time, if it is asked to.
const OPERATOR: ClientId = ClientId(1000);

/// Clients that write and read all the time, each at the node that it believes to lead.
struct Load {
    targets: Vec<usize>,
    written: u64,
    /// Whom the operator asks; `None` if there is no operator.
    operator: Option<usize>,
}

impl Load {
    fn new(clients: usize) -> Self {
        Self { targets: (0..clients).collect(), written: 0, operator: None }
    }

    fn with_operator(clients: usize) -> Self {
        Self { operator: Some(0), ..Self::new(clients) }
    }

    /// One to three wishes about any nodes, sensible or not; or a transfer to anyone.
    fn operate<R: Rules>(&mut self, world: &mut World<'_, R>) {
        let Some(target) = &mut self.operator else { return };
        if world.dice().chance(50_000) {
            *target += 1;
        }
        let nodes = world.nodes().to_vec();
        let any = |world: &mut World<'_, R>| nodes[world.dice().below(nodes.len() as u64) as usize];
        let to = nodes[*target % nodes.len()];
        if world.dice().chance(200_000) {
            let heir = any(world);
            let heir = world.dice().chance(500_000).then_some(heir);
            world.call(OPERATOR, to, Call::Transfer(heir));
        } else {
            let count = world.dice().between(1, 3);
            let wishes = (0..count).map(|_| wish(any(world), world.dice().below(9))).collect();
            world.call(OPERATOR, to, Call::Change(wishes));
        }
        let pause = Duration::from_millis(world.dice().between(1, 200));
        world.wake(OPERATOR, pause);
    }

    fn operated<R: Rules>(
        &mut self,
        world: &mut World<'_, R>,
        outcome: Outcome<()>,
        point: &'static str,
    ) {
        match outcome {
            Outcome::Done(()) => world.reached(point),
            Outcome::Refused(Refusal::NotLeader { leader }) => {
                let known = |leader| world.nodes().iter().position(|node| *node == leader);
                let known = leader.and_then(known);
                self.operator = self.operator.map(|target| known.unwrap_or(target + 1));
            }
            Outcome::Refused(Refusal::NotCaughtUp { .. }) => {
                world.reached("learner has not caught up");
            }
            Outcome::Refused(Refusal::ChangePending) => world.reached("change is pending"),
            Outcome::Refused(_) | Outcome::Unknown => {}
        }
    }
}

type World<'a, R> = Outside<'a, Zab<R>, Replica<Register>>;

impl<R: Rules> Workload<Zab<R>, Replica<Register>> for Load {
    fn begin(&mut self, world: &mut World<'_, R>) {
        for client in 0..self.targets.len() as u32 {
            world.wake(ClientId(client), Duration::from_millis(u64::from(client)));
        }
        if self.operator.is_some() {
            world.wake(OPERATOR, Duration::from_millis(500));
        }
    }

    fn woken(&mut self, world: &mut World<'_, R>, client: ClientId) {
        if client == OPERATOR {
            return self.operate(world);
        }
        let target = &mut self.targets[client.0 as usize];
        if world.dice().chance(50_000) {
            *target += 1;
        }
        let node = world.nodes()[*target % world.nodes().len()];
        if world.dice().chance(300_000) {
            world.call(client, node, Call::Read(()));
        } else {
            self.written += 1;
            world.call(client, node, Call::Write(Bytes::from(self.written.to_string())));
        }
        let pause = Duration::from_micros(world.dice().between(500, 40_000));
        world.wake(client, pause);
    }

    fn answered(
        &mut self,
        world: &mut World<'_, R>,
        client: ClientId,
        _: u64,
        answer: Answer<Index, Bytes>,
    ) {
        match answer {
            Answer::Written(Outcome::Refused(Refusal::NotLeader { leader }))
            | Answer::Read(Outcome::Refused(Refusal::NotLeader { leader })) => {
                let known = |leader| world.nodes().iter().position(|node| *node == leader);
                let target = &mut self.targets[client.0 as usize];
                *target = leader.and_then(known).unwrap_or(*target + 1);
            }
            Answer::Written(Outcome::Done(_)) => world.reached("write acknowledged"),
            Answer::Read(Outcome::Done(_)) => world.reached("read answered"),
            Answer::Changed(outcome) => self.operated(world, outcome, "members changed"),
            Answer::Transferred(outcome) => self.operated(world, outcome, "leadership moved"),
            Answer::Written(_) | Answer::Read(_) | Answer::Stale { .. } | Answer::Told { .. } => {}
        }
    }
}

fn run(seed: u64, mix: Mix, transport: Transport) -> Report {
    let voters = [3, 5][(seed % 2) as usize];
    let ids = (1..=voters).map(NodeId);
    let engines = ids.clone().map(|id| {
        let mut config = Config::new(id, ids.clone());
        config.snapshot_every = 10 + seed % 90;
        config.forward_proposals = !seed.is_multiple_of(3);
        config.keep_log_bytes = 15 * (seed % 20) as usize;
        config.max_cached_log_bytes = 40 * (seed % 7) as usize;
        config.max_append_bytes = 64 << (seed % 12);
        config.max_in_flight_appends = 1 + (seed % 8) as usize;
        (id, config)
    });
    let plan = Plan { seed, mix, transport, ..Plan::default() };
    let app = Replicated::new(Register::default);
    let (invariants, load) = (Invariants::default(), Load::new(4));
    Sim::<Zab, Replica<Register>, _, _>::new(plan, engines, app, invariants, load).run()
}

/// A wish about a node; adding and promoting come more often than leaving.
fn wish(node: NodeId, kind: u64) -> Change {
    match kind {
        0..=2 => {
            let contact = Contact {
                incarnation: Incarnation(1),
                address: String::new(),
                client_address: String::new(),
            };
            Change::Add { node, contact }
        }
        3..=5 => Change::Promote(node),
        6 => Change::Demote(node),
        7 => Change::Remove(node),
        _ => Change::Prioritise { node, priority: (node.0 % 3) as u8 },
    }
}

/// Seven nodes, of whom three or five found the group; members come and go.
fn churn<R: Rules>(seed: u64, mix: Mix, transport: Transport, rules: R) -> Report {
    let founders = [3, 5][(seed % 2) as usize];
    let engines = (1..=7).map(NodeId).map(|id| {
        let mut config = Config::with_rules(id, (1..=founders).map(NodeId), rules);
        config.initial_voters.take_if(|founders| !founders.contains(id));
        config.snapshot_every = 10 + seed % 90;
        config.keep_log_bytes = 15 * (seed % 20) as usize;
        config.max_cached_log_bytes = 40 * (seed % 7) as usize;
        (id, config)
    });
    let plan = Plan { seed, mix, transport, ..Plan::default() };
    let app = Replicated::new(Register::default);
    let (invariants, load) = (Invariants::default(), Load::with_operator(3));
    Sim::<Zab<R>, Replica<Register>, _, _>::new(plan, engines, app, invariants, load).run()
}

#[test]
fn members_come_and_go_under_faults() {
    let mut all = Sometimes::default();
    for seed in 0..120 {
        let (mix, transport) = match seed % 3 {
            0 => (Mix::DEFAULT, Transport::Sessions),
            1 => (Mix::LOSSY, Transport::Datagrams),
            _ => (Mix::CRASHY, Transport::Sessions),
        };
        let report = churn(seed, mix, transport, Sound);
        assert!(report.verdict.is_sound(), "{report}");
        all.merge(&report.sometimes);
    }
    let points = [
        "members changed",
        "learner has not caught up",
        "change is pending",
        "joint change left",
        "removed leader steps down",
    ];
    for point in points {
        assert!(all.count(point) > 0, "never: {point}");
    }
}

/// Runs all seeds; every one must be sound. What they reached.
fn holds(mix: &Mix, transport: Transport, seeds: Range<u64>) -> Sometimes {
    let mut all = Sometimes::default();
    for seed in seeds {
        let report = run(seed, mix.clone(), transport);
        assert!(report.verdict.is_sound(), "{report}");
        all.merge(&report.sometimes);
    }
    all
}

#[test]
fn the_specification_holds_over_ordered_links() {
    let reached = holds(&Mix::DEFAULT, Transport::Sessions, 0..150);
    assert_reached(&reached);
}

#[test]
fn the_specification_holds_over_datagrams() {
    let reached = holds(&Mix::LOSSY, Transport::Datagrams, 0..150);
    assert_reached(&reached);
}

/// Seeds that never came to these points would have tested little.
fn assert_reached(reached: &Sometimes) {
    let points = [
        "leader elected",
        "election under load",
        "DIFF",
        "TRUNC",
        "SNAP",
        "uncommitted entries replaced",
        "snapshot installed",
        "a leader gives up",
        "old log read",
        "old log not read",
        "write acknowledged",
        "read answered",
    ];
    for point in points {
        assert!(reached.count(point) > 0, "never: {point}");
    }
}

/// A calm cluster of three with this leader, under load.
type Cluster = Sim<Zab, Replica<Register>, Invariants, Load>;

fn calm_cluster() -> (Cluster, NodeId) {
    calm_cluster_of(Plan::default().seed)
}

fn calm_cluster_of(seed: u64) -> (Cluster, NodeId) {
    let ids = [1, 2, 3].map(NodeId);
    let engines = ids.map(|id| (id, Config::new(id, ids)));
    let plan = Plan { seed, mix: Mix::CALM, ..Plan::default() };
    let app = Replicated::new(Register::default);
    let mut sim = Cluster::new(plan, engines, app, Invariants::default(), Load::new(4));
    assert!(sim.run_until(Duration::from_secs(5), |sim| leader(sim).is_some()));
    sim.run_for(Duration::from_secs(1));
    let leader = leader(&sim).expect("a calm cluster keeps its leader");
    (sim, leader)
}

fn leader(sim: &Cluster) -> Option<NodeId> {
    let leads = |(_, engine): &(NodeId, &Zab)| engine.status().role == Role::Leader;
    sim.engines().find(leads).map(|(id, _)| id)
}

/// The end of the link tells its followers, and each waits a quarter of `sync_limit_ms` at most for it.
#[test]
fn a_leader_that_dies_has_a_successor_within_half_a_second() {
    for seed in 0..20 {
        let (mut sim, first) = calm_cluster_of(seed);
        sim.crash(first);
        let leads = |sim: &Cluster| leader(sim).is_some_and(|leader| leader != first);
        assert!(sim.run_until(Duration::from_millis(500), leads), "seed {seed}");
    }
}

fn written(sim: &Cluster) -> u64 {
    sim.report().sometimes.count("write acknowledged")
}

#[test]
fn a_leaders_disk_that_stalls_for_5_s_costs_no_election_and_stops_no_write() {
    let (mut sim, first) = calm_cluster();
    let (epoch, before) = (sim.engine(first).unwrap().status().epoch, written(&sim));
    sim.stall_disk(first, Duration::from_secs(5));
    sim.run_for(Duration::from_secs(5));
    assert!(written(&sim) > before + 100, "the followers' disks are a majority");
    sim.run_for(Duration::from_secs(1));
    assert_eq!(leader(&sim), Some(first));
    assert_eq!(sim.engine(first).unwrap().status().epoch, epoch);
    sim.finish();
    assert!(sim.report().verdict.is_sound(), "{}", sim.report());
}

#[test]
fn disks_of_all_nodes_that_stall_for_5_s_cost_no_election() {
    let (mut sim, first) = calm_cluster();
    let epoch = sim.engine(first).unwrap().status().epoch;
    for node in [1, 2, 3].map(NodeId) {
        sim.stall_disk(node, Duration::from_secs(5));
    }
    sim.run_for(Duration::from_secs(6));
    for (id, engine) in sim.engines() {
        assert_eq!((engine.status().leader, engine.status().epoch), (Some(first), epoch), "{id}");
    }
}

#[test]
fn a_disk_that_never_syncs_makes_no_leader_and_acknowledges_nothing() {
    let (mut sim, first) = calm_cluster();
    let others = [1, 2, 3].map(NodeId).into_iter().filter(|node| *node != first);
    others.for_each(|node| sim.never_sync(node));
    sim.run_for(Duration::from_secs(1));
    let (before, commit) = (written(&sim), sim.engine(first).unwrap().status().commit);
    sim.run_for(Duration::from_secs(5));
    assert_eq!(written(&sim), before, "one disk of three is no majority");
    assert_eq!(sim.engine(first).unwrap().status().commit, commit);
    sim.crash(first);
    sim.run_for(Duration::from_secs(10));
    assert_eq!(leader(&sim), None, "a vote that is not durable is not told");
}
