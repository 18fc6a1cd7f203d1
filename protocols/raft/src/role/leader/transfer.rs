//! A leader hands over (thesis §3.10): it brings its successor up to date, appends nothing more
//! meanwhile, and tells it to campaign at once.
//!
//! It leads on until someone in a later term speaks. What is proposed meanwhile waits, within the same
//! bounds as ever: it is appended if the leader gives up, after an election timeout, and refused with the
//! successor's name if it does not.
//!
//! A request for a transfer ends exactly once: when it is known who leads next, or that nobody took over.
//! A successor that was told to campaign may still do so after the leader gave up. That costs one
//! election, unless an entry came in between, and endangers nothing.
//!
//! Next: `elections.rs` for what the successor does, [`Takeover`](synod_log::Takeover) for who is one unasked.

use synod_consensus::Event;
use synod_engine::{NodeId, Token};
use synod_log::{Heir, Standing, Successor, Transfer};

use crate::progress::Progress;
use crate::role::Leader;
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
        context.set_timer(Timer::Transfer, state.config.timing.election_timeout_min());
        self.transfer = Some(Transfer::to(successor, token));
    }

    /// Tells the successor to campaign, once its log is this one and durable there; again at each
    /// heartbeat, since the message may be lost.
    pub(super) fn call_successor<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        let Some(transfer) = &mut self.transfer else { return };
        let (successor, last) = (transfer.successor(), state.log.last());
        let progress = self.followers.get(&successor);
        if progress.is_some_and(|progress| progress.matched == last.index) && transfer.call() {
            context.send_now(successor, Message::TimeoutNow { term: state.term(), last });
            if state.rules().handover_ends_lease() {
                self.promises.give_up();
            }
        }
    }

    /// A heartbeat went out.
    pub(super) fn call_again(&mut self) {
        if let Some(transfer) = &mut self.transfer {
            transfer.call_again();
        }
    }

    /// The successor did not take over in time: goes on leading.
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
        let wait = wait_ms.div_ceil(state.config.timing.heartbeat_ms);
        let heir = self.heir(state);
        if let Some(heir) = self.takeover.heartbeat(heir, wait, self.transfer.as_ref()) {
            self.begin_transfer(state, context, heir, None);
        }
    }

    /// The best voter of higher priority.
    pub(super) fn heir<R: Rules>(&self, state: &State<R>) -> Option<Heir> {
        Heir::among(self.successors(state), state.members.priority(state.me()))
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
