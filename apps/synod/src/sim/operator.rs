//! The operator of a simulated cluster: adds, promotes, demotes, removes and replaces nodes, moves
//! leadership, and empties the directories of nodes, as operators do.
//!
//! It changes one thing at a time, at the node that it believes to lead, and asks that node who the
//! members are before each step. Whatever it does must be safe; so that the group can go on at all, it
//! leaves two voters, of whom some may lead, and, once it has emptied a voter's directory, no other voter
//! loses its own before the members have changed without the first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use synod_consensus::{
    BadChange, Change, Contact, Membership, Outcome, Refusal, ReplicatedLog, Role, Seat,
};
use synod_engine::NodeId;
use synod_kv::Store;
use synod_kv::message::{Answer, Query, Response};
use synod_kv::rules::Rules;
use synod_sim::replicated::{Answer as Reply, Call, Replica};
use synod_sim::{ClientId, Dice, Outside, Wipe};

type World<'a, L, R> = Outside<'a, L, Replica<Store<R>>>;

/// The operator among the clients.
pub(super) const OPERATOR: ClientId = ClientId(u32::MAX - 1);

/// A call that was not answered for so long never will be, and does nothing any more: longer than any
/// message and any pause takes.
const FORGOTTEN: Duration = Duration::from_secs(20);

/// What the operator is at.
#[derive(Debug)]
pub(super) struct Operator {
    /// The longest pause between two steps.
    think: Duration,
    /// Whom it asks.
    node: usize,
    /// The call that it waits for, and until when.
    waits: Option<(u64, Job, Duration)>,
    /// A voter whose directory was emptied: the members still count on what it was.
    wiped: Option<NodeId>,
    /// A founder whose directory was emptied behind its back, and has not been repaired yet.
    emptied: Option<NodeId>,
    /// Nodes whose directories were emptied and that are to be members again.
    strangers: BTreeSet<NodeId>,
    /// When a call was last left unanswered.
    in_doubt: Duration,
    /// When a change was last told to have taken effect.
    settled: Duration,
    /// It finishes what it began, and begins nothing.
    is_closing: bool,
}

/// A call of the operator.
#[derive(Clone, Debug)]
enum Job {
    Ask,
    Change(Vec<Change>),
    Transfer,
}

/// What it decides on.
enum Step {
    Change(Vec<Change>),
    Transfer(Option<NodeId>),
    Wipe(NodeId),
    Nothing,
}

impl Operator {
    pub(super) fn new(think: Duration) -> Self {
        Self {
            think,
            node: 0,
            waits: None,
            wiped: None,
            emptied: None,
            strangers: BTreeSet::new(),
            in_doubt: Duration::ZERO,
            settled: Duration::ZERO,
            is_closing: false,
        }
    }

