//! Clients of a register, and an operator that means no good.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use synod_consensus::{Change, Contact, Index, Outcome, Refusal, ReplicatedLog};
use synod_engine::{Incarnation, NodeId, Violation};
use synod_sim::replicated::{Answer, Call, Replica};
use synod_sim::{ClientId, Outside, Workload};

use crate::Register;

/// The last of the clients changes members and moves leadership all the time, if it is asked to.
const OPERATOR: ClientId = ClientId(1000);

/// Clients that write and read all the time, each at the node that it believes to lead. What one was told
/// the others see.
pub struct Load {
    targets: Vec<usize>,
    written: u64,
    /// The last entry that a client was told of.
    told: Index,
    /// For each read under way what had been told when it was asked.
    asked: BTreeMap<(ClientId, u64), Index>,
    /// Whom the operator asks; `None` if there is no operator.
    operator: Option<usize>,
    /// The lowest priority that it gives.
    least_priority: u8,
}

impl Load {
    /// So many clients.
    #[must_use]
    pub fn new(clients: usize) -> Self {
        Self {
            targets: (0..clients).collect(),
            written: 0,
            told: Index::ZERO,
            asked: BTreeMap::new(),
            operator: None,
            least_priority: 1,
        }
    }

    /// So many clients, and an operator who asks for anything.
    #[must_use]
    pub fn with_operator(clients: usize) -> Self {
        Self { operator: Some(0), ..Self::new(clients) }
    }

    /// The operator also takes from nodes the right to lead.
    #[must_use]
    pub fn with_priority_0(self) -> Self {
        Self { least_priority: 0, ..self }
    }

    /// One to three wishes about any nodes, sensible or not; or a transfer to anyone.
    fn operate<E: ReplicatedLog>(&mut self, world: &mut World<'_, E>) {
        let Some(target) = &mut self.operator else { return };
        if world.dice().chance(50_000) {
            *target += 1;
        }
        let nodes = world.nodes().to_vec();
        let any = |world: &mut World<'_, E>| nodes[world.dice().below(nodes.len() as u64) as usize];
        let to = nodes[*target % nodes.len()];
        if world.dice().chance(200_000) {
            let heir = any(world);
            let heir = world.dice().chance(500_000).then_some(heir);
            world.call(OPERATOR, to, Call::Transfer(heir));
        } else {
            let count = world.dice().between(1, 3);
            let least = self.least_priority;
            let wishes =
                (0..count).map(|_| wish(any(world), world.dice().below(9), least)).collect();
            world.call(OPERATOR, to, Call::Change(wishes));
        }
        let pause = Duration::from_millis(world.dice().between(1, 200));
        world.wake(OPERATOR, pause);
    }

    fn operated<E: ReplicatedLog>(
        &mut self,
        world: &mut World<'_, E>,
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

type World<'a, E> = Outside<'a, E, Replica<Register>>;

impl<E: ReplicatedLog> Workload<E, Replica<Register>> for Load {
    fn begin(&mut self, world: &mut World<'_, E>) {
        for client in 0..self.targets.len() as u32 {
            world.wake(ClientId(client), Duration::from_millis(u64::from(client)));
        }
        if self.operator.is_some() {
            world.wake(OPERATOR, Duration::from_millis(500));
        }
    }

    fn woken(&mut self, world: &mut World<'_, E>, client: ClientId) {
        if client == OPERATOR {
            return self.operate(world);
        }
        let target = &mut self.targets[client.0 as usize];
        if world.dice().chance(50_000) {
            *target += 1;
        }
        let node = world.nodes()[*target % world.nodes().len()];
        if world.dice().chance(300_000) {
            let read = world.call(client, node, Call::Read(()));
            self.asked.insert((client, read), self.told);
        } else {
            self.written += 1;
            world.call(client, node, Call::Write(Bytes::from(self.written.to_string())));
        }
        let pause = Duration::from_micros(world.dice().between(500, 40_000));
        world.wake(client, pause);
    }

    fn answered(
        &mut self,
        world: &mut World<'_, E>,
        client: ClientId,
        call: u64,
        answer: Answer<Index, Index>,
    ) {
        match answer {
            Answer::Written(Outcome::Refused(Refusal::NotLeader { leader }))
            | Answer::Read(Outcome::Refused(Refusal::NotLeader { leader })) => {
                let known = |leader| world.nodes().iter().position(|node| *node == leader);
                let target = &mut self.targets[client.0 as usize];
                *target = leader.and_then(known).unwrap_or(*target + 1);
            }
            Answer::Written(Outcome::Done(index)) => {
                self.told = self.told.max(index);
                world.reached("write acknowledged");
            }
            Answer::Read(Outcome::Done(index)) => {
                world.reached("read answered");
                let told = self.asked.get(&(client, call)).copied().unwrap_or_default();
                if index < told {
                    let detail = format!("a read gives {index}, and {told} was told before it");
                    world.violated(Violation { invariant: "Reads are current", detail });
                }
                self.told = self.told.max(index);
            }
            Answer::Changed(outcome) => self.operated(world, outcome, "members changed"),
            Answer::Transferred(outcome) => self.operated(world, outcome, "leadership moved"),
            Answer::Written(_) | Answer::Read(_) | Answer::Stale { .. } | Answer::Told { .. } => {}
        }
    }
}

/// A wish about a node; adding and promoting come more often than leaving.
fn wish(node: NodeId, kind: u64, least_priority: u8) -> Change {
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
        _ => Change::Prioritise { node, priority: least_priority + (node.0 % 3) as u8 },
    }
}
