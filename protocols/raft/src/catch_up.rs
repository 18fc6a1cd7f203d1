//! A node that could have a majority, but whose log is behind, catches up before it campaigns again.
//!
//! **Why.** In the constrained shape of Omni-Paxos (EuroSys 2023, section 2) everyone hears one node only,
//! and that one was away while the others went on: who could get a majority may not lead (§5.4.1), and
//! who may lead cannot get one. Plain Raft waits there until a link comes back. The same happens where
//! the only up-to-date node has priority 0. The model is MongoDB's catch-up; what is pulled are log
//! entries with the terms that they have.
//!
//! **How.** A voter that hears no leader and refuses a pre-vote only since its own log is more up to date
//! says what that ends with. A candidate whose pre-vote campaign came to nothing *pulls* from the best of
//! these: it names its last entry and one that both are known to hold, at first the last committed one,
//! and gets the entries behind the later of the two that the other holds, piece by piece. When its log ends as the other's did, it campaigns. It
//! acknowledges nothing to anyone, and nobody but the puller changes. Nobody serves, or takes in, a pull
//! while there is a leader: that brings everyone up to date.
//!
//! **Why it is safe.** Let L be the puller's log, which ends in term l, and M the other's when it answered,
//! at least as up to date as L: last(M) >= last(L), the comparison of §5.4.1. What of L departs from M is
//! cut. Two things must stay true of that.
//!
//! *No leader counts this node for what it cuts.* A leader of term t commits by counting who holds some
//! entry f of term t itself (§5.4.2). So only if f is in L, and then t <= l, may this node be counted.
//! Claim: then M holds f as well, or f is never committed by counting.
//!
//! * If both logs end in the same term, M holds last(L): its leader wrote both, at most one per index, and
//!   L's is not behind M's. By Log Matching L is the beginning of M, and nothing is cut.
//! * Else M ends in a later term u > l >= t, with an entry that the leader of u wrote. If f was committed
//!   in term t, or a majority had it before u's leader was elected, then by Leader Completeness that
//!   leader had it, and before its own entries; by Log Matching so has M. If not, a majority had by then
//!   promised to take nothing from the leader of t any more, so it never will be by that one.
//!
//! *No leader believes that this node still holds what it cuts.* The leader of this node's own term may live
//! on among others, and t may be later than u: it was told of entries of L from before its term, as it
//! brought this node up to date, and none of its own arrived. It counts this node for nothing yet; but it
//! says in its heartbeats how far the logs agree, and the node would commit up to there. So before
//! anything is cut the node enters the next term, and that is durable first: the leader of the old one
//! reaches it no more. That is the rule [`Rules::new_term_before_cut`]. An entry that is committed among
//! others may be cut here, as it may by a leader of an earlier term in plain Raft; what invariant 7 says
//! is that this happens to no log that may have been counted.
//!
//! By Log Matching again, what both hold is where they begin alike, and what comes behind it is as some
//! leader wrote it: the node is as if it had followed that leader. This holds after every piece, so it may
//! crash in between, and the other may be another one, or have another log, the next time. It needs M to
//! be at least as up to date as L *when the piece is taken in*: a piece that comes late, when the node has
//! followed a leader meanwhile, could cut what that leader counted. That is the rule
//! [`Rules::catch_up_on_better_log_only`].
//!
//! The pieces say the sender's term, which is at least that of all its entries, and count only in that
//! term: so no log holds an entry of a later term than its node's.
//!
//! **Limits.** Who has compacted what the puller lacks, or has it on disk only, sends nothing: snapshots
//! and old log come from leaders only.
//!
//! Next: `elections.rs`.

use alloc::vec::Vec;

use synod_consensus::{Batch, Index};
use synod_engine::{Context, NodeId};

use crate::role::{Asks, Becomes, Campaign, Role, news};
use crate::state::State;
use crate::{EntryId, Message, Raft, Rules};

impl<R: Rules> Raft<R> {
    /// Asks for what the log lacks, if the campaign that came to nothing found a better one.
    pub(crate) fn pull(&self, context: &mut Context<'_, Self>, better: Option<(EntryId, NodeId)>) {
        let State { log, commit, .. } = &self.state;
        if let Some((_, from)) = better.filter(|(last, _)| *last > log.last()) {
            let epoch = log.epoch_at(*commit).expect("what is committed is in the log");
            self.pull_behind(context, from, EntryId { index: *commit, epoch });
        }
    }

    fn pull_behind(&self, context: &mut Context<'_, Self>, from: NodeId, shared: EntryId) {
        let (term, last) = (self.state.term(), self.state.log.last());
        context.send(from, Message::Pull { term, last, shared });
    }

    /// Sends a piece of its own log to a node whose log is behind.
    pub(crate) fn pull_asked(
        &self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        last: EntryId,
        shared: EntryId,
    ) {
        let log = &self.state.log;
        let held = [last, shared].into_iter().find(|entry| log.holds(*entry));
        let Some(previous) = held.filter(|_| !self.hears_leader(context.now())) else { return };
        let entries = piece(&self.state, previous.index.next());
        if !entries.is_empty() {
            let (term, last) = (self.state.term(), log.last());
            context.send(from, Message::Pulled { term, previous, entries, last });
        }
    }

    /// Takes in a piece of a better log: replaces its own from where they differ, in a new term. Campaigns
    /// once it has all of it, and asks for more until then.
    pub(crate) fn pulled(
        &mut self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        previous: EntryId,
        entries: Vec<Batch>,
        last: EntryId,
    ) {
        let is_waiting = match &self.role {
            Role::Follower(follower) => follower.leader.is_none(),
            Role::Candidate(candidate) => candidate.asks == Asks::PreVotes,
            Role::Leader(_) => false,
        };
        let is_better =
            last > self.state.log.last() || !self.state.rules().catch_up_on_better_log_only();
        if !is_waiting || !is_better || !self.state.log.holds(previous) {
            return;
        }
        let mut end = previous;
        for batch in entries {
            end = EntryId { epoch: batch.epoch(), index: batch.last() };
            let Some(news) = news(&self.state, &batch) else { continue };
            if news.first() <= self.state.commit {
                return;
            }
            let cuts = news.first() <= self.state.log.last().index;
            if cuts && self.state.rules().new_term_before_cut() {
                self.enter(context, self.state.term().next());
            }
            self.state.store(context, news);
        }
        if end < last {
            self.pull_behind(context, from, end);
        } else if self.state.may_lead() {
            self.become_(context, Becomes::Candidate(Campaign::Cautious));
        }
    }
}

/// The entries from `first` on, in batches, as many as one message takes. None, if they are not in
/// memory.
fn piece<R: Rules>(state: &State<R>, first: Index) -> Vec<Batch> {
    let mut room = state.config.bounds.max_append_bytes;
    let mut entries = Vec::new();
    if first <= state.log.evicted().index {
        return entries;
    }
    for batch in state.log.range(first, state.log.last().index) {
        if !entries.is_empty() && batch.size_bytes() > room {
            break;
        }
        let head = batch.head(room);
        let is_whole = head.last() == batch.last();
        room = room.saturating_sub(head.size_bytes());
        entries.push(head);
        if !is_whole {
            break;
        }
    }
    entries
}
