//! Forced recovery: a majority is lost for good, and an operator makes one survivor the whole group.
//!
//! This breaks the promise that Raft makes, since the lost majority may have committed what the survivor
//! never saw; so it is never done by an engine on its own, and only between two lives of a node. The
//! driver must fence the old members off (a new cluster id does), or there may be two groups.
//!
//! The survivor's log is kept whole: its last entries may have been committed. A membership of the
//! survivor alone is put behind it, in a term that no leader of the old group had, and the survivor
//! elects itself and commits all of it.

use alloc::sync::Arc;
use alloc::vec;

use synod_consensus::{Batch, Epoch, Member, Membership, Payload, Seat};

use crate::record::HardState;
use crate::state::{Context, State};
use crate::{Raft, Rules};

/// How far the term leaps, so that it is beyond whatever the lost majority elected meanwhile.
const TERM_LEAP: u64 = 1 << 20;

impl<R: Rules> Raft<R> {
    /// Makes this node, which has replayed its records and not been started, the only member of its
    /// group. What is persisted must be durable before its next life.
    ///
    /// # Errors
    /// [`NothingToRecover`] if it never belonged to a group, or not as the life that it is, as far as it
    /// knows; nothing was changed.
    pub fn force_alone(&mut self, context: &mut Context<'_, R>) -> Result<(), NothingToRecover> {
        let State { hard, members, log, config, .. } = &self.state;
        let known = members.current();
        if known.is_empty() {
            return Err(NothingToRecover::NoGroup);
        }
        let me =
            known.member(config.part.node).cloned().unwrap_or(Member::founder(config.part.node));
        if !config.part.is_this_life(&me) {
            return Err(NothingToRecover::NoMember);
        }
        let alone =
            Membership::new([Member { seat: Seat::Voter, priority: me.priority.max(1), ..me }])
                .expect("one voter is a membership");
        let term = Epoch(hard.term.0 + TERM_LEAP);
        let hard = HardState { term, vote: None };
        let payload = Payload::Members(Arc::new(alone));
        let batch = Batch::new(log.last().index.next(), hard.term, vec![payload]);
        self.state.set_hard(context, hard);
        self.state.store(context, batch);
        Ok(())
    }
}

/// Why a node cannot be made a group of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NothingToRecover {
    /// It never belonged to a group.
    NoGroup,
    /// Its log names no member that it is: it was being added, or lost its data. It would never lead.
    NoMember,
}

impl core::fmt::Display for NothingToRecover {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoGroup => "this node never belonged to a group: there is nothing to recover",
            Self::NoMember => {
                "the log of this node does not name it as a member in this life: it could never lead"
            }
        })
    }
}

impl core::error::Error for NothingToRecover {}
