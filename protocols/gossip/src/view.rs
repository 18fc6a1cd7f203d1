//! A node at one moment, for traces, scripts and the lab.

use core::fmt;

/// What a node knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    /// Rumors that it tells.
    pub hot: usize,
    /// Rumors that it lost interest in.
    pub cold: usize,
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hot, {} cold", self.hot, self.cold)
    }
}
