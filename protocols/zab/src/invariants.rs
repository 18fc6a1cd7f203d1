//! What the published specification proves of ZAB, as folds over the steps of all nodes. Each step costs what
//! it changed.
//!
//! What the histories held is seen by core's [`Histories`].

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use synod_consensus::{Batch, Epoch, Event, Index};
use synod_engine::{Effect, NodeId, Sometimes, Stepped, To, Violation};
use synod_log::{Histories, Places};

use crate::role::Role;
use crate::{Message, Record, Rules, Zab};

/// What the nodes did so far, as far as the invariants need it.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// Who led each epoch.
    leaders: BTreeMap<Epoch, NodeId>,
    /// What the logs held, and what was committed.
    histories: Histories,
    nodes: BTreeMap<NodeId, Node>,
    /// Of whom each node told that it accepts each epoch, across crashes.
    accepted: BTreeMap<(Epoch, NodeId), NodeId>,
    /// The place that a leader gave to each forwarded proposal.
    places: Places,
}

/// What one node was when it was looked at last.
#[derive(Clone, Debug, Default)]
struct Node {
    leads: Option<Epoch>,
    /// Whether the newest membership in its history is a joint one.
    joint: bool,
    /// The epoch of the last entry that was told.
    told_epoch: Epoch,
}

impl<R: Rules> synod_engine::Invariants<Zab<R>> for Invariants {
    fn stepped(
        &mut self,
        step: &Stepped<'_, Zab<R>>,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        let id = step.node;
        for effect in step.effects {
            match effect {
                Effect::Persist(Record::Entries(batch)) => {
                    self.wrote(id, batch, step.after, sometimes)?;
                }
                Effect::Persist(Record::Truncated(last)) => self.cut(id, *last, sometimes)?,
                Effect::Persist(Record::Checkpoint(checkpoint)) if checkpoint.keeps == 0 => {
                    let snapshot = checkpoint.snapshot.map(|snapshot| snapshot.index);
                    self.rewrote(id, snapshot.unwrap_or_default(), &[])?;
                }
                Effect::Emit { event: Event::Committed { batch, .. }, .. } => {
                    self.told(id, batch, step.after.state.epoch())?;
                }
                Effect::Emit { event: Event::Install(snapshot), .. } => {
                    if self.histories.told_to(id, snapshot.index) {
                        sometimes.reached("snapshot installed");
                    }
                    self.nodes.entry(id).or_default().told_epoch = snapshot.epoch;
                }
                Effect::Send { to: To::Node(to), message, .. } => {
                    self.said(*to, message, sometimes)?;
                }
                _ => {}
            }
        }
        self.leads(id, step.after, sometimes)
    }

    /// 8. One Acceptance. Only what was told counts, and it counts across crashes.
    fn performed(&mut self, node: NodeId, effect: &Effect<Zab<R>>) -> Result<(), Violation> {
        let Effect::Send { to, message: Message::AckEpoch { epoch, counts: true, .. }, .. } =
            effect
        else {
            return Ok(());
        };
        let To::Node(leader) = *to else { return Ok(()) };
        let other = *self.accepted.entry((*epoch, node)).or_insert(leader);
        if other == leader {
            return Ok(());
        }
        Err(Violation {
            invariant: "One Acceptance",
            detail: format!("{node} accepts epoch {epoch} of {leader} and {other}"),
        })
    }

    fn recovered(&mut self, node: NodeId, engine: &Zab<R>) -> Result<(), Violation> {
        let log = engine.log();
        let evicted = log.evicted();
        let entries: Vec<_> = log.range(evicted.index.next(), log.last().index).collect();
        self.rewrote(node, evicted.index, &entries)?;
        let commit = engine.state.commit;
        self.histories.told_to(node, commit);
        let node = self.nodes.entry(node).or_default();
        (node.told_epoch, node.leads) = (log.epoch_at(commit).unwrap_or_default(), None);
        Ok(())
    }

    /// What a node promised in an earlier incarnation binds nobody; Leadership holds all the same.
    fn wiped(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        self.histories.wiped(node);
        self.accepted.retain(|(_, who), _| *who != node);
    }

    fn checkpoint<'a>(
        &mut self,
        nodes: &mut dyn Iterator<Item = (NodeId, &'a Zab<R>)>,
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
                && state.commit <= log.last().index
                && state.epochs.current <= state.epochs.accepted;
            if known != log.last().index || !in_order {
                return Err(Violation {
                    invariant: "One History",
                    detail: format!("{id} has {log}, commit {}, {known} recorded", state.commit),
                });
            }
        }
        Ok(())
    }
}

