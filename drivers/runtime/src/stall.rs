//! Tells when the disk has stalled for so long that whoever leads should hand over.
//!
//! A short stall costs nothing: heartbeats, reads and the followers' acknowledgements do not wait for
//! the leader's own disk, and a majority of others commits without it. A long one may never end, and what
//! is not durable here piles up. The core asks, with its own timer: the thread that syncs cannot tell, it
//! is stuck.

use std::time::Duration;

use synod_engine::{Instant, Position};

/// How long after a request to hand over the next is made, if the stall lasts and this node still leads.
const AGAIN: Duration = Duration::from_secs(1);

/// A watch over the oldest record that is not durable.
#[derive(Debug)]
pub(crate) struct Stall {
    limit: Duration,
    /// A record that was not durable, and when it was first seen to be there. A later one follows once it
    /// is durable: a stall is noticed late by at most the length of the sync before it.
    waiting: Option<(Position, Instant)>,
    /// When handing over is due next.
    due: Option<Instant>,
}

impl Stall {
    /// A watch that puts up with stalls up to `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, waiting: None, due: None }
    }

    /// Everything up to `durable` is, of what was persisted so far. Returns whether to hand over now.
    pub(crate) fn look(&mut self, now: Instant, persisted: Position, durable: Position) -> bool {
        if self.waiting.is_none_or(|(position, _)| position <= durable) {
            self.waiting = (durable < persisted).then_some((persisted, now));
            self.due = self.waiting.map(|(_, since)| since + self.limit);
        }
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.due = Some(now + AGAIN);
        }
        is_due
    }

    /// When to look again, if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    #[test]
    fn a_disk_that_keeps_up_is_never_stalled() {
        let mut stall = Stall::new(LIMIT);
        for second in 0..100 {
            assert!(!stall.look(at(second), Position(second + 5), Position(second)));
        }
        assert!(!stall.look(at(100), Position(104), Position(104)));
        assert_eq!(stall.deadline(), None, "nothing waits, nothing wakes the core");
    }

    #[test]
    fn a_record_that_waits_beyond_the_limit_is_a_stall_that_is_told_again_and_again() {
        let mut stall = Stall::new(LIMIT);
        assert!(!stall.look(at(1), Position(3), Position(2)));
        assert_eq!(stall.deadline(), Some(at(11)));
        assert!(!stall.look(at(10), Position(9), Position(2)), "later records do not prolong it");
        assert!(stall.look(at(11), Position(9), Position(2)));
        assert!(!stall.look(at(11), Position(9), Position(2)));
        assert!(stall.look(at(12), Position(9), Position(2)));
        assert!(!stall.look(at(13), Position(9), Position(3)), "the disk moves again");
        assert_eq!(stall.deadline(), Some(at(23)));
    }
}
