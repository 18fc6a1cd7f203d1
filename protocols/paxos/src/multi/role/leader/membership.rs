//! A leader changes the members of its group: one voter at a time, or several by way of a joint membership
//! that it leaves by itself.
//!
//! The members are a value like any other, and decide from the next instance on (*Paxos Made Simple* §3).
//! So the *window closes* behind it: nothing is proposed there until
//!
//! 1. the value is chosen, by the old members; and
//! 2. a majority of the new ones says, in the leader's ballot, that it knows durably that it is, and so
//!    holds everything before it.
//!
//! Only then does the leader count it, and is its user told: the old members may go for good.
//!
//! A change is proposed only once everything before it is chosen, so the members that it was made from are those
//! that it takes the place of, in whatever ballot it is proposed again. One that was accepted behind a value
//! which was not chosen after all could otherwise follow upon another change, undo that, and lead to members
//! whose majorities share no node with the present ones.
//!
//! Whoever has a ballot promised by a majority of the old members, since it has not heard of the change, is
//! told of all that was accepted behind it by a leader of a lower ballot who knew of it: that majority shares
//! a node with every majority of the new members, for voters come and go one at a time, or by way of a joint
//! membership. If it is told of anything there, the new members decide on that. So it gets the change known,
//! and then asks them, in a higher ballot. If not, nothing was chosen there, nor will be in a lower ballot.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use synod_consensus::{Batch, Change, Event, Index, Membership, Payload, Peer, Refusal};
use synod_engine::{NodeId, Token};
use synod_log::{Presence, Successor};
use synod_quorum::Quorum;

use crate::multi::progress::Progress;
use crate::multi::role::{Becomes, Leader};
use crate::multi::state::{Context, State};
use crate::multi::{Message, Rules};

