//! Who belongs to a replicated log, and how that changes.
//!
//! A [`Membership`] is the whole list of members at one moment; the log carries such lists as entries.
//! A [`Change`] is what an operator asks for. [`Membership::changed`] turns one into the other: at most
//! one voter at a time directly (Raft thesis §4.1), more by a joint membership that the leader leaves by
//! itself once it is committed (Raft §6).
//!
//! Next: [`crate::Request::Change`].

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use synod_engine::{Incarnation, NodeId};
use synod_quorum::{Quorum, Voters};

/// A group has at most so many members.
pub const MAX_MEMBERS: usize = 64;

/// An address has at most so many bytes.
pub const MAX_ADDRESS_BYTES: usize = 255;

/// The priority of a member for whom none was chosen.
pub const DEFAULT_PRIORITY: u8 = 1;

/// One node of a group.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Which node.
    pub node: NodeId,
    /// What it is to the group.
    pub seat: Seat,
    /// Leadership goes to the highest among those that are up to date; a node of priority 0 never
    /// leads. Equal for all by default.
    pub priority: u8,
    /// How it is found and known; `None` for a member of the first hour, who is found by the
    /// configuration and known by first acquaintance.
    pub contact: Option<Contact>,
}

/// What a member is to its group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Seat {
    /// Receives the log and counts in no quorum.
    Learner,
    /// Votes.
    Voter,
    /// In a joint membership: votes among the new voters only.
    Incoming,
    /// In a joint membership: votes among the old voters only, then leaves.
    Outgoing,
    /// In a joint membership: votes among the old voters only, then is a learner.
    Demoted,
}

/// How a node is found and known.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Contact {
    /// Which life of its directory is meant: an earlier one counts no more.
    pub incarnation: Incarnation,
    /// Where its peers reach it, in the driver's own spelling.
    pub address: String,
    /// Where clients reach it, in the server's own spelling.
    pub client_address: String,
}

/// One wish of an operator.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Change {
    /// A node that is no member becomes a learner.
    Add {
        /// Which node; its seat is a learner's.
        node: NodeId,
        /// How it is found and known.
        contact: Contact,
    },
    /// A learner that has caught up becomes a voter.
    Promote(NodeId),
    /// A voter becomes a learner.
    Demote(NodeId),
    /// A member is one no more.
    Remove(NodeId),
    /// A member gets another priority.
    Prioritise {
        /// Which member.
        node: NodeId,
        /// Its new priority.
        priority: u8,
    },
}

/// Why a change makes no sense. It never will, as long as the members are what they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum BadChange {
    /// The members are already so: the change was made before, or never needed.
    Unchanged,
    /// No such member.
    NoMember(NodeId),
    /// It is a member already, under another incarnation or address: remove it first.
    IsMember(NodeId),
    /// There would be no voter left that may lead.
    NoVoters,
    /// More members, or a longer address, than the bounds allow.
    TooMany,
    /// It votes, and would go on under another incarnation or address: that is another voter. Remove it
    /// first, and promote it once that is committed.
    OtherLife(NodeId),
    /// It takes itself for a founder, and its directory is another than the founder's: drivers say so, who
    /// keep account of lives. A [newcomer](synod_engine::Incarnation::is_newcomer) may be made a member.
    Founder(NodeId),
}

/// The members of a group at one moment, in order of their ids.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Membership(Vec<Member>);

impl Member {
    /// A member of the first hour.
    #[must_use]
    pub fn founder(node: NodeId) -> Self {
        Self { node, seat: Seat::Voter, priority: DEFAULT_PRIORITY, contact: None }
    }
}

impl Membership {
    /// The members of a new group: these voters.
    #[must_use]
    pub fn founded_by(voters: &Voters) -> Self {
        Self(voters.iter().map(Member::founder).collect())
    }

    /// These members, in order of their ids; `None` if one is named twice, an address is too long, there
    /// are too many, or nobody votes.
    #[must_use]
    pub fn new(members: impl IntoIterator<Item = Member>) -> Option<Self> {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_by_key(|member| member.node);
        let twice = members.windows(2).any(|pair| pair[0].node == pair[1].node);
        let long = members.iter().filter_map(|member| member.contact.as_ref());
        let long = long.clone().any(Contact::is_too_long);
        let membership = Self(members);
        let quorum = membership.quorum();
        let decides = !quorum.is_empty() && membership.0.len() <= MAX_MEMBERS;
        (!twice && !long && decides).then_some(membership)
    }

