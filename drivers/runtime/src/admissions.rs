//! Which life of each peer counts: the one that the members of a group name.
//!
//! A node whose directory was repaired or emptied comes back under a new incarnation, and may have
//! forgotten what the old one promised. Where a group's members name an incarnation, only that one
//! counts, from the moment the group knows of it, and for as long as it does. Where they name none (a
//! member of the first hour), the life that was met first counts: [`crate::acquaintances`].
//!
//! Another life is refused, as is whoever is no member, by a node that knows who leads: so it hears why.
//! A node that knows no leader lets both in, since the members may have changed while it was away: of what
//! they say, only that is dropped which its receiver would count in a quorum
//! ([`Message::counts`](synod_engine::Message::counts)). A leader is followed whoever it was before. Refused
//! always is another life that takes itself for a founder: it is over, or its directory was emptied, and with
//! one vote it would lead with an empty log. So only a
//! [newcomer](synod_engine::Incarnation::is_newcomer) is made a member.
//!
//! A link is shared by all groups, and they may name different lives: so it is judged twice, for the node
//! when it is made, and for each group by [`Lives::count`].

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use synod_consensus::Membership;
use synod_engine::{Incarnation, NodeId};

use crate::groups::Place;

/// The lives that the members of one group name. A member without one is known by first acquaintance.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Lives(BTreeMap<NodeId, Option<Incarnation>>);

impl Lives {
    /// Those that these members name.
    pub(crate) fn of(members: &Membership) -> Self {
        let life = |contact: &synod_consensus::Contact| contact.incarnation;
        let lives = members.iter();
        Self(lives.map(|member| (member.node, member.contact.as_ref().map(life))).collect())
    }

    /// Whether `life` of `peer` counts, whose life `first` was met first.
    pub(crate) fn count(
        &self,
        peer: NodeId,
        life: Incarnation,
        first: Option<Incarnation>,
    ) -> bool {
        match self.0.get(&peer) {
            Some(Some(named)) => *named == life,
            // Whoever never met the life before this one must not count it either.
            Some(None) => !life.is_newcomer() && first.is_none_or(|first| first == life),
            None => true,
        }
    }
}

/// What the members of all groups name, for those who answer the door.
#[derive(Debug)]
pub(crate) struct Admissions(Mutex<Vec<Lives>>);

/// How a peer is judged at the door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    /// The members of a group name this life.
    Named,
    /// Where it is a member, another life is named.
    Replaced {
        /// Which one; 0 if it is not known, and was the first.
        by: Incarnation,
    },
    /// Nothing is said: it depends on who was met first.
    Open,
}

impl Admissions {
    /// The groups know these lives, place by place.
    pub(crate) fn new(groups: Vec<Lives>) -> Self {
        Self(Mutex::new(groups))
    }

    /// The members of the group at `place` name these lives now.
    pub(crate) fn learn(&self, place: Place, lives: Lives) {
        self.lock()[place.0] = lives;
    }

    /// Whether this life of `peer` is let in.
    pub(crate) fn judge(&self, peer: NodeId, life: Incarnation) -> Admission {
        let groups = self.lock();
        let mut admission = Admission::Open;
        for named in groups.iter().filter_map(|lives| lives.0.get(&peer)) {
            match named {
                Some(named) if *named == life => return Admission::Named,
                Some(named) if admission == Admission::Open => {
                    admission = Admission::Replaced { by: *named };
                }
                Some(_) | None => {}
            }
        }
        let founder = groups.iter().any(|lives| lives.0.get(&peer) == Some(&None));
        if founder && life.is_newcomer() {
            return Admission::Replaced { by: Incarnation(0) };
        }
        if founder { Admission::Open } else { admission }
    }

    /// Whether this life of `peer` counts in the group at `place`.
    pub(crate) fn counts(
        &self,
        place: Place,
        peer: NodeId,
        life: Incarnation,
        first: Option<Incarnation>,
    ) -> bool {
        self.lock()[place.0].count(peer, life, first)
    }

    /// Held for a moment only.
    fn lock(&self) -> MutexGuard<'_, Vec<Lives>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use synod_consensus::{Contact, Member};

    use super::*;

    const OLD: Incarnation = Incarnation(7);
    const NEW: Incarnation = Incarnation(8);
    const PEER: NodeId = NodeId(3);

    fn members(named: &[Option<Incarnation>]) -> Lives {
        let founders = [1, 2].map(|node| Member::founder(NodeId(node)));
        let peer = named.iter().map(|life| {
            let contact = life.map(|incarnation| {
                let (address, client_address) = ("there".into(), "there".into());
                Contact { incarnation, address, client_address }
            });
            Member { contact, ..Member::founder(PEER) }
        });
        Lives::of(&Membership::new(founders.into_iter().chain(peer)).unwrap())
    }

    #[test]
    fn the_life_that_the_members_name_counts_and_no_other() {
        let lives = members(&[Some(NEW)]);
        assert!(lives.count(PEER, NEW, Some(OLD)));
        assert!(!lives.count(PEER, OLD, Some(OLD)), "though it was met first");
    }

    #[test]
    fn of_a_founder_the_life_that_was_met_first_counts() {
        let lives = members(&[None]);
        assert!(lives.count(PEER, OLD, Some(OLD)) && !lives.count(PEER, NEW, Some(OLD)));
        assert!(lives.count(PEER, OLD, None));
    }

    /// Founders 1, 2 and 3; 2 and 3 commit, 3 is repaired, 2 stops, and 1 starts for the first time: it must
    /// not make a majority with the new life of 3, the first that it meets.
    #[test]
    fn a_founder_that_was_repaired_counts_for_nobody_not_even_who_never_met_it_before() {
        let lives = members(&[None]);
        let repaired = Incarnation::newcomer(5);
        assert!(!lives.count(PEER, repaired, None) && !lives.count(PEER, repaired, Some(repaired)));
        let admissions = Admissions::new(vec![lives]);
        let refused = Admission::Replaced { by: Incarnation(0) };
        assert_eq!(admissions.judge(PEER, repaired), refused);
        admissions.learn(Place(0), members(&[Some(repaired)]));
        assert_eq!(admissions.judge(PEER, repaired), Admission::Named, "until the members name it");
    }

    #[test]
    fn whoever_is_no_member_may_speak() {
        assert!(members(&[]).count(PEER, NEW, Some(OLD)));
        assert!(Lives::default().count(PEER, NEW, None));
    }

    #[test]
    fn the_door_opens_to_whom_any_group_names_and_closes_when_it_names_another() {
        let admissions = Admissions::new(vec![members(&[None]), Lives::default()]);
        assert_eq!(admissions.judge(PEER, NEW), Admission::Open);
        admissions.learn(Place(1), members(&[Some(NEW)]));
        assert_eq!(admissions.judge(PEER, NEW), Admission::Named);
        assert_eq!(admissions.judge(PEER, OLD), Admission::Open, "the first group may mean it");
        admissions.learn(Place(0), members(&[]));
        assert_eq!(admissions.judge(PEER, OLD), Admission::Replaced { by: NEW });
        admissions.learn(Place(1), members(&[None]));
        assert_eq!(admissions.judge(PEER, NEW), Admission::Open, "the change was undone");
    }
}
