//! When a node that has just started may be sent traffic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a node has caught up since it started, found out by a read like any client's: the node answers
/// one once it has applied all that was committed when it was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readiness(Arc<Progress>);

#[derive(Debug, Default)]
struct Progress {
    has_caught_up: AtomicBool,
    is_asking: AtomicBool,
}

impl Readiness {
    /// Whether the node has caught up. If not, it has `ask` ask it, unless a question is under way.
    pub(crate) fn look(&self, ask: impl FnOnce(Self)) -> bool {
        let has_caught_up = self.0.has_caught_up.load(Ordering::Acquire);
        if !has_caught_up && !self.0.is_asking.swap(true, Ordering::AcqRel) {
            ask(self.clone());
        }
        has_caught_up
    }

    /// The question was answered, or came to nothing.
    pub(crate) fn told(&self, is_answer: bool) {
        if is_answer {
            self.0.has_caught_up.store(true, Ordering::Release);
        }
        self.0.is_asking.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_question_at_a_time_is_asked_until_one_is_answered() {
        let readiness = Readiness::default();
        let mut asked = Vec::new();
        assert!(!readiness.look(|question| asked.push(question)));
        assert!(!readiness.look(|_| panic!("one is under way")));
        asked.pop().expect("it was asked").told(false);
        assert!(!readiness.look(|question| asked.push(question)));
        asked.pop().expect("it was asked again").told(true);
        assert!(readiness.look(|_| panic!("nothing is left to ask")));
    }
}
