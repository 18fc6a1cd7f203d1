//! A leader changes the members of its group (§6; thesis chapter 4): one voter at a time, or several by
//! way of a joint membership that it leaves by itself.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use synod_consensus::{Batch, Change, Event, Membership, Payload, Peer, Refusal};
use synod_engine::{NodeId, Token};
use synod_log::{Presence, Successor};

use crate::Rules;
use crate::progress::{Mode, Progress};
use crate::role::{Becomes, Leader};
use crate::state::{Context, State};

impl Leader {
    /// A change of members: an entry that counts at once (§6; thesis §4.1).
    pub(crate) fn change<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        token: Token,
        wishes: &[Change],
    ) {
        match self.next_members(state, wishes) {
            Ok(members) => {
                self.append_gathered(state, context);
                self.proposals.appended(state.log.last().index.next(), token);
                self.store_members(state, context, members);
            }
            Err(refusal) => context.emit_now(Event::Refused { token, refusal }),
        }
    }

    /// What the wishes lead to, if the time has come, the learners among the new voters have caught up
    /// (thesis §4.2.1), and so many answer that the change can be committed.
    pub(super) fn next_members<R: Rules>(
        &self,
        state: &State<R>,
        wishes: &[Change],
    ) -> Result<Membership, Refusal> {
        let (members, rules) = (&state.members, state.rules());
        let is_current = state.commit >= self.noop || !rules.noop_before_change();
        let is_settled = members.since() <= state.commit && !members.current().is_joint();
        let is_due = is_current && (is_settled || !rules.one_change_at_a_time());
        if !is_due || self.transfer.is_some() {
            return Err(Refusal::ChangePending);
        }
        members.changed(wishes, (state.me(), state.log.last().index), |node| self.standing(node))
    }

    /// Appends a membership, and sends the log to whom it names.
    pub(super) fn store_members<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        members: Membership,
    ) {
        let payload = Payload::Members(Arc::new(members));
        let index = state.log.last().index.next();
        self.store(state, context, Batch::new(index, state.term(), vec![payload]));
        self.follow_members(state);
        self.promises.members_changed();
    }

    /// Sends the log to every member, from scratch to one that lost its data; to one that leaves, until it
    /// knows.
    pub(super) fn follow_members<R: Rules>(&mut self, state: &State<R>) {
        let (members, next) = (state.members.current(), state.log.last().index.next());
        for member in members.iter().filter(|member| member.node != state.me()) {
            if !self.followers.get(&member.node).is_some_and(|known| known.presence.is(member)) {
                let presence = Presence::of(member);
                self.followers.insert(member.node, Progress::new(next, presence));
            }
        }
        let strangers = self.followers.iter_mut().filter(|(node, _)| !members.contains(**node));
        strangers.for_each(|(_, progress)| progress.presence.leave(state.members.since()));
    }

    /// Once a joint change is committed, leaves it (§6); once this node's own removal is, hands over to
    /// the best voter, or steps down if none takes it (thesis §4.2.2, §3.10).
    pub(super) fn settle_members<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
    ) -> Becomes {
        if state.members.since() > state.commit || self.noop > state.commit {
            return Becomes::Same;
        }
        if state.members.current().is_joint() {
            let next = state.members.current().after_joint();
            self.store_members(state, context, next);
            return Becomes::Same;
        }
        if state.is_voter() || self.transfer.is_some() {
            return Becomes::Same;
        }
        let best = Successor::best(self.successors(state), state.log.last().index);
        let successor = best.filter(|_| !self.has_resigned);
        let Some(successor) = successor else { return Becomes::Follower { leader: None } };
        self.has_resigned = true;
        self.begin_transfer(state, context, successor, None);
        Becomes::Same
    }

    /// What it knows of the other members.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let peers = self.followers.iter().filter(|(_, progress)| !progress.presence.is_leaving());
        let peer = |(node, progress): (&NodeId, &Progress)| Peer {
            node: *node,
            matched: progress.matched,
            installs: matches!(progress.mode, Mode::Install { .. }),
            heard: progress.presence.is_heard(),
        };
        peers.map(peer).collect()
    }
}
