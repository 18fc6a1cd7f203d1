//! All logs as somebody sees them who looks on: what invariants are folded over.
//!
//! Every log is a chain of hashes, one per entry, each covering everything before it: two logs agree up to an index
//! exactly if their chains have the same hash there. What is found wrong is told in words; which of its invariants
//! that breaks is the protocol's to say.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use synod_codec::hash_chained;
use synod_consensus::{Batch, Epoch, Index, Payload};
use synod_engine::NodeId;

use crate::Answer;

/// What the logs of all nodes held so far, and what was committed.
#[derive(Clone, Debug, Default)]
pub struct Histories {
    /// For each index from 1 on: the entries that were ever in a log there, with their chains.
    entries: Vec<Vec<(Epoch, u64)>>,
    /// For each index from 1 on: the chain of the committed entry, and the epoch that its leader was in
    /// when it was committed.
    committed: Vec<(u64, Epoch)>,
    nodes: BTreeMap<NodeId, History>,
}

/// One node's log, and what its user was told.
#[derive(Clone, Debug, Default)]
struct History {
    base: Index,
    base_chain: u64,
    chain: Vec<u64>,
    /// The epoch of the last entry that came into `chain`.
    last_epoch: Epoch,
    told: Index,
}

impl History {
    /// The chain at `index`, if the log reaches it.
    fn at(&self, index: Index) -> Option<u64> {
        if index == self.base {
            return Some(self.base_chain);
        }
        let place = index.0.checked_sub(self.base.0 + 1)?;
        self.chain.get(place as usize).copied()
    }

    fn last(&self) -> Index {
        Index(self.base.0 + self.chain.len() as u64)
    }
}

impl Histories {
    /// The last entry in a node's log.
    #[must_use]
    pub fn last(&self, id: NodeId) -> Index {
        self.nodes.get(&id).map_or(Index::ZERO, History::last)
    }

    /// The epoch of the entry that came into a node's log last.
    #[must_use]
    pub fn last_epoch(&self, id: NodeId) -> Epoch {
        self.nodes.get(&id).map_or(Epoch::default(), |node| node.last_epoch)
    }

    /// Whether some log ever held an entry of this epoch at `index`.
    #[must_use]
    pub fn knows(&self, index: Index, epoch: Epoch) -> bool {
        let known = index.previous().and_then(|place| self.entries.get(place.0 as usize));
        known.is_some_and(|known| known.iter().any(|(other, _)| *other == epoch))
    }

    /// The entries from `first` on that a node's log has as they are committed, each with the epoch in which it
    /// was committed.
    pub fn committed_from(&self, id: NodeId, first: Index) -> impl Iterator<Item = (Index, Epoch)> {
        let node = self.nodes.get(&id);
        let first = node.map_or(first, |node| first.max(node.base.next()));
        let known = self.committed.iter().skip(first.0.saturating_sub(1) as usize);
        let held =
            (first.0..).map_while(move |index| Some((Index(index), node?.at(Index(index))?)));
        let both = held.zip(known).filter(|((_, held), (committed, _))| held == committed);
        both.map(|((index, _), (_, epoch))| (index, *epoch))
    }

    /// Entries from `first` on left a node's log.
    pub fn cut(&mut self, id: NodeId, first: Index) {
        let node = self.nodes.entry(id).or_default();
        node.chain.truncate(first.0.saturating_sub(node.base.0 + 1) as usize);
    }

