//! Which versions of the protocol between nodes are spoken here.
//!
//! Whoever dials offers the newest that it speaks. The other side takes it, or names its own newest and
//! refuses; then the dialler offers that one, if it speaks it. So two nodes speak the newest that both
//! know, nodes of a version and the next form one cluster, and a node that was upgraded is spoken to as
//! such as soon as it is back.
//!
//! What a version says is frozen once it was released (`tests/versions.rs`):
//!
//! | version | what is new |
//! |---|---|
//! | 2 | the oldest that is spoken: a frame for each message |
//! | 3 | a frame for as many messages as wait, of any groups |

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// A version of the protocol between nodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeerVersion(pub u16);

impl PeerVersion {
    /// The oldest that this program speaks.
    pub const OLDEST: Self = Self(2);
    /// The newest that this program speaks.
    pub const NEWEST: Self = Self(3);

    /// All that this program speaks.
    pub const SPOKEN: RangeInclusive<Self> = Self::OLDEST..=Self::NEWEST;

    /// Whether many messages share a frame.
    pub(crate) fn packs(self) -> bool {
        self >= Self(3)
    }
}

impl fmt::Display for PeerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
