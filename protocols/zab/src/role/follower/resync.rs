//! When a follower that lacks something asks for it. Each time in vain it waits for twice as many pings: its
//! disk may be full, so that its driver drops what comes.

/// The longest wait is so many doublings.
const MAX_DOUBLINGS: u32 = 6;

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
}

impl Resync {
    /// What came does not fit behind the history, or cannot be taken in now.
    pub(super) fn lacks(&mut self) {
        self.is_due |= !self.has_asked;
    }

    /// The leader begins again.
    pub(super) fn begins(&mut self) {
        (self.is_due, self.has_asked) = (false, false);
    }

    /// The leader was told how the history ends.
    pub(super) fn asked(&mut self) {
        (self.is_due, self.has_asked) = (false, true);
    }

    /// Something was taken in.
    pub(super) fn took_in(&mut self) {
        (self.vain, self.pings) = (0, 0);
    }

    /// The leader pings.
    pub(super) fn pinged(&mut self) {
        self.pings = self.pings.saturating_sub(1);
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
            resync.pinged();
        }
        assert_eq!(asked_at, [0, 1, 3, 7, 15, 31, 63, 127, 191]);
        resync.took_in();
        resync.lacks();
        assert!(resync.ask());
    }
}
