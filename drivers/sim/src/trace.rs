//! What happened, as a rolling hash always, and as text or step by step when asked.

use std::fmt::{self, Write};
use std::time::Duration;

use synod_engine::NodeId;

use crate::dice::mix;

/// The trace of a run.
pub(crate) struct Trace {
    hash: u64,
    text: Option<String>,
    steps: Option<Vec<(u64, u32, u64)>>,
}

/// One thing that happened, as far as the hash knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// When, in virtual time.
    pub at: Duration,
    /// To which node; `None` if to none of them.
    pub node: Option<NodeId>,
    /// What: the kind of the event, and what goes with it.
    pub what: u64,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, node, what } = self;
        let who = node.map_or_else(|| "the world".to_owned(), |node| node.to_string());
        write!(f, "{what:#x} at {who} after {at:?}")
    }
}

/// Where two runs part that should be one; `None` if they do not.
#[must_use]
pub fn parting(one: &[Step], two: &[Step]) -> Option<String> {
    let same = one.iter().zip(two).take_while(|(one, two)| one == two).count();
    let tell = |steps: &[Step]| steps.get(same).map_or("the end".to_owned(), Step::to_string);
    let parts = one.len() != same || two.len() != same;
    parts.then(|| format!("step {} is {} or {}", same + 1, tell(one), tell(two)))
}

impl Trace {
    pub(crate) fn new(with_text: bool, with_steps: bool) -> Self {
        Self { hash: 0, text: with_text.then(String::new), steps: with_steps.then(Vec::new) }
    }

    /// Takes an event into the hash.
    pub(crate) fn event(&mut self, now: u64, node: u32, what: u64) {
        self.hash = (self.hash.rotate_left(23) ^ now).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ (u64::from(node) << 48 ^ what).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        if let Some(steps) = &mut self.steps {
            steps.push((now, node, what));
        }
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

    pub(crate) fn steps(&self, ids: &[NodeId]) -> Vec<Step> {
        let step = |&(now, node, what): &(u64, u32, u64)| Step {
            at: Duration::from_nanos(now),
            node: ids.get(node as usize).copied(),
            what,
        };
        self.steps.iter().flatten().map(step).collect()
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
