//! What must always hold, numbered as in the guide.
//!
//! The fold keeps, of the past: the values that clients asked for, what was proposed in each ballot,
//! what each acceptor has told the world, and what each node has told its user. Effects that a crash
//! overtook bind nobody, so promises count when they were performed, not when they were asked for.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use synod_engine::{Effect, Engine, Invariants, NodeId, Sometimes, Stepped, Violation};
use synod_quorum::Voters;

use crate::basic::node::Paxos;
use crate::basic::role::proposer::Phase;
use crate::basic::{Ballot, Event, Message, Proposal, Record, Rules, Timer, Value, View};

/// The eight invariants of the guide.
#[derive(Clone, Debug)]
pub struct Safety {
    acceptors: Voters,
    requested: BTreeSet<Value>,
    learned: Option<(NodeId, Value)>,
    proposed: BTreeMap<Ballot, Value>,
    /// The acceptors that have told of an acceptance in this ballot.
    accepted: BTreeMap<Ballot, BTreeSet<NodeId>>,
    /// The lowest ballot in which a majority has accepted.
    chosen: Option<Proposal>,
    told: BTreeMap<NodeId, Told>,
}

/// What a node has told anybody, and must therefore never forget.
#[derive(Clone, Debug, Default)]
struct Told {
    promised: Option<Ballot>,
    accepted: Option<Ballot>,
    outcome: Option<Value>,
}

impl Safety {
    /// Of a group with these acceptors.
    #[must_use]
    pub fn new(acceptors: Voters) -> Self {
        Self {
            acceptors,
            requested: BTreeSet::new(),
            learned: None,
            proposed: BTreeMap::new(),
            accepted: BTreeMap::new(),
            chosen: None,
            told: BTreeMap::new(),
        }
    }

    fn learned(&mut self, node: NodeId, value: &Value) -> Result<(), Violation> {
        let (first, known) = self.learned.get_or_insert_with(|| (node, value.clone()));
        ensure(known == value, "Agreement", || {
            format!("{node} learned {value}, {first} had learned {known}")
        })?;
        ensure(self.requested.contains(value), "Validity", || {
            format!("{node} learned {value}, which nobody asked for")
        })?;
        let chosen = self.chosen.as_ref().map(|proposal| &proposal.value);
        ensure(chosen == Some(value), "Only what is chosen is learned", || {
            format!("{node} learned {value}, chosen was {chosen:?}")
        })
    }

    fn proposed(&mut self, proposal: &Proposal) -> Result<(), Violation> {
        let Proposal { ballot, value } = proposal;
        let first = self.proposed.entry(*ballot).or_insert_with(|| value.clone());
        ensure(first == value, "One value per ballot", || {
            format!("{ballot} was used for {first} and for {value}")
        })?;
        self.chosen_once()
    }

    fn told_promise(&mut self, node: NodeId, ballot: Ballot, accepted: Option<&Proposal>) {
        let told = self.told.entry(node).or_default();
        told.promised = told.promised.max(Some(ballot));
        told.accepted = told.accepted.max(accepted.map(|proposal| proposal.ballot));
    }

    fn told_accepted(&mut self, node: NodeId, proposal: &Proposal) -> Result<(), Violation> {
        let ballot = proposal.ballot;
        let told = self.told.entry(node).or_default();
        let again = told.accepted == Some(ballot);
        ensure(again || told.promised <= Some(ballot), "Promises are kept", || {
            format!("{node} accepted {proposal} after it promised {}", shown(told.promised))
        })?;
        ensure(told.accepted <= Some(ballot), "Acceptance does not fall", || {
            format!("{node} accepted {proposal} after one in {}", shown(told.accepted))
        })?;
        told.promised = told.promised.max(Some(ballot));
        told.accepted = Some(ballot);
        let acceptors = self.accepted.entry(ballot).or_default();
        acceptors.insert(node);
        let lowest = self.chosen.as_ref().is_none_or(|chosen| ballot < chosen.ballot);
        if lowest && self.acceptors.is_quorum(|node| acceptors.contains(&node)) {
            self.chosen = Some(proposal.clone());
        }
        self.chosen_once()
    }

