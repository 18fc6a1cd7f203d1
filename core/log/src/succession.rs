//! Who leads in a leader's place, asked for ([`Transfer`]) or not ([`Takeover`]).
//!
//! A leader that hands over appends nothing more until its successor has all of its log, and leads on until
//! somebody else does. A request for it ends exactly once: when it is known who leads next, or that nobody
//! took over.
//!
//! Unasked, a leader yields to a voter of higher priority, once that has been up to date for a while.
//! Priorities are of no concern to the papers; the model is MongoDB's takeover by priority: the wait is
//! longer for lower ranks, so that of two that come up together the higher one leads next, and leadership
//! moves once. After each transfer that failed the wait doubles, so that a voter which cannot lead, for
//! whatever reason, does not stop the group again and again. Where all priorities are equal, as they are
//! by default, nothing happens.
//!
//! Those that may lead are found by [`Members::successors`](crate::Members::successors).

use synod_consensus::{Event, Index, Refusal};
use synod_engine::{NodeId, Token};

/// The wait for a takeover doubles at most so often.
const MAX_DOUBLINGS: u32 = 6;

/// How far a follower is, as its leader knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Up to here it has the leader's log, durably.
    pub matched: Index,
    /// Whether it had, at the last heartbeat, all that there was at the one before.
    pub caught_up: bool,
    /// Whether it answered lately.
    pub is_heard: bool,
}

/// A member that may lead in the leader's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Successor {
    /// Which one.
    pub node: NodeId,
    /// Its priority, above 0.
    pub priority: u8,
    /// How far it is.
    pub standing: Standing,
}

impl Successor {
    /// The best of those that are heard, where the leader's log ends with `last`: who is up to date before
    /// who is not, then who has the higher priority, then who has more.
    pub fn best(successors: impl Iterator<Item = Self>, last: Index) -> Option<NodeId> {
        let heard = successors.filter(|it| it.standing.is_heard);
        let best = heard.max_by_key(|Self { priority, standing, .. }| {
            let is_up_to_date = standing.caught_up || standing.matched == last;
            (is_up_to_date, *priority, standing.matched)
        });
        best.map(|it| it.node)
    }
}

/// A transfer of leadership under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Transfer {
    successor: NodeId,
    /// Who asked; `None` if the leader itself wants it.
    token: Option<Token>,
    /// Whether the next flush calls the successor, if that is up to date.
    due: bool,
    /// Whether it was called.
    called: bool,
}

impl Transfer {
    /// To whom a user's request leads: the successor that it names, or the best. A request waits for no
    /// other: while one is `under_way` the next is refused, but what the leader wanted by itself yields.
    ///
    /// # Errors
    /// [`Refusal::Busy`], or [`Refusal::NoSuccessor`].
    pub fn choose(
        under_way: Option<&Self>,
        named: Option<NodeId>,
        mut successors: impl Iterator<Item = Successor>,
        last: Index,
    ) -> Result<NodeId, Refusal> {
        if under_way.is_some_and(Self::is_asked) {
            return Err(Refusal::Busy);
        }
        let chosen = match named {
            Some(named) => successors.any(|it| it.node == named).then_some(named),
            None => Successor::best(successors, last),
        };
        chosen.ok_or(Refusal::NoSuccessor)
    }

    /// To this successor, as this request wishes, or the leader itself.
    #[must_use]
    pub fn to(successor: NodeId, token: Option<Token>) -> Self {
        Self { successor, token, due: true, called: false }
    }

    /// Who shall lead.
    #[must_use]
    pub fn successor(&self) -> NodeId {
        self.successor
    }

    /// Whether a user asked for it.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.token.is_some()
    }

    /// Whether this request asked for it.
    #[must_use]
    pub fn is_for(&self, token: Token) -> bool {
        self.token == Some(token)
    }

    /// Whether to call the successor, which is up to date: not twice before the next heartbeat.
    pub fn call(&mut self) -> bool {
        self.called |= self.due;
        core::mem::take(&mut self.due)
    }

    /// A heartbeat went out: the call may have been lost.
    pub fn call_again(&mut self) {
        self.due = true;
    }

    /// Who was called, and most likely leads next.
    #[must_use]
    pub fn called(&self) -> Option<NodeId> {
        self.called.then_some(self.successor)
    }

    /// The old leader knows now that `leader` leads, or that nobody does.
    #[must_use]
    pub fn end(self, leader: Option<NodeId>) -> Option<Event> {
        let token = self.token?;
        Some(if leader == Some(self.successor) {
            Event::Transferred { token }
        } else {
            Event::Refused { token, refusal: Refusal::NotLeader { leader } }
        })
    }

    /// The local user no longer waits.
    #[must_use]
    pub fn cancel(self) -> Option<Event> {
        self.refused(Refusal::Cancelled)
    }

    /// The successor did not take over in time.
    #[must_use]
    pub fn give_up(self) -> Option<Event> {
        self.refused(Refusal::NoSuccessor)
    }

    fn refused(self, refusal: Refusal) -> Option<Event> {
        self.token.map(|token| Event::Refused { token, refusal })
    }
}

