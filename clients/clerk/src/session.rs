//! The numbers of a session: which are given out, and which the clerk still waits for.

use std::collections::VecDeque;
use std::time::Duration;

use synod_kv::limits::MAX_UNANSWERED;
use synod_kv::message::SessionId;
use tokio::time::Instant;

/// Numbers given out from the lowest unanswered one on.
const WINDOW: usize = MAX_UNANSWERED as usize;

/// An open session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    lease: Duration,
    /// When a command that kept it open was last sent.
    pub(crate) heard: Instant,
    numbers: Numbers,
}

impl Session {
    pub(crate) fn new(id: SessionId, lease: Duration, now: Instant) -> Self {
        Self { id, lease, heard: now, numbers: Numbers::new() }
    }

    /// When it should be kept alive, if nothing else does: two more tries fit before it ends.
    pub(crate) fn keep_alive_at(&self) -> Instant {
        self.heard + self.lease / 3
    }

    /// The numbers of its commands.
    pub(crate) fn numbers(&mut self) -> &mut Numbers {
        &mut self.numbers
    }
}

/// Consecutive numbers from 1 on, of which the lowest open one is told to the store.
#[derive(Debug)]
pub(crate) struct Numbers {
    answered_below: u64,
    /// Whether each number from there on is settled. The first, if any, is not.
    settled: VecDeque<bool>,
}

impl Numbers {
    fn new() -> Self {
        Self { answered_below: 1, settled: VecDeque::new() }
    }

    /// The next number; `None` while the window is full.
    pub(crate) fn next(&mut self) -> Option<u64> {
        if self.settled.len() >= WINDOW {
            return None;
        }
        self.settled.push_back(false);
        Some(self.answered_below + self.settled.len() as u64 - 1)
    }

    /// Whether a next number can be given out.
    pub(crate) fn has_room(&self) -> bool {
        self.settled.len() < WINDOW
    }

    /// The fate of the command with this number is known, or nobody waits for it.
    pub(crate) fn settle(&mut self, number: u64) {
        let place = (number - self.answered_below) as usize;
        self.settled[place] = true;
        while self.settled.front() == Some(&true) {
            self.settled.pop_front();
            self.answered_below += 1;
        }
    }

    /// The lowest number that somebody waits for; the next one if there is none.
    pub(crate) fn answered_below(&self) -> u64 {
        self.answered_below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_settled_from_the_front_counts_as_answered() {
        let mut numbers = Numbers::new();
        assert_eq!([numbers.next(), numbers.next(), numbers.next()], [Some(1), Some(2), Some(3)]);
        numbers.settle(2);
        assert_eq!(numbers.answered_below(), 1);
        numbers.settle(1);
        assert_eq!(numbers.answered_below(), 3);
        numbers.settle(3);
        assert_eq!((numbers.answered_below(), numbers.next()), (4, Some(4)));
    }

    #[test]
    fn a_full_window_gives_out_no_number_until_the_lowest_is_settled() {
        let mut numbers = Numbers::new();
        while numbers.next().is_some() {}
        numbers.settle(2);
        assert!(!numbers.has_room());
        numbers.settle(1);
        assert_eq!(numbers.next(), Some(WINDOW as u64 + 1));
    }
}
