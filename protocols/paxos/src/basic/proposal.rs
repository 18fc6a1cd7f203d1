//! Values, and what becomes of one that is proposed in a ballot.
//!
//! A ballot is used by one proposer for one value (§2.2, "proposal number").

use alloc::string::String;
use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Ballot;

/// A value that may be chosen. Reference-counted; never copied inside a node.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Value(pub Bytes);

/// A value proposed in a ballot.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Proposal {
    /// In which ballot.
    pub ballot: Ballot,
    /// Which value.
    pub value: Value,
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }
}

impl fmt::Display for Value {
    /// The value in quotes; of a long one, the beginning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_BYTES: usize = 24;
        let shown = String::from_utf8_lossy(&self.0[..self.0.len().min(SHOWN_BYTES)]);
        let more = if self.0.len() > SHOWN_BYTES { "…" } else { "" };
        write!(f, "\"{}{more}\"", shown.escape_debug())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.value, self.ballot)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_long_or_strange_value_is_shown_short_and_escaped() {
        assert_eq!(Value::from("plain").to_string(), "\"plain\"");
        assert_eq!(Value::from("two\nlines").to_string(), "\"two\\nlines\"");
        let long = Value::from("0123456789012345678901234567890");
        assert_eq!(long.to_string(), "\"012345678901234567890123…\"");
        let fits = Value::from("012345678901234567890123");
        assert_eq!(fits.to_string(), "\"012345678901234567890123\"");
        assert_eq!(alloc::format!("{fits:?}"), fits.to_string());
    }
}
