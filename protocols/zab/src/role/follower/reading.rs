//! A follower or observer serves linearizable reads: its leader names the index, its own state machine
//! answers. ZooKeeper's clients ask for it by `sync`; a read without is the service's stale one.
//!
//! A read ends ready, once everything up to its index was told; or refused, when the leader has no answer
//! or is lost. A question that a heartbeat's time did not answer is asked again under another
//! name, since it may be lost; after a sync limit of that its reads are refused.

use synod_consensus::{Event, Refusal};
use synod_engine::{NodeId, Token};
use synod_log::ReadId;

use crate::message::SyncResult;
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
        let refusal = if !self.serves() {
            Refusal::NotLeader { leader: self.known_leader() }
        } else if self.questions.count() >= state.config.max_pending_reads {
            Refusal::Busy
        } else {
            return self.questions.ask(token);
        };
        context.emit_now(Event::Refused { token, refusal });
    }

    /// Asks the leader once for all reads that wait.
    pub(super) fn ask_for_reads<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
    ) {
        if self.questions.has_waiting() {
            let (epoch, id) = (state.epoch(), state.next_read_id(context));
            self.questions.asked(id);
            context.send_now(self.leader, Message::Sync { epoch, id });
            if !core::mem::replace(&mut self.questions.is_timed, true) {
                context.set_timer(Timer::Read, state.config.heartbeat());
            }
        }
    }

    /// The leader answers a question.
    pub(crate) fn reads_answered<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        id: ReadId,
        result: SyncResult,
    ) {
        let refusal = match result {
            SyncResult::Index(index) => {
                self.questions.answered(id, index, state.rules().read_answer_is_fresh());
                return self.answer_reads(state, context);
            }
            SyncResult::Busy => Refusal::Busy,
            SyncResult::NotLeader => Refusal::NotLeader { leader: None },
        };
        for token in self.questions.rejected(id) {
            context.emit_now(Event::Refused { token, refusal });
        }
    }

    /// Answers the reads whose index was told.
    pub(super) fn answer_reads<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        while let Some((index, tokens)) = self.questions.ready(state.commit) {
            context.emit_now(Event::ReadReady { index, tokens });
        }
    }

    /// A heartbeat's time is over: what was not answered in it is asked again, at the flush.
    pub(crate) fn read_timeout<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        let silent_ms = u64::from(self.questions.heartbeat_passed()) * state.config.heartbeat_ms;
        if silent_ms >= state.config.sync_limit_ms {
            self.refuse_reads(context, self.known_leader());
        }
        self.questions.is_timed = self.questions.is_asking();
        if self.questions.is_timed {
            context.set_timer(Timer::Read, state.config.heartbeat());
        }
    }

    /// The leader is lost, and with it all that it was asked.
    pub(crate) fn refuse_reads<R: Rules>(
        &mut self,
        context: &mut Context<'_, R>,
        leader: Option<NodeId>,
    ) {
        let refusal = Refusal::NotLeader { leader };
        for token in self.questions.drain() {
            context.emit_now(Event::Refused { token, refusal });
        }
    }
}