    /// Entries came to the end of a node's log.
    ///
    /// # Errors
    /// There was another of that index and epoch, or another before it.
    pub fn extend(&mut self, id: NodeId, batch: &Batch) -> Result<(), String> {
        let (node, epoch) = (self.nodes.entry(id).or_default(), batch.epoch());
        node.last_epoch = epoch;
        let mut previous = *node.chain.last().unwrap_or(&node.base_chain);
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
                    return Err(format!("{id} has another entry {index}@{epoch}, or before it"));
                }
            }
        }
        Ok(())
    }

    /// A node's log was replaced by nothing but a snapshot, or by what follows it.
    ///
    /// # Errors
    /// The snapshot's last entry is not committed.
    pub fn rebase(&mut self, id: NodeId, base: Index) -> Result<(), String> {
        let chain = base.previous().map(|place| self.committed.get(place.0 as usize));
        let base_chain = match chain {
            None => 0,
            Some(Some((chain, _))) => *chain,
            Some(None) => {
                return Err(format!("{id} has a snapshot to {base}, which is not committed"));
            }
        };
        let node = self.nodes.entry(id).or_default();
        (node.base, node.base_chain) = (base, base_chain);
        node.chain.clear();
        Ok(())
    }

    /// A node's user was told of committed entries. Their leader tells its own user first, in the epoch in which
    /// it commits them.
    ///
    /// # Errors
    /// They do not follow what the user was told before, or are not what its log has, or not what others were
    /// told.
    pub fn told(&mut self, id: NodeId, batch: &Batch, epoch: Epoch) -> Result<(), String> {
        let node = self.nodes.entry(id).or_default();
        if batch.first() != node.told.next() {
            return Err(format!("{id} was told {batch} after {}", node.told));
        }
        node.told = batch.last();
        for index in (batch.first().0..=batch.last().0).map(Index) {
            let Some(chain) = node.at(index) else {
                return Err(format!("{id} was told {index}, which its log lacks"));
            };
            match self.committed.get(index.0 as usize - 1) {
                None => self.committed.push((chain, epoch)),
                Some((committed, _)) if *committed == chain => {}
                Some(_) => {
                    let entry = format!("{index}@{}", batch.epoch());
                    return Err(format!(
                        "{id} was told {entry}, and another entry is committed there"
                    ));
                }
            }
        }
        Ok(())
    }

    /// A node's user knows everything up to `index`, by a snapshot or since an earlier life. Returns whether that
    /// is news.
    pub fn told_to(&mut self, id: NodeId, index: Index) -> bool {
        let node = self.nodes.entry(id).or_default();
        core::mem::replace(&mut node.told, index) < index
    }

    /// The last entry that was committed before `epoch`, if a node's log lacks it.
    #[must_use]
    pub fn lacks(&self, id: NodeId, epoch: Epoch) -> Option<Index> {
        let place = self.committed.iter().rposition(|(_, committed_in)| *committed_in < epoch)?;
        let (last, expected) = (Index(place as u64 + 1), self.committed[place].0);
        let node = self.nodes.get(&id);
        let has = node.is_some_and(|node| last <= node.base || node.at(last) == Some(expected));
        (!has).then_some(last)
    }

    /// A node lost all that it had.
    pub fn wiped(&mut self, id: NodeId) {
        self.nodes.remove(&id);
    }
}

/// The place that a leader gave to each proposal that a follower forwarded: by epoch, follower, lane and number.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<(Epoch, NodeId, u64, u64), Index>);

