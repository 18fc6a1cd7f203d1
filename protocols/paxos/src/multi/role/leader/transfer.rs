//! A leader hands over: it brings its successor up to date, proposes nothing more meanwhile,
//! and tells it to prepare a ballot of its own at once.
//!
//! It leads on until it hears of a higher ballot. What is proposed meanwhile waits, within the same
//! bounds as ever: it is proposed if the leader gives up, after an election timeout, and refused with the
//! successor's name if it does not.
//!
//! A request for a transfer ends exactly once: when it is known who leads next, or that nobody took over.
//! A successor that was told to take over may still do so after the leader gave up. That costs one
//! election, unless a value came in between, and endangers nothing.
//!
//! Next: `ballots.rs` for what the successor does, [`super::takeover`] for who is one unasked.

use synod_consensus::{Event, Member, Refusal, Seat};
use synod_engine::{NodeId, Token};

use crate::multi::progress::Progress;
use crate::multi::role::Leader;
use crate::multi::state::{Context, State};
use crate::multi::{Message, Rules, Timer};

/// A transfer of leadership under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Transfer {
    successor: NodeId,
    /// Who asked; `None` if the leader itself wants it.
    token: Option<Token>,
    /// Whether the next flush tells the successor to take over, if that is up to date.
    due: bool,
    /// Whether it was told.
    told: bool,
}

impl Transfer {
    /// Whether this request asked for it.
    pub(crate) fn is_for(&self, token: Token) -> bool {
        self.token == Some(token)
    }

    /// The old leader follows `leader` now, or knows of none.
    pub(crate) fn end<R: Rules>(self, context: &mut Context<'_, R>, leader: Option<NodeId>) {
        let Some(token) = self.token else { return };
        context.emit_now(if leader == Some(self.successor) {
            Event::Transferred { token }
        } else {
            Event::Refused { token, refusal: Refusal::NotLeader { leader } }
        });
    }

    /// The local user no longer waits.
    pub(crate) fn cancel<R: Rules>(self, context: &mut Context<'_, R>) {
        if let Some(token) = self.token {
            context.emit_now(Event::Refused { token, refusal: Refusal::Cancelled });
        }
    }
}

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
        let is_asked = self.transfer.as_ref().is_some_and(|transfer| transfer.token.is_some());
        let successor = match successor {
            Some(node) => Some(node).filter(|node| may_succeed(state, *node)),
            None => self.best_successor(state),
        };
        match successor {
            _ if is_asked => context.emit_now(Event::Refused { token, refusal: Refusal::Busy }),
            Some(successor) => self.begin_transfer(state, context, successor, Some(token)),
            None => context.emit_now(Event::Refused { token, refusal: Refusal::NoSuccessor }),
        }
    }

    /// From here on nothing is proposed.
    pub(super) fn begin_transfer<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        successor: NodeId,
        token: Option<Token>,
    ) {
        context.set_timer(Timer::Transfer, state.config.timing.election_timeout_min());
        self.transfer = Some(Transfer { successor, token, due: true, told: false });
    }

    /// Tells the successor to take over, once it has accepted all and durable there; again at each
    /// heartbeat, since the message may be lost.
    pub(super) fn call_successor<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        let Some(transfer) = &mut self.transfer else { return };
        let last = self.last;
        let progress = self.followers.get(&transfer.successor);
        if transfer.due && progress.is_some_and(|progress| progress.prefix == last) {
            let ballot = state.promised;
            context.send_now(transfer.successor, Message::TakeOver { ballot, last });
            (transfer.due, transfer.told) = (false, true);
            if state.rules().handover_ends_lease() {
                self.promises.give_up();
            }
        }
    }

    /// A heartbeat went out.
    pub(super) fn call_again(&mut self) {
        if let Some(transfer) = &mut self.transfer {
            transfer.due = true;
        }
    }

    /// The successor did not take over in time: goes on leading.
    pub(crate) fn give_up_transfer<R: Rules>(&mut self, context: &mut Context<'_, R>) {
        let Some(transfer) = self.transfer.take() else { return };
        if let Some(token) = transfer.token {
            context.emit_now(Event::Refused { token, refusal: Refusal::NoSuccessor });
        }
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
            transfer.cancel(context);
            return true;
        }
        false
    }

    /// Who most likely leads next, as long as nobody is heard.
    pub(super) fn called_successor(&self) -> Option<NodeId> {
        self.transfer.as_ref().filter(|transfer| transfer.told).map(|transfer| transfer.successor)
    }

    /// The best of those that may lead and are heard: who is up to date before who is not, then who has
    /// the higher priority, then who has more.
    pub(super) fn best_successor<R: Rules>(&self, state: &State<R>) -> Option<NodeId> {
        let heard = self.successors(state).filter(|(_, progress)| progress.is_heard());
        let last = self.last;
        let best = heard.max_by_key(|(member, progress)| {
            let is_up_to_date = progress.caught_up || progress.prefix == last;
            (is_up_to_date, member.priority, progress.prefix)
        });
        best.map(|(member, _)| member.node)
    }

    /// Those that may lead in its place.
    pub(super) fn successors<'a, R: Rules>(
        &'a self,
        state: &'a State<R>,
    ) -> impl Iterator<Item = (&'a Member, &'a Progress)> {
        let members = state.members.current().iter();
        let others = members.filter(|member| member.node != state.me() && is_eligible(member));
        others.filter_map(|member| Some((member, self.followers.get(&member.node)?)))
    }
}

/// Whether this member may lead in the leader's place: it votes, will go on voting, and has a priority.
fn is_eligible(member: &Member) -> bool {
    matches!(member.seat, Seat::Voter | Seat::Incoming) && member.priority > 0
}

fn may_succeed<R: Rules>(state: &State<R>, node: NodeId) -> bool {
    state.members.current().member(node).is_some_and(is_eligible)
}
