//! Who may campaign, and how a node answers whoever does (§5.2, §5.4.1; thesis §3.10, §4.2.3, §9.6).
//!
//! A leader that is heard is not deposed: neither by pre-votes (thesis §9.6) nor by votes (thesis
//! §4.2.3), unless it wished so itself. Who has a higher term and is not listened to gets back in by its
//! answers to the leader, which then steps down.
//!
//! Next: the private `role::candidate`, and `role::leader::transfer`.

use synod_engine::{Context, Instant, NodeId};

use crate::record::HardState;
use crate::role::{Asks, Becomes, Campaign, Candidate, Role};
use crate::{EntryId, Message, Raft, Rules, Term, Timer};

impl<R: Rules> Raft<R> {
    /// Whether a leader was heard within the shortest election timeout, so that nobody is needed in its
    /// place, or has this node's promise. A leader hears itself: it steps down when no majority answers
    /// (thesis §6.2).
    pub(crate) fn hears_leader(&self, now: Instant) -> bool {
        let is_bound = !self.state.bound_for(now).is_zero();
        is_bound
            || match &self.role {
                Role::Follower(follower) => follower.hears_leader(&self.state, now),
                Role::Candidate(_) => false,
                Role::Leader(_) => true,
            }
    }

    /// Whether it comes of a campaign that no leader wished for, while there is one: it changes nothing,
    /// not even the term (thesis §4.2.3).
    pub(crate) fn would_depose_a_leader(&self, now: Instant, message: &Message) -> bool {
        let is_unasked =
            matches!(message, Message::Vote { transfer: false, .. } | Message::Pull { .. });
        is_unasked && message.term() > self.state.term() && self.hears_leader(now)
    }

    /// Would this node vote for the sender in `term`? Promises nothing, changes nothing.
    pub(crate) fn pre_vote_asked(
        &mut self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        term: Term,
        last: EntryId,
    ) {
        let is_up_to_date = self.state.is_up_to_date(last);
        let hears_leader = self.hears_leader(context.now());
        if term > self.state.term() && is_up_to_date && !hears_leader {
            context.send_now(from, Message::PreVoteReply { term, granted: true, better: None });
        } else {
            let is_better = !is_up_to_date && !hears_leader;
            let (term, better) = (self.state.term(), is_better.then(|| self.state.log.last()));
            context.send(from, Message::PreVoteReply { term, granted: false, better });
        }
    }

    /// RequestVote, receiver's part (figure 2). A leader that wishes for a successor releases from what
    /// it was promised.
    pub(crate) fn vote_asked(
        &mut self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        last: EntryId,
        transfer: bool,
    ) {
        let HardState { term, vote } = self.state.hard;
        let rules = self.state.rules();
        let is_free = vote.is_none_or(|vote| vote == from) || !rules.one_vote_per_term();
        let may_vote = transfer || self.state.bound_for(context.now()).is_zero();
        let granted = is_free && may_vote && self.state.is_up_to_date(last);
        if granted {
            let hard = HardState { term, vote: Some(from) };
            if !rules.vote_is_durable() {
                self.state.hard = hard;
            } else if vote != Some(from) {
                self.state.set_hard(context, hard);
            }
            if let Role::Follower(follower) = &self.role {
                follower.wait(&self.state, context);
            }
        }
        context.send(from, Message::VoteReply { term, granted });
    }

    /// An answer to a campaign, if that is still the one this node is in; `better` is how the log of who
    /// refuses ends, if it is the better one.
    pub(crate) fn answer(
        &mut self,
        context: &mut Context<'_, Self>,
        asks: Asks,
        (from, granted): (NodeId, bool),
        better: Option<EntryId>,
    ) {
        if let Role::Candidate(candidate) = &mut self.role
            && candidate.asks == asks
        {
            candidate.better = candidate.better.max(better.map(|last| (last, from)));
            let becomes = candidate.count(&self.state, Some((from, granted)));
            if becomes == (Becomes::Follower { leader: None }) {
                let better = candidate.better;
                self.pull(context, better);
            }
            self.become_(context, becomes);
        }
    }

    /// The leader wants this node in its place (thesis §3.10). It campaigns at once, if its log still is
    /// what the leader's was: who was overtaken since would only stop the group.
    pub(crate) fn told_to_campaign(
        &mut self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        last: EntryId,
    ) {
        let follows = self.follow(context, from).is_some();
        if follows && self.state.may_lead() && self.state.log.last() == last {
            self.become_(context, Becomes::Candidate(Campaign::Wished));
        }
    }

    /// Nobody was heard for an election timeout (§5.2), or a campaign came to nothing for as long.
    pub(crate) fn election_timeout(&mut self, context: &mut Context<'_, Self>) {
        if let Role::Candidate(Candidate { better, .. }) = self.role {
            self.pull(context, better);
        }
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
                Becomes::Candidate(Campaign::Cautious)
            }
            Role::Follower(follower) => {
                if let Some(transfer) = follower.transfer.take() {
                    context.emit_all_now(transfer.end(None));
                }
                // It may have been removed; whom it heard last need not lead any more.
                Becomes::Follower { leader: None }
            }
            Role::Candidate(_) => Becomes::Follower { leader: None },
        };
        self.become_(context, becomes);
    }
}
