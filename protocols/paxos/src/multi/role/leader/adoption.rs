//! What a new leader proposes first: what earlier ones may have got chosen (*Paxos Made Simple* §2.2, §3).
//!
//! Of each instance the value that was accepted in the highest ballot; a no-op where nobody told of any,
//! before one for which somebody did. It stops at a change of members: what lies behind it others decide,
//! so their promises are needed first (`membership.rs`).

use alloc::vec;

use synod_consensus::{Batch, Index, Payload};

use crate::multi::Rules;
use crate::multi::role::Leader;
use crate::multi::role::candidate::gather;
use crate::multi::slots::Slots;
use crate::multi::state::{Context, State};

/// No-ops in one batch at most.
const MAX_NOOPS: u64 = 1024;

impl Leader {
    /// Proposes again, in its own ballot, what phase 1 `gathered` and it accepted itself.
    pub(super) fn adopt<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        mut gathered: Slots,
    ) {
        let (rules, epoch) = (state.rules(), state.promised.epoch());
        for batch in state.slots.range(state.commit.next(), state.slots.last()) {
            gather(&mut gathered, &batch, rules.highest_accepted_is_adopted());
        }
        let mut next = state.commit.next();
        while self.closed.is_none() && next <= gathered.last() {
            let run = gathered.range(next, gathered.last()).next().expect("something at the end");
            let batch = if run.first() > next {
                let end = Index(run.first().0 - 1);
                self.filling(state, &gathered, next, end)
            } else {
                run.head(state.config.max_append_bytes).proposed_in(epoch)
            };
            next = batch.last().next();
            self.propose_again(state, context, &batch);
        }
        self.adopted = Index(next.0 - 1);
        let is_cut = self.adopted < gathered.last();
        if is_cut {
            // Others decide on what is left: all promises have to be asked for again.
            self.promised.values_mut().for_each(|last| *last = gathered.last());
        }
    }

    /// What is proposed where nobody accepted anything.
    fn filling<R: Rules>(
        &self,
        state: &State<R>,
        gathered: &Slots,
        first: Index,
        last: Index,
    ) -> Batch {
        let epoch = state.promised.epoch();
        if state.rules().gaps_are_noops() {
            let count = (last.0 - first.0 + 1).min(MAX_NOOPS) as usize;
            return Batch::new(first, epoch, vec![Payload::Noop; count]);
        }
        let later = gathered.range(last.next(), gathered.last()).next().expect("a gap ends");
        Batch::new(first, epoch, vec![later.payloads()[0].clone()])
    }

    fn propose_again<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        batch: &Batch,
    ) {
        self.store(state, context, batch);
        if batch.members().is_some() {
            self.close(state, context, batch.first());
        }
    }
}
