//! Who belongs to the group: as of the newest snapshot, and as the entries behind it change that (Raft §6).
//!
//! A membership counts from the moment that its entry is in the log, committed or not; if the entry is
//! replaced, the one before it counts again.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use synod_consensus::{Batch, Change, Index, Member, Membership, Refusal, Seat};
use synod_engine::NodeId;
use synod_quorum::Quorum;

use crate::{Standing, Successor};

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

    /// The priority of a member; 0 for who is none.
    pub fn priority(&self, node: NodeId) -> u8 {
        self.current().member(node).map_or(0, |member| member.priority)
    }

    /// Those that may lead in place of `leader`, who knows how far each is: who votes, will go on voting,
    /// and has a priority.
    pub fn successors(
        &self,
        leader: NodeId,
        standing: impl Fn(NodeId) -> Option<Standing> + Clone,
    ) -> impl Iterator<Item = Successor> + Clone {
        let may_lead = move |member: &&Member| {
            let votes = matches!(member.seat, Seat::Voter | Seat::Incoming);
            votes && member.priority > 0 && member.node != leader
        };
        self.current().iter().filter(may_lead).filter_map(move |member| {
            let Member { node, priority, .. } = *member;
            Some(Successor { node, priority, standing: standing(node)? })
        })
    }

    /// What these wishes lead to, if the learners among the new voters have caught up with the log of
    /// `leader`, which ends with `last`, and so many answer it that the change can be committed (Raft's thesis
    /// §4.2.1).
    ///
    /// # Errors
    /// [`Refusal::BadChange`], [`Refusal::NotCaughtUp`], or [`Refusal::TooFewVoters`].
    pub fn changed(
        &self,
        wishes: &[Change],
        (leader, last): (NodeId, Index),
        standing: impl Fn(NodeId) -> Option<Standing>,
    ) -> Result<Membership, Refusal> {
        let next = self.current().changed(wishes).map_err(Refusal::BadChange)?;
        for node in next.quorum().incoming().iter().filter(|node| !self.quorum.contains(*node)) {
            let standing = standing(node);
            if !standing.is_some_and(|it| it.caught_up) {
                let matched = standing.map_or(0, |it| it.matched.0);
                return Err(Refusal::NotCaughtUp { node, behind: last.0.saturating_sub(matched) });
            }
        }
        let answers = |node| node == leader || standing(node).is_some_and(|it| it.is_heard);
        if !next.quorum().is_quorum(answers) {
            return Err(Refusal::TooFewVoters);
        }
        Ok(next)
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

    /// These entries take the place of those from their first on; returns whether another membership counts now.
    pub fn replaced_by(&mut self, batch: &Batch) -> bool {
        let fell_back = self.truncate(batch.first());
        let Some(membership) = batch.members() else { return fell_back };
        self.adopt(batch.first(), membership.clone());
        true
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
    use alloc::vec;

    use synod_consensus::{Epoch, Payload};

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
    fn entries_that_replace_others_may_bring_a_membership_or_take_one() {
        let mut members = from(5, 3);
        let mut counts = |index, payload| {
            let changed = members.replaced_by(&Batch::new(Index(index), Epoch(1), vec![payload]));
            (changed, members.current().quorum().incoming().len())
        };
        assert_eq!(counts(6, Payload::Noop), (false, 3));
        assert_eq!(counts(7, Payload::Members(founded(4))), (true, 4));
        assert_eq!(counts(7, Payload::Members(founded(5))), (true, 5));
        assert_eq!(counts(8, Payload::Noop), (false, 5));
        assert_eq!(counts(7, Payload::Noop), (true, 3));
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

    /// Nodes 1 to 3 vote, the third without a priority, and node 4 learns.
    fn mixed() -> Members {
        let founder = |node| Member::founder(NodeId(node));
        let members = [
            founder(1),
            Member { priority: 7, ..founder(2) },
            Member { priority: 0, ..founder(3) },
            Member { seat: Seat::Learner, ..founder(4) },
        ];
        let mut known = from(0, 1);
        known.adopt(Index(2), Arc::new(Membership::new(members).unwrap()));
        known
    }

    const AT_NINE: Standing = Standing { matched: Index(9), caught_up: true, is_heard: true };

    #[test]
    fn who_votes_and_has_a_priority_may_succeed_if_the_leader_knows_of_it() {
        let members = mixed();
        assert_eq!([2, 3, 9].map(|node| members.priority(NodeId(node))), [7, 0, 0]);
        let successors = |leader| {
            let knows = |node| (node != NodeId(9)).then_some(AT_NINE);
            members.successors(NodeId(leader), knows).map(|it| (it.node.0, it.priority))
        };
        assert!(successors(1).eq([(2, 7)]));
        assert!(successors(2).eq([(1, 1)]));
        assert_eq!(members.successors(NodeId(1), |_| None).count(), 0);
    }

    #[test]
    fn voters_change_once_learners_have_caught_up_and_enough_answer() {
        let members = mixed();
        let changed = |wish, standing: fn(NodeId) -> Option<Standing>| {
            let next = members.changed(&[wish], (NodeId(1), Index(20)), standing);
            next.map(|next| next.quorum().incoming().len())
        };
        let promote = Change::Promote(NodeId(4));
        assert_eq!(changed(promote.clone(), |_| Some(AT_NINE)), Ok(4));
        let behind = |behind| Err(Refusal::NotCaughtUp { node: NodeId(4), behind });
        let lags = |_| Some(Standing { caught_up: false, ..AT_NINE });
        assert_eq!(changed(promote.clone(), lags), behind(11));
        assert_eq!(changed(promote.clone(), |_| None), behind(20));
        let deaf = |_| Some(Standing { is_heard: false, ..AT_NINE });
        assert_eq!(changed(promote, deaf), Err(Refusal::TooFewVoters));
        let only_two = |node| (node == NodeId(2)).then_some(AT_NINE);
        assert_eq!(changed(Change::Remove(NodeId(3)), only_two), Ok(2));
        let unchanged = Err(Refusal::BadChange(synod_consensus::BadChange::Unchanged));
        assert_eq!(changed(Change::Promote(NodeId(2)), |_| Some(AT_NINE)), unchanged);
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
