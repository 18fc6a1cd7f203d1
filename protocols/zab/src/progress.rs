//! What a leader knows of one follower or observer.

use synod_consensus::Index;
use synod_engine::TaskId;
use synod_log::{Presence, Standing, Window};

use crate::message::Summary;

/// Heartbeats without an answer that was due after which a follower is asked where it is; doubled each time,
/// since its disk may only be slow.
const PATIENCE_HEARTBEATS: u32 = 2;
/// It is doubled at most so often.
const MAX_DOUBLINGS: u32 = 6;
/// Heartbeats after which a snapshot that was not acknowledged is sent again; a driver that is still
/// streaming it ignores the second one.
const SNAP_PATIENCE_HEARTBEATS: u32 = 20;

/// How far a follower has come.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Progress {
    /// Whether it answers, and is still a member.
    pub(crate) presence: Presence,
    /// Up to here its history is durable and agrees with the leader's.
    pub(crate) matched: Index,
    /// Whether it acknowledged NEWLEADER, ever: its history, durably, is one of this epoch.
    pub(crate) synced: bool,
    /// Where it is in its synchronisation.
    pub(crate) stage: Stage,
    /// The next entry to send.
    pub(crate) next: Index,
    /// What it was told to be committed, since UPTODATE; `None` before.
    pub(crate) told: Option<Index>,
    /// The last round that it confirmed.
    pub(crate) round: u64,
    /// Whether it had, at the last heartbeat, all that there was at the one before.
    pub(crate) caught_up: bool,
    /// `matched` at the last heartbeat.
    matched_at_heartbeat: Index,
    /// Heartbeats since it answered something that was due, and how often it was asked since.
    silence: u32,
    asked: u32,
    /// What it needs next, from this entry on, is being read from disk.
    pub(crate) reading: Option<(TaskId, Index)>,
    /// That could not be read; not again before the next heartbeat.
    pub(crate) is_unread: bool,
    pub(crate) window: Window,
}

/// Where a follower is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Stage {
    /// Not heard of since the link opened, or the epoch began.
    Away,
    /// It was asked to accept the epoch and to say how its history ends.
    Asked,
    /// It said so, and waits until the leader may synchronise it.
    Waits(Summary),
    /// It gets what it lacks up to this entry, then NEWLEADER.
    Syncs(Index),
    /// NEWLEADER was sent, and what is proposed follows.
    Announced,
    /// NEWLEADER was acknowledged, in this synchronisation.
    Follows,
    /// It lacks entries that are compacted: it gets the snapshot up to this index.
    Installs {
        /// What it will have afterwards.
        index: Index,
        /// Heartbeats since it was sent.
        age: u32,
    },
}

impl Progress {
    /// A follower of whom nothing is known. It may follow already: then it answers when it is asked.
    pub(crate) fn new(presence: Presence) -> Self {
        Self {
            presence,
            matched: Index::ZERO,
            synced: false,
            stage: Stage::Asked,
            next: Index(1),
            told: None,
            round: 0,
            caught_up: false,
            matched_at_heartbeat: Index::ZERO,
            silence: 0,
            asked: 0,
            reading: None,
            is_unread: false,
            window: Window::default(),
        }
    }