    /// Whether there are none: the membership of a node that belongs to no group yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All members, in order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Member> + Clone {
        self.0.iter()
    }

    /// A member.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        let place = self.0.binary_search_by_key(&node, |member| member.node).ok()?;
        self.0.get(place)
    }

    /// Whether `node` is a member.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.member(node).is_some()
    }

    /// Who decides.
    #[must_use]
    pub fn quorum(&self) -> Quorum {
        let seated = |wanted: &[Seat]| -> Voters {
            let chosen = self.0.iter().filter(|member| wanted.contains(&member.seat));
            chosen.map(|member| member.node).collect()
        };
        let incoming = seated(&[Seat::Voter, Seat::Incoming]);
        if self.is_joint() {
            Quorum::joint(incoming, seated(&[Seat::Voter, Seat::Outgoing, Seat::Demoted]))
        } else {
            Quorum::of(incoming)
        }
    }

    /// Whether a joint change is under way.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        self.0.iter().any(|member| !matches!(member.seat, Seat::Learner | Seat::Voter))
    }

    /// The membership that a joint one leads to.
    #[must_use]
    pub fn after_joint(&self) -> Self {
        let stays = self.0.iter().filter(|member| member.seat != Seat::Outgoing);
        Self(stays.map(|member| Member { seat: member.seat.settled(), ..member.clone() }).collect())
    }

    /// What these wishes together make of this membership: the list itself if at most one voter comes
    /// or goes, else the joint one on the way to it.
    ///
    /// # Errors
    /// [`BadChange`]; wishes that are fulfilled already do not count, unless all are.
    pub fn changed(&self, changes: &[Change]) -> Result<Self, BadChange> {
        let mut members = self.0.clone();
        for change in changes {
            wish(&mut members, change)?;
        }
        members.sort_by_key(|member| member.node);
        let next = Self(members);
        if next == *self {
            return Err(BadChange::Unchanged);
        }
        let (before, after) = (self.quorum(), next.quorum());
        let (before, after) = (before.incoming(), after.incoming());
        let may_lead = |node| next.member(node).is_some_and(|member| member.priority > 0);
        if !after.iter().any(may_lead) {
            return Err(BadChange::NoVoters);
        }
        let come = after.iter().filter(|node| !before.contains(*node)).count();
        let go = before.iter().filter(|node| !after.contains(*node)).count();
        let next = if come + go <= 1 { next } else { self.towards(&next) };
        if let Some(node) = self.reborn_voter(&next) {
            return Err(BadChange::OtherLife(node));
        }
        if next.0.len() > MAX_MEMBERS {
            return Err(BadChange::TooMany);
        }
        Ok(next)
    }

    /// A voter of this membership under whose id another life decides in `next`. Majorities count ids, so
    /// the two would be one voter to them, which decides here by one life and there by the other.
    fn reborn_voter(&self, next: &Self) -> Option<NodeId> {
        let (before, after) = (self.quorum(), next.quorum());
        let lives_on = |member: &&Member| {
            next.member(member.node).is_none_or(|later| later.contact == member.contact)
        };
        let mut reborn = self.0.iter().filter(|member| !lives_on(member));
        let decides = |node| before.contains(node) && after.contains(node);
        reborn.find(|member| decides(member.node)).map(|member| member.node)
    }

    /// The joint membership between this one and `next`.
    fn towards(&self, next: &Self) -> Self {
        let votes = |member: Option<&Member>| member.is_some_and(|it| it.seat == Seat::Voter);
        let stays = next.0.iter().map(|member| {
            let seat = match (votes(self.member(member.node)), votes(Some(member))) {
                (true, true) => Seat::Voter,
                (false, true) => Seat::Incoming,
                (true, false) => Seat::Demoted,
                (false, false) => Seat::Learner,
            };
            Member { seat, ..member.clone() }
        });
        let leaves = self
            .0
            .iter()
            .filter(|member| member.seat == Seat::Voter && next.member(member.node).is_none());
        let leaves = leaves.map(|member| Member { seat: Seat::Outgoing, ..member.clone() });
        let mut members: Vec<_> = stays.chain(leaves).collect();
        members.sort_by_key(|member| member.node);
        Self(members)
    }

    /// Bytes that it takes in a log, about.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let contacts = self.0.iter().filter_map(|member| member.contact.as_ref());
        24 * self.0.len() + contacts.map(Contact::size_bytes).sum::<usize>()
    }
}

