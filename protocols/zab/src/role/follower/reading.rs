//! A follower or observer serves linearizable reads: its leader names the index, its own state machine
//! answers. ZooKeeper's clients ask for it by `sync`; a read without is the service's stale one.
//!
//! A read ends ready, once everything up to its index was told; or refused, when the leader has no answer
//! or is lost. A question that a heartbeat's time did not answer is asked again under another
//! name, since it may be lost; after a sync limit of that its reads are refused.

use synod_consensus::{Event, Refusal};
use synod_engine::Token;
use synod_log::{ReadId, ReadResult};

use crate::role::Follower;
use crate::state::{Context, State};
use crate::{Message, Rules, Timer};

impl Follower {
    /// A linearizable read, for which the next flush asks the leader.
    pub(crate) fn read<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        token: Token,
    ) {
        let taken = if self.serves() {
            self.questions.ask(token, state.config.bounds.max_pending_reads)
        } else {
            Err(Refusal::NotLeader { leader: self.known_leader() })
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
        if let Some(id) = self.questions.next(&mut state.read_ids, context.random()) {
            context.send_now(self.leader, Message::Sync { epoch: state.epoch(), id });
            self.time_reads(state, context);
        }
    }

    /// The leader answers a question.
    pub(crate) fn reads_answered<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        id: ReadId,
        result: ReadResult,
    ) {
        let is_fresh = state.rules().read_answer_is_fresh();
        context.emit_all_now(self.questions.answered(id, result, is_fresh));
        context.emit_all_now(self.questions.ready(state.commit));
    }

    /// A heartbeat's time is over: what was not answered in it is asked again, at the flush.
    pub(crate) fn read_timeout<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        let config = &state.config;
        let patience = config.sync_limit_ms.div_ceil(config.heartbeat_ms);
        context.emit_all_now(self.questions.heartbeat_passed(patience, self.known_leader()));
        self.time_reads(state, context);
    }

    fn time_reads<R: Rules>(&mut self, state: &State<R>, context: &mut Context<'_, R>) {
        if self.questions.starts_timer() {
            context.set_timer(Timer::Read, state.config.heartbeat());
        }
    }
}
