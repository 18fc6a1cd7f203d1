//! The rule that holds effects back until what they rest on is durable.

use alloc::collections::VecDeque;

/// How many records an engine has persisted in this life: a place in its history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The place after one more record.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Held effects of one engine, in order, each with the position it waits for.
///
/// Positions never fall from front to back, so releasing is a matter of the front alone: no effect
/// overtakes an earlier one.
#[derive(Clone, Debug)]
pub struct HeldQueue<T> {
    queue: VecDeque<(Position, T)>,
}

impl<T> Default for HeldQueue<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new() }
    }
}

impl<T> HeldQueue<T> {
    /// Holds `effect` until `persisted`, everything persisted so far, is durable.
    ///
    /// # Panics
    /// If an earlier effect waits for a later position: a bug of the driver.
    pub fn hold(&mut self, persisted: Position, effect: T) {
        if let Some((last, _)) = self.queue.back() {
            assert!(*last <= persisted, "held effects wait in the order of their records");
        }
        self.queue.push_back((persisted, effect));
    }

    /// The next effect that may be performed when everything up to `durable` is durable.
    pub fn release(&mut self, durable: Position) -> Option<T> {
        let (position, _) = self.queue.front()?;
        if *position > durable {
            return None;
        }
        self.queue.pop_front().map(|(_, effect)| effect)
    }

    /// Drops the held effects that `gone` selects: a held start of a task that was aborted, the
    /// sends of a session that ended.
    pub fn cancel(&mut self, mut gone: impl FnMut(&T) -> bool) {
        self.queue.retain(|(_, effect)| !gone(effect));
    }

    /// How many effects are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overtakes_an_earlier_effect() {
        let mut held = HeldQueue::default();
        held.hold(Position(1), "vote");
        held.hold(Position(1), "reply");
        held.hold(Position(2), "acknowledgement");
        assert_eq!(held.release(Position(0)), None);
        assert_eq!(held.release(Position(1)), Some("vote"));
        assert_eq!(held.release(Position(1)), Some("reply"));
        assert_eq!(held.release(Position(1)), None);
        assert_eq!(held.release(Position(2)), Some("acknowledgement"));
        assert!(held.is_empty());
    }

    #[test]
    fn a_cancelled_effect_is_never_released() {
        let mut held = HeldQueue::default();
        held.hold(Position(1), 7);
        held.hold(Position(1), 8);
        held.cancel(|effect| *effect == 7);
        assert_eq!(held.release(Position(1)), Some(8));
        assert_eq!(held.len(), 0);
    }
}
