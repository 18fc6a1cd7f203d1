//! When a follower that lacks something asks for it. Each time in vain it waits for twice as many pings: its
//! disk may be full, so that its driver drops what comes.

/// The longest wait is so many doublings.
const MAX_DOUBLINGS: u32 = 6;
/// Pings without a word about the history after which a synchronisation that is under way has lost something.
const QUIET_PINGS: u32 = 20;

/// Whether a follower needs what it was sent again.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Resync {
    is_due: bool,
    /// It asked, and the leader has not begun again.
    has_asked: bool,
    /// How often it asked since it last took something in.
    vain: u32,
    /// Pings until it may ask again.
    pings: u32,
    /// Pings since the leader said something about the history.
    quiet: u32,
}

impl Resync {
    /// What came does not fit behind the history, or cannot be taken in now.
    pub(super) fn lacks(&mut self) {
        self.is_due |= !self.has_asked;
    }

    /// The leader begins again.
    pub(super) fn begins(&mut self) {
        (self.is_due, self.has_asked, self.quiet) = (false, false, 0);
    }

    /// The leader was told how the history ends.
    pub(super) fn asked(&mut self) {
        (self.is_due, self.has_asked) = (false, true);
    }

    /// Something was taken in.
    pub(super) fn took_in(&mut self) {
        (self.vain, self.pings, self.quiet) = (0, 0, 0);
    }

    /// The leader pings. While it `synchronises` this node, it should have more to say: what it said, or what it
    /// was asked, may be lost.
    pub(super) fn pinged(&mut self, synchronises: bool) {
        self.pings = self.pings.saturating_sub(1);
        self.quiet = if synchronises { self.quiet + 1 } else { 0 };
        if self.quiet >= QUIET_PINGS {
            (self.is_due, self.has_asked, self.quiet) = (true, false, 0);
        }
    }

    /// Whether to ask now.
    pub(super) fn ask(&mut self) -> bool {
        let asks = self.is_due && self.pings == 0;
        if asks {
            self.asked();
            self.pings = 1 << self.vain.min(MAX_DOUBLINGS);
            self.vain += 1;
        }
        asks
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn who_asks_in_vain_asks_less_and_less_often_until_something_comes() {
        let mut resync = Resync::default();
        assert!(!resync.ask(), "nothing is missing");
        let mut asked_at = Vec::new();
        for ping in 0..200 {
            resync.lacks();
            if resync.ask() {
                asked_at.push(ping);
                resync.lacks();
                assert!(!resync.ask(), "not before the leader begins again");
                resync.begins();
            }
            resync.pinged(false);
        }
        assert_eq!(asked_at, [0, 1, 3, 7, 15, 31, 63, 127, 191]);
        resync.took_in();
        resync.lacks();
        assert!(resync.ask());
    }

    #[test]
    fn a_synchronisation_that_says_nothing_for_long_is_asked_for_again() {
        let mut resync = Resync::default();
        resync.asked();
        let asked_at: Vec<_> = (1..=60)
            .filter(|ping| {
                resync.pinged(true);
                if *ping == 30 {
                    resync.begins();
                }
                resync.ask()
            })
            .collect();
        assert_eq!(asked_at, [20, 50]);
    }
}
