//! The timers that an engine has set.

/// A handful of named deadlines. Setting one is cheap: the driver is armed for the soonest deadline
/// it ever heard of and looks again when that comes.
pub(crate) struct Timers<T> {
    set: Vec<(u64, T)>,
    /// No timer is due before this.
    soonest: u64,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { set: Vec::new(), soonest: u64::MAX }
    }
}

impl<T: Copy + Ord> Timers<T> {
    pub(crate) fn set(&mut self, timer: T, deadline: u64) {
        match self.set.iter_mut().find(|(_, name)| *name == timer) {
            Some(entry) => entry.0 = deadline,
            None => self.set.push((deadline, timer)),
        }
        self.soonest = self.soonest.min(deadline);
    }

    pub(crate) fn cancel(&mut self, timer: T) {
        self.set.retain(|(_, name)| *name != timer);
        if self.set.is_empty() {
            self.soonest = u64::MAX;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.set.clear();
        self.soonest = u64::MAX;
    }

    /// Gives each timer another deadline.
    pub(crate) fn reset(&mut self, deadline: impl Fn(u64) -> u64) {
        self.set.iter_mut().for_each(|(at, _)| *at = deadline(*at));
        self.soonest = self.set.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
    }

    /// No timer is due before this.
    pub(crate) fn soonest(&self) -> u64 {
        self.soonest
    }

    /// Takes the timer that has been due longest, if one is due.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<T> {
        if self.soonest > now {
            return None;
        }
        let first = (0..self.set.len()).min_by_key(|&at| self.set[at]);
        let due = first.filter(|&at| self.set[at].0 <= now).map(|at| self.set.swap_remove(at).1);
        if due.is_none() {
            self.soonest = self.set.iter().map(|(deadline, _)| *deadline).min().unwrap_or(u64::MAX);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_due_comes_first_and_a_cancelled_one_never() {
        let mut timers = Timers::default();
        timers.set('a', 30);
        timers.set('b', 20);
        timers.set('c', 10);
        timers.set('c', 40);
        timers.cancel('d');
        assert_eq!(timers.soonest(), 10);
        assert_eq!(timers.take_due(10), None);
        assert_eq!(timers.soonest(), 20);
        assert_eq!((timers.take_due(35), timers.take_due(35)), (Some('b'), Some('a')));
        timers.cancel('c');
        assert_eq!(timers.take_due(99), None);
        assert_eq!(timers.soonest(), u64::MAX);
    }
}
