//! Who is promised what, who campaigns, and whom a node hears.
//!
//! A ballot goes by what its proposer does: who asks for it is promised it if it is the highest so far, and
//! who leads in it is followed. But a leader that is heard is not deposed, neither by a node that lost its
//! link to it nor by one that was paused, unless it wished so itself: any node that a majority can hear may
//! lead, and once it does, it stays. A leader whose follower has promised a higher ballot to somebody who
//! could not win with it gets that follower back by a higher one of its own.
//!
//! Next: the private `role::candidate`, and `role::leader::transfer`.

use synod_consensus::Index;
use synod_engine::{Context, Instant, NodeId};

use crate::Ballot;
use crate::multi::role::{Becomes, CandidateAnswer, Follower, Role};
use crate::multi::state::State;
use crate::multi::{Message, MultiPaxos, Rules, Timer};

impl<R: Rules> MultiPaxos<R> {
    /// Whether a leader other than `node` was heard within the shortest election timeout. A leader hears
    /// itself: it steps down when no majority answers.
    fn hears_other_than(&self, node: NodeId, now: Instant) -> bool {
        match &self.role {
            Role::Follower(follower) => {
                follower.leader != Some(node) && follower.hears_leader(&self.state, now)
            }
            Role::Candidate(_) => false,
            Role::Leader(_) => true,
        }
    }

    /// Whether this node may promise `node` a ballot that its leader, if there is one, does not wish for.
    fn is_free_for(&self, node: NodeId, now: Instant) -> bool {
        let is_leader =
            matches!(&self.role, Role::Follower(follower) if follower.leader == Some(node));
        let is_unbound = is_leader || self.state.bound_for(now).is_zero();
        is_unbound && !(self.state.config.sticky_leader && self.hears_other_than(node, now))
    }

    /// Phase 1a (§2.2): promises the ballot if it is the highest, and tells what was accepted. That does not
    /// make it more patient: of many who ask in vain each would keep the one from asking who could win.
    pub(crate) fn prepare_asked(
        &mut self,
        context: &mut Context<'_, Self>,
        node: NodeId,
        ballot: Ballot,
        from: Index,
        handover: Option<Ballot>,
    ) {
        self.state.hear(ballot);
        let highest = match &self.role {
            Role::Candidate(candidate) => candidate.ballot.max(self.state.promised),
            Role::Follower(_) | Role::Leader(_) => self.state.promised,
        };
        let is_wished = handover.is_some_and(|wish| self.state.promised <= wish);
        let is_free = is_wished || self.is_free_for(node, context.now());
        let is_kept = ballot >= highest || !self.state.rules().promises_are_kept();
        if ballot != self.state.promised && !(is_free && is_kept) {
            context.send(node, Message::Refused { ballot, promised: highest });
            return;
        }
        if ballot != self.state.promised {
            self.enter(context, ballot);
        }
        self.state.report(context, node, from);
    }

    /// Promises a ballot to its proposer, who does not lead yet as far as this node knows.
    pub(crate) fn enter(&mut self, context: &mut Context<'_, Self>, ballot: Ballot) {
        self.state.promise(context, ballot);
        self.become_(context, Becomes::Follower { leader: None });
    }

    /// A leader speaks: whoever has promised no higher ballot follows it.
    pub(crate) fn follow(
        &mut self,
        context: &mut Context<'_, Self>,
        leader: NodeId,
        ballot: Ballot,
    ) -> Option<(&mut Follower, &mut State<R>)> {
        self.state.hear(ballot);
        let promised = self.state.promised;
        if ballot < promised && self.state.rules().promises_are_kept() {
            context.send(leader, Message::Refused { ballot, promised });
            return None;
        }
        if ballot != promised {
            self.enter(context, ballot);
        }
        match &self.role {
            Role::Leader(_) => return None,
            Role::Follower(follower) if follower.leader == Some(leader) => {}
            Role::Follower(_) | Role::Candidate(_) => {
                self.become_(context, Becomes::Follower { leader: Some(leader) });
            }
        }
        let Role::Follower(follower) = &mut self.role else { return None };
        self.state.led();
        follower.hear(&self.state, context);
        Some((follower, &mut self.state))
    }