impl Invariants {
    /// What messages show of what was reached; 9. Forwarded Once.
    fn said(
        &mut self,
        to: NodeId,
        message: &Message,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        match message {
            Message::Requested { epoch, lane, first, answers } => {
                let answered = self.places.answered((*epoch, to, *lane), *first, answers);
                return answered.map_err(violation("Forwarded Once"));
            }
            Message::AckEpoch { counts: false, .. } => {
                sometimes.reached("an epoch was accepted of another");
            }
            Message::Diff { .. } => sometimes.reached("DIFF"),
            Message::Trunc { .. } => sometimes.reached("TRUNC"),
            Message::Snap { .. } => sometimes.reached("SNAP"),
            Message::Inform { .. } => sometimes.reached("an observer is informed"),
            Message::HandOver { .. } => sometimes.reached("leadership handed over"),
            Message::Look { .. } => sometimes.reached("a leader gives up"),
            _ => {}
        }
        Ok(())
    }

    /// A history was cut: 7. Committed Entries Stay.
    fn cut(&mut self, id: NodeId, last: Index, sometimes: &mut Sometimes) -> Result<(), Violation> {
        if last < self.histories.last(id) {
            sometimes.reached("uncommitted entries replaced");
        }
        let lost = self.histories.committed_from(id, last.next()).next();
        if let Some((index, _)) = lost {
            let detail = format!("{id} cuts the committed entry {index}");
            return Err(violation("Committed Entries Stay")(detail));
        }
        self.histories.cut(id, last.next());
        Ok(())
    }

    /// Entries entered a history: 3. Integrity, 5. Local Primary Order, 2. One History.
    fn wrote<R: Rules>(
        &mut self,
        id: NodeId,
        batch: &Batch,
        after: &Zab<R>,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        let before = Index(batch.first().0 - 1);
        let epoch = after.state.epoch();
        let is_leader = matches!(after.role, Role::Leader(_));
        if is_leader && (before != self.histories.last(id) || batch.epoch() != epoch) {
            let detail = format!("{id} leads epoch {epoch}, proposes {batch}");
            return Err(violation("Local Primary Order")(detail));
        }
        if !is_leader && !self.histories.knows(batch.last(), batch.epoch()) {
            let detail = format!("{id} has {batch}, which no leader proposed");
            return Err(violation("Integrity")(detail));
        }
        let node = self.nodes.entry(id).or_default();
        if let Some(members) = batch.members()
            && core::mem::replace(&mut node.joint, members.is_joint())
            && !members.is_joint()
        {
            sometimes.reached("joint change left");
        }
        self.cut(id, before, sometimes)?;
        self.histories.extend(id, batch).map_err(violation("One History"))
    }

    /// A history was replaced by what follows `base`: 4. Prefix Consistency, 2. One History.
    fn rewrote(&mut self, id: NodeId, base: Index, entries: &[Batch]) -> Result<(), Violation> {
        self.histories.rebase(id, base).map_err(violation("Prefix Consistency"))?;
        entries.iter().try_for_each(|batch| {
            self.histories.extend(id, batch).map_err(violation("One History"))
        })
    }

    /// A user was told of committed entries: 4. Prefix Consistency, 6. Global Primary Order. Their leader
    /// tells its own user first, in the epoch in which it commits them.
    fn told(&mut self, id: NodeId, batch: &Batch, epoch: Epoch) -> Result<(), Violation> {
        let told = self.histories.told(id, batch, epoch);
        told.map_err(violation("Prefix Consistency"))?;
        let node = self.nodes.entry(id).or_default();
        let before = core::mem::replace(&mut node.told_epoch, batch.epoch());
        if batch.epoch() < before {
            let detail = format!("{id} was told {batch} after epoch {before}");
            return Err(violation("Global Primary Order")(detail));
        }
        Ok(())
    }

    /// Someone leads: 1. Leadership, 7. Primary Integrity.
    fn leads<R: Rules>(
        &mut self,
        id: NodeId,
        after: &Zab<R>,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        let epoch = after.state.epoch();
        let leads = matches!(after.role, Role::Leader(_)).then_some(epoch);
        let node = self.nodes.entry(id).or_default();
        let before = core::mem::replace(&mut node.leads, leads);
        if before == leads {
            return Ok(());
        }
        if before == Some(epoch) {
            sometimes.reached(if after.state.is_voter() {
                "leader looks again"
            } else {
                "removed leader steps down"
            });
        }
        let Some(epoch) = leads else { return Ok(()) };
        sometimes.reached("leader elected");
        if after.state.log.last().index > after.state.commit {
            sometimes.reached("election under load");
        }
        let other = *self.leaders.entry(epoch).or_insert(id);
        if other != id {
            let detail = format!("{id} and {other} both lead epoch {epoch}");
            return Err(violation("Leadership")(detail));
        }
        match self.histories.lacks(id, epoch) {
            None => Ok(()),
            Some(last) => {
                let detail = format!("{id} leads epoch {epoch} without the committed entry {last}");
                Err(violation("Primary Integrity")(detail))
            }
        }
    }
}

fn violation(invariant: &'static str) -> impl Fn(String) -> Violation {
    move |detail| Violation { invariant, detail }
}
