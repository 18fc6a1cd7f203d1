//! Raft under the simulator's faults: figure 3 holds after every step, over links with and without
//! order.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use synod_consensus::{Index, Outcome, Refusal, RestoreError, StateMachine};
use synod_engine::{NodeId, Sometimes};
use synod_raft::{Config, Invariants, Raft};
use synod_sim::replicated::{Answer, Call, Replica, Replicated};
use synod_sim::{ClientId, Mix, Outside, Plan, Report, Sim, Transport, Workload};

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

    fn restore(chunks: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
        chunks.last().map(Self).ok_or(RestoreError("no value".into()))
    }
}

/// Clients that write and read all the time, each at the node that it believes to lead.
struct Load {
    targets: Vec<usize>,
    written: u64,
}

impl Load {
    fn new(clients: usize) -> Self {
        Self { targets: (0..clients).collect(), written: 0 }
    }
}

type World<'a> = Outside<'a, Raft, Replica<Register>>;

impl Workload<Raft, Replica<Register>> for Load {
    fn begin(&mut self, world: &mut World<'_>) {
        for client in 0..self.targets.len() as u32 {
            world.wake(ClientId(client), Duration::from_millis(u64::from(client)));
        }
    }

    fn woken(&mut self, world: &mut World<'_>, client: ClientId) {
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
        world: &mut World<'_>,
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
            _ => {}
        }
    }
}

fn run(seed: u64, mix: Mix, transport: Transport) -> Report {
    let voters = [3, 5][(seed % 2) as usize];
    let ids = (1..=voters).map(NodeId);
    let engines = ids.clone().map(|id| {
        let mut config = Config::new(id, ids.clone());
        config.snapshot_every = 10 + seed % 90;
        config.keep_entries = seed % 20;
        config.max_append_bytes = 64 << (seed % 12);
        config.max_in_flight_appends = 1 + (seed % 8) as usize;
        (id, config)
    });
    let plan = Plan { seed, mix, transport, ..Plan::default() };
    let app = Replicated::new(Register::default);
    let (invariants, load) = (Invariants::default(), Load::new(4));
    Sim::<Raft, Replica<Register>, _, _>::new(plan, engines, app, invariants, load).run()
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
fn figure_3_holds_over_ordered_links() {
    let reached = holds(&Mix::DEFAULT, Transport::Sessions, 0..40);
    println!("{reached:#?}");
}

#[test]
fn figure_3_holds_over_datagrams() {
    let reached = holds(&Mix::LOSSY, Transport::Datagrams, 0..40);
    println!("{reached:#?}");
}