    /// Phase 1b (§2.2): an acceptor promises.
    pub(crate) fn promised(
        &mut self,
        context: &mut Context<'_, Self>,
        node: NodeId,
        ballot: Ballot,
        answer: CandidateAnswer,
    ) {
        let any = !self.state.rules().own_ballot_only();
        let becomes = match &mut self.role {
            Role::Candidate(candidate) if candidate.ballot == ballot || any => {
                candidate.promised(&mut self.state, context, node, answer)
            }
            Role::Follower(_) | Role::Candidate(_) | Role::Leader(_) => Becomes::Same,
        };
        self.become_(context, becomes);
    }

    /// Somebody has promised a higher ballot, or hears a leader. A leader that is refused by a member asks
    /// for a higher one at once: whoever was promised that one does not lead with it, or the leader would
    /// have heard. Who may not lead and asked around promises as much as who knows more, and is told then.
    pub(crate) fn refused(
        &mut self,
        context: &mut Context<'_, Self>,
        node: NodeId,
        ballot: Ballot,
        promised: Ballot,
    ) {
        self.state.hear(promised);
        if self.asks_around(context.now()) && self.state.promised == ballot && promised > ballot {
            return self.enter(context, promised);
        }
        let becomes = match &mut self.role {
            Role::Candidate(candidate) if candidate.ballot == ballot => {
                candidate.refused(&self.state, node)
            }
            Role::Leader(_)
                if self.state.promised == ballot
                    && promised > ballot
                    && self.state.members.current().contains(node) =>
            {
                Becomes::Candidate { handover: None }
            }
            Role::Follower(_) | Role::Candidate(_) | Role::Leader(_) => Becomes::Same,
        };
        self.become_(context, becomes);
    }

    /// Whether it has no leader, may not lead, and may promise any ballot.
    fn asks_around(&self, now: Instant) -> bool {
        let is_alone = matches!(&self.role, Role::Follower(follower) if follower.leader.is_none());
        is_alone && !self.state.may_lead() && self.state.bound_for(now).is_zero()
    }

    /// The leader wants this node in its place. It prepares at once, if it still has exactly what the leader
    /// had proposed: who was overtaken since would only stop the group.
    pub(crate) fn told_to_take_over(
        &mut self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        ballot: Ballot,
        last: Index,
    ) {
        let Some((follower, state)) = self.follow(context, from, ballot) else { return };
        if follower.has_exactly(state, last) && state.may_lead() {
            self.become_(context, Becomes::Candidate { handover: Some(ballot) });
        }
    }

    /// Nobody was heard for an election timeout, or phase 1 came to nothing for as long.
    pub(crate) fn election_timeout(&mut self, context: &mut Context<'_, Self>) {
        let bound = self.state.bound_for(context.now());
        let becomes = match &mut self.role {
            Role::Leader(leader) => leader.check_quorum(&self.state, context),
            Role::Follower(_) | Role::Candidate(_) if !bound.is_zero() => {
                let later = self.state.config.timing.election_timeout_min() / 2;
                let timeout = context.random().duration(bound, bound + later);
                context.set_timer(Timer::Election, timeout);
                Becomes::Same
            }
            Role::Follower(_) | Role::Candidate(_) if self.state.may_lead() => {
                Becomes::Candidate { handover: None }
            }
            Role::Follower(follower) => {
                if let Some(transfer) = follower.transfer.take() {
                    context.emit_all_now(transfer.end(None));
                }
                follower.wait(&self.state, context);
                self.state.ask_around(context);
                // It may have been removed; whom it heard last need not lead any more.
                Becomes::Follower { leader: None }
            }
            Role::Candidate(_) => Becomes::Follower { leader: None },
        };
        self.become_(context, becomes);
    }
}
