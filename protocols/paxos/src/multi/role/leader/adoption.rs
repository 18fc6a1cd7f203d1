//! What a new leader proposes first: what earlier ones may have got chosen (*Paxos Made Simple* §2.2, §3).
//!
//! Of each instance the value that was accepted in the highest ballot; a no-op where nobody told of any,
//! before one for which somebody did. It stops at a change of members: what lies behind that the new ones
//! decide (`membership.rs`).

use alloc::sync::Arc;
use alloc::vec;

use synod_consensus::{Batch, Index, Payload};

use crate::multi::role::Leader;
use crate::multi::role::candidate::gather;
use crate::multi::slots::Slots;
use crate::multi::state::{Context, State};
use crate::multi::{Config, Rules};

/// No-ops in one batch at most.
const MAX_NOOPS: u64 = 1024;

/// No leader has so many instances open: what somebody claims to have accepted behind that is nonsense.
const MAX_OPEN: u64 = (Config::<()>::MAX_UNCOMMITTED_BYTES / 4) as u64;

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
        let end = gathered.last().min(Index(state.commit.0 + MAX_OPEN));
        let noops: Arc<[Payload]> = vec![Payload::Noop; MAX_NOOPS as usize].into();
        while self.closed.is_none() && next <= end {
            let Some(run) = gathered.range(next, end).next() else { break };
            let run = run.head(state.config.bounds.max_append_bytes);
            let (behind, missing) = (run.last().next(), run.first().0 - next.0);
            let batch = if missing == 0 {
                run.proposed_in(epoch)
            } else if rules.gaps_are_noops() {
                let missing = next..=Index(next.0 + missing - 1);
                let noops = Batch::new(next, epoch, noops.clone());
                noops.slice(missing).expect("some are missing")
            } else {
                Batch::new(next, epoch, run.payloads())
            };
            next = batch.last().next();
            if !rules.gaps_are_noops() {
                gathered.compact(Index(behind.0 - 1));
            }
            self.propose_again(state, context, &batch);
        }
        self.adopted = Index(next.0 - 1);
        self.is_cut = gathered.range(next, end).next().is_some();
    }

    fn propose_again<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        batch: &Batch,
    ) {
        self.store(state, context, batch);
        if batch.members().is_some() {
            self.close(state, batch.first());
        }
    }
}
