//! The timers of one engine, and the wheel that holds the deadlines of all engines of a node.
//!
//! Setting a timer is a store. The wheel learns of a group's earliest deadline at the end of a turn,
//! and only if it is earlier than the one it has: timers are mostly put off, and an entry that comes up
//! early costs one look.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use synod_engine::Instant;

use crate::groups::Place;

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

    /// The deadline of `timer`, if it is set.
    pub(crate) fn deadline(&self, timer: T) -> Option<Instant> {
        self.set.iter().find(|(name, _)| *name == timer).map(|(_, deadline)| *deadline)
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

/// When to look at which group next.
pub(crate) struct Wheel {
    heap: BinaryHeap<Reverse<(Instant, Place)>>,
    /// The earliest entry of each group in the heap; later ones of the same group are idle.
    armed: Vec<Option<Instant>>,
}

impl Wheel {
    /// A wheel for `groups` groups.
    pub(crate) fn new(groups: usize) -> Self {
        Self { heap: BinaryHeap::new(), armed: vec![None; groups] }
    }

    /// Looks at the group at `place` no later than at `deadline`.
    pub(crate) fn arm(&mut self, place: Place, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        let armed = &mut self.armed[place.0];
        if armed.is_none_or(|armed| deadline < armed) {
            *armed = Some(deadline);
            self.heap.push(Reverse((deadline, place)));
        }
    }

    /// When the next group is to be looked at.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// Takes out a group to be looked at by `now`. It is not armed any more.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Place> {
        while self.next().is_some_and(|deadline| deadline <= now) {
            let Reverse((deadline, place)) = self.heap.pop()?;
            let armed = &mut self.armed[place.0];
            if *armed == Some(deadline) {
                *armed = None;
                return Some(place);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_looked_at_once_however_often_its_deadline_moved() {
        let at = Instant::from_nanos;
        let (a, b) = (Place(0), Place(1));
        let mut wheel = Wheel::new(2);
        wheel.arm(a, Some(at(30)));
        wheel.arm(a, Some(at(50)));
        wheel.arm(b, Some(at(40)));
        wheel.arm(a, Some(at(20)));
        wheel.arm(a, None);
        assert_eq!(wheel.next(), Some(at(20)));
        assert_eq!(wheel.take_due(at(19)), None);
        assert_eq!(wheel.take_due(at(35)), Some(a));
        assert_eq!(wheel.take_due(at(35)), None);
        wheel.arm(a, Some(at(60)));
        assert_eq!(wheel.take_due(at(99)), Some(b));
        assert_eq!(wheel.take_due(at(99)), Some(a));
        assert_eq!((wheel.take_due(at(99)), wheel.next()), (None, None));
    }

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
        assert_eq!((timers.deadline('b'), timers.deadline('c')), (Some(at(20)), None));
        assert_eq!(timers.take_due(at(9)), None);
        assert_eq!(timers.take_due(at(20)), Some('a'));
        assert_eq!(timers.take_due(at(20)), Some('b'));
        assert_eq!((timers.take_due(at(99)), timers.next()), (None, None));
    }
}
