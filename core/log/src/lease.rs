//! Leases: reads without a round, as long as no other leader can have been elected (Raft's thesis §6.4.1).
//!
//! Whoever answers a round promises to vote for nobody for a time by its own clock. The leader holds a
//! lease once a majority has promised: from when it *sent* the round, for as long as those promises last
//! by its own clock, whatever clocks may do within the bound. What a promise binds is its maker and not
//! its role: it outlives a change of term, a broken link, and, since a node that starts again votes for
//! nobody for as long, a restart. Only the leader it was made to can release from it, by wishing for a
//! successor; it holds no lease any more from then on (Raft's thesis §3.10).
//!
//! A lease is looked at in the very step that answers the read, with the time of that step: a pause
//! before it makes the lease end; a pause after it delays an answer that was right when the read was
//! under way.

use alloc::collections::{BTreeMap, VecDeque};
use core::hash::{Hash, Hasher};
use core::time::Duration;

use synod_engine::{Instant, NodeId};
use synod_quorum::Quorum;

use crate::Timing;

/// How far clocks can be trusted, where leases are used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lease {
    /// No clock of the group runs more than this many percent fast or slow, and none stands still, not
    /// even while its machine sleeps. Beyond it, reads may be stale.
    pub max_drift_percent: u8,
}

impl Lease {
    /// For how long by a clock that may be slow a promise lasts certainly, if it was made for `promised`
    /// by one that may be fast.
    fn certain(self, promised: Duration) -> Duration {
        let drift = u32::from(self.max_drift_percent);
        promised * 100u32.saturating_sub(drift) / (100 + drift)
    }
}

/// How a lease is counted: both hold wherever it serves, as named rules of its protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LeaseRules {
    /// From when the round was sent that asked for it, not from when the promise arrived.
    pub counts_from_send: bool,
    /// Shorter than the promise, by what the clocks may differ.
    pub allows_for_drift: bool,
}

/// What a node promised in answer to a round.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Promise {
    /// Which node.
    pub node: NodeId,
    /// Which round it answers.
    pub round: u64,
    /// For how long by its clock it votes for nobody.
    pub lasting: Duration,
}

/// What a leader was promised; nothing at all unless leases are used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Promises {
    lease: Option<Lease>,
    /// For how long a promise lasts at most.
    lasting: Duration,
    /// When each round was sent whose promises may still last.
    sent: VecDeque<(u64, Instant)>,
    /// Until when each node certainly votes for nobody.
    until: BTreeMap<NodeId, Instant>,
    /// It has wished for a successor.
    given_up: bool,
}

impl Promises {
    /// None yet; how far clocks can be trusted, and for how long a promise lasts at most, says the timing.
    pub fn new(timing: &Timing) -> Self {
        let (lease, lasting) = (timing.lease, timing.election_timeout_max());
        Self { lease, lasting, sent: VecDeque::new(), until: BTreeMap::new(), given_up: false }
    }

    /// Whether leases are used.
    pub fn are_used(&self) -> bool {
        self.lease.is_some()
    }

    /// A round was sent.
    pub fn asked(&mut self, round: u64, now: Instant) {
        if self.are_used() {
            while self.sent.pop_front_if(|(_, sent)| now.since(*sent) > self.lasting).is_some() {}
            self.sent.push_back((round, now));
        }
    }

    /// A node promises to vote for nobody.
    pub fn promised(&mut self, rules: LeaseRules, now: Instant, promise: Promise) {
        let Some(lease) = self.lease else { return };
        let Promise { node, round, lasting } = promise;
        let lasting = lasting.min(self.lasting);
        let Ok(place) = self.sent.binary_search_by_key(&round, |(sent, _)| *sent) else { return };
        let since = if rules.counts_from_send { self.sent[place].1 } else { now };
        let lasting = if rules.allows_for_drift { lease.certain(lasting) } else { lasting };
        let until = self.until.entry(node).or_insert(Instant::START);
        *until = (*until).max(since + lasting);
    }

    /// Whether nobody else can have been elected by now.
    pub fn hold(&self, me: NodeId, quorum: &Quorum, now: Instant) -> bool {
        let until = |node| {
            if node == me {
                Some(Instant::from_nanos(u64::MAX))
            } else {
                self.until.get(&node).copied()
            }
        };
        let is_held = self.are_used() && !self.given_up;
        is_held && quorum.reached(until).flatten().is_some_and(|until| now < until)
    }

    /// Others decide now: what was promised so far counts no more.
    pub fn members_changed(&mut self) {
        self.sent.clear();
        self.until.clear();
    }

    /// It wishes for a successor, which may be elected at any time from now on.
    pub fn give_up(&mut self) {
        self.given_up = true;
    }

    /// Takes into the node's fingerprint what time makes of this: how old the rounds are, and how long
    /// the promises last.
    pub fn hash_ages<H: Hasher>(&self, now: Instant, hasher: &mut H) {
        self.sent.iter().for_each(|(round, sent)| (round, now.since(*sent)).hash(hasher));
        self.until.iter().for_each(|(node, until)| (node, until.since(now)).hash(hasher));
    }
}

/// Without instants: the node's fingerprint takes their ages in.
impl Hash for Promises {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self { lease: _, lasting: _, sent: _, until: _, given_up } = self;
        given_up.hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use synod_quorum::Voters;

    use super::*;

    const LEASE: Lease = Lease { max_drift_percent: 10 };
    const SOUND: LeaseRules = LeaseRules { counts_from_send: true, allows_for_drift: true };

    fn at(ms: u64) -> Instant {
        Instant::START + Duration::from_millis(ms)
    }

    #[test]
    fn a_majority_must_have_promised_and_the_earliest_of_it_decides() {
        let me = NodeId(1);
        let quorum = Quorum::of(Voters::new((1..=5).map(NodeId)));
        let timing =
            Timing { election_timeout_max_ms: 110, lease: Some(LEASE), ..Timing::default() };
        let lasting = timing.election_timeout_max();
        let mut promises = Promises::new(&timing);
        for (round, sent) in [(1, 1000), (2, 1050)] {
            promises.asked(round, at(sent));
        }
        let promised = |promises: &mut Promises, node, round| {
            let promise = Promise { node: NodeId(node), round, lasting: 2 * lasting };
            promises.promised(SOUND, at(1060), promise);
        };
        promised(&mut promises, 2, 2);
        assert!(!promises.hold(me, &quorum, at(1060)));
        promised(&mut promises, 3, 1);
        assert!(promises.hold(me, &quorum, at(1089)) && !promises.hold(me, &quorum, at(1090)));
        promised(&mut promises, 3, 2);
        assert!(promises.hold(me, &quorum, at(1139)) && !promises.hold(me, &quorum, at(1140)));
        promised(&mut promises, 3, 7);
        promises.asked(3, at(1500));
        assert_eq!(promises.sent.len(), 1);
        promises.give_up();
        assert!(!promises.hold(me, &quorum, at(1060)));
    }

    #[test]
    fn without_leases_nothing_is_held_not_even_by_who_decides_alone() {
        let (me, now) = (NodeId(1), at(1000));
        let alone = Quorum::of(Voters::new([me]));
        let holds =
            |lease| Promises::new(&Timing { lease, ..Timing::default() }).hold(me, &alone, now);
        assert!(holds(Some(LEASE)) && !holds(None));
    }
}
