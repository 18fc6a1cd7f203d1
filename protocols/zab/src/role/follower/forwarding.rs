//! A follower or observer sends its user's proposals on to its leader (decision 0007).
//!
//! Every proposal ends: committed, once its entry is told here; refused, by the leader, or since it was
//! never sent; or unknown, when the leader or the answer is lost.

use alloc::vec::Vec;

use bytes::Bytes;
use synod_consensus::{Event, Refusal};
use synod_engine::{NodeId, Token};
use synod_log::Answer;

use crate::role::Follower;
use crate::state::{Context, State};
use crate::{Message, Rules, Timer};

impl Follower {
    /// A command for the leader, which the next flush sends on.
    pub(crate) fn forward<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        token: Token,
        command: Bytes,
    ) {
        let config = &state.config;
        let refusal = if !config.forward_proposals || !self.serves() {
            Refusal::NotLeader { leader: self.known_leader() }
        } else if command.len() > config.max_command_bytes {
            Refusal::TooLarge { max_bytes: config.max_command_bytes as u64 }
        } else if self.forwards.size_bytes() > config.max_forwarded_bytes {
            Refusal::Busy
        } else {
            return self.forwards.gather(token, command);
        };
        context.emit_now(Event::Refused { token, refusal });
    }

    /// Sends what was gathered.
    pub(super) fn send_forwards<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        let (epoch, max_bytes) = (state.epoch(), state.config.max_append_bytes);
        while let Some(parcel) = self.forwards.parcel(context.random(), max_bytes) {
            let (lane, first, commands) = parcel;
            context.send_now(self.leader, Message::Request { epoch, lane, first, commands });
        }
        if self.forwards.waits_for_answers() && !self.forwards.is_timed {
            self.forwards.is_timed = true;
            context.set_timer(Timer::Forward, state.config.heartbeat());
        }
    }

    /// The leader says what became of proposals.
    pub(crate) fn forwards_answered<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        (lane, first): (u64, u64),
        answers: Vec<Answer>,
    ) {
        let (refused, late) = self.forwards.answered(lane, first, answers, state.commit);
        for (token, refusal) in refused {
            context.emit_now(Event::Refused { token, refusal });
        }
        unknown(context, late);
    }

    /// A heartbeat's time is over: what was not answered for long is lost.
    pub(crate) fn forward_timeout<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        unknown(context, self.forwards.grow_old());
        self.forwards.is_timed = self.forwards.waits_for_answers();
        if self.forwards.is_timed {
            context.set_timer(Timer::Forward, state.config.heartbeat());
        }
    }

    /// The leader, or the link to it, is lost: so is what it did not answer.
    pub(super) fn lose_forwards<R: Rules>(&mut self, context: &mut Context<'_, R>) {
        unknown(context, self.forwards.lose());
    }

    /// A snapshot took the place of entries: whose they were is not told.
    pub(super) fn pass_forwards<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        let passed = self.forwards.committed(state.commit);
        unknown(context, passed.into_iter().map(|(_, token)| token));
    }

    /// Follows this leader no more: nothing that was sent can be told.
    pub(super) fn drop_forwards<R: Rules>(
        &mut self,
        context: &mut Context<'_, R>,
        leader: Option<NodeId>,
    ) {
        if self.forwards.is_timed {
            context.cancel_timer(Timer::Forward);
        }
        let (never_sent, sent) = core::mem::take(&mut self.forwards).drain();
        let refusal = Refusal::NotLeader { leader };
        for token in never_sent {
            context.emit_now(Event::Refused { token, refusal });
        }
        unknown(context, sent);
    }
}

fn unknown<R: Rules>(context: &mut Context<'_, R>, tokens: impl IntoIterator<Item = Token>) {
    for token in tokens {
        context.emit_now(Event::Unknown { token });
    }
}
