//! The invariants of the [module](crate::multi) page as folds over the steps of all nodes. Each step costs
//! what it changed.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use synod_codec::hash_chained;
use synod_consensus::{Batch, Event, Index, Payload};
use synod_engine::{Effect, NodeId, Sometimes, Stepped, To, Violation};
use synod_log::Places;
use synod_quorum::Quorum;

use crate::Ballot;
use crate::multi::role::Role;
use crate::multi::{Message, MultiPaxos, Record, Rules};

/// What the nodes did so far, as far as the invariants need it.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// Who led each ballot.
    leaders: BTreeMap<Ballot, NodeId>,
    /// For each instance from 1 on.
    instances: Vec<Instance>,
    /// Who decides from behind which instance on, in order.
    quorums: Vec<(Index, Quorum)>,
    nodes: BTreeMap<NodeId, Node>,
    /// The place that a leader gave to each forwarded proposal.
    places: Places,
}

/// What happened in one instance.
#[derive(Clone, Debug, Default)]
struct Instance {
    /// What was accepted in each ballot, and by whom durably.
    accepted: Vec<Accepted>,
    /// The first ballot in which a majority accepted, and the value.
    chosen: Option<(Ballot, u64)>,
}

#[derive(Clone, Debug)]
struct Accepted {
    ballot: Ballot,
    value: u64,
    by: Vec<NodeId>,
}

/// What one node told.
#[derive(Clone, Debug, Default)]
struct Node {
    /// The highest ballot that it told to have promised.
    promised: Option<Ballot>,
    /// Up to where it told to have all values.
    prefix: Index,
    /// Up to where its user was told what is chosen.
    told: Index,
    leads: Option<Ballot>,
}