impl Contact {
    fn is_too_long(&self) -> bool {
        self.address.len().max(self.client_address.len()) > MAX_ADDRESS_BYTES
    }

    fn size_bytes(&self) -> usize {
        self.address.len() + self.client_address.len()
    }
}

/// Fulfils one wish; one that is fulfilled already changes nothing.
fn wish(members: &mut Vec<Member>, change: &Change) -> Result<(), BadChange> {
    let place = |node: NodeId| members.iter().position(|member| member.node == node);
    match change {
        Change::Add { node, contact } => match place(*node) {
            Some(place) if members[place].contact.as_ref() == Some(contact) => {}
            Some(_) => return Err(BadChange::IsMember(*node)),
            None if contact.is_too_long() => return Err(BadChange::TooMany),
            None => {
                let contact = Some(contact.clone());
                let (seat, priority) = (Seat::Learner, DEFAULT_PRIORITY);
                members.push(Member { node: *node, seat, priority, contact });
            }
        },
        Change::Remove(node) => {
            if let Some(place) = place(*node) {
                members.remove(place);
            }
        }
        Change::Promote(node) => {
            let place = place(*node).ok_or(BadChange::NoMember(*node))?;
            members[place].seat = Seat::Voter;
        }
        Change::Demote(node) => {
            let place = place(*node).ok_or(BadChange::NoMember(*node))?;
            members[place].seat = Seat::Learner;
        }
        Change::Prioritise { node, priority } => {
            let place = place(*node).ok_or(BadChange::NoMember(*node))?;
            members[place].priority = *priority;
        }
    }
    Ok(())
}

impl Seat {
    /// What it becomes when a joint change is over.
    fn settled(self) -> Self {
        match self {
            Self::Voter | Self::Incoming => Self::Voter,
            Self::Learner | Self::Demoted | Self::Outgoing => Self::Learner,
        }
    }
}

impl<'de> Deserialize<'de> for Membership {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Vec::<Member>::deserialize(deserializer)?;
        if members.is_empty() {
            return Ok(Self::default());
        }
        Self::new(members).ok_or_else(|| D::Error::custom("these are not the members of a group"))
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (place, member) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{}{}", member.node, member.seat)?;
        }
        f.write_str("}")
    }
}

/// One letter or none, for traces: `~` learns, `+` comes, `-` goes, `/` is demoted.
impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Voter => "",
            Self::Learner => "~",
            Self::Incoming => "+",
            Self::Outgoing => "-",
            Self::Demoted => "/",
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add { node, .. } => write!(f, "add {node}"),
            Self::Promote(node) => write!(f, "promote {node}"),
            Self::Demote(node) => write!(f, "demote {node}"),
            Self::Remove(node) => write!(f, "remove {node}"),
            Self::Prioritise { node, priority } => write!(f, "priority {priority} for {node}"),
        }
    }
}

