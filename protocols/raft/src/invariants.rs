//! Figure 3 as folds over the steps of all nodes. Each step costs what it changed.
//!
//! What the logs held is seen by core's [`Histories`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use synod_consensus::{Batch, Event, Index};
use synod_engine::{Effect, NodeId, Sometimes, Stepped, To, Violation};
use synod_log::{Histories, Places};

use crate::role::Role;
use crate::{AppendResult, Message, Raft, Record, Rules, Term};

/// What the nodes did so far, as far as the invariants need it.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// Who led each term.
    leaders: BTreeMap<Term, NodeId>,
    /// What the logs held, and what was committed.
    histories: Histories,
    nodes: BTreeMap<NodeId, Node>,
    /// Whom each node told of its vote in each term, across crashes.
    votes: BTreeMap<(Term, NodeId), NodeId>,
    /// The place that a leader gave to each forwarded proposal.
    places: Places,
    /// Leaders that rest.
    resting: BTreeSet<NodeId>,
}

/// What one node was when it was looked at last.
#[derive(Clone, Debug, Default)]
struct Node {
    leads: Option<Term>,
    /// Whether the newest membership in its log is a joint one.
    joint: bool,
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
                    let told = self.histories.told(step.node, batch, step.after.state.term());
                    told.map_err(violation("State Machine Safety"))?;
                }
                Effect::Emit { event: Event::Install(snapshot), .. }
                    if self.histories.told_to(step.node, snapshot.index) =>
                {
                    sometimes.reached("snapshot installed");
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
                } => {
                    let answered = self.places.answered((*term, *to, *lane), *first, answers);
                    answered.map_err(violation("Forwarded Once"))?;
                }
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
        self.histories.told_to(node, engine.state.commit);
        self.nodes.entry(node).or_default().leads = None;
        Ok(())
    }

    /// What a node promised in an earlier incarnation binds nobody; Election Safety holds all the same.
    fn wiped(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        self.histories.wiped(node);
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
            let known = self.histories.last(id);
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
        let replaces = batch.first() <= self.histories.last(id);
        if replaces {
            sometimes.reached("uncommitted entries replaced");
            if !matches!(&after.role, Role::Follower(follower) if follower.leader.is_some()) {
                sometimes.reached("a pull cut entries");
            }
        }
        let term = after.state.term();
        if replaces && matches!(after.role, Role::Leader(_)) && node.leads == Some(term) {
            let detail = format!("{id} leads term {term} and replaces {batch}");
            return Err(violation("Leader Append-Only")(detail));
        }
        if let Some(members) = batch.members()
            && core::mem::replace(&mut node.joint, members.is_joint())
            && !members.is_joint()
        {
            sometimes.reached("joint change left");
        }
        let newest = self.histories.last_epoch(id);
        let is_older = |(_, committed_in): &(Index, Term)| *committed_in <= newest;
        let lost = self.histories.committed_from(id, batch.first()).find(is_older);
        if let Some((index, _)) = lost {
            let detail = format!("{id} replaces the committed entry {index}");
            return Err(violation("Committed Entries Stay")(detail));
        }
        self.histories.cut(id, batch.first());
        self.histories.extend(id, batch).map_err(violation("Log Matching"))
    }

    /// A log was replaced by what follows `base`: 5. State Machine Safety, 3. Log Matching.
    fn rewrote(&mut self, id: NodeId, base: Index, entries: &[Batch]) -> Result<(), Violation> {
        self.histories.rebase(id, base).map_err(violation("State Machine Safety"))?;
        entries.iter().try_for_each(|batch| {
            self.histories.extend(id, batch).map_err(violation("Log Matching"))
        })
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
            let detail = format!("{id} and {other} both lead term {term}");
            return Err(violation("Election Safety")(detail));
        }
        match self.histories.lacks(id, term) {
            None => Ok(()),
            Some(last) => {
                let detail = format!("{id} leads term {term} without the committed entry {last}");
                Err(violation("Leader Completeness")(detail))
            }
        }
    }
}

fn violation(invariant: &'static str) -> impl Fn(String) -> Violation {
    move |detail| Violation { invariant, detail }
}
