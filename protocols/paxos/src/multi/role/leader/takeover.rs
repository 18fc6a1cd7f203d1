//! A leader yields to a voter of higher priority, once that has been up to date for a while.
//!
//! The model is MongoDB's takeover by priority: the wait is
//! longer for lower ranks, so that of two that come up together the higher one leads next, and leadership
//! moves once. After each transfer that failed the wait doubles, so that a voter which cannot lead, for
//! whatever reason, does not stop the group again and again. Where all priorities are equal, as they are
//! by default, nothing happens.
//!
//! Next: [`super::transfer`].

use synod_engine::NodeId;

use crate::multi::Rules;
use crate::multi::role::Leader;
use crate::multi::state::{Context, State};

/// The wait doubles at most so often.
const MAX_DOUBLINGS: u32 = 6;

/// A voter that should lead.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Takeover {
    heir: Option<NodeId>,
    /// Heartbeats for which it has been the best.
    heartbeats: u64,
    /// Transfers to an heir that failed, in this ballot.
    failures: u32,
}

impl Leader {
    /// At a heartbeat: hands over if a voter of higher priority is there for long enough.
    pub(super) fn yield_to_priority<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        let Some(wait_ms) = state.config.priority_takeover_ms else { return };
        let Some((heir, rank)) = self.heir(state) else {
            (self.takeover.heir, self.takeover.heartbeats) = (None, 0);
            return;
        };
        let takeover = &mut self.takeover;
        if takeover.heir != Some(heir) {
            (takeover.heir, takeover.heartbeats) = (Some(heir), 0);
        }
        takeover.heartbeats += 1;
        let wait = wait_ms.div_ceil(state.config.timing.heartbeat_ms);
        let wait = (wait * (1 + rank)) << takeover.failures.min(MAX_DOUBLINGS);
        if takeover.heartbeats >= wait && self.transfer.is_none() {
            takeover.heartbeats = 0;
            takeover.failures += 1;
            self.begin_transfer(state, context, heir, None);
        }
    }

    /// The voter of the highest priority above its own that is heard and has caught up, and how many
    /// voters have a higher priority still.
    fn heir<R: Rules>(&self, state: &State<R>) -> Option<(NodeId, u64)> {
        let own = state.priority(state.me());
        let better = self.successors(state).filter(|(member, progress)| {
            member.priority > own && progress.is_heard() && progress.caught_up
        });
        let (heir, _) =
            better.max_by_key(|(member, progress)| (member.priority, progress.prefix))?;
        let above = self.successors(state).filter(|(member, _)| member.priority > heir.priority);
        Some((heir.node, above.count() as u64))
    }
}
