//! The client: hands a value to a proposer until the outcome is known.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

use synod_engine::{Context, NodeId, Token};

use crate::basic::node::Paxos;
use crate::basic::{Config, Event, Message, Refusal, Rules, Timer, Value};

#[derive(Clone, Default, Hash)]
pub(crate) struct Client {
    /// The requests that wait for the outcome. One value can be chosen, so the first speaks for all.
    open: BTreeMap<Token, Value>,
    /// The proposer that was asked last.
    asked: Option<NodeId>,
}

impl Client {
    /// Takes up a request, unless a bound forbids it.
    pub(crate) fn request<R: Rules>(
        &mut self,
        config: &Config<R>,
        context: &mut Context<'_, Paxos<R>>,
        token: Token,
        value: Value,
    ) {
        let refusal = if value.0.len() > config.max_value_bytes {
            Some(Refusal::TooLarge { max_bytes: config.max_value_bytes })
        } else if self.open.len() >= config.max_open_requests {
            Some(Refusal::Busy)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return context.emit_now(Event::Refused { token, refusal });
        }
        let idle = self.open.is_empty();
        self.open.insert(token, value);
        if idle {
            self.send(config, context);
        }
    }

    /// Turns to the next proposer: the node itself first, if it is one, then the others in turn.
    pub(crate) fn send<R: Rules>(
        &mut self,
        config: &Config<R>,
        context: &mut Context<'_, Paxos<R>>,
    ) {
        let Some(value) = self.open.values().next() else { return };
        let proposers = &config.proposers;
        let next = match self.asked {
            None => proposers.get(&config.node).or(proposers.first()),
            Some(asked) => proposers
                .range((Bound::Excluded(asked), Bound::Unbounded))
                .next()
                .or(proposers.first()),
        };
        let Some(next) = next.copied() else { return };
        self.asked = Some(next);
        context.send_now(next, Message::Request { value: value.clone() });
        let after = context.random().duration(config.resend(), 2 * config.resend());
        context.set_timer(Timer::Resend, after);
    }

    /// Forgets a request. A proposer that has heard of its value may still get it chosen.
    pub(crate) fn cancel(&mut self, token: Token) {
        self.open.remove(&token);
    }

    /// The outcome is known: the requests that it answers.
    pub(crate) fn answer(&mut self) -> Vec<Token> {
        core::mem::take(&mut self.open).into_keys().collect()
    }

    /// Whether a request for this value waits.
    pub(crate) fn wants(&self, value: &Value) -> bool {
        self.open.values().any(|open| open == value)
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.open.len()
    }
}
