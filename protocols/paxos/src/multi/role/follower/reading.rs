//! A follower or learner serves reads: its leader names the index, its own state machine answers.
//!
//! A read ends ready, once everything up to its index was told; or refused, when the leader has no answer
//! or is lost. A question that a heartbeat's time did not answer is asked again under another
//! name, since it may be lost; after an election timeout of that its reads are refused.

use synod_consensus::{Event, Refusal};
use synod_engine::{NodeId, Token};
use synod_log::{ReadId, ReadResult};

use crate::multi::role::Follower;
use crate::multi::state::{Context, State};
use crate::multi::{Message, Rules, Timer};

impl Follower {
    /// A linearizable read, for which the next flush asks the leader.
    pub(crate) fn read<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        token: Token,
    ) {
        let taken = match self.leader {
            Some(_) => self.questions.ask(token, state.config.bounds.max_pending_reads),
            None => Err(Refusal::NotLeader { leader: None }),
        };
        if let Err(refusal) = taken {
            context.emit_now(Event::Refused { token, refusal });
        }
    }

    /// Asks the leader once for all reads that wait.
    pub(super) fn ask_for_reads<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
    ) {
        if let Some(leader) = self.leader
            && let Some(id) = self.questions.next(&mut state.read_ids, context.random())
        {
            context.send_now(leader, Message::ReadIndex { ballot: state.promised, id });
            self.time_reads(state, context);
        }
    }

    /// The leader answers a question.
    pub(crate) fn reads_answered<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        from: NodeId,
        id: ReadId,
        result: ReadResult,
    ) {
        if self.leader == Some(from) {
            let is_fresh = state.rules().read_answer_is_fresh();
            context.emit_all_now(self.questions.answered(id, result, is_fresh));
            context.emit_all_now(self.questions.ready(state.commit));
        }
    }

    /// A heartbeat's time is over: what was not answered in it is asked again, at the flush.
    pub(crate) fn read_timeout<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        let config = &state.config;
        let patience = config.timing.election_timeout_max_ms.div_ceil(config.timing.heartbeat_ms);
        context.emit_all_now(self.questions.heartbeat_passed(patience, self.leader));
        self.time_reads(state, context);
    }

    fn time_reads<R: Rules>(&mut self, state: &State<R>, context: &mut Context<'_, R>) {
        if self.questions.starts_timer() {
            context.set_timer(Timer::Read, state.config.timing.heartbeat());
        }
    }
}
