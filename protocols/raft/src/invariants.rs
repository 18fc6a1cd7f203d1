//! Figure 3 as folds over the steps of all nodes. Each step costs what it changed.
//!
//! Every log is seen as a chain of hashes, one per entry, each covering everything before it: two
//! logs agree up to an index exactly if their chains have the same hash there.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use synod_codec::hash_chained;
use synod_consensus::{Batch, Event, Index, Payload};
use synod_engine::{Effect, NodeId, Sometimes, Stepped, To, Violation};

use crate::role::Role;
use crate::{Answer, AppendResult, Message, Raft, Record, Rules, Term};

/// What the nodes did so far, as far as the invariants need it.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// Who led each term.
    leaders: BTreeMap<Term, NodeId>,
    /// For each index from 1 on: the entries that were ever in a log there, with their chains.
    entries: Vec<Vec<(Term, u64)>>,
    /// For each index from 1 on: the chain of the committed entry, and the term that its leader was in
    /// when it was committed.
    committed: Vec<(u64, Term)>,
    nodes: BTreeMap<NodeId, Node>,
    /// Whom each node told of its vote in each term, across crashes.
    votes: BTreeMap<(Term, NodeId), NodeId>,
    /// The place that a leader gave to each proposal: by term, follower, lane and number.
    places: BTreeMap<(Term, NodeId, u64, u64), Index>,
    /// Leaders that rest.
    resting: BTreeSet<NodeId>,
}

/// One node's log and what its user was told.
#[derive(Clone, Debug, Default)]
struct Node {
    base: Index,
    base_chain: u64,
    chain: Vec<u64>,
    /// The term of the last entry in `chain`.
    last_term: Term,
    leads: Option<Term>,
    /// Whether the newest membership in its log is a joint one.
    joint: bool,
    told: Index,
}

impl Node {
    fn last(&self) -> Index {
        Index(self.base.0 + self.chain.len() as u64)
    }

    /// The chain at `index`, if the log reaches it.
    fn at(&self, index: Index) -> Option<u64> {
        if index == self.base {
            return Some(self.base_chain);
        }
        let place = index.0.checked_sub(self.base.0 + 1)?;
        self.chain.get(place as usize).copied()
    }
}

impl<R: Rules> synod_engine::Invariants<Raft<R>> for Invariants {
    fn stepped(
        &mut self,
        step: &Stepped<'_, Raft<R>>,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        for effect in step.effects {
            match effect {
                Effect::Persist(Record::Entries(batch)) => {
                    self.wrote(step.node, batch, step.after, sometimes)?;
                }
                Effect::Persist(Record::Checkpoint(checkpoint)) if checkpoint.keeps == 0 => {
                    let snapshot = checkpoint.snapshot.map(|snapshot| snapshot.index);
                    self.rewrote(step.node, snapshot.unwrap_or_default(), &[])?;
                }
                Effect::Emit { event: Event::Committed { batch, .. }, .. } => {
                    self.told(step.node, batch, step.after.state.term())?;
                }
                Effect::Emit { event: Event::Install(snapshot), .. } => {
                    let node = self.nodes.entry(step.node).or_default();
                    if node.told < snapshot.index {
                        sometimes.reached("snapshot installed");
                    }
                    node.told = snapshot.index;
                }
                Effect::Send {
                    message: Message::AppendReply { result: AppendResult::Conflict { .. }, .. },
                    ..
                } => sometimes.reached("conflict back-up"),
                Effect::Send { message: Message::Pulled { .. }, .. } => {
                    sometimes.reached("log pulled without a leader");
                }
                Effect::Send { message: Message::Rest { .. }, .. }
                    if self.resting.insert(step.node) =>
                {
                    sometimes.reached("idle group falls quiet");
                }
                Effect::Send { message: Message::Heartbeat { .. }, .. }
                    if self.resting.remove(&step.node) =>
                {
                    sometimes.reached("quiet group wakes");
                }
                Effect::Send {
                    to: To::Node(heir), message: Message::TimeoutNow { .. }, ..
                } => {
                    sometimes.reached("leadership handed over");
                    let state = &step.after.state;
                    if state.members.priority(*heir) > state.members.priority(step.node) {
                        sometimes.reached("leadership goes to a higher priority");
                    }
                }
                Effect::Send {
                    to: To::Node(to),
                    message: Message::Forwarded { term, lane, first, answers },
                    ..
                } => self.placed((*term, *to, *lane), *first, answers)?,
                _ => {}
            }
        }
        self.leads(step.node, step.after, sometimes)
    }

    /// 6. One Vote Per Term. Only a vote that was told counts, and it counts across crashes.
    fn performed(&mut self, node: NodeId, effect: &Effect<Raft<R>>) -> Result<(), Violation> {
        let Effect::Send { to, message: Message::VoteReply { term, granted: true }, .. } = effect
        else {
            return Ok(());
        };
        let To::Node(candidate) = *to else { return Ok(()) };
        let other = *self.votes.entry((*term, node)).or_insert(candidate);
        if other == candidate {
            return Ok(());
        }
        Err(Violation {
            invariant: "One Vote Per Term",
            detail: format!("{node} votes for {candidate} and {other} in term {term}"),
        })
    }

    fn recovered(&mut self, node: NodeId, engine: &Raft<R>) -> Result<(), Violation> {
        let log = engine.log();
        let evicted = log.evicted().index;
        let entries: Vec<_> = log.range(evicted.next(), log.last().index).collect();
        self.rewrote(node, evicted, &entries)?;
        let node = self.nodes.entry(node).or_default();
        node.told = engine.state.commit;
        node.leads = None;
        Ok(())
    }

    /// What a node promised in an earlier incarnation binds nobody; Election Safety holds all the same.
    fn wiped(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        self.resting.remove(&node);
        self.votes.retain(|(_, voter), _| *voter != node);
    }

    fn checkpoint<'a>(
        &mut self,
        nodes: &mut dyn Iterator<Item = (NodeId, &'a Raft<R>)>,
    ) -> Result<(), Violation>
    where
        R: 'a,
    {
        for (id, engine) in nodes {
            let log = engine.log();
            let known = self.nodes.get(&id).map_or(Index::ZERO, Node::last);
            let state = &engine.state;
            let in_order = log.base().index <= state.commit
                && state.applied <= state.commit
                && state.commit <= log.last().index;
            if known != log.last().index || !in_order {
                return Err(Violation {
                    invariant: "Log Matching",
                    detail: format!("{id} has {log}, commit {}, {known} recorded", state.commit),
                });
            }
        }
        Ok(())
    }
}

