//! The acceptor, which every node is whatever its role: promises ballots, tells what it accepted, and
//! accepts (*Paxos Made Simple* §2.2).
//!
//! Next: `ballots.rs` for who is promised what, `role/follower.rs` for what a leader has accepted.

use alloc::vec::Vec;

use synod_consensus::{Batch, Index};
use synod_engine::NodeId;

use crate::Ballot;
use crate::multi::record::Record;
use crate::multi::state::{Context, State};
use crate::multi::{Message, Rules};

impl<R: Rules> State<R> {
    /// Promises to accept nothing below `ballot`.
    pub(crate) fn promise(&mut self, context: &mut Context<'_, R>, ballot: Ballot) {
        self.promised = ballot;
        let is_own = ballot.proposer == self.me();
        let (unique, durable) =
            (self.rules().ballot_is_unique_across_restarts(), self.rules().promise_is_durable());
        if is_own && unique || !is_own && durable {
            self.persist(context, Record::Promise(ballot));
        }
    }

    /// Tells a proposer what was accepted from instance `from` on and is not known to be chosen, as much
    /// as one message carries.
    pub(crate) fn report(&self, context: &mut Context<'_, R>, proposer: NodeId, from: Index) {
        let (mut accepted, mut next, mut size_bytes) = (Vec::new(), None, 0);
        for run in self.slots.range(from.max(self.commit.next()), self.slots.last()) {
            if size_bytes >= self.config.bounds.max_append_bytes {
                next = Some(run.first());
                break;
            }
            let head = run.head(self.config.bounds.max_append_bytes - size_bytes);
            size_bytes += head.size_bytes();
            let is_whole = head.last() == run.last();
            let after = head.last().next();
            accepted.push(head);
            if !is_whole {
                next = Some(after);
                break;
            }
        }
        let (ballot, chosen) = (self.promised, self.commit);
        let promise = Message::Promise { ballot, from, accepted, next, chosen };
        if self.rules().promise_is_durable() {
            context.send(proposer, promise);
        } else {
            context.send_now(proposer, promise);
        }
    }

    /// Accepts, in the ballot that is promised, what of `batch` was not accepted in it yet. What is known to
    /// be chosen stays as it is.
    pub(crate) fn accept(&mut self, context: &mut Context<'_, R>, batch: &Batch) {
        let mut from = batch.first().max(self.commit.next());
        while let Some(part) = self.slots.lacking(batch, from) {
            from = part.last().next();
            self.fresh_bytes += part.size_bytes();
            self.slots.put(part.clone());
            self.persist(context, Record::Accept { batch: part, chosen: self.commit });
        }
    }

    /// Takes in chosen values that follow each other, as if accepted in the ballot that is promised: no
    /// proposer of that ballot or a higher one can propose others. Returns up to where it knows now.
    pub(crate) fn learn(&mut self, context: &mut Context<'_, R>, values: Vec<Batch>) -> Index {
        let mut known = self.commit;
        for batch in values {
            if batch.first() > known.next() {
                break;
            }
            let last = batch.last();
            self.accept(context, &batch.proposed_in(self.promised.epoch()));
            known = known.max(last);
        }
        known
    }
}
