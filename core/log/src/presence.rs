//! Whether a follower answers its leader, and whether it is still a member.

use synod_consensus::{Index, Member};
use synod_engine::Incarnation;

/// Heartbeats that a member which was removed still gets, unless it acknowledges sooner.
const FAREWELL_HEARTBEATS: u32 = 40;

/// What a leader knows of a follower apart from its log.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Presence {
    /// Which life of its directory is meant, if the members say so. Another one has nothing of this.
    life: Option<Incarnation>,
    /// Whether it answered since the last check of the quorum.
    heard: bool,
    /// Whether it had answered before that check.
    heard_before: bool,
    leaving: Option<Leaving>,
}

/// A member that was removed, and should hear of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Leaving {
    /// The entry by which it was.
    since: Index,
    /// Heartbeats since.
    age: u32,
}

impl Presence {
    /// A member that was not heard yet.
    pub fn of(member: &Member) -> Self {
        Self { life: life(member), ..Self::default() }
    }

    /// Whether it is this member, as it is known: in the same life, and not removed in between.
    pub fn is(&self, member: &Member) -> bool {
        self.life == life(member) && !self.is_leaving()
    }

    /// It answered something.
    pub fn hear(&mut self) {
        self.heard = true;
    }

    /// Whether it answered since the last check of the quorum.
    pub fn was_heard(&self) -> bool {
        self.heard
    }

    /// Whether it answered lately: within the last one or two checks of the quorum.
    pub fn is_heard(&self) -> bool {
        self.heard || self.heard_before
    }

    /// The quorum was checked.
    pub fn checked(&mut self) {
        self.heard_before = core::mem::take(&mut self.heard);
    }

    /// It is no member any more, by the entry `since`.
    pub fn leave(&mut self, since: Index) {
        self.leaving.get_or_insert(Leaving { since, age: 0 });
    }

    /// Whether it is no member any more.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// At a heartbeat: whether it needs nothing more, since what it knows to be committed reaches its
    /// removal, or it had time enough to hear of that.
    pub fn has_left(&mut self, knows: Index) -> bool {
        let Some(leaving) = &mut self.leaving else { return false };
        leaving.age += 1;
        knows >= leaving.since || leaving.age > FAREWELL_HEARTBEATS
    }
}

fn life(member: &Member) -> Option<Incarnation> {
    member.contact.as_ref().map(|contact| contact.incarnation)
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use synod_consensus::Contact;
    use synod_engine::NodeId;

    use super::*;

    fn member(incarnation: u64) -> Member {
        let (address, client_address) = (String::new(), String::new());
        let contact = Contact { incarnation: Incarnation(incarnation), address, client_address };
        Member { contact: Some(contact), ..Member::founder(NodeId(2)) }
    }

    #[test]
    fn another_life_is_another_follower_and_so_is_who_was_removed() {
        let mut presence = Presence::of(&member(7));
        assert!(presence.is(&member(7)) && !presence.is(&member(8)));
        assert!(!presence.is(&Member::founder(NodeId(2))));
        presence.leave(Index(8));
        assert!(!presence.is(&member(7)));
    }

    #[test]
    fn who_answers_is_heard_for_two_checks() {
        let mut presence = Presence::default();
        let mut seen = |check: bool| {
            if check {
                presence.checked();
            } else {
                presence.hear();
            }
            (presence.was_heard(), presence.is_heard())
        };
        assert_eq!(seen(true), (false, false));
        assert_eq!(seen(false), (true, true));
        assert_eq!([seen(true), seen(true)], [(false, true), (false, false)]);
    }

    /// Raft's thesis §4.2.2 lets it fall silent; it should hear of its removal first, but not for ever.
    #[test]
    fn a_member_that_was_removed_has_left_once_it_knows_or_after_so_many_heartbeats() {
        let mut presence = Presence::default();
        assert!(!presence.has_left(Index(9)) && !presence.is_leaving());
        presence.leave(Index(8));
        presence.leave(Index(9));
        assert!(presence.is_leaving());
        let mut silent = presence.clone();
        assert!(!presence.has_left(Index(7)) && presence.has_left(Index(8)));
        let patience = (1..).find(|_| silent.has_left(Index(7)));
        assert_eq!(patience, Some(FAREWELL_HEARTBEATS + 1));
    }
}