impl Invariants {
    /// Entries entered a log: 2. Leader Append-Only, 3. Log Matching, 7. Committed Entries Stay.
    fn wrote<R: Rules>(
        &mut self,
        id: NodeId,
        batch: &Batch,
        after: &Raft<R>,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        let node = self.nodes.entry(id).or_default();
        let replaces = batch.first() <= node.last();
        if replaces {
            sometimes.reached("uncommitted entries replaced");
            if !matches!(&after.role, Role::Follower(follower) if follower.leader.is_some()) {
                sometimes.reached("a pull cut entries");
            }
        }
        if replaces
            && matches!(after.role, Role::Leader(_))
            && node.leads == Some(after.state.term())
        {
            return Err(Violation {
                invariant: "Leader Append-Only",
                detail: format!("{id} leads term {} and replaces {batch}", after.state.term()),
            });
        }
        if let Some(members) = batch.members()
            && core::mem::replace(&mut node.joint, members.is_joint())
            && !members.is_joint()
        {
            sometimes.reached("joint change left");
        }
        let kept = batch.first().0.saturating_sub(node.base.0 + 1) as usize;
        let first = node.base.0 as usize + kept;
        let (cut, known) = (node.chain.iter().skip(kept), self.committed.iter().skip(first));
        let is_lost = |(cut, (committed, term)): (&u64, &(u64, Term))| {
            cut == committed && *term <= node.last_term
        };
        if let Some(place) = cut.zip(known).position(is_lost) {
            return Err(Violation {
                invariant: "Committed Entries Stay",
                detail: format!("{id} replaces the committed entry {}", first + place + 1),
            });
        }
        node.chain.truncate(kept);
        let previous = *node.chain.last().unwrap_or(&node.base_chain);
        self.extend(id, previous, batch)
    }

    /// A log was replaced by what follows `base`.
    fn rewrote(&mut self, id: NodeId, base: Index, entries: &[Batch]) -> Result<(), Violation> {
        let base_chain = match base.previous() {
            None => 0,
            Some(Index(place)) => {
                let (chain, _) = self.committed.get(place as usize).ok_or(Violation {
                    invariant: "State Machine Safety",
                    detail: format!("{id} has a snapshot to {base}, which is not committed"),
                })?;
                *chain
            }
        };
        let node = self.nodes.entry(id).or_default();
        (node.base, node.base_chain) = (base, base_chain);
        node.chain.clear();
        entries.iter().try_fold(base_chain, |previous, batch| {
            self.extend(id, previous, batch)?;
            Ok(self.nodes[&id].chain.last().copied().unwrap_or(previous))
        })?;
        Ok(())
    }

