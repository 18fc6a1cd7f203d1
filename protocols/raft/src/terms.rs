//! The term rule (§5.1): who hears of a later term enters it, and who speaks from an earlier one is told.
//!
//! Next: the dispatch table in `node.rs`.

use synod_consensus::Index;
use synod_engine::{Context, NodeId};

use crate::record::HardState;
use crate::role::Becomes;
use crate::{AppendResult, Message, Raft, ReadResult, Rules, Term};

impl<R: Rules> Raft<R> {
    /// Enters a higher term; returns whether the message is of the node's term (§5.1), or refuses a
    /// pre-vote: who refuses may not have heard yet that the terms went on.
    pub(crate) fn observe_term(
        &mut self,
        context: &mut Context<'_, Self>,
        message: &Message,
    ) -> bool {
        if matches!(message, Message::PreVote { .. } | Message::PreVoteReply { granted: true, .. })
        {
            return true;
        }
        let term = message.term();
        if term > self.state.term() {
            self.enter(context, term);
        }
        let is_refusal = matches!(message, Message::PreVoteReply { granted: false, .. });
        term == self.state.term()
            || is_refusal
            || message.is_reply() && !self.state.rules().replies_are_of_this_term()
    }

    /// Enters a later term, in which it has voted for nobody.
    pub(crate) fn enter(&mut self, context: &mut Context<'_, Self>, term: Term) {
        let hard = HardState { term, vote: None };
        if self.state.rules().vote_is_durable() {
            self.state.set_hard(context, hard);
        } else {
            self.state.hard = hard;
        }
        self.become_(context, Becomes::Follower { leader: None });
    }

    /// Tells the sender of a request of an earlier term the term that has come since; says nothing
    /// else.
    pub(crate) fn answer_from_later_term(
        &self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        message: &Message,
    ) {
        let term = self.state.term();
        let answer = match message {
            Message::Vote { .. } => Message::VoteReply { term, granted: false },
            Message::Append { .. } | Message::Install { .. } => {
                let nothing = AppendResult::Matches(Index::ZERO);
                Message::AppendReply { term, result: nothing }
            }
            Message::Heartbeat { .. } | Message::TimeoutNow { .. } | Message::Rest { .. } => {
                Message::HeartbeatReply { term, round: 0, promise_ms: 0 }
            }
            Message::ReadIndex { id, .. } => {
                Message::ReadIndexReply { term, id: *id, result: ReadResult::NotLeader }
            }
            Message::Pull { .. }
            | Message::Pulled { .. }
            | Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::VoteReply { .. }
            | Message::AppendReply { .. }
            | Message::HeartbeatReply { .. }
            | Message::Forward { .. }
            | Message::Forwarded { .. }
            | Message::ReadIndexReply { .. } => return,
        };
        context.send(from, answer);
    }
}
