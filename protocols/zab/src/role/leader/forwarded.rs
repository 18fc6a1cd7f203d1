//! A leader takes proposals of its followers' users (decision 0007): each once, whatever the network
//! doubles, and answers with its place before the entry travels.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use synod_consensus::{Epoch, Refusal};
use synod_engine::NodeId;
use synod_log::{Forwarded, Owner};

use crate::role::{Becomes, Leader, Role};
use crate::state::{Context, State};
use crate::{Message, Rules, Zab};

impl<R: Rules> Zab<R> {
    /// A member forwards its user's proposals in an epoch. Who does not lead it refuses them, unless it may
    /// have led it and appended them: then the follower finds out by itself, or never.
    pub(crate) fn forwarded(
        &mut self,
        context: &mut Context<'_, R>,
        (from, epoch): (NodeId, Epoch),
        (lane, first): (u64, u64),
        commands: Vec<Bytes>,
    ) -> Becomes {
        let state = &self.state;
        let may_have_led = epoch < state.epoch() || state.epochs.leader == Some(state.me());
        match &mut self.role {
            Role::Leader(leader) if epoch == state.epoch() => {
                leader.forwarded(state, from, (lane, first), commands);
            }
            Role::Leader(_) | Role::Looking(_) | Role::Discovery(_) | Role::Follower(_)
                if may_have_led => {}
            Role::Leader(_) | Role::Looking(_) | Role::Discovery(_) | Role::Follower(_) => {
                let refusal = Refusal::NotLeader { leader: None };
                let answers = vec![Err(refusal); commands.len()];
                context.send(from, Message::Requested { epoch, lane, first, answers });
            }
        }
        Becomes::Same
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
        let epoch = state.epoch();
        for (from, lane, first, answers) in self.lanes.receipts(self.proposals.placed()) {
            context.send_now(from, Message::Requested { epoch, lane, first, answers });
        }
    }
}
