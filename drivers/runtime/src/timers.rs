//! The timers of one engine. Setting one is a store; nothing is told to anybody until the earliest
//! deadline is asked for.

use synod_engine::Instant;

/// Deadlines by name. Engines have a handful of timers, so a list beats a tree.
pub(crate) struct Timers<T> {
    set: Vec<(T, Instant)>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { set: Vec::new() }
    }
}

impl<T: Copy + Ord> Timers<T> {
    pub(crate) fn set(&mut self, timer: T, deadline: Instant) {
        match self.set.iter_mut().find(|(name, _)| *name == timer) {
            Some((_, earlier)) => *earlier = deadline,
            None => self.set.push((timer, deadline)),
        }
    }

    pub(crate) fn cancel(&mut self, timer: T) {
        self.set.retain(|(name, _)| *name != timer);
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.set.iter().map(|(_, deadline)| *deadline).min()
    }

    /// Takes out the timer that was due first, if one is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<T> {
        let due = self.set.iter().enumerate().filter(|(_, (_, deadline))| *deadline <= now);
        let (place, _) = due.min_by_key(|(_, (timer, deadline))| (*deadline, *timer))?;
        Some(self.set.swap_remove(place).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_once_in_the_order_of_their_deadlines() {
        let at = Instant::from_nanos;
        let mut timers = Timers::default();
        timers.set('a', at(30));
        timers.set('b', at(20));
        timers.set('c', at(10));
        timers.cancel('c');
        timers.set('a', at(10));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.take_due(at(9)), None);
        assert_eq!(timers.take_due(at(20)), Some('a'));
        assert_eq!(timers.take_due(at(20)), Some('b'));
        assert_eq!((timers.take_due(at(99)), timers.next()), (None, None));
    }
}
