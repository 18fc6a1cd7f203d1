//! A leader takes proposals of its followers' users (decision 0007): each once, whatever the network
//! doubles, and answers with its place before the entry travels.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use synod_consensus::{Refusal, ReplicatedLog as _};
use synod_engine::NodeId;
use synod_log::{Forwarded, Owner};

use crate::role::{Leader, Role};
use crate::state::{Context, State};
use crate::{Message, Raft, Rules};

impl<R: Rules> Raft<R> {
    /// A member forwards its user's proposals. Who does not lead refuses them, unless it may have led this
    /// term and appended them: then the follower finds out by itself, or never.
    pub(crate) fn forwarded(
        &mut self,
        context: &mut Context<'_, R>,
        from: NodeId,
        (lane, first): (u64, u64),
        commands: Vec<Bytes>,
    ) {
        if let Role::Leader(leader) = &mut self.role {
            leader.forwarded(&self.state, from, (lane, first), commands);
        } else if self.state.hard.vote != Some(self.state.me()) {
            let refusal = Refusal::NotLeader { leader: self.status().leader };
            let (term, answers) = (self.state.term(), vec![Err(refusal); commands.len()]);
            context.send(from, Message::Forwarded { term, lane, first, answers });
        }
    }
}

impl Leader {
    /// A member forwards proposals.
    pub(crate) fn forwarded<R: Rules>(
        &mut self,
        state: &State<R>,
        from: NodeId,
        (lane, first): (u64, u64),
        commands: Vec<Bytes>,
    ) {
        if !self.followers.contains_key(&from) {
            return;
        }
        let is_new = self.lanes.take(from, lane, first, commands.len() as u64);
        if !is_new && state.rules().forwarded_once() {
            return;
        }
        for (number, command) in (first..).zip(commands) {
            let forwarded = Forwarded { from, lane, number };
            match self.takes(state, &command) {
                Ok(()) => self.proposals.gather(Owner::Peer(forwarded), command),
                Err(refusal) => self.lanes.refuse(forwarded, refusal),
            }
        }
    }

    /// Answers what was forwarded and is appended or refused.
    pub(super) fn answer_forwarded<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        let term = state.term();
        for (from, lane, first, answers) in self.lanes.receipts(self.proposals.placed()) {
            context.send_now(from, Message::Forwarded { term, lane, first, answers });
        }
    }
}