    /// From here on it only finishes what it began.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
    }

    /// Whether this node is what the members take it for: not one that lost all that it had.
    pub(super) fn counts(&self, node: NodeId) -> bool {
        self.wiped != Some(node) && !self.strangers.contains(&node)
    }

    /// What it still has to do before the cluster is whole.
    pub(super) fn missing(&self) -> Option<String> {
        if let Some(node) = self.wiped {
            return Some(format!("the members count on {node}, which lost all that it had"));
        }
        let node = self.strangers.first()?;
        Some(format!("{node}, which lost all that it had, is no member again"))
    }

    pub(super) fn begin<L: ReplicatedLog, R: Rules>(world: &mut World<'_, L, R>) {
        world.wake(OPERATOR, Duration::from_millis(500));
    }

    pub(super) fn woken<L: ReplicatedLog, R: Rules>(&mut self, world: &mut World<'_, L, R>) {
        match self.waits {
            Some((.., until)) if world.now() < until => {}
            Some((_, Job::Ask, _)) | None => self.ask(world),
            Some((_, Job::Change(_) | Job::Transfer, _)) => {
                self.in_doubt = world.now();
                self.node += 1;
                self.ask(world);
            }
        }
        let pause = Duration::from_nanos(world.dice().below(self.think.as_nanos() as u64 + 1));
        world.wake(OPERATOR, Duration::from_millis(1) + pause);
    }

    fn ask<L: ReplicatedLog, R: Rules>(&mut self, world: &mut World<'_, L, R>) {
        if world.dice().chance(100_000) {
            self.node += 1;
        }
        self.call(world, Call::Ask, Job::Ask);
    }

    fn call<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        call: Call<Query>,
        job: Job,
    ) {
        let patience = Duration::from_millis(world.dice().between(300, 2_000));
        let node = world.nodes()[self.node % world.nodes().len()];
        let number = world.call(OPERATOR, node, call);
        self.waits = Some((number, job, world.now() + patience));
    }

    /// An answer, if it is to what it waits for.
    pub(super) fn answered<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        call: u64,
        reply: Reply<Response, Answer>,
    ) {
        let Some((_, job, _)) = self.waits.take_if(|(number, ..)| *number == call) else { return };
        match (job, reply) {
            (Job::Ask, Reply::Told { role: Role::Leader, members, .. }) => {
                self.act(world, &members);
            }
            (Job::Ask, Reply::Told { leader, .. }) => self.turn_to(world, leader),
            (Job::Change(wishes), Reply::Changed(outcome)) => {
                self.changed(world, &wishes, outcome);
            }
            (Job::Transfer, Reply::Transferred(Outcome::Done(()))) => {
                world.reached("leadership moved");
            }
            (
                Job::Transfer,
                Reply::Transferred(Outcome::Refused(Refusal::NotLeader { leader })),
            ) => {
                self.turn_to(world, leader);
            }
            _ => {}
        }
    }

    fn turn_to<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &World<'_, L, R>,
        leader: Option<NodeId>,
    ) {
        let place = leader.and_then(|id| world.nodes().iter().position(|node| *node == id));
        self.node = place.unwrap_or(self.node + 1);
    }

    /// A leader said who the members are.
    fn act<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        members: &Arc<Membership>,
    ) {
        if let Some(node) = self.emptied.take_if(|_| world.dice().chance(300_000)) {
            return world.wipe(node, Wipe::Repaired);
        }
        let step = match self.repair(world, members) {
            Some(wishes) => Step::Change(wishes),
            None if self.is_closing => Step::Nothing,
            None => self.draw(world, members),
        };
        match step {
            Step::Change(wishes) => {
                self.call(world, Call::Change(wishes.clone()), Job::Change(wishes));
            }
            Step::Transfer(to) => self.call(world, Call::Transfer(to), Job::Transfer),
            Step::Wipe(node) => {
                self.strangers.insert(node);
                if members.quorum().contains(node) {
                    self.wiped = Some(node);
                    world.reached("voter wiped");
                }
                let founder = members.member(node).is_some_and(|member| member.contact.is_none());
                let wipe = if founder && world.dice().chance(500_000) {
                    world.reached("founder emptied");
                    self.emptied = Some(node);
                    Wipe::Emptied
                } else {
                    Wipe::Repaired
                };
                world.wipe(node, wipe);
            }
            Step::Nothing => {}
        }
    }

    /// What brings back a node that lost all that it had.
    fn repair<L: ReplicatedLog, R: Rules>(
        &self,
        world: &mut World<'_, L, R>,
        members: &Membership,
    ) -> Option<Vec<Change>> {
        let node = self.wiped.or_else(|| self.strangers.first().copied())?;
        let contact = contact(world, node);
        if self.emptied.is_some() {
            return members.contains(node).then(|| vec![Change::Remove(node)]);
        }
        match members.member(node) {
            Some(member) if member.contact.as_ref() == Some(&contact) => {
                Some(vec![Change::Promote(node)])
            }
            Some(_) if world.dice().chance(300_000) => {
                Some(vec![Change::Remove(node), Change::Add { node, contact }])
            }
            Some(_) => Some(vec![Change::Remove(node)]),
            None => Some(vec![Change::Add { node, contact }]),
        }
    }

    /// Anything that an operator might do next.
    fn draw<L: ReplicatedLog, R: Rules>(
        &self,
        world: &mut World<'_, L, R>,
        members: &Membership,
    ) -> Step {
        let nodes = world.nodes().to_vec();
        let node = *pick(world.dice(), &nodes);
        let voters: Vec<_> = members.quorum().incoming().iter().collect();
        match world.dice().below(100) {
            0..30 => Step::Change(vec![self.wish(world, members, node)]),
            30..45 => {
                let wishes = nodes.iter().filter(|_| world.dice().chance(400_000)).copied();
                let chosen: Vec<_> = wishes.collect();
                let wishes: Vec<_> =
                    chosen.into_iter().map(|node| self.wish(world, members, node)).collect();
                if wishes.is_empty() { Step::Nothing } else { Step::Change(wishes) }
            }
            45..55 => {
                let to = *pick(world.dice(), &voters);
                Step::Transfer(world.dice().chance(700_000).then_some(to))
            }
            55..58 => {
                let least = u64::from(leaders(members) < 3);
                let priority = world.dice().between(least, 3) as u8;
                Step::Change(vec![Change::Prioritise { node, priority }])
            }
            58..63 if self.may_wipe(members) => Step::Wipe(node),
            _ => Step::Nothing,
        }
    }

    /// Whether a voter may lose its directory: one at a time, and only where no change that was asked for
    /// may still be under way. One of unknown fate is, however long ago it was asked for, in the log of a
    /// node that counts by it, until a later change took effect.
    fn may_wipe(&self, members: &Membership) -> bool {
        let is_clear = self.is_clear();
        let is_whole = self.wiped.is_none() && self.strangers.is_empty();
        is_clear && is_whole && !members.is_joint() && leaders(members) >= 3
    }

    fn is_clear(&self) -> bool {
        self.in_doubt.is_zero() || self.settled > self.in_doubt + FORGOTTEN
    }

    /// Whether a change may be under way of which it was told nothing.
    pub(super) fn may_change_members(&self) -> bool {
        matches!(self.waits, Some((_, Job::Change(_), _))) || !self.is_clear()
    }

    /// A sensible wish about this node: members come more easily than they go.
    fn wish<L: ReplicatedLog, R: Rules>(
        &self,
        world: &mut World<'_, L, R>,
        members: &Membership,
        node: NodeId,
    ) -> Change {
        let few = members.quorum().incoming().len() <= 2;
        let turn = world.dice().below(10);
        match members.member(node).map(|member| member.seat) {
            None => Change::Add { node, contact: contact(world, node) },
            Some(Seat::Learner) if turn < 8 => Change::Promote(node),
            Some(Seat::Learner) => Change::Remove(node),
            Some(_) if few => Change::Prioritise { node, priority: 1 },
            Some(_) if turn < 5 => Change::Demote(node),
            Some(_) => Change::Remove(node),
        }
    }

    /// How a change ended.
    fn changed<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        wishes: &[Change],
        outcome: Outcome<()>,
    ) {
        match outcome {
            Outcome::Done(()) => {
                world.reached("members changed");
                self.settled = world.now();
                self.took_effect(world, wishes);
            }
            Outcome::Refused(Refusal::BadChange(BadChange::Unchanged)) => {
                self.took_effect(world, wishes);
            }
            Outcome::Refused(Refusal::NotLeader { leader }) => self.turn_to(world, leader),
            Outcome::Refused(Refusal::NotCaughtUp { .. }) => {
                world.reached("learner has not caught up");
            }
            Outcome::Refused(Refusal::ChangePending) => world.reached("change is pending"),
            Outcome::Refused(_) => {}
            Outcome::Unknown => {
                world.reached("change of unknown fate");
                self.in_doubt = world.now();
            }
        }
    }

    /// These wishes are what the members are, and will stay so.
    fn took_effect<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        wishes: &[Change],
    ) {
        for wish in wishes {
            match wish {
                Change::Remove(node) => {
                    self.wiped.take_if(|wiped| wiped == node);
                }
                Change::Add { node, .. } => {
                    self.wiped.take_if(|wiped| wiped == node);
                }
                Change::Promote(node) if self.strangers.contains(node) => {
                    world.reached("wiped node votes again");
                    self.strangers.remove(node);
                    self.wiped.take_if(|wiped| wiped == node);
                }
                Change::Promote(_) => world.reached("learner promoted"),
                Change::Demote(_) | Change::Prioritise { .. } => {}
            }
        }
    }
}

/// How many voters may lead.
fn leaders(members: &Membership) -> usize {
    let may_lead = |node| members.member(node).is_some_and(|member| member.priority > 0);
    members.quorum().incoming().iter().filter(|node| may_lead(*node)).count()
}

/// How a node is known now.
pub(super) fn contact<L: ReplicatedLog, R: Rules>(
    world: &mut World<'_, L, R>,
    node: NodeId,
) -> Contact {
    let incarnation = world.incarnation(node).expect("a node of this cluster");
    Contact { incarnation, address: node.to_string(), client_address: String::new() }
}

pub(super) fn pick<'a, T>(dice: &mut Dice, among: &'a [T]) -> &'a T {
    &among[dice.below(among.len() as u64) as usize]
}
