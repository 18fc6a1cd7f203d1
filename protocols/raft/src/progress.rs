//! What a leader knows of one follower.

use synod_consensus::Index;
use synod_engine::TaskId;
use synod_log::{Presence, Standing, Window};

/// How far a follower has come (`nextIndex` and `matchIndex` of figure 2, and what is under way).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Progress {
    /// Whether it answers, and is still a member.
    pub(crate) presence: Presence,
    /// Up to here its log is durable and agrees with the leader's.
    pub(crate) matched: Index,
    /// The next entry to send.
    pub(crate) next: Index,
    /// What the follower was told to be committed.
    pub(crate) told_commit: Index,
    /// How entries are sent.
    pub(crate) mode: Mode,
    /// The last read round that it confirmed (thesis §6.4).
    pub(crate) round: u64,
    /// Whether it had, at the last heartbeat, all that there was at the one before.
    pub(crate) caught_up: bool,
    /// `matched` at the last heartbeat; unchanged at the next means that something was lost, or its
    /// disk is slow.
    pub(crate) matched_at_heartbeat: Index,
    /// The entry that it was asked about while appends were under way. Other conflicts come from
    /// appends that overtook each other, and are no reason to send the window again.
    pub(crate) asked: Option<Index>,
    /// What it needs next, from this entry on, is being read from disk.
    pub(crate) reading: Option<(TaskId, Index)>,
    /// That could not be read; not again before the next heartbeat.
    pub(crate) is_unread: bool,
    window: Window,
}

/// How entries are sent to a follower.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Mode {
    /// It is not known where the logs agree: one append at a time.
    Probe {
        /// Whether that append is under way.
        asked: bool,
    },
    /// The logs agree up to what was sent: a window of appends.
    Replicate,
    /// It lacks entries that are compacted: it gets the snapshot up to this index.
    Install {
        /// What it will have afterwards.
        index: Index,
        /// Heartbeats since it was sent.
        age: u32,
    },
}

impl Progress {
    /// A follower of whom nothing is known; `next` is a guess.
    pub(crate) fn new(next: Index, presence: Presence) -> Self {
        Self {
            presence,
            matched: Index::ZERO,
            next,
            told_commit: Index::ZERO,
            mode: Mode::Probe { asked: false },
            round: 0,
            caught_up: false,
            matched_at_heartbeat: Index::ZERO,
            asked: None,
            reading: None,
            is_unread: false,
            window: Window::default(),
        }
    }

    /// Whether one more append may be sent within these bounds.
    pub(crate) fn has_room(&self, max_appends: usize, max_bytes: usize) -> bool {
        match self.mode {
            Mode::Probe { asked } => !asked,
            Mode::Replicate => self.window.has_room(max_appends, max_bytes),
            Mode::Install { .. } => false,
        }
    }

    /// An append that ends with `last` was sent.
    pub(crate) fn sent(&mut self, last: Index, size_bytes: usize) {
        match &mut self.mode {
            Mode::Probe { asked } => *asked = true,
            Mode::Replicate => {
                self.next = last.next();
                self.window.sent(last, size_bytes);
            }
            Mode::Install { .. } => {}
        }
    }

    /// The follower has everything up to `index`; returns whether that is news.
    pub(crate) fn matches(&mut self, index: Index) -> bool {
        self.window.acknowledged(index);
        let news = index > self.matched;
        self.matched = self.matched.max(index);
        self.next = self.next.max(self.matched.next());
        match self.mode {
            Mode::Probe { .. } => {
                self.mode = Mode::Replicate;
                self.next = self.matched.max(index).next();
            }
            Mode::Install { index: awaited, .. } if self.matched >= awaited => {
                self.mode = Mode::Replicate;
            }
            Mode::Replicate | Mode::Install { .. } => {}
        }
        news
    }

    /// Looks for the point of agreement again, from `next` on.
    pub(crate) fn probe(&mut self, next: Index) {
        self.mode = Mode::Probe { asked: false };
        self.next = next.max(self.matched.next());
        self.asked = None;
        self.window.clear();
    }

    /// What was under way may be lost. A guess where the logs agree stays a guess: from what is known
    /// to match on, it would be the whole log for a follower of whom nothing is known yet.
    pub(crate) fn lost(&mut self) {
        match &mut self.mode {
            Mode::Probe { asked } => *asked = false,
            Mode::Replicate | Mode::Install { .. } => self.probe(self.matched.next()),
        }
    }

    /// How far it is.
    pub(crate) fn standing(&self) -> Standing {
        let is_heard = self.presence.is_heard();
        Standing { matched: self.matched, caught_up: self.caught_up, is_heard }
    }

    /// At a heartbeat: whether it needs nothing more, since it knows that its removal is committed, or
    /// had time enough to hear of it.
    pub(crate) fn has_left(&mut self, commit: Index) -> bool {
        self.presence.has_left(self.matched.min(self.told_commit).min(commit))
    }

    /// The snapshot up to `index` was sent.
    pub(crate) fn installing(&mut self, index: Index) {
        self.mode = Mode::Install { index, age: 0 };
        self.window.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_is_answered_opens_the_window() {
        let mut progress = Progress::new(Index(8), Presence::default());
        assert!(progress.has_room(2, 100));
        progress.sent(Index(7), 0);
        assert!(!progress.has_room(2, 100));
        assert!(progress.matches(Index(7)));
        assert_eq!((progress.mode, progress.next), (Mode::Replicate, Index(8)));
    }

    #[test]
    fn the_window_is_bounded_in_messages_and_bytes() {
        let mut progress = Progress::new(Index(1), Presence::default());
        progress.matches(Index(0));
        progress.sent(Index(1), 60);
        progress.sent(Index(2), 60);
        assert!(!progress.has_room(2, 1000) && !progress.has_room(10, 100));
        progress.matches(Index(1));
        assert!(progress.has_room(2, 100));
        assert_eq!(progress.next, Index(3));
    }

    #[test]
    fn what_is_known_to_match_is_never_sent_again() {
        let mut progress = Progress::new(Index(9), Presence::default());
        progress.matches(Index(5));
        progress.probe(Index(2));
        assert_eq!(progress.next, Index(6));
    }

    /// Thesis §4.2.2 lets it fall silent; it should hear of its removal first, but not for ever.
    #[test]
    fn a_member_that_was_removed_has_left_once_it_knows_or_after_so_many_heartbeats() {
        let mut progress = Progress::new(Index(9), Presence::default());
        assert!(!progress.has_left(Index(9)));
        progress.presence.leave(Index(8));
        let mut silent = progress.clone();
        progress.matches(Index(8));
        assert!(!progress.has_left(Index(8)), "it was not told that this is committed");
        progress.told_commit = Index(8);
        assert!(!progress.has_left(Index(7)) && progress.has_left(Index(8)));
        assert!((1..100).any(|_| silent.has_left(Index(8))));
    }
}
