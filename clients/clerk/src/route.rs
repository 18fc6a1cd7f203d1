//! Which server to ask next: those that the clerk was given, and those that a server has named as
//! members since. So a clerk outlives all servers that it was given.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use synod_consensus::MAX_MEMBERS;

const FIRST_PAUSE: Duration = Duration::from_millis(8);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Hints followed one after the other without a pause: follower, leader. More is two servers that
/// take each other for the leader.
const HINTS_IN_A_ROW: u32 = 2;

/// The servers that a clerk knows. Its routes share them.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    given: Arc<[String]>,
    /// As a server last told them; so many at most as a group has members.
    members: Arc<Mutex<Vec<String>>>,
}

impl Servers {
    pub(crate) fn new(given: Vec<String>) -> Self {
        Self { given: given.into(), members: Arc::default() }
    }

    /// A server names these as the members.
    pub(crate) fn learn(&self, mut members: Vec<String>) {
        members.retain(|address| !self.given.contains(address));
        members.truncate(MAX_MEMBERS);
        *self.members.lock().unwrap_or_else(PoisonError::into_inner) = members;
    }

    /// The server in this turn.
    fn at(&self, turn: usize) -> String {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let place = turn % (self.given.len() + members.len());
        self.given.iter().chain(members.iter()).nth(place).cloned().unwrap_or_default()
    }

    fn len(&self) -> usize {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        self.given.len() + members.len()
    }
}

/// The known servers, and what has been heard of the leader.
#[derive(Debug)]
pub(crate) struct Route {
    servers: Servers,
    next: usize,
    hint: Option<String>,
    /// Attempts since the last success.
    attempts: u32,
}

impl Route {
    /// Begins with the server after the one at `asked`.
    pub(crate) fn new(servers: Servers, asked: usize) -> Self {
        Self { next: asked + 1, servers, hint: None, attempts: 0 }
    }

    /// Begins with any of the servers.
    pub(crate) fn anywhere(servers: Servers) -> Self {
        let first = (random_share() * servers.len() as f64) as usize;
        Self { next: first, servers, hint: None, attempts: 0 }
    }

    /// The server to ask now: the supposed leader if there is one, else the next in turn.
    pub(crate) fn next(&mut self) -> String {
        if let Some(hint) = self.hint.take() {
            return hint;
        }
        let server = self.servers.at(self.next);
        self.next = self.next.wrapping_add(1);
        server
    }

    /// The known servers.
    pub(crate) fn servers(&self) -> &Servers {
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

    fn servers(given: &[&str]) -> Servers {
        Servers::new(given.iter().map(|server| (*server).to_owned()).collect())
    }

    #[test]
    fn a_hint_comes_before_the_servers_in_turn() {
        let mut route = Route::new(servers(&["a", "b"]), 0);
        assert_eq!(route.redirected(Some("c".into())), Duration::ZERO);
        assert_eq!([route.next(), route.next(), route.next()], ["c", "b", "a"]);
    }

    #[test]
    fn members_are_asked_in_turn_with_those_that_were_given() {
        let mut route = Route::new(servers(&["a", "b"]), 0);
        route.servers().learn(vec!["b".into(), "c".into()]);
        assert_eq!([(); 4].map(|()| route.next()), ["b", "c", "a", "b"]);
        route.servers().learn((0..1_000).map(|member| member.to_string()).collect());
        assert_eq!(route.len(), 2 + MAX_MEMBERS);
        route.servers().learn(vec![]);
        assert_eq!(route.len(), 2, "those that were given stay");
    }

    #[test]
    fn servers_that_point_at_each_other_are_not_asked_without_a_pause() {
        let mut route = Route::new(servers(&["a"]), 0);
        let pauses = [(); 4].map(|()| route.redirected(Some("b".into())));
        assert!(pauses[2] > Duration::ZERO && pauses[3] > Duration::ZERO);
        route.succeeded();
        assert_eq!(route.redirected(Some("b".into())), Duration::ZERO);
    }

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let mut route = Route::new(servers(&["a"]), 0);
        let pauses: Vec<_> = (0..40).map(|_| route.failed()).collect();
        assert!(pauses[0] <= FIRST_PAUSE && pauses[39] >= LONGEST_PAUSE / 2);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE));
    }
}
