//! What happened, as a rolling hash always and as text when asked.

use std::fmt::{self, Write};

use synod_engine::NodeId;

use crate::dice::mix;

/// The trace of a run.
pub(crate) struct Trace {
    hash: u64,
    text: Option<String>,
}

impl Trace {
    pub(crate) fn new(with_text: bool) -> Self {
        Self { hash: 0, text: with_text.then(String::new) }
    }

    /// Takes an event into the hash.
    pub(crate) fn event(&mut self, now: u64, node: u32, what: u64) {
        self.hash = (self.hash.rotate_left(23) ^ now).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ (u64::from(node) << 48 ^ what).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    }

    pub(crate) fn hash(&self) -> u64 {
        mix(self.hash, 1)
    }

    pub(crate) fn has_text(&self) -> bool {
        self.text.is_some()
    }

    pub(crate) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Adds a line to the text, if there is one.
    #[inline]
    pub(crate) fn say(&mut self, now: u64, node: Option<NodeId>, what: fmt::Arguments<'_>) {
        if let Some(text) = &mut self.text {
            let (seconds, nanos) = (now / 1_000_000_000, now % 1_000_000_000);
            let who = node.map_or_else(String::new, |node| node.to_string());
            writeln!(text, "{seconds:>4}.{nanos:09} {who:<4} {what}")
                .expect("memory takes any text");
        }
    }
}