impl fmt::Display for BadChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchanged => write!(f, "the members are already so"),
            Self::NoMember(node) => write!(f, "{node} is no member"),
            Self::IsMember(node) => {
                write!(f, "{node} is a member under another incarnation or address")
            }
            Self::NoVoters => write!(f, "no voter that may lead would be left"),
            Self::TooMany => write!(f, "more members, or a longer address, than a group may have"),
            Self::OtherLife(node) => write!(
                f,
                "{node} votes: its next life is added once it is removed, and promoted after that"
            ),
            Self::Founder(node) => write!(
                f,
                "{node} takes itself for a founder, and its directory is not the founder's: it was emptied; \
                 stop it, run `synod repair --force` there, and start it again"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    fn founded(ids: &[u64]) -> Membership {
        Membership::founded_by(&ids.iter().copied().map(NodeId).collect())
    }

    fn add(node: u64) -> Change {
        let contact = Contact {
            incarnation: Incarnation(node),
            address: "there".into(),
            client_address: "here".into(),
        };
        Change::Add { node: NodeId(node), contact }
    }

    #[test]
    fn one_voter_comes_or_goes_directly() {
        let three = founded(&[1, 2, 3]);
        let with_learner = three.changed(&[add(4)]).unwrap();
        assert_eq!(with_learner.to_string(), "{n1,n2,n3,n4~}");
        assert_eq!(with_learner.quorum(), three.quorum());
        let four = with_learner.changed(&[Change::Promote(NodeId(4))]).unwrap();
        assert_eq!((four.to_string().as_str(), four.is_joint()), ("{n1,n2,n3,n4}", false));
        let without = four.changed(&[Change::Remove(NodeId(2))]).unwrap();
        assert_eq!(without.to_string(), "{n1,n3,n4}");
        let demoted = without.changed(&[Change::Demote(NodeId(1))]).unwrap();
        assert_eq!(demoted.to_string(), "{n1~,n3,n4}");
    }

    #[test]
    fn more_than_one_voter_changes_by_way_of_a_joint_membership() {
        let start = founded(&[1, 2, 3]).changed(&[add(4), add(5)]).unwrap();
        let wishes = vec![
            Change::Promote(NodeId(4)),
            Change::Promote(NodeId(5)),
            Change::Remove(NodeId(2)),
            Change::Demote(NodeId(3)),
        ];
        let joint = start.changed(&wishes).unwrap();
        assert_eq!(joint.to_string(), "{n1,n2-,n3/,n4+,n5+}");
        assert_eq!(joint.quorum().to_string(), "{n1,n4,n5}&{n1,n2,n3}");
        assert_eq!(joint.after_joint().to_string(), "{n1,n3~,n4,n5}");
        assert!(!joint.after_joint().is_joint());
    }

    #[test]
    fn what_is_so_already_is_no_change_and_nonsense_is_named() {
        let three = founded(&[1, 2, 3]);
        let four = three.changed(&[add(4)]).unwrap();
        assert_eq!(four.changed(&[add(4)]), Err(BadChange::Unchanged));
        assert_eq!(three.changed(&[Change::Promote(NodeId(2))]), Err(BadChange::Unchanged));
        assert_eq!(three.changed(&[Change::Remove(NodeId(9))]), Err(BadChange::Unchanged));
        assert_eq!(three.changed(&[add(2)]), Err(BadChange::IsMember(NodeId(2))));
        assert_eq!(
            three.changed(&[Change::Promote(NodeId(9))]),
            Err(BadChange::NoMember(NodeId(9)))
        );
        let one = founded(&[1]);
        assert_eq!(one.changed(&[Change::Remove(NodeId(1))]), Err(BadChange::NoVoters));
        let never = Change::Prioritise { node: NodeId(1), priority: 0 };
        assert_eq!(one.changed(&[never]), Err(BadChange::NoVoters), "nobody would lead ever more");
        let crowd: Vec<_> = (2..=70).map(add).collect();
        assert_eq!(one.changed(&crowd), Err(BadChange::TooMany));
    }

    #[test]
    fn no_voter_is_exchanged_for_another_life_of_itself_in_one_step() {
        let known = founded(&[1, 2, 3]).changed(&[add(4)]).unwrap();
        let three = NodeId(3);
        let exchange = [Change::Remove(three), add(3)];
        let learns = known.changed(&exchange).unwrap();
        assert_eq!(learns.to_string(), "{n1,n2,n3~,n4~}", "a voter went");
        assert!(learns.changed(&[Change::Promote(three)]).is_ok(), "and one came");
        for also in [Change::Promote(three), Change::Promote(NodeId(4)), Change::Demote(NodeId(1))]
        {
            let wishes = [&exchange[..], &[also]].concat();
            assert_eq!(known.changed(&wishes), Err(BadChange::OtherLife(three)), "{wishes:?}");
        }
    }

    #[test]
    fn a_list_that_is_no_membership_is_none() {
        let founder = |node| Member::founder(NodeId(node));
        assert_eq!(Membership::new([founder(1), founder(1)]), None);
        assert_eq!(Membership::new([]), None);
        assert_eq!(Membership::new((1..=65).map(founder)), None);
        let learner = Member { seat: Seat::Learner, ..founder(1) };
        assert_eq!(Membership::new([learner.clone()]), None);
        let fine = Membership::new([founder(2), learner]).unwrap();
        assert_eq!(fine.to_string(), "{n1~,n2}");
    }
}
