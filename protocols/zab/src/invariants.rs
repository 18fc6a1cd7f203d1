//! What the published specification proves of ZAB, as folds over the steps of all nodes. Each step costs what
//! it changed.
//!
//! Every history is seen as a chain of hashes, one per entry, each covering everything before it: two
//! histories agree up to an index exactly if their chains have the same hash there.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use synod_codec::hash_chained;
use synod_consensus::{Batch, Epoch, Event, Index, Payload};
use synod_engine::{Effect, NodeId, Sometimes, Stepped, To, Violation};
use synod_log::Answer;

use crate::role::Role;
use crate::{Message, Record, Rules, Zab};

/// What the nodes did so far, as far as the invariants need it.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// Who led each epoch.
    leaders: BTreeMap<Epoch, NodeId>,
    /// For each index from 1 on: the entries that were ever in a history there, with their chains.
    entries: Vec<Vec<(Epoch, u64)>>,
    /// For each index from 1 on: the chain of the committed entry, and the epoch in which it was committed.
    committed: Vec<(u64, Epoch)>,
    nodes: BTreeMap<NodeId, Node>,
    /// Of whom each node told that it accepts each epoch, across crashes.
    accepted: BTreeMap<(Epoch, NodeId), NodeId>,
    /// The place that a leader gave to each proposal: by epoch, follower, lane and number.
    places: BTreeMap<(Epoch, NodeId, u64, u64), Index>,
}