impl<R: Rules> synod_engine::Invariants<MultiPaxos<R>> for Invariants {
    fn stepped(
        &mut self,
        step: &Stepped<'_, MultiPaxos<R>>,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        for effect in step.effects {
            match effect {
                Effect::Persist(Record::Accept { batch, .. }) => {
                    self.accepts(step.node, batch)?;
                }
                Effect::Persist(Record::Checkpoint(checkpoint)) if self.quorums.is_empty() => {
                    self.quorums.push((Index::ZERO, checkpoint.members.quorum()));
                }
                Effect::Emit { event: Event::Committed { batch, .. }, .. } => {
                    self.told(step.node, batch, sometimes)?;
                }
                Effect::Emit { event: Event::Install(snapshot), .. } => {
                    let node = self.nodes.entry(step.node).or_default();
                    if node.told < snapshot.index {
                        sometimes.reached("snapshot installed");
                    }
                    node.told = snapshot.index;
                    self.installed(step.node, snapshot.index)?;
                }
                Effect::Send { message: Message::Learned { .. }, .. } => {
                    sometimes.reached("chosen values learned");
                }
                Effect::Send { to: To::Node(heir), message: Message::TakeOver { .. }, .. } => {
                    sometimes.reached("leadership handed over");
                    let state = &step.after.state;
                    if state.members.priority(*heir) > state.members.priority(step.node) {
                        sometimes.reached("leadership goes to a higher priority");
                    }
                }
                Effect::Send {
                    to: To::Node(to),
                    message: Message::Forwarded { ballot, lane, first, answers },
                    ..
                } => {
                    let of = (ballot.epoch(), *to, *lane);
                    let answered = self.places.answered(of, *first, answers);
                    answered.map_err(|detail| violation("Forwarded Once", detail))?;
                }
                _ => {}
            }
        }
        self.leads(step.node, step.after, sometimes)
    }

    fn performed(&mut self, id: NodeId, effect: &Effect<MultiPaxos<R>>) -> Result<(), Violation> {
        match effect {
            Effect::Persist(Record::Accept { batch, .. }) => self.accepted(id, batch),
            Effect::Send { message: Message::Promise { ballot, .. }, .. } => {
                let node = self.nodes.entry(id).or_default();
                node.promised = node.promised.max(Some(*ballot));
                Ok(())
            }
            Effect::Send { message: Message::Accepted { prefix, .. }, .. } => {
                let node = self.nodes.entry(id).or_default();
                node.prefix = node.prefix.max(*prefix);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// 4. Promises are kept, 5. Acceptance stays: in crashes too.
    fn recovered(&mut self, id: NodeId, engine: &MultiPaxos<R>) -> Result<(), Violation> {
        let state = &engine.state;
        let node = self.nodes.entry(id).or_default();
        (node.told, node.leads) = (state.commit, None);
        if node.promised.is_some_and(|promised| state.promised < promised) {
            let detail = format!("{id} forgot that it promised {:?}", node.promised);
            return Err(violation("Promises are kept", detail));
        }
        let last = state.slots.contiguous(state.commit, None);
        if last < node.prefix {
            let detail = format!("{id} told of all values to {}, and has {last}", node.prefix);
            return Err(violation("Acceptance stays", detail));
        }
        if self.quorums.is_empty() && !state.members.current().is_empty() {
            self.quorums.push((state.members.since(), state.members.quorum().clone()));
        }
        Ok(())
    }

    /// What a node promised and accepted in an earlier incarnation binds nobody.
    fn wiped(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    fn checkpoint<'a>(
        &mut self,
        nodes: &mut dyn Iterator<Item = (NodeId, &'a MultiPaxos<R>)>,
    ) -> Result<(), Violation>
    where
        R: 'a,
    {
        for (id, engine) in nodes {
            let state = &engine.state;
            let in_order = state.slots.base() <= state.commit
                && state.applied <= state.commit
                && state.commit <= state.slots.contiguous(state.commit, None);
            let told = self.nodes.get(&id).map_or(Index::ZERO, |node| node.told);
            if !in_order || told != state.commit {
                let detail = format!("{id} has {}, and told {told}", engine.state.slots);
                return Err(violation("Agreement", detail));
            }
        }
        Ok(())
    }
}

impl Invariants {
    /// A node accepts: 2. One value per ballot, 3. Chosen once, 4. Promises are kept.
    fn accepts(&mut self, id: NodeId, batch: &Batch) -> Result<(), Violation> {
        let ballot = Ballot::of(batch.epoch());
        let promised = self.nodes.entry(id).or_default().promised;
        if promised.is_some_and(|promised| ballot < promised) {
            let detail = format!("{id} promised {promised:?} and accepts {batch}");
            return Err(violation("Promises are kept", detail));
        }
        for (index, payload) in batch.iter() {
            let (instance, value) = (self.instance(index), value(payload));
            let known = instance.accepted.iter().find(|accepted| accepted.ballot == ballot);
            match known {
                Some(known) if known.value != value => {
                    let detail = format!("{id} accepts another value at {index} in {ballot}");
                    return Err(violation("One value per ballot", detail));
                }
                Some(_) => {}
                None => instance.accepted.push(Accepted { ballot, value, by: Vec::new() }),
            }
            if instance.chosen.is_some_and(|(in_, chosen)| in_ < ballot && chosen != value) {
                let detail = format!("{id} accepts another value at {index} in {ballot}");
                return Err(violation("Chosen once", detail));
            }
        }
        Ok(())
    }

    /// An acceptance is durable: perhaps the value is chosen by that.
    fn accepted(&mut self, id: NodeId, batch: &Batch) -> Result<(), Violation> {
        let ballot = Ballot::of(batch.epoch());
        for index in (batch.first().0..=batch.last().0).map(Index) {
            let quorum = self.quorums.iter().rev().find(|(since, _)| *since < index);
            let Some((_, quorum)) = quorum.cloned() else { continue };
            let instance = self.instance(index);
            let known = instance.accepted.iter_mut().find(|accepted| accepted.ballot == ballot);
            let Some(known) = known else { continue };
            if !known.by.contains(&id) {
                known.by.push(id);
            }
            if !quorum.is_quorum(|node| known.by.contains(&node)) {
                continue;
            }
            let value = known.value;
            if instance.accepted.iter().any(|it| it.ballot > ballot && it.value != value) {
                let detail = format!("{index} is chosen in {ballot}, and not proposed in a higher");
                return Err(violation("Chosen once", detail));
            }
            let (first, chosen) = *instance.chosen.get_or_insert((ballot, value));
            if chosen != value {
                let detail = format!("{index} is chosen differently in {first} and {ballot}");
                return Err(violation("Chosen once", detail));
            }
        }
        Ok(())
    }

    /// A user is told what is chosen: 1. Agreement, 6. Only what is chosen is told.
    fn told(
        &mut self,
        id: NodeId,
        batch: &Batch,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        let node = self.nodes.entry(id).or_default();
        if batch.first() != node.told.next() {
            let detail = format!("{id} was told {batch} after {}", node.told);
            return Err(violation("Agreement", detail));
        }
        node.told = batch.last();
        for (index, payload) in batch.iter() {
            match self.instance(index).chosen {
                Some((_, chosen)) if chosen == value(payload) => {}
                Some(_) => {
                    let detail = format!("{id} was told {index} of {batch}, another is chosen");
                    return Err(violation("Agreement", detail));
                }
                None => {
                    let detail = format!("{id} was told {index} of {batch}");
                    return Err(violation("Only what is chosen is told", detail));
                }
            }
        }
        let next = batch.last().0 as usize;
        if self.instances[next..].iter().skip(1).any(|later| later.chosen.is_some())
            && self.instances.get(next).is_some_and(|next| next.chosen.is_none())
        {
            sometimes.reached("chosen out of order");
        }
        if let Some(members) = batch.members()
            && self.quorums.last().is_none_or(|(since, _)| *since < batch.first())
        {
            sometimes.reached("members changed behind a closed window");
            self.quorums.push((batch.first(), members.quorum()));
        }
        Ok(())
    }

    /// A snapshot holds what is chosen and no more.
    fn installed(&mut self, id: NodeId, index: Index) -> Result<(), Violation> {
        match index.previous().and_then(|place| self.instances.get(place.0 as usize)) {
            Some(Instance { chosen: Some(_), .. }) => Ok(()),
            Some(_) | None => {
                let detail = format!("{id} has a snapshot to {index}, which is not chosen");
                Err(violation("Only what is chosen is told", detail))
            }
        }
    }

    /// Somebody leads: 7. Ballots are unique.
    fn leads<R: Rules>(
        &mut self,
        id: NodeId,
        after: &MultiPaxos<R>,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        let state = &after.state;
        let leads = matches!(after.role, Role::Leader(_)).then_some(state.promised);
        let node = self.nodes.entry(id).or_default();
        let before = core::mem::replace(&mut node.leads, leads);
        if before == leads {
            return Ok(());
        }
        if before == Some(state.promised) {
            sometimes.reached(match after.role {
                Role::Candidate(_) => "leader takes a higher ballot",
                Role::Follower(_) | Role::Leader(_) if state.is_voter() => {
                    "leader steps down without a majority"
                }
                Role::Follower(_) | Role::Leader(_) => "removed leader steps down",
            });
        }
        let Some(ballot) = leads else { return Ok(()) };
        sometimes.reached("leader elected");
        if state.slots.last() > state.commit {
            sometimes.reached("values adopted");
        }
        let adopted = state.slots.range(state.commit.next(), state.slots.last());
        if adopted.into_iter().any(|run| matches!(run.payloads(), [Payload::Noop, ..])) {
            sometimes.reached("gap filled with no-ops");
        }
        match self.leaders.insert(ballot, id) {
            None => Ok(()),
            Some(other) => {
                let detail = format!("{other} and then {id} lead {ballot}");
                Err(violation("Ballots are unique", detail))
            }
        }
    }

    fn instance(&mut self, index: Index) -> &mut Instance {
        let place = index.0 as usize - 1;
        if self.instances.len() <= place {
            self.instances.resize_with(place + 1, Instance::default);
        }
        &mut self.instances[place]
    }
}

fn violation(invariant: &'static str, detail: String) -> Violation {
    Violation { invariant, detail }
}

/// What tells one value from another.
fn value(payload: &Payload) -> u64 {
    match payload {
        Payload::Noop => 0,
        Payload::Command(command) => hash_chained(1, command),
        Payload::Members(members) => hash_chained(2, members.to_string().as_bytes()),
    }
}