    /// It enters another stage: what was under way counts no more.
    pub(crate) fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.window.clear();
        self.told = None;
    }

    /// Whether entries are sent to it.
    pub(crate) fn is_sent_entries(&self) -> bool {
        matches!(self.stage, Stage::Syncs(_) | Stage::Announced | Stage::Follows)
    }

    /// Whether it installs a snapshot.
    pub(crate) fn installs(&self) -> bool {
        matches!(self.stage, Stage::Installs { .. })
    }

    /// A message with entries up to `last` was sent.
    pub(crate) fn sent(&mut self, last: Index, size_bytes: usize) {
        self.next = last.next();
        self.window.sent(last, size_bytes);
    }

    /// It has everything up to `index`; returns whether that is news.
    pub(crate) fn matches(&mut self, index: Index) -> bool {
        self.window.acknowledged(index);
        let news = index > self.matched;
        self.matched = self.matched.max(index);
        news
    }

    /// It has everything up to `index`, in this epoch, and follows; returns whether that is news.
    pub(crate) fn syncs(&mut self, index: Index) -> bool {
        let news = !core::mem::replace(&mut self.synced, true) || self.stage == Stage::Announced;
        if self.stage == Stage::Announced {
            self.stage = Stage::Follows;
        }
        self.matches(index) || news
    }

    /// A heartbeat goes out: whether to ask where the follower is, since something that was due did not
    /// come. What was lost on the way is sent again once it answers.
    pub(crate) fn is_stuck(&mut self) -> bool {
        let waits = match &mut self.stage {
            Stage::Away | Stage::Waits(_) => false,
            Stage::Asked | Stage::Announced => true,
            Stage::Syncs(_) | Stage::Follows => self.matched.next() < self.next,
            Stage::Installs { age, .. } => {
                *age += 1;
                return *age % SNAP_PATIENCE_HEARTBEATS == 0;
            }
        };
        let moved = core::mem::replace(&mut self.matched_at_heartbeat, self.matched);
        if !waits || moved != self.matched {
            (self.silence, self.asked) = (0, 0);
            return false;
        }
        self.silence += 1;
        let is_due = self.silence >= PATIENCE_HEARTBEATS << self.asked.min(MAX_DOUBLINGS);
        if is_due {
            (self.silence, self.asked) = (0, self.asked + 1);
        }
        is_due
    }

    /// How far it is.
    pub(crate) fn standing(&self) -> Standing {
        let is_heard = self.presence.is_heard();
        Standing { matched: self.matched, caught_up: self.caught_up, is_heard }
    }

    /// At a heartbeat: whether it needs nothing more, since it knows that its removal is committed, or
    /// had time enough to hear of it.
    pub(crate) fn has_left(&mut self, commit: Index) -> bool {
        let told = self.told.unwrap_or_default();
        self.presence.has_left(self.matched.min(told).min(commit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_is_asked_less_and_less_often() {
        let mut progress = Progress::new(Presence::default());
        progress.enter(Stage::Away);
        assert!((0..10).all(|_| !progress.is_stuck()), "nothing is due of who is away");
        let mut progress = Progress::new(Presence::default());
        let asked: alloc::vec::Vec<_> = (1..=30).filter(|_| progress.is_stuck()).collect();
        assert_eq!(asked, [2, 6, 14, 30]);
        let mut progress = Progress::new(Presence::default());
        progress.enter(Stage::Announced);
        progress.next = Index(5);
        assert!((0..10).any(|_| progress.is_stuck()), "NEWLEADER is not acknowledged");
        progress.syncs(Index(4));
        assert!((0..10).all(|_| !progress.is_stuck()), "it has everything");
    }

    #[test]
    fn who_installs_a_snapshot_is_sent_it_again_after_a_while() {
        let mut progress = Progress::new(Presence::default());
        assert!(!progress.installs());
        progress.enter(Stage::Installs { index: Index(9), age: 0 });
        assert!(progress.installs());
        let asked: alloc::vec::Vec<_> = (1..=50).filter(|_| progress.is_stuck()).collect();
        assert_eq!(asked, [20, 40]);
    }

    #[test]
    fn that_a_follower_follows_is_news_once_in_each_synchronisation() {
        let mut progress = Progress::new(Presence::default());
        progress.enter(Stage::Announced);
        assert!(progress.syncs(Index(4)));
        assert!(!progress.syncs(Index(4)), "a doubled acknowledgement");
        assert!(progress.syncs(Index(5)), "more entries are news");
        progress.enter(Stage::Announced);
        assert!(progress.syncs(Index(5)), "synchronised anew");
    }

    /// It should hear of its removal, but not for ever.
    #[test]
    fn a_member_that_was_removed_has_left_once_it_knows_or_after_so_many_heartbeats() {
        let mut progress = Progress::new(Presence::default());
        assert!(!progress.has_left(Index(9)));
        progress.presence.leave(Index(8));
        let mut silent = progress.clone();
        progress.matches(Index(8));
        assert!(!progress.has_left(Index(8)), "it was not told that this is committed");
        progress.told = Some(Index(8));
        assert!(!progress.has_left(Index(7)) && progress.has_left(Index(8)));
        assert!((1..100).any(|_| silent.has_left(Index(8))));
    }
}
