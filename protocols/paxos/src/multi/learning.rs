//! What is chosen, and a node missed (*Paxos Made Simple* §2.3): who asks, who answers, and what comes of it
//! in each role.
//!
//! Next: `serving.rs` for where the values come from.

use alloc::sync::Arc;
use alloc::vec::Vec;

use synod_consensus::{Batch, Index, Membership, Snapshot};
use synod_engine::{Context, NodeId};

use crate::Ballot;
use crate::multi::role::{Becomes, Role};
use crate::multi::state::State;
use crate::multi::{Message, MultiPaxos, Rules};

impl<R: Rules> MultiPaxos<R> {
    /// Somebody lacks chosen values: a follower of this leader, a candidate, or who waits for a leader. What
    /// this node knows was chosen in ballots up to its promise, so who promised that, or more, may accept it.
    pub(crate) fn learn_asked(
        &mut self,
        context: &mut Context<'_, Self>,
        node: NodeId,
        ballot: Ballot,
        from: Index,
    ) {
        let promised = self.state.promised;
        if ballot < promised {
            context.send(node, Message::Refused { ballot, promised });
        } else if let Role::Leader(leader) = &mut self.role
            && ballot == promised
        {
            leader.learn_asked(&mut self.state, context, node, ballot, from);
        } else {
            self.state.serve(context, node, ballot, from);
        }
    }

    /// Chosen values that this node lacked.
    pub(crate) fn learned(
        &mut self,
        context: &mut Context<'_, Self>,
        values: Vec<Batch>,
        chosen: Index,
    ) {
        let becomes = match &mut self.role {
            Role::Follower(follower) => {
                follower.learned(&mut self.state, context, values, chosen);
                Becomes::Same
            }
            Role::Candidate(candidate) => {
                let known = self.state.learn(context, values);
                self.state.commit_to(context, known, |_| Vec::new());
                candidate.learned(&mut self.state, context)
            }
            Role::Leader(_) => Becomes::Same,
        };
        self.become_(context, becomes);
    }

    /// A snapshot in place of values that this node lacked. Its bytes are durable here already.
    pub(crate) fn install(
        &mut self,
        context: &mut Context<'_, Self>,
        snapshot: Snapshot,
        members: Arc<Membership>,
    ) {
        let becomes = match &mut self.role {
            Role::Follower(follower) => {
                follower.install(&mut self.state, context, snapshot, members);
                Becomes::Same
            }
            Role::Candidate(candidate) if snapshot.index > self.state.commit => {
                self.state.install(context, snapshot, members);
                candidate.learned(&mut self.state, context)
            }
            Role::Candidate(_) | Role::Leader(_) => Becomes::Same,
        };
        self.become_(context, becomes);
    }
}

impl<R: Rules> State<R> {
    /// Nobody leads, and this node may not, as far as it knows: asks one of the others what it missed. It may
    /// be the one whom a change of members, which only those know to be chosen who left by it, entitles to
    /// lead. Who is no member, and has accepted nothing that is not known to be chosen, has no part in it.
    pub(crate) fn ask_around(&self, context: &mut Context<'_, MultiPaxos<R>>) {
        let (me, members) = (self.me(), self.members.current());
        if !members.contains(me) && self.slots.last() <= self.commit {
            return;
        }
        let others = members.iter().map(|member| member.node).filter(|node| *node != me);
        let others: Vec<_> = others.collect();
        if others.is_empty() {
            return;
        }
        let node = others[context.random().below(others.len() as u64) as usize];
        let (ballot, from) = (self.promised, self.commit.next());
        context.send_now(node, Message::Learn { ballot, from });
    }
}