impl Leader {
    /// A change of members: a value that closes the window.
    pub(crate) fn change<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        token: Token,
        wishes: &[Change],
    ) {
        match self.next_members(state, wishes) {
            Ok(members) => {
                self.propose_gathered(state, context);
                self.next = Some((members, Some(token)));
            }
            Err(refusal) => context.emit_now(Event::Refused { token, refusal }),
        }
    }

    /// What the wishes lead to, if the time has come, the learners among the new voters have caught up, and
    /// so many answer that the change can be made.
    fn next_members<R: Rules>(
        &self,
        state: &State<R>,
        wishes: &[Change],
    ) -> Result<Membership, Refusal> {
        let (members, rules) = (&state.members, state.rules());
        let is_none = self.closed.is_none() && self.next.is_none();
        let is_over = is_none && !members.current().is_joint();
        let is_due = state.commit >= self.adopted && (is_over || !rules.one_change_at_a_time());
        if !is_due || self.transfer.is_some() || self.has_resigned {
            return Err(Refusal::ChangePending);
        }
        members.changed(wishes, (state.me(), self.last), |node| self.standing(node))
    }

    /// Proposes the next membership, once everything before it is chosen.
    fn propose_members<R: Rules>(&mut self, state: &mut State<R>, context: &mut Context<'_, R>) {
        let is_chosen = state.commit == self.last || !state.rules().change_follows_chosen();
        let is_due = is_chosen && self.transfer.is_none();
        let Some((members, token)) = self.next.take_if(|_| is_due) else { return };
        let payload = Payload::Members(Arc::new(members));
        let index = self.last.next();
        if let Some(token) = token {
            self.proposals.appended(index, token);
        }
        self.store(state, context, &Batch::new(index, state.promised.epoch(), vec![payload]));
        self.close(state, index);
    }

    /// Nothing is proposed behind `index`, where the members change.
    pub(super) fn close<R: Rules>(&mut self, state: &State<R>, index: Index) {
        if state.rules().window_closes_for_change() {
            (self.closed, self.is_closed_chosen, self.is_noted) = (Some(index), false, false);
        }
    }

    /// Behind which entry the window is closed, and who decides from there on.
    fn new_quorum<R: Rules>(&self, state: &State<R>) -> Option<(Index, Quorum)> {
        let closed = self.closed?;
        let entry = state.slots.run_from(closed);
        let members = entry.as_ref().and_then(Batch::members).unwrap_or(state.members.current());
        let quorum = members.quorum();
        let both = state.rules().both_majorities();
        Some((closed, if both { quorum } else { Quorum::of(quorum.incoming().clone()) }))
    }

    /// Whether a majority of the new members knows that the change is chosen.
    pub(super) fn is_change_known<R: Rules>(&self, state: &State<R>) -> bool {
        let Some((closed, quorum)) = self.new_quorum(state) else { return true };
        let knows = |node: NodeId| match self.followers.get(&node) {
            Some(progress) => progress.chosen >= closed,
            None => node == state.me() && self.noted >= closed,
        };
        quorum.is_quorum(knows) || !state.rules().new_majority_holds_prefix()
    }

    /// Makes durable that the change is chosen; its own disk tells by a message to itself.
    fn note_chosen<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        closed: Index,
    ) {
        state.mark_chosen(context, closed);
        if !core::mem::replace(&mut self.is_noted, true) {
            let (ballot, prefix) = (state.promised, state.commit);
            let accepted = Message::Accepted { ballot, prefix, beyond: None, chosen: closed };
            context.send(state.me(), accepted);
        }
    }

    /// Opens the window if the new members are ready. Then leaves a joint membership; and once this node's
    /// own removal is over, hands over to the best voter, or steps down if none takes it.
    pub(super) fn settle_members<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
    ) -> Becomes {
        if let Some(closed) = self.closed {
            if self.is_closed_chosen {
                self.note_chosen(state, context, closed);
            }
            if state.commit < closed {
                return Becomes::Same;
            }
            (self.closed, self.is_closed_chosen) = (None, false);
            if self.is_cut && state.rules().values_behind_change_are_asked_for_again() {
                return Becomes::Candidate { handover: None };
            }
        }
        if state.commit < self.adopted {
            return Becomes::Same;
        }
        if state.members.current().is_joint() && self.next.is_none() {
            self.next = Some((state.members.current().after_joint(), None));
        }
        if self.next.is_some() {
            self.propose_members(state, context);
            return Becomes::Same;
        }
        if state.is_voter() || self.transfer.is_some() {
            return Becomes::Same;
        }
        let best = Successor::best(self.successors(state), self.last);
        let successor = best.filter(|_| !self.has_resigned);
        let Some(successor) = successor else { return Becomes::Follower { leader: None } };
        self.has_resigned = true;
        self.begin_transfer(state, context, successor, None);
        Becomes::Same
    }

    /// Sends values to every member, from scratch to one that lost its data; to one that leaves, until it
    /// knows.
    pub(super) fn follow_members<R: Rules>(&mut self, state: &mut State<R>) {
        let (members, next) = (state.members.current().clone(), state.commit.next());
        let me = state.me();
        for member in members.iter().filter(|member| member.node != me) {
            if !self.followers.get(&member.node).is_some_and(|known| known.presence.is(member)) {
                let presence = Presence::of(member);
                self.followers.insert(member.node, Progress::new(next, presence));
                state.serving.forget(member.node);
            }
        }
        let strangers = self.followers.iter_mut().filter(|(node, _)| !members.contains(**node));
        strangers.for_each(|(_, progress)| progress.presence.leave(state.members.since()));
    }

    /// Whether a majority of the members knows durably that they are so.
    pub(crate) fn members_are_known<R: Rules>(&self, state: &State<R>) -> bool {
        let knows = |node: NodeId| match self.followers.get(&node) {
            Some(progress) => progress.chosen >= self.since,
            None => node == state.me(),
        };
        state.quorum().is_quorum(knows)
    }

    /// What it knows of the other members.
    pub(crate) fn peers<R: Rules>(&self, state: &State<R>) -> Vec<Peer> {
        let peers = self.followers.iter().filter(|(_, progress)| !progress.presence.is_leaving());
        let peer = |(node, progress): (&NodeId, &Progress)| Peer {
            node: *node,
            matched: progress.prefix,
            installs: state.serving.installs(*node),
            heard: progress.presence.is_heard(),
        };
        peers.map(peer).collect()
    }
}