    /// A leader answers a follower's proposals: 8. Forwarded Once.
    fn placed(
        &mut self,
        (term, to, lane): (Term, NodeId, u64),
        first: u64,
        answers: &[Answer],
    ) -> Result<(), Violation> {
        for (number, answer) in (first..).zip(answers) {
            let Ok(index) = *answer else { continue };
            let other = *self.places.entry((term, to, lane, number)).or_insert(index);
            if other != index {
                return Err(Violation {
                    invariant: "Forwarded Once",
                    detail: format!("{number} of {to} in term {term} is at {other} and {index}"),
                });
            }
        }
        Ok(())
    }

    /// Adds a batch to a node's chain: 3. Log Matching.
    fn extend(&mut self, id: NodeId, mut previous: u64, batch: &Batch) -> Result<(), Violation> {
        let node = self.nodes.entry(id).or_default();
        let term = batch.epoch();
        node.last_term = term;
        for (index, payload) in batch.iter() {
            previous = link(previous, term, payload);
            node.chain.push(previous);
            let place = index.0 as usize - 1;
            if self.entries.len() <= place {
                self.entries.resize_with(place + 1, Vec::new);
            }
            let known = &mut self.entries[place];
            match known.iter().find(|(known, _)| *known == term) {
                None => known.push((term, previous)),
                Some((_, chain)) if *chain == previous => {}
                Some(_) => {
                    return Err(Violation {
                        invariant: "Log Matching",
                        detail: format!("{id} has another entry {index}@{term}, or before it"),
                    });
                }
            }
        }
        Ok(())
    }

    /// A user was told of committed entries: 5. State Machine Safety. Their leader tells its own user
    /// first, in the term in which it commits them.
    fn told(&mut self, id: NodeId, batch: &Batch, term: Term) -> Result<(), Violation> {
        let node = self.nodes.entry(id).or_default();
        let violation = |detail| Violation { invariant: "State Machine Safety", detail };
        if batch.first() != node.told.next() {
            return Err(violation(format!("{id} was told {batch} after {}", node.told)));
        }
        node.told = batch.last();
        for index in (batch.first().0..=batch.last().0).map(Index) {
            let Some(chain) = node.at(index) else {
                return Err(violation(format!("{id} was told {index}, which its log lacks")));
            };
            match self.committed.get(index.0 as usize - 1) {
                None => self.committed.push((chain, term)),
                Some((committed, _)) if *committed == chain => {}
                Some(_) => {
                    return Err(violation(format!(
                        "{id} was told {index}@{}, and another entry is committed there",
                        batch.epoch()
                    )));
                }
            }
        }
        Ok(())
    }

    /// Someone leads: 1. Election Safety, 4. Leader Completeness.
    fn leads<R: Rules>(
        &mut self,
        id: NodeId,
        after: &Raft<R>,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        let term = after.state.term();
        let leads = matches!(after.role, Role::Leader(_)).then_some(term);
        let node = self.nodes.entry(id).or_default();
        let before = core::mem::replace(&mut node.leads, leads);
        if before == leads {
            return Ok(());
        }
        if before == Some(term) {
            sometimes.reached(if after.state.is_voter() {
                "leader steps down without a majority"
            } else {
                "removed leader steps down"
            });
        }
        let Some(term) = leads else { return Ok(()) };
        sometimes.reached("leader elected");
        if after.state.log.last().index.0 > after.state.commit.0 + 1 {
            sometimes.reached("election under load");
        }
        let other = *self.leaders.entry(term).or_insert(id);
        if other != id {
            return Err(Violation {
                invariant: "Election Safety",
                detail: format!("{id} and {other} both lead term {term}"),
            });
        }
        let earlier = self.committed.iter().rposition(|(_, committed_in)| *committed_in < term);
        let Some(place) = earlier else { return Ok(()) };
        let (last, expected) = (Index(place as u64 + 1), self.committed[place].0);
        if last > node.base && node.at(last) != Some(expected) {
            return Err(Violation {
                invariant: "Leader Completeness",
                detail: format!("{id} leads term {term} without the committed entry {last}"),
            });
        }
        Ok(())
    }
}

/// The chain after one more entry. The term is hashed by itself: seeds that differ little make equal hashes of
/// short commands that differ little.
fn link(previous: u64, term: Term, payload: &Payload) -> u64 {
    let seed = hash_chained(previous, &term.0.to_le_bytes());
    match payload {
        Payload::Noop => hash_chained(seed, &[]),
        Payload::Command(command) => hash_chained(!seed, command),
        Payload::Members(members) => hash_chained(seed ^ 1, members.to_string().as_bytes()),
    }
}
