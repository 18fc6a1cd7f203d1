//! An idle leader falls quiet, and its group with it: no heartbeats and no timers, so that a node can keep
//! thousands of idle groups. Off by default.
//!
//! A leader whom nobody asked for anything for `hibernate_after_heartbeats`, and whose members all
//! answered, have all there is and know that it is committed, tells them to rest and rests itself. A
//! follower that rests counts as hearing its leader. Whoever rests wakes by any request of its user, any
//! question of a peer, and the end of the link between leader and follower. A leader that wakes sends
//! heartbeats, which wake the rest.
//!
//! No safety hangs on it: who rests only waits longer than it would. That somebody wakes when the leader
//! dies hangs on its links: a driver that lets groups rest must notice dead peers and close their links,
//! also where the peer stands still and the connection does not end. A call to rest that is lost leaves a
//! follower that campaigns in vain and so wakes the leader.
//!
//! Next: `Follower::rest`.

use synod_consensus::Index;

use crate::role::Leader;
use crate::state::{Context, State};
use crate::{Message, Rules, Timer};

/// Whether a leader rests, or for how long nothing happened.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Rest {
    /// Heartbeats since something was asked for.
    idle: u32,
    /// The newest read round at the last heartbeat.
    round: u64,
    pub(super) asleep: bool,
}

impl Leader {
    /// At a heartbeat, which has just told everyone the commit index: rests if nothing has happened for
    /// long enough.
    pub(super) fn rest_if_idle<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        last_before: Index,
    ) {
        let Some(patience) = state.config.hibernate_after_heartbeats else { return };
        let was_read = core::mem::replace(&mut self.rest.round, self.reads.newest_round());
        let is_idle = last_before == state.log.last().index
            && was_read == self.rest.round
            && self.has_nothing_to_do(state);
        self.rest.idle = if is_idle { self.rest.idle + 1 } else { 0 };
        if self.rest.idle >= patience {
            self.rest.asleep = true;
            let (term, last) = (state.term(), state.log.last());
            for peer in self.followers.keys() {
                context.send_now(*peer, Message::Rest { term, last });
            }
            context.cancel_timer(Timer::Heartbeat);
            context.cancel_timer(Timer::Election);
        }
    }

    /// Something happens: goes on, if it rested.
    pub(crate) fn wake<R: Rules>(&mut self, state: &State<R>, context: &mut Context<'_, R>) {
        if core::mem::take(&mut self.rest.asleep) {
            self.rest.idle = 0;
            context.set_timer(Timer::Election, state.config.timing.election_timeout_min());
            self.heartbeat(state, context);
        }
    }

    fn has_nothing_to_do<R: Rules>(&self, state: &State<R>) -> bool {
        let last = state.log.last().index;
        let waits = self.reads.count() > 0 || self.proposals.gathered_bytes() > 0;
        let has_heir = state.config.priority_takeover_ms.is_some() && self.heir(state).is_some();
        let moves = self.transfer.is_some() || !state.is_voter() || has_heir;
        let is_done = state.commit == last && self.stored >= last;
        let mut followers = self.followers.values();
        is_done
            && !waits
            && !moves
            && followers
                .all(|it| it.presence.is_heard() && !it.presence.is_leaving() && it.matched == last)
    }
}
