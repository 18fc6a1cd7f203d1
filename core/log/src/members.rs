//! Who belongs to the group: as of the newest snapshot, and as the entries behind it change that (Raft §6).
//!
//! A membership counts from the moment that its entry is in the log, committed or not; if the entry is
//! replaced, the one before it counts again.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use synod_consensus::{Index, Membership};
use synod_quorum::Quorum;

/// The memberships that the log knows, each with the index from which on it counts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Members {
    /// Never empty; the first is the one of the newest snapshot, or of the founders.
    known: VecDeque<(Index, Arc<Membership>)>,
    /// Who decides by the newest.
    quorum: Quorum,
    /// Whether both majorities of a joint membership decide: a rule.
    both: bool,
}

impl Members {
    /// Of a node that belongs to no group yet. `both` is whether both majorities of a joint membership
    /// decide.
    pub fn none(both: bool) -> Self {
        let known = VecDeque::from([(Index::ZERO, Arc::default())]);
        Self { known, quorum: Quorum::default(), both }
    }

    /// The newest membership: the one that counts.
    pub fn current(&self) -> &Arc<Membership> {
        &self.newest().1
    }

    /// The memberships that may be in force: the newest, and while its entry is not committed, the one
    /// before it.
    pub fn possible(&self, commit: Index) -> impl Iterator<Item = &Arc<Membership>> {
        let is_settled = self.since() <= commit;
        self.known.iter().rev().take(if is_settled { 1 } else { 2 }).map(|(_, members)| members)
    }

    /// The entry that it came with.
    pub fn since(&self) -> Index {
        self.newest().0
    }

    /// Who decides.
    pub fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// The membership as of `index`, which is not before the newest snapshot.
    pub fn at(&self, index: Index) -> &Arc<Membership> {
        let known = self.known.iter().rev().find(|(since, _)| *since <= index);
        &known.unwrap_or(&self.known[0]).1
    }

    /// An entry at `index` says so.
    pub fn adopt(&mut self, index: Index, membership: Arc<Membership>) {
        self.known.push_back((index, membership));
        self.decide();
    }

    /// The entries from `from` on are gone; returns whether another membership counts now.
    pub fn truncate(&mut self, from: Index) -> bool {
        let before = self.known.len();
        while self.known.len() > 1 && self.since() >= from {
            self.known.pop_back();
        }
        let fell_back = self.known.len() < before;
        if fell_back {
            self.decide();
        }
        fell_back
    }

    /// A snapshot reaches to `index`, as of which `membership` counts; what its entries said is not
    /// asked for any more.
    pub fn rebase(&mut self, index: Index, membership: Arc<Membership>) {
        self.known.retain(|(since, _)| *since > index);
        self.known.push_front((index, membership));
        self.decide();
    }

    fn decide(&mut self) {
        let quorum = self.current().quorum();
        self.quorum = if self.both { quorum } else { Quorum::of(quorum.incoming().clone()) };
    }

    fn newest(&self) -> &(Index, Arc<Membership>) {
        self.known.back().expect("never empty")
    }
}

#[cfg(test)]
mod tests {
    use synod_engine::NodeId;

    use super::*;

    fn founded(count: u64) -> Arc<Membership> {
        Arc::new(Membership::founded_by(&(1..=count).map(NodeId).collect()))
    }

    fn from(index: u64, count: u64) -> Members {
        let mut members = Members::none(true);
        members.rebase(Index(index), founded(count));
        members
    }

    #[test]
    fn the_newest_counts_until_its_entry_is_gone() {
        let mut members = from(5, 3);
        members.adopt(Index(8), founded(4));
        members.adopt(Index(12), founded(5));
        assert_eq!((members.quorum().incoming().len(), members.since()), (5, Index(12)));
        assert_eq!(members.at(Index(11)), &founded(4));
        assert_eq!(members.at(Index(5)), &founded(3));
        assert!(!members.truncate(Index(13)));
        assert!(members.truncate(Index(12)));
        assert_eq!((members.quorum().incoming().len(), members.since()), (4, Index(8)));
        assert!(members.truncate(Index(6)));
        assert_eq!(members.current(), &founded(3));
        assert!(!members.truncate(Index(1)), "what a snapshot says is never gone");
    }

    #[test]
    fn a_snapshot_takes_over_what_counted_when_it_was_made() {
        let mut members = from(0, 3);
        members.adopt(Index(8), founded(4));
        members.adopt(Index(12), founded(5));
        members.rebase(Index(11), founded(4));
        assert_eq!((members.current(), members.at(Index(11))), (&founded(5), &founded(4)));
        assert!(members.truncate(Index(12)));
        assert_eq!(members.current(), &founded(4));
        members.rebase(Index(20), founded(2));
        assert_eq!(members.quorum().incoming().len(), 2);
    }
}
