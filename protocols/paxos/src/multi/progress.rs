//! What a leader knows of one follower.

use alloc::vec::Vec;

use synod_consensus::Index;
use synod_log::{Presence, Standing, Window};

/// How far a follower has come, and what is under way to it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Progress {
    /// Whether it answers, and is still a member.
    pub(crate) presence: Presence,
    /// Up to here it has all values, durably: accepted in the leader's ballot, or known to be chosen.
    pub(crate) prefix: Index,
    /// What it accepted behind that, from the first to the last.
    beyond: Vec<(Index, Index)>,
    /// Up to here it knows what is chosen, and durably who the members are.
    pub(crate) chosen: Index,
    /// The next instance to send. What lies before the first that it was ever sent it asks for itself.
    pub(crate) next: Index,
    floor: Index,
    /// What it was told to be chosen.
    pub(crate) told_chosen: Index,
    window: Window,
    /// The link broke: nothing is sent until it is heard again.
    is_silent: bool,
    /// The last read round that it confirmed.
    pub(crate) round: u64,
    /// Whether it had, at the last heartbeat, all that there was at the one before.
    pub(crate) caught_up: bool,
}

impl Progress {
    /// A follower of whom nothing is known, which is sent what is proposed from `next` on.
    pub(crate) fn new(next: Index, presence: Presence) -> Self {
        Self {
            presence,
            prefix: Index::ZERO,
            beyond: Vec::new(),
            chosen: Index::ZERO,
            next,
            floor: next,
            told_chosen: Index::ZERO,
            window: Window::default(),
            is_silent: false,
            round: 0,
            caught_up: false,
        }
    }

    /// It answered something.
    pub(crate) fn hear(&mut self) {
        self.presence.hear();
        self.is_silent = false;
    }

    /// Whether one more message may be sent within these bounds.
    pub(crate) fn has_room(&self, max_messages: usize, max_bytes: usize) -> bool {
        !self.is_silent && self.window.has_room(max_messages, max_bytes)
    }

    /// Values up to `last` were sent.
    pub(crate) fn sent(&mut self, last: Index, size_bytes: usize) {
        self.next = last.next();
        self.window.sent(last, size_bytes);
    }

    /// It has everything up to `prefix`, and what is `beyond`; returns whether that is news.
    pub(crate) fn accepted(&mut self, prefix: Index, beyond: Option<(Index, Index)>) -> bool {
        let mut is_news = prefix > self.prefix;
        self.prefix = self.prefix.max(prefix);
        if let Some((first, last)) = beyond.filter(|(_, last)| *last > self.prefix) {
            match self.beyond.last_mut() {
                Some((_, end)) if end.next() == first => *end = last,
                Some(_) | None => self.beyond.push((first, last)),
            }
            is_news = true;
        }
        if !self.beyond.is_empty() {
            let prefix = self.prefix;
            self.beyond.retain(|(_, last)| *last > prefix);
        }
        self.window.acknowledged(self.prefix);
        self.next = self.next.max(self.prefix.next());
        is_news
    }

    /// Whether it accepted everything from `first` to `last`.
    pub(crate) fn has(&self, first: Index, last: Index) -> bool {
        let covers = |(from, to): &(Index, Index)| *from <= first && last <= *to;
        last <= self.prefix || self.beyond.iter().any(covers)
    }

    /// Whether it accepted something behind a gap.
    pub(crate) fn has_gap(&self) -> bool {
        !self.beyond.is_empty()
    }

    /// It lacks what begins at `from`.
    pub(crate) fn lacks(&mut self, from: Index) {
        if from < self.next {
            self.next = from.max(self.floor);
            self.window.clear();
        }
    }

    /// The link broke, or is a new one: what was under way may be lost.
    pub(crate) fn lost(&mut self) {
        self.is_silent = true;
        self.window.clear();
        self.next = self.next.min(self.prefix.next().max(self.floor));
    }

    /// How far it is.
    pub(crate) fn standing(&self) -> Standing {
        let is_heard = self.presence.is_heard();
        Standing { matched: self.prefix, caught_up: self.caught_up, is_heard }
    }

    /// At a heartbeat: whether it needs nothing more, since it knows that it was removed, or had time
    /// enough to hear of it.
    pub(crate) fn has_left(&mut self) -> bool {
        self.presence.has_left(self.chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_behind_a_gap_counts_and_is_forgotten_once_the_gap_is_filled() {
        let mut progress = Progress::new(Index(1), Presence::default());
        assert!(progress.accepted(Index(0), Some((Index(5), Index(7)))));
        assert!(progress.accepted(Index(0), Some((Index(8), Index(9)))));
        assert!(progress.has(Index(5), Index(9)) && !progress.has(Index(4), Index(9)));
        assert!(progress.accepted(Index(9), None) && !progress.has_gap());
        assert!(!progress.accepted(Index(9), Some((Index(5), Index(9)))), "no news");
        assert_eq!(progress.next, Index(10));
    }

    #[test]
    fn what_was_lost_is_sent_again_but_nothing_from_before_the_first() {
        let mut progress = Progress::new(Index(5), Presence::default());
        (5..=9).for_each(|index| progress.sent(Index(index), 10));
        assert!(!progress.has_room(5, 1000) && !progress.has_room(9, 50));
        progress.lost();
        assert!(!progress.has_room(5, 1000));
        progress.hear();
        assert!(progress.has_room(5, 50) && progress.next == Index(5));
        progress.accepted(Index(7), None);
        assert_eq!(progress.next, Index(8));
        progress.sent(Index(9), 10);
        progress.lacks(Index(9));
        assert_eq!(progress.next, Index(9));
        progress.lacks(Index(2));
        assert_eq!(progress.next, Index(5));
    }

    #[test]
    fn a_member_that_was_removed_has_left_once_it_knows_or_after_so_many_heartbeats() {
        let mut progress = Progress::new(Index(9), Presence::default());
        assert!(!progress.has_left());
        progress.presence.leave(Index(8));
        let mut silent = progress.clone();
        assert!(!progress.has_left());
        progress.chosen = Index(8);
        assert!(progress.has_left());
        assert!((1..100).any(|_| silent.has_left()));
    }

    #[test]
    fn runs_behind_a_gap_that_do_not_touch_stay_apart() {
        let mut progress = Progress::new(Index(1), Presence::default());
        progress.accepted(Index(0), Some((Index(3), Index(4))));
        progress.accepted(Index(0), Some((Index(6), Index(7))));
        assert!(progress.has(Index(3), Index(4)) && progress.has(Index(6), Index(7)));
        assert!(!progress.has(Index(3), Index(6)));
    }

    #[test]
    fn who_lacks_only_what_was_not_sent_yet_still_has_the_rest_under_way() {
        let mut progress = Progress::new(Index(1), Presence::default());
        progress.hear();
        progress.sent(Index(3), 10);
        progress.lacks(Index(4));
        assert!(!progress.has_room(1, 1000), "the first message is not answered");
        progress.lacks(Index(2));
        assert!(progress.has_room(1, 1000));
    }
}
