//! A follower or learner sends its user's proposals on to its leader (decision 0007).
//!
//! Every proposal ends: committed, once its entry is told here; refused, by the leader, or since it was
//! never sent; or unknown, when the leader or the answer is lost.

use alloc::vec::Vec;

use bytes::Bytes;
use synod_consensus::{Event, Refusal};
use synod_engine::{NodeId, Token};
use synod_log::Answer;

use crate::multi::role::Follower;
use crate::multi::state::{Context, State};
use crate::multi::{Message, Rules, Timer};

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
        let taken = if config.forward_proposals && self.leader.is_some() {
            self.forwards.gather(token, command, &config.bounds)
        } else {
            Err(Refusal::NotLeader { leader: self.leader })
        };
        if let Err(refusal) = taken {
            context.emit_now(Event::Refused { token, refusal });
        }
    }

    /// Sends what was gathered.
    pub(super) fn send_forwards<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        let Some(leader) = self.leader else { return };
        let (ballot, max_bytes) = (state.promised, state.config.bounds.max_append_bytes);
        while let Some(parcel) = self.forwards.parcel(context.random(), max_bytes) {
            let (lane, first, commands) = parcel;
            context.send_now(leader, Message::Forward { ballot, lane, first, commands });
        }
        self.time_forwards(state, context);
    }

    /// The leader says what became of proposals.
    pub(crate) fn forwards_answered<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        from: NodeId,
        (lane, first): (u64, u64),
        answers: Vec<Answer>,
    ) {
        if self.leader == Some(from) {
            context.emit_all_now(self.forwards.answered(lane, first, answers, state.commit));
        }
    }

    /// A heartbeat's time is over: what was not answered for long is lost.
    pub(crate) fn forward_timeout<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        context.emit_all_now(self.forwards.heartbeat_passed());
        self.time_forwards(state, context);
    }

    fn time_forwards<R: Rules>(&mut self, state: &State<R>, context: &mut Context<'_, R>) {
        if self.forwards.starts_timer() {
            context.set_timer(Timer::Forward, state.config.timing.heartbeat());
        }
    }
}