impl Places {
    /// The leader of an epoch answers the proposals of a follower's lane, from number `first` on.
    ///
    /// # Errors
    /// One of them had another place before.
    pub fn answered(
        &mut self,
        (epoch, to, lane): (Epoch, NodeId, u64),
        first: u64,
        answers: &[Answer],
    ) -> Result<(), String> {
        for (number, answer) in (first..).zip(answers) {
            let Ok(index) = *answer else { continue };
            let other = *self.0.entry((epoch, to, lane, number)).or_insert(index);
            if other != index {
                return Err(format!("{number} of {to} in epoch {epoch} is at {other} and {index}"));
            }
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

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const ONE: NodeId = NodeId(1);
    const TWO: NodeId = NodeId(2);

    fn batch(first: u64, epoch: u64, commands: &[&'static str]) -> Batch {
        let payloads: Vec<_> = commands.iter().map(|it| Payload::Command((*it).into())).collect();
        Batch::new(Index(first), Epoch(epoch), payloads)
    }

    /// Both have a, of epoch 1, which is committed in epoch 1; 2 has b behind it.
    fn histories() -> Histories {
        let mut all = Histories::default();
        all.extend(ONE, &batch(1, 1, &["a"])).unwrap();
        all.extend(TWO, &batch(1, 1, &["a", "b"])).unwrap();
        all.told(ONE, &batch(1, 1, &["a"]), Epoch(1)).unwrap();
        all
    }

    #[test]
    fn an_entry_of_an_index_and_epoch_is_one_and_so_is_all_before_it() {
        let mut all = histories();
        assert!(all.clone().extend(ONE, &batch(2, 1, &["c"])).is_err(), "another entry");
        all.extend(ONE, &batch(2, 2, &["c"])).unwrap();
        assert_eq!(
            (all.last(ONE), all.last_epoch(ONE), all.last(TWO)),
            (Index(2), Epoch(2), Index(2))
        );
        assert_eq!([1, 2, 3].map(|epoch| all.knows(Index(2), Epoch(epoch))), [true, true, false]);
        all.extend(TWO, &batch(3, 3, &["d"])).unwrap();
        assert!(all.extend(ONE, &batch(3, 3, &["d"])).is_err(), "another before it");
    }

    #[test]
    fn a_user_is_told_each_entry_once_as_its_log_has_it_and_as_all_others_are() {
        let all = histories();
        assert!(all.clone().told(ONE, &batch(1, 1, &["a"]), Epoch(1)).is_err(), "again");
        assert!(all.clone().told(ONE, &batch(2, 1, &["b"]), Epoch(1)).is_err(), "not in its log");
        let mut other = all;
        other.cut(TWO, Index(1));
        other.extend(TWO, &batch(1, 2, &["z"])).unwrap();
        assert!(other.told(TWO, &batch(1, 2, &["z"]), Epoch(2)).is_err(), "another is committed");
    }

    #[test]
    fn what_a_cut_would_lose_of_what_is_committed_is_known_and_whose_log_lacks_it() {
        let mut all = histories();
        let lost =
            |all: &Histories, id, first| all.committed_from(id, Index(first)).collect::<Vec<_>>();
        assert_eq!(lost(&all, TWO, 1), vec![(Index(1), Epoch(1))]);
        assert_eq!(lost(&all, TWO, 2), vec![]);
        assert_eq!([all.lacks(TWO, Epoch(1)), all.lacks(TWO, Epoch(2))], [None, None]);
        all.cut(TWO, Index(1));
        assert_eq!([all.lacks(TWO, Epoch(1)), all.lacks(TWO, Epoch(2))], [None, Some(Index(1))]);
        assert_eq!(lost(&all, TWO, 1), vec![]);
        all.rebase(TWO, Index(1)).unwrap();
        assert_eq!((all.lacks(TWO, Epoch(2)), all.last(TWO)), (None, Index(1)));
        assert_eq!(lost(&all, TWO, 1), vec![], "a snapshot is not cut");
        assert!(all.rebase(TWO, Index(2)).is_err(), "what is not committed is in no snapshot");
        all.wiped(TWO);
        assert_eq!(all.lacks(TWO, Epoch(2)), Some(Index(1)));
    }

    #[test]
    fn a_snapshot_tells_a_user_as_much_as_its_entries_would() {
        let mut all = histories();
        assert_eq!([all.told_to(TWO, Index(1)), all.told_to(TWO, Index(1))], [true, false]);
        assert_eq!(all.told(TWO, &batch(2, 1, &["b"]), Epoch(1)), Ok(()));
    }

    #[test]
    fn a_forwarded_proposal_has_one_place() {
        let mut places = Places::default();
        let mut answered = |lane, first, indices: &[u64]| {
            let answers: Vec<_> = indices.iter().map(|index| Ok(Index(*index))).collect();
            places.answered((Epoch(1), TWO, lane), first, &answers).is_ok()
        };
        assert!(answered(1, 1, &[5, 6]) && answered(1, 2, &[6, 7]), "an answer comes twice");
        assert!(answered(2, 1, &[8]), "another lane");
        assert!(!answered(1, 3, &[9]), "number 3 is at 7");
    }
}
