//! A leader hands over: it brings its successor up to date, appends nothing more meanwhile, and tells all to
//! follow that one.
//!
//! ZAB has nothing like it, and needs no more for it than an oracle's word: whom a node follows is no matter of
//! safety, since whoever is followed must still find a quorum that accepts a later epoch and has no newer
//! history. So the leader says whom to follow, and follows itself; no election is held. If the successor
//! does not answer, everyone looks after a while.
//!
//! What is proposed meanwhile waits, within the same bounds as ever: it is appended if the leader gives up,
//! after a sync limit, and refused with the successor's name if it does not.
//!
//! A request for a transfer ends exactly once: when it is known who leads next, or that nobody took over.
//! Next: [`Takeover`](synod_log::Takeover) for who is a successor unasked.

use synod_consensus::{Event, Refusal};
use synod_engine::{NodeId, Token};
use synod_log::{Heir, Standing, Successor, Transfer};

use crate::progress::Progress;
use crate::role::{Becomes, Leader};
use crate::state::{Context, State};
use crate::{Message, Rules, Timer};

impl Leader {
    /// Hands over to `successor`, or to the best there is. A request waits for no other: while one is
    /// under way the next is refused, but what the leader wanted by itself yields.
    pub(crate) fn transfer<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        token: Token,
        successor: Option<NodeId>,
    ) {
        if !self.serves() {
            let refusal = Refusal::NotLeader { leader: None };
            return context.emit_now(Event::Refused { token, refusal });
        }
        if successor == Some(state.me()) {
            return context.emit_now(Event::Transferred { token });
        }
        let (under_way, last) = (self.transfer.as_ref(), state.log.last().index);
        match Transfer::choose(under_way, successor, self.successors(state), last) {
            Ok(successor) => self.begin_transfer(state, context, successor, Some(token)),
            Err(refusal) => context.emit_now(Event::Refused { token, refusal }),
        }
    }

    /// From here on nothing is appended.
    pub(super) fn begin_transfer<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        successor: NodeId,
        token: Option<Token>,
    ) {
        context.set_timer(Timer::Transfer, state.config.sync_limit());
        self.transfer = Some(Transfer::to(successor, token));
    }

    /// Tells all to follow the successor, and does so itself, once that has everything and all of it is
    /// committed.
    pub(super) fn hand_over<R: Rules>(
        &self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) -> Becomes {
        let Some(transfer) = &self.transfer else { return Becomes::Same };
        let successor = transfer.successor();
        let last = state.log.last();
        let has_all = self.followers.get(&successor).is_some_and(|progress| {
            progress.synced && progress.told == Some(last.index) && progress.matched == last.index
        });
        if !has_all || state.commit != last.index {
            return Becomes::Same;
        }
        let epoch = state.epoch();
        for peer in self.followers.keys() {
            context.send_now(*peer, Message::HandOver { epoch, successor, last });
        }
        Becomes::Follower { leader: successor }
    }

    /// The successor did not catch up in time: goes on leading.
    pub(crate) fn give_up_transfer<R: Rules>(&mut self, context: &mut Context<'_, R>) {
        context.emit_all_now(self.transfer.take().and_then(Transfer::give_up));
    }

    /// Whether this request was for a transfer that is under way, which ends so.
    pub(super) fn cancel_transfer<R: Rules>(
        &mut self,
        context: &mut Context<'_, R>,
        token: Token,
    ) -> bool {
        let cancelled = self.transfer.take_if(|transfer| transfer.is_for(token));
        if let Some(transfer) = cancelled {
            context.cancel_timer(Timer::Transfer);
            context.emit_all_now(transfer.cancel());
            return true;
        }
        false
    }

    /// At a heartbeat: hands over if a voter of higher priority is there for long enough.
    pub(super) fn yield_to_priority<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        let Some(wait_ms) = state.config.priority_takeover_ms else { return };
        let wait = wait_ms.div_ceil(state.config.heartbeat_ms);
        let heir = Heir::among(self.successors(state), state.members.priority(state.me()));
        if let Some(heir) = self.takeover.heartbeat(heir, wait, self.transfer.as_ref()) {
            self.begin_transfer(state, context, heir, None);
        }
    }

    /// Those that may lead in its place.
    pub(super) fn successors<R: Rules>(
        &self,
        state: &State<R>,
    ) -> impl Iterator<Item = Successor> + Clone {
        state.members.successors(state.me(), |node| self.standing(node))
    }

    /// How far a follower is.
    pub(super) fn standing(&self, node: NodeId) -> Option<Standing> {
        self.followers.get(&node).map(Progress::standing)
    }
}