/// A voter of higher priority than the leader's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heir {
    node: NodeId,
    /// How many voters have a higher priority still.
    above: u64,
}

impl Heir {
    /// The voter of the highest priority above the leader's `own` that is heard and has caught up.
    pub fn among(successors: impl Iterator<Item = Successor> + Clone, own: u8) -> Option<Self> {
        let better = successors.clone().filter(|Successor { priority, standing, .. }| {
            *priority > own && standing.is_heard && standing.caught_up
        });
        let heir = better.max_by_key(|it| (it.priority, it.standing.matched))?;
        let above = successors.filter(|it| it.priority > heir.priority).count() as u64;
        Some(Self { node: heir.node, above })
    }
}

/// Whether an heir has waited for long enough.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Takeover {
    heir: Option<NodeId>,
    /// Heartbeats for which it has been the best.
    heartbeats: u64,
    /// Transfers to an heir that failed, in this reign.
    failures: u32,
}

impl Takeover {
    /// At a heartbeat: who takes over now, unless a transfer is under way, after `wait` heartbeats if
    /// nobody has a higher priority and nobody failed.
    pub fn heartbeat(
        &mut self,
        heir: Option<Heir>,
        wait: u64,
        transfer: Option<&Transfer>,
    ) -> Option<NodeId> {
        let Some(Heir { node, above }) = heir else {
            (self.heir, self.heartbeats) = (None, 0);
            return None;
        };
        if self.heir != Some(node) {
            (self.heir, self.heartbeats) = (Some(node), 0);
        }
        self.heartbeats += 1;
        let wait = (wait * (1 + above)) << self.failures.min(MAX_DOUBLINGS);
        if self.heartbeats < wait || transfer.is_some() {
            return None;
        }
        self.heartbeats = 0;
        self.failures += 1;
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const LAST: Index = Index(9);
    const TOKEN: Token = Token(1);

    /// Node, priority, and how far it is; all are heard.
    fn successor(node: u64, priority: u8, matched: u64, caught_up: bool) -> Successor {
        let standing = Standing { matched: Index(matched), caught_up, is_heard: true };
        Successor { node: NodeId(node), priority, standing }
    }

    fn silent(it: Successor) -> Successor {
        Successor { standing: Standing { is_heard: false, ..it.standing }, ..it }
    }

    fn refused(refusal: Refusal) -> Option<Event> {
        Some(Event::Refused { token: TOKEN, refusal })
    }

    #[test]
    fn the_best_is_up_to_date_then_of_high_priority_then_far_and_always_heard() {
        let best = |successors: &[Successor]| {
            Successor::best(successors.iter().copied(), LAST).map(|node| node.0)
        };
        let far = successor(2, 1, 7, false);
        assert_eq!(best(&[far, successor(3, 1, 8, false), successor(4, 1, 6, false)]), Some(3));
        assert_eq!(best(&[far, successor(3, 2, 6, false), successor(4, 1, 8, false)]), Some(3));
        assert_eq!(best(&[far, successor(3, 1, 6, true), successor(4, 9, 8, false)]), Some(3));
        assert_eq!(best(&[far, successor(3, 1, 9, false), successor(4, 9, 8, false)]), Some(3));
        assert_eq!(best(&[far, silent(successor(3, 9, 9, true))]), Some(2));
        assert_eq!(best(&[silent(far)]), None);
    }

    #[test]
    fn a_request_is_for_the_successor_it_names_or_the_best_and_waits_for_no_other_request() {
        let successors = [successor(2, 1, 9, true), silent(successor(3, 1, 5, false))];
        let choose = |under_way: Option<Transfer>, named: Option<u64>| {
            let named = named.map(NodeId);
            Transfer::choose(under_way.as_ref(), named, successors.iter().copied(), LAST)
        };
        assert_eq!(choose(None, None), Ok(NodeId(2)));
        assert_eq!(choose(None, Some(3)), Ok(NodeId(3)), "it may come up in time");
        assert_eq!(choose(None, Some(4)), Err(Refusal::NoSuccessor));
        let asked = Transfer::to(NodeId(2), Some(TOKEN));
        assert_eq!(choose(Some(asked), Some(4)), Err(Refusal::Busy));
        assert_eq!(choose(Some(Transfer::to(NodeId(2), None)), None), Ok(NodeId(2)));
        assert_eq!(Transfer::choose(None, None, [].into_iter(), LAST), Err(Refusal::NoSuccessor));
    }

    #[test]
    fn a_transfer_ends_by_who_leads_next() {
        let transfer = || Transfer::to(NodeId(2), Some(TOKEN));
        assert!(transfer().is_for(TOKEN) && !transfer().is_for(Token(2)));
        assert_eq!(transfer().end(Some(NodeId(2))), Some(Event::Transferred { token: TOKEN }));
        for leader in [None, Some(NodeId(3))] {
            assert_eq!(transfer().end(leader), refused(Refusal::NotLeader { leader }));
        }
        assert_eq!(transfer().cancel(), refused(Refusal::Cancelled));
        assert_eq!(transfer().give_up(), refused(Refusal::NoSuccessor));
        let own = || Transfer::to(NodeId(2), None);
        assert!(!own().is_for(TOKEN) && !own().is_asked());
        assert_eq!(
            [own().end(Some(NodeId(2))), own().cancel(), own().give_up()],
            [None, None, None]
        );
    }

    #[test]
    fn a_successor_is_called_once_a_heartbeat() {
        let mut transfer = Transfer::to(NodeId(2), None);
        assert_eq!(transfer.called(), None);
        assert!(transfer.call() && !transfer.call());
        transfer.call_again();
        assert_eq!(transfer.called(), Some(NodeId(2)));
        assert!(transfer.call());
    }

    #[test]
    fn an_heir_is_heard_and_has_caught_up_and_waits_for_better_ones() {
        let among = |successors: &[Successor]| {
            Heir::among(successors.iter().copied(), 1).map(|heir| (heir.node.0, heir.above))
        };
        let equal = successor(2, 1, 9, true);
        assert_eq!(among(&[equal]), None);
        assert_eq!(
            among(&[equal, successor(3, 2, 8, true), successor(4, 2, 7, true)]),
            Some((3, 0))
        );
        let behind = successor(4, 4, 9, false);
        let deaf = silent(successor(5, 5, 9, true));
        assert_eq!(among(&[successor(3, 2, 8, true), behind, deaf]), Some((3, 2)));
        assert_eq!(among(&[behind, deaf]), None);
    }

    #[test]
    fn an_heir_takes_over_after_a_wait_that_grows_with_rank_and_failures() {
        let heir = |node, above| Some(Heir { node: NodeId(node), above });
        let takes_over = |takeover: &mut Takeover, heir| {
            (1..).find(|_| takeover.heartbeat(heir, 3, None).is_some()).unwrap()
        };
        let mut takeover = Takeover::default();
        let waits: Vec<u64> = (0..9).map(|_| takes_over(&mut takeover, heir(2, 0))).collect();
        assert_eq!(waits, [3, 6, 12, 24, 48, 96, 192, 192, 192], "it failed each time");
        assert_eq!(takes_over(&mut Takeover::default(), heir(2, 2)), 9);

        let mut takeover = Takeover::default();
        let mut beat = |heir, transfer| takeover.heartbeat(heir, 3, transfer);
        let own = Transfer::to(NodeId(3), None);
        for other in [heir(3, 0), None] {
            assert_eq!([beat(heir(2, 0), None), beat(heir(2, 0), None)], [None, None]);
            assert_eq!(beat(other, None), None, "it is not the best any more");
        }
        assert_eq!([beat(heir(2, 0), None), beat(heir(2, 0), None)], [None, None]);
        assert_eq!([beat(heir(2, 0), Some(&own)), beat(heir(2, 0), Some(&own))], [None, None]);
        assert_eq!(beat(heir(2, 0), None), Some(NodeId(2)));
    }
}
