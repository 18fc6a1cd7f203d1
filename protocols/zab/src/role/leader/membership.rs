//! A leader changes the members of its group: one voter at a time, or several by way of a joint membership
//! that it leaves by itself.
//!
//! A membership counts from the moment that its entry is in the history, as in Raft (§6; thesis §4.1), for
//! every quorum: who accepts an epoch, who takes over a history, who acknowledges. ZooKeeper's
//! reconfiguration lets the new one count once a quorum of the old and one of the new have acknowledged the
//! entry; where several voters change, the joint membership asks for the same. Why it is safe is written in
//! `docs/decisions/0013-zab.md`.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use synod_consensus::{Batch, Change, Event, Membership, Payload, Peer, Refusal};
use synod_engine::{NodeId, Token};
use synod_log::{Presence, Successor};

use crate::Rules;
use crate::progress::Progress;
use crate::role::{Becomes, Leader};
use crate::state::{Context, State};

impl Leader {
    /// A change of members: an entry that counts at once.
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

    /// What the wishes lead to, if the time has come, the observers among the new voters have caught up, and
    /// so many answer that the change can be committed.
    pub(super) fn next_members<R: Rules>(
        &self,
        state: &State<R>,
        wishes: &[Change],
    ) -> Result<Membership, Refusal> {
        let (members, rules) = (&state.members, state.rules());
        let is_current = self.established || !rules.established_before_change();
        let is_settled = members.since() <= state.commit && !members.current().is_joint();
        let is_due = is_current && (is_settled || !rules.one_change_at_a_time());
        let moves = self.transfer.as_ref().is_some_and(|it| !self.is_caretaker || it.is_asked());
        if !is_due || moves {
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
        self.store(state, context, Batch::new(index, state.epoch(), vec![payload]));
        self.follow_members(state);
    }

    /// Sends the log to every member, from scratch to one that lost its data; to one that leaves, until it
    /// knows.
    pub(super) fn follow_members<R: Rules>(&mut self, state: &State<R>) {
        let members = state.members.current();
        for member in members.iter().filter(|member| member.node != state.me()) {
            if !self.followers.get(&member.node).is_some_and(|known| known.presence.is(member)) {
                let presence = Presence::of(member);
                self.followers.insert(member.node, Progress::new(presence));
            }
        }
        self.is_caretaker = state.is_voter() && state.members.priority(state.me()) == 0;
        let strangers = self.followers.iter_mut().filter(|(node, _)| !members.contains(**node));
        strangers.for_each(|(_, progress)| progress.presence.leave(state.members.since()));
    }

    /// Once a joint change is committed, leaves it; once this node's own removal is, hands over to the best
    /// voter, or steps down if none takes it; hands over, too, if it should never lead.
    pub(super) fn settle_members<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
    ) -> Becomes {
        if state.members.since() > state.commit || !self.established {
            return Becomes::Same;
        }
        if state.members.current().is_joint() {
            let next = state.members.current().after_joint();
            self.store_members(state, context, next);
            return Becomes::Same;
        }
        let is_caretaker = self.is_caretaker;
        if state.is_voter() && !is_caretaker || self.transfer.is_some() {
            return Becomes::Same;
        }
        let best = Successor::best(self.successors(state), state.log.last().index);
        let successor = best.filter(|_| is_caretaker || !self.has_resigned);
        let Some(successor) = successor else {
            return if is_caretaker { Becomes::Same } else { Becomes::Looking };
        };
        self.has_resigned = !is_caretaker;
        self.begin_transfer(state, context, successor, None);
        Becomes::Same
    }

    /// What it knows of the other members.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let peers = self.followers.iter().filter(|(_, progress)| !progress.presence.is_leaving());
        let peer = |(node, progress): (&NodeId, &Progress)| Peer {
            node: *node,
            matched: progress.matched,
            installs: progress.installs(),
            heard: progress.presence.is_heard(),
        };
        peers.map(peer).collect()
    }
}
