//! The name of a write, by which histories are compared.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A ZooKeeper transaction id: the epoch of the leader that proposed a write, and the place of the
/// write within that epoch, 32 bits each. Of two histories the one whose last zxid is higher
/// knows more.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Zxid(u64);

impl Zxid {
    /// Before the first write of any epoch.
    pub const ZERO: Self = Self(0);

    /// The zxid of this epoch and counter. Counter 0 is the epoch itself, before its first write.
    #[must_use]
    pub const fn new(epoch: u32, counter: u32) -> Self {
        Self((epoch as u64) << 32 | counter as u64)
    }

    /// The epoch of the leader that proposed it.
    #[must_use]
    pub const fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Its place within the epoch.
    #[must_use]
    pub const fn counter(self) -> u32 {
        self.0 as u32
    }

    /// The next one of the same epoch; `None` if the epoch has no more: a new one must begin.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.counter().checked_add(1) {
            Some(counter) => Some(Self::new(self.epoch(), counter)),
            None => None,
        }
    }

    /// Both halves as one number, as ZooKeeper's wire protocol has it.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The zxid that is this number on ZooKeeper's wire.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch(), self.counter())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_later_epoch_beats_any_counter() {
        assert!(Zxid::new(1, u32::MAX) < Zxid::new(2, 0));
        assert!(Zxid::new(2, 0) < Zxid::new(2, 1));
        assert_eq!(Zxid::new(2, 7).bits(), 0x2_0000_0007);
        assert_eq!(Zxid::from_bits(0x2_0000_0007), Zxid::new(2, 7));
        assert_eq!(Zxid::new(2, 7).to_string(), "2.7");
    }

    #[test]
    fn an_epoch_ends_when_its_counter_does() {
        assert_eq!(Zxid::new(3, 4).next(), Some(Zxid::new(3, 5)));
        assert_eq!(Zxid::new(3, u32::MAX).next(), None);
    }
}
