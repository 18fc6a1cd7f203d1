//! The open load: requests that are due at a fixed rate, whatever becomes of the ones before.
//!
//! A closed load waits for an answer before it asks again, so a server that stalls is asked less, and
//! the stall shows in one request only (coordinated omission). Here each request has a time at which it
//! is due, and its latency counts from then, even if no place was free for it yet.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// The shortest time between two looks at the clock: requests that become due in between start
/// together, and their latency includes what that costs them.
const TICK: Duration = Duration::from_micros(50);

/// Requests that become due one after the other.
#[derive(Debug)]
pub(super) struct Schedule {
    begin: Instant,
    /// Between two requests, in nanoseconds.
    every_ns: f64,
    /// One permit for each request that is due and was not taken.
    due: Semaphore,
    made: AtomicU64,
    taken: AtomicU64,
}

impl Schedule {
    /// `per_second` requests from `begin` on.
    pub(super) fn new(begin: Instant, per_second: f64) -> Self {
        let every_ns = 1e9 / per_second;
        let (made, taken) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { begin, every_ns, due: Semaphore::new(0), made, taken }
    }

    /// Waits for a request that is due; returns since when it is. `None` once the time is over.
    pub(super) async fn next(&self) -> Option<Instant> {
        self.due.acquire().await.ok()?.forget();
        Some(self.at(self.taken.fetch_add(1, Ordering::Relaxed)))
    }

    /// Lets requests become due until `end`, on a thread of its own.
    pub(super) fn run(&self, end: Instant) {
        let mut made = 0;
        while self.at(made) < end {
            let now = Instant::now();
            let first = made;
            while self.at(made) <= now && self.at(made) < end {
                made += 1;
            }
            self.due.add_permits((made - first) as usize);
            thread::sleep(self.at(made).min(end).saturating_duration_since(now).max(TICK));
        }
        self.made.store(made, Ordering::Relaxed);
        self.due.close();
    }

    /// How many requests that were due at `from` or later nobody took, once all has ended.
    pub(super) fn dropped(&self, from: Instant) -> u64 {
        let (taken, made) = (self.taken.load(Ordering::Relaxed), self.made.load(Ordering::Relaxed));
        (taken..made).filter(|request| self.at(*request) >= from).count() as u64
    }

    /// When the request of this number is due.
    fn at(&self, request: u64) -> Instant {
        self.begin + Duration::from_nanos((request as f64 * self.every_ns) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_the_rate_and_what_nobody_takes_is_dropped() {
        let begin = Instant::now();
        let schedule = Schedule::new(begin, 10_000.0);
        let end = begin + Duration::from_millis(20);
        schedule.run(end);
        assert_eq!(schedule.due.available_permits(), 200);
        assert_eq!(schedule.dropped(begin), 200);
        assert_eq!(schedule.dropped(begin + Duration::from_millis(10)), 100);
    }

    #[tokio::test]
    async fn a_request_is_due_when_it_should_have_started() {
        let begin = Instant::now();
        let schedule = Schedule::new(begin, 1_000.0);
        schedule.run(begin + Duration::from_millis(3));
        assert_eq!(schedule.next().await, None, "the time is over");
        let schedule = Schedule::new(begin, 1_000.0);
        schedule.due.add_permits(2);
        assert_eq!(schedule.next().await, Some(begin));
        assert_eq!(schedule.next().await, Some(begin + Duration::from_millis(1)));
    }
}