/// One node's history and what its user was told.
#[derive(Clone, Debug, Default)]
struct Node {
    base: Index,
    base_chain: u64,
    chain: Vec<u64>,
    leads: Option<Epoch>,
    /// Whether the newest membership in its history is a joint one.
    joint: bool,
    told: Index,
    /// The epoch of the last entry that was told.
    told_epoch: Epoch,
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
                    let node = self.nodes.entry(id).or_default();
                    if node.told < snapshot.index {
                        sometimes.reached("snapshot installed");
                    }
                    (node.told, node.told_epoch) = (snapshot.index, snapshot.epoch);
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
        let node = self.nodes.entry(node).or_default();
        node.told = engine.state.commit;
        node.told_epoch = log.epoch_at(node.told).unwrap_or_default();
        node.leads = None;
        Ok(())
    }

    /// What a node promised in an earlier incarnation binds nobody; Leadership holds all the same.
    fn wiped(&mut self, node: NodeId) {
        self.nodes.remove(&node);
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
            let known = self.nodes.get(&id).map_or(Index::ZERO, Node::last);
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
                return self.placed((*epoch, to, *lane), *first, answers);
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
        let node = self.nodes.entry(id).or_default();
        if last < node.last() {
            sometimes.reached("uncommitted entries replaced");
        }
        let kept = last.0.saturating_sub(node.base.0) as usize;
        let first = node.base.0 as usize + kept;
        let (cut, known) = (node.chain.iter().skip(kept), self.committed.iter().skip(first));
        let lost = cut.zip(known).position(|(cut, (committed, _))| cut == committed);
        if let Some(place) = lost {
            return Err(Violation {
                invariant: "Committed Entries Stay",
                detail: format!("{id} cuts the committed entry {}", first + place + 1),
            });
        }
        node.chain.truncate(kept);
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
        let node = self.nodes.entry(id).or_default();
        let before = Index(batch.first().0 - 1);
        let is_leader = matches!(after.role, Role::Leader(_));
        if is_leader && (before != node.last() || batch.epoch() != after.state.epoch()) {
            return Err(Violation {
                invariant: "Local Primary Order",
                detail: format!("{id} leads epoch {}, proposes {batch}", after.state.epoch()),
            });
        }
        let is_known = self
            .entries
            .get(batch.last().0 as usize - 1)
            .is_some_and(|known| known.iter().any(|(epoch, _)| *epoch == batch.epoch()));
        if !is_leader && !is_known {
            return Err(Violation {
                invariant: "Integrity",
                detail: format!("{id} has {batch}, which no leader proposed"),
            });
        }
        if let Some(members) = batch.members()
            && core::mem::replace(&mut node.joint, members.is_joint())
            && !members.is_joint()
        {
            sometimes.reached("joint change left");
        }
        self.cut(id, before, sometimes)?;
        let node = &self.nodes[&id];
        let previous = *node.chain.last().unwrap_or(&node.base_chain);
        self.extend(id, previous, batch)
    }

    /// A history was replaced by what follows `base`.
    fn rewrote(&mut self, id: NodeId, base: Index, entries: &[Batch]) -> Result<(), Violation> {
        let base_chain = match base.previous() {
            None => 0,
            Some(Index(place)) => {
                let (chain, _) = self.committed.get(place as usize).ok_or(Violation {
                    invariant: "Prefix Consistency",
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

    /// A leader answers a follower's proposals: 9. Forwarded Once.
    fn placed(
        &mut self,
        (epoch, to, lane): (Epoch, NodeId, u64),
        first: u64,
        answers: &[Answer],
    ) -> Result<(), Violation> {
        for (number, answer) in (first..).zip(answers) {
            let Ok(index) = *answer else { continue };
            let other = *self.places.entry((epoch, to, lane, number)).or_insert(index);
            if other != index {
                return Err(Violation {
                    invariant: "Forwarded Once",
                    detail: format!("{number} of {to} in epoch {epoch} is at {other} and {index}"),
                });
            }
        }
        Ok(())
    }

    /// Adds a batch to a node's chain: 2. One History.
    fn extend(&mut self, id: NodeId, mut previous: u64, batch: &Batch) -> Result<(), Violation> {
        let node = self.nodes.entry(id).or_default();
        let epoch = batch.epoch();
        for (index, payload) in batch.iter() {
            previous = link(previous, epoch, payload);
            node.chain.push(previous);
            let place = index.0 as usize - 1;
            if self.entries.len() <= place {
                self.entries.resize_with(place + 1, Vec::new);
            }
            let known = &mut self.entries[place];
            match known.iter().find(|(known, _)| *known == epoch) {
                None => known.push((epoch, previous)),
                Some((_, chain)) if *chain == previous => {}
                Some(_) => {
                    return Err(Violation {
                        invariant: "One History",
                        detail: format!("{id} has another entry {index}@{epoch}, or before it"),
                    });
                }
            }
        }
        Ok(())
    }

    /// A user was told of committed entries: 4. Prefix Consistency, 6. Global Primary Order. Their leader
    /// tells its own user first, in the epoch in which it commits them.
    fn told(&mut self, id: NodeId, batch: &Batch, epoch: Epoch) -> Result<(), Violation> {
        let node = self.nodes.entry(id).or_default();
        let violation = |detail| Violation { invariant: "Prefix Consistency", detail };
        if batch.first() != node.told.next() {
            return Err(violation(format!("{id} was told {batch} after {}", node.told)));
        }
        if batch.epoch() < node.told_epoch {
            return Err(Violation {
                invariant: "Global Primary Order",
                detail: format!("{id} was told {batch} after epoch {}", node.told_epoch),
            });
        }
        (node.told, node.told_epoch) = (batch.last(), batch.epoch());
        for index in (batch.first().0..=batch.last().0).map(Index) {
            let Some(chain) = node.at(index) else {
                return Err(violation(format!("{id} was told {index}, which its history lacks")));
            };
            match self.committed.get(index.0 as usize - 1) {
                None => self.committed.push((chain, epoch)),
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
            return Err(Violation {
                invariant: "Leadership",
                detail: format!("{id} and {other} both lead epoch {epoch}"),
            });
        }
        let earlier = self.committed.iter().rposition(|(_, committed_in)| *committed_in < epoch);
        let Some(place) = earlier else { return Ok(()) };
        let (last, expected) = (Index(place as u64 + 1), self.committed[place].0);
        if last > node.base && node.at(last) != Some(expected) {
            return Err(Violation {
                invariant: "Primary Integrity",
                detail: format!("{id} leads epoch {epoch} without the committed entry {last}"),
            });
        }
        Ok(())
    }
}

/// The chain after one more entry. The epoch is hashed by itself: seeds that differ little make equal hashes of
/// short commands that differ little.
fn link(previous: u64, epoch: Epoch, payload: &Payload) -> u64 {
    let seed = hash_chained(previous, &epoch.0.to_le_bytes());
    match payload {
        Payload::Noop => hash_chained(seed, &[]),
        Payload::Command(command) => hash_chained(!seed, command),
        Payload::Members(members) => hash_chained(seed ^ 1, members.to_string().as_bytes()),
    }
}
