//! Which server to ask next.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(8);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Hints followed one after the other without a pause: follower, leader. More is two servers that
/// take each other for the leader.
const HINTS_IN_A_ROW: u32 = 2;

/// The known servers, and what has been heard of the leader.
#[derive(Debug)]
pub(crate) struct Route {
    servers: Vec<String>,
    next: usize,
    hint: Option<String>,
    /// Attempts since the last success.
    attempts: u32,
}

impl Route {
    /// Begins with the server after the one at `asked`.
    pub(crate) fn new(servers: Vec<String>, asked: usize) -> Self {
        Self { next: asked + 1, servers, hint: None, attempts: 0 }
    }

    /// Begins with any of the servers.
    pub(crate) fn anywhere(servers: Vec<String>) -> Self {
        let first = (random_share() * servers.len() as f64) as usize;
        Self { next: first, servers, hint: None, attempts: 0 }
    }

    /// The server to ask now: the supposed leader if there is one, else the next in turn.
    pub(crate) fn next(&mut self) -> String {
        if let Some(hint) = self.hint.take() {
            return hint;
        }
        let server = &self.servers[self.next % self.servers.len()];
        self.next = (self.next + 1) % self.servers.len();
        server.clone()
    }

    /// The known servers.
    pub(crate) fn servers(&self) -> &[String] {
        &self.servers
    }

    /// How many servers are known.
    pub(crate) fn len(&self) -> usize {
        self.servers.len()
    }

    /// Whether the next hint is followed without a pause.
    pub(crate) fn may_follow(&self) -> bool {
        self.attempts < HINTS_IN_A_ROW
    }

    /// A server led to `leader`, or knew none. How long to pause before asking.
    pub(crate) fn redirected(&mut self, leader: Option<String>) -> Duration {
        let is_known = leader.is_some();
        self.hint = leader;
        if is_known && self.may_follow() {
            self.attempts += 1;
            return Duration::ZERO;
        }
        self.failed()
    }

    /// A server could not be reached, or was lost. How long to pause before the next.
    pub(crate) fn failed(&mut self) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.attempts.min(6)).min(LONGEST_PAUSE);
        self.attempts += 1;
        pause / 2 + pause.mul_f64(random_share()) / 2
    }

    /// The cluster answered a call.
    pub(crate) fn succeeded(&mut self) {
        self.attempts = 0;
    }
}

/// Between 0 and 1. Many clients that lost the same leader do not come back at the same moment.
fn random_share() -> f64 {
    f64::from(RandomState::new().hash_one(0) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_comes_before_the_servers_in_turn() {
        let mut route = Route::new(vec!["a".into(), "b".into()], 0);
        assert_eq!(route.redirected(Some("c".into())), Duration::ZERO);
        assert_eq!([route.next(), route.next(), route.next()], ["c", "b", "a"]);
    }

    #[test]
    fn servers_that_point_at_each_other_are_not_asked_without_a_pause() {
        let mut route = Route::new(vec!["a".into()], 0);
        let pauses = [(); 4].map(|()| route.redirected(Some("b".into())));
        assert!(pauses[2] > Duration::ZERO && pauses[3] > Duration::ZERO);
        route.succeeded();
        assert_eq!(route.redirected(Some("b".into())), Duration::ZERO);
    }

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let mut route = Route::new(vec!["a".into()], 0);
        let pauses: Vec<_> = (0..40).map(|_| route.failed()).collect();
        assert!(pauses[0] <= FIRST_PAUSE && pauses[39] >= LONGEST_PAUSE / 2);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE));
    }
}