    fn chosen_once(&self) -> Result<(), Violation> {
        let Some(chosen) = &self.chosen else { return Ok(()) };
        let later = self.proposed.range(chosen.ballot..);
        match later.into_iter().find(|(_, value)| **value != chosen.value) {
            None => Ok(()),
            Some((ballot, value)) => Err(Violation {
                invariant: "Chosen once",
                detail: format!("{value} was proposed in {ballot} though {chosen} was chosen"),
            }),
        }
    }

    /// What a node still knows must cover what it has told.
    fn remembers(&self, node: NodeId, view: &View) -> Result<(), Violation> {
        let Some(told) = self.told.get(&node) else { return Ok(()) };
        ensure(told.promised <= view.promised, "Promises are kept", || {
            let (told, known) = (shown(told.promised), shown(view.promised));
            format!("{node} had promised {told} and knows of {known}")
        })?;
        let accepted = view.accepted.as_ref().map(|proposal| proposal.ballot);
        ensure(told.accepted <= accepted, "Acceptance does not fall", || {
            let (told, known) = (shown(told.accepted), shown(accepted));
            format!("{node} had accepted in {told} and knows of {known}")
        })?;
        ensure(
            told.outcome.is_none() || told.outcome == view.chosen,
            "The outcome is stable",
            || format!("{node} had told {:?} and knows {:?}", told.outcome, view.chosen),
        )
    }
}

impl<R: Rules> Invariants<Paxos<R>> for Safety {
    fn stepped(
        &mut self,
        step: &Stepped<'_, Paxos<R>>,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        let work = step.after.proposer.as_ref().and_then(|proposer| proposer.work.as_ref());
        for effect in step.effects {
            match effect {
                Effect::Send { message: Message::Request { value }, .. } => {
                    if step.after.client.wants(value) {
                        self.requested.insert(value.clone());
                    } else {
                        sometimes.reached("a learner had a ballot issued");
                    }
                }
                Effect::Persist(Record::Commit(_)) => sometimes.reached("a node was told"),
                Effect::Send { message: Message::Accept { proposal }, .. } => {
                    self.proposed(proposal)?;
                    if work.is_some_and(|work| work.value != proposal.value) {
                        sometimes.reached("a value adopted");
                    }
                }
                Effect::Send { message: Message::Ask, .. } => sometimes.reached("a learner asked"),
                Effect::SetTimer { timer: Timer::Retry, .. }
                    if work.is_some_and(|work| matches!(work.phase, Phase::Delayed)) =>
                {
                    sometimes.reached("a proposer gave way");
                }
                Effect::Emit { event: Event::Chosen { value, .. }, .. } => {
                    self.learned(step.node, value)?;
                    sometimes.reached("a node learned");
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn performed(&mut self, node: NodeId, effect: &Effect<Paxos<R>>) -> Result<(), Violation> {
        match effect {
            Effect::Send { message: Message::Promise { ballot, accepted }, .. } => {
                self.told_promise(node, *ballot, accepted.as_ref());
            }
            Effect::Send { message: Message::Accepted { proposal }, .. } => {
                self.told_accepted(node, proposal)?;
            }
            Effect::Emit { event: Event::Chosen { value, .. }, .. }
            | Effect::Send { message: Message::Chosen { value }, .. } => {
                self.told.entry(node).or_default().outcome = Some(value.clone());
            }
            _ => {}
        }
        Ok(())
    }

    fn recovered(&mut self, node: NodeId, engine: &Paxos<R>) -> Result<(), Violation> {
        self.remembers(node, &engine.view())
    }

    fn checkpoint<'a>(
        &mut self,
        nodes: &mut dyn Iterator<Item = (NodeId, &'a Paxos<R>)>,
    ) -> Result<(), Violation>
    where
        Paxos<R>: 'a,
    {
        for (node, engine) in nodes {
            self.remembers(node, &engine.view())?;
        }
        Ok(())
    }
}

fn ensure(
    holds: bool,
    invariant: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { invariant, detail: detail() }) }
}

fn shown(ballot: Option<Ballot>) -> String {
    ballot.map_or_else(|| String::from("nothing"), |ballot| format!("{ballot}"))
}
