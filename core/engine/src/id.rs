//! Names of things: nodes, groups, clusters, incarnations, tasks, local requests.

use core::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id! {
    /// A member of a group, unique in its cluster and never reused for another machine.
    NodeId(u64), "n"
}

id! {
    /// One of many engines of the same kind that a node hosts, each replicated on its own.
    GroupId(u32), "g"
}

id! {
    /// A cluster, drawn at random when it is created; nodes of different clusters refuse each other.
    ClusterId(u64), "c"
}

id! {
    /// One life of a node's data directory, drawn at random when the directory is made.
    ///
    /// A node whose directory was emptied or repaired comes back under a new incarnation and counts
    /// in no quorum until it is admitted again.
    Incarnation(u64), "i"
}

id! {
    /// A task that an engine started, unique in one life of that engine.
    TaskId(u64), "t"
}

id! {
    /// A local request, named by the local user who made it and who will be answered by this name.
    Token(u64), "#"
}

impl Incarnation {
    /// A life that founds nothing ends in so many zero bits.
    const MARK_BITS: u32 = 16;

    /// The life of a directory that founds its groups, named by these random bits.
    #[must_use]
    pub const fn founder(random: u64) -> Self {
        Self(random | 1)
    }

    /// The life of a directory that is to join groups which others founded, or whose log was given up,
    /// named by these random bits. It shows, so that even one who never met the life before does not take
    /// it for a member of the first hour.
    #[must_use]
    pub const fn newcomer(random: u64) -> Self {
        Self((random | 1) << Self::MARK_BITS)
    }

    /// Whether it takes no part in a group before the members name it. One that is none takes itself for a
    /// founder, and may be one whose directory was emptied behind its back.
    #[must_use]
    pub const fn is_newcomer(self) -> bool {
        self.0.trailing_zeros() >= Self::MARK_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_shows_whatever_its_bits_and_a_founder_never_looks_like_one() {
        for random in [0, 1, 1 << 15, 1 << 16, 1 << 63, 0xffff_0000, u64::MAX] {
            assert!(!Incarnation::founder(random).is_newcomer(), "{random:x}");
            let newcomer = Incarnation::newcomer(random);
            assert!(newcomer.is_newcomer() && newcomer != Incarnation(0), "{random:x}");
        }
    }
}
