//! One bound that all groups of a node share.
//!
//! A group may hold as much as is left for the others: one that is stuck soon holds half of the whole
//! and no more, and the others go on. A group that is alone may hold all.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How much there is, and how much of it is in use.
pub(crate) struct Budget {
    max: usize,
    is_shared: bool,
    used: AtomicUsize,
}

impl Budget {
    /// At most `max` for `groups` groups together.
    pub(crate) fn new(max: usize, groups: usize) -> Self {
        Self { max, is_shared: groups > 1, used: AtomicUsize::new(0) }
    }

    /// Whether a group that holds `own` may hold `more`. Callers at the same moment may each be told
    /// yes: the bound is exceeded by what they bring at most.
    pub(crate) fn has_room(&self, own: usize, more: usize) -> bool {
        let left = self.max.saturating_sub(self.used());
        if self.is_shared { own.saturating_add(more) <= left } else { more <= left }
    }

    /// How much is in use.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes some into use.
    pub(crate) fn take(&self, some: usize) {
        self.used.fetch_add(some, Ordering::Relaxed);
    }

    /// Gives some back that was taken.
    pub(crate) fn give_back(&self, some: usize) {
        self.used.fetch_sub(some, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(budget: &Budget) -> usize {
        let mut own = 0;
        while budget.has_room(own, 1) {
            budget.take(1);
            own += 1;
        }
        own
    }

    #[test]
    fn one_group_alone_may_hold_all_and_no_more() {
        let budget = Budget::new(100, 1);
        assert_eq!(fill(&budget), 100);
        assert!(!budget.has_room(100, 1));
        budget.give_back(1);
        assert!(budget.has_room(99, 1) && !budget.has_room(99, 2));
    }

    #[test]
    fn a_greedy_group_leaves_room_for_the_others() {
        let budget = Budget::new(100, 10);
        assert_eq!(fill(&budget), 50);
        assert_eq!(fill(&budget), 25);
        assert!(budget.has_room(0, 1), "there is always room for one that has nothing");
        (0..100).for_each(|_| {
            fill(&budget);
        });
        assert!(budget.used() <= 100);
    }
}
