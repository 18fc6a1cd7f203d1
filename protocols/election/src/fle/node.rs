//! The node: hands each input to its role, and changes the role.

use alloc::sync::Arc;
use core::convert::Infallible;
use core::hash::{Hash, Hasher};

use synod_engine::{Context, Corrupt, Engine, Input, Instant, LinkState, NodeId, Sound};
use synod_quorum::Quorum;

use super::role::Role;
use super::role::looking::Looking;
use super::role::settled::{Found, Settled};
use super::{Config, Event, Notification, Request, Round, Rules, State, Timer, View, Vote, Zxid};

/// A node that elects.
#[derive(Clone)]
pub struct Fle<R = Sound> {
    pub(crate) config: Arc<Config<R>>,
    pub(crate) role: Role,
}

impl<R: Rules> Engine for Fle<R> {
    type Config = Config<R>;
    type Message = Notification;
    type Record = Infallible;
    type Timer = Timer;
    type Request = Request;
    type Event = Event;
    type Task = Infallible;
    type Output = Infallible;
    type Rules = R;
    type View = View;

    fn new(config: Config<R>) -> Self {
        Self { config: Arc::new(config), role: Role::Idle }
    }

    fn replay(&mut self, record: Infallible) -> Result<(), Corrupt> {
        match record {}
    }

    /// The dispatch table.
    fn step(&mut self, context: &mut Context<'_, Self>, input: Input<Self>) {
        match input {
            Input::Start => self.look(context, 0, Zxid::ZERO, self.config.voters.clone()),
            Input::Request { request: Request::Look { epoch, zxid, voters }, .. } => {
                self.look(context, epoch, zxid, voters);
            }
            Input::Request { request: Request::Settle { leader, epoch }, .. } => {
                self.settle_on(context, leader, epoch);
            }
            Input::Message { from, message } => self.receive(context, from, message),
            Input::Timer(timer) => self.fire(context, timer),
            Input::Link { peer, state: LinkState::Opened } => {
                if let Role::Looking(looking) = &self.role {
                    looking.greet(context, peer);
                }
            }
            Input::TaskDone { output, .. } => match output {},
            Input::Link { state: LinkState::Closed, .. }
            | Input::Cancel(_)
            | Input::Applied(_)
            | Input::Flush => {}
        }
    }

    fn fingerprint<H: Hasher>(&self, _now: Instant, hasher: &mut H) {
        self.role.hash(hasher);
    }

    fn view(&self) -> View {
        View::of(self)
    }
}

impl<R: Rules> Fle<R> {
    /// What this node is.
    #[must_use]
    pub fn state(&self) -> State {
        match &self.role {
            Role::Idle | Role::Looking(_) => State::Looking,
            Role::Settled(settled) => settled.state,
        }
    }

    /// Who leads, as far as this node knows; nobody while it looks.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Idle | Role::Looking(_) => None,
            Role::Settled(settled) => Some(settled.vote.leader),
        }
    }

    /// Its present vote, or its leader as it was elected. `None`: it looks, and has no vote.
    #[must_use]
    pub fn vote(&self) -> Option<Vote> {
        match &self.role {
            Role::Idle => None,
            Role::Looking(looking) => looking.vote,
            Role::Settled(settled) => Some(settled.vote),
        }
    }

    /// Whether its leader is whom a quorum voted for, and no more is known of that one.
    #[must_use]
    pub fn is_polled(&self) -> bool {
        matches!(&self.role, Role::Settled(Settled { found: Found::Polled, .. }))
    }

    /// The round it votes in, or in which its leader was elected.
    #[must_use]
    pub fn round(&self) -> Round {
        self.role.round()
    }

    /// Looks for a leader in the next round.
    fn look(&mut self, context: &mut Context<'_, Self>, epoch: u32, zxid: Zxid, voters: Quorum) {
        let leader = self.config.node;
        let own = voters.contains(leader).then_some(Vote { epoch, zxid, leader });
        let round = self.role.round().next();
        let looking = Looking::begin(&self.config, context, round, own, voters);
        self.role = Role::Looking(looking);
    }

    fn receive(&mut self, context: &mut Context<'_, Self>, from: NodeId, said: Notification) {
        let settled = match &mut self.role {
            Role::Idle => None,
            Role::Looking(looking) => looking.hear(&self.config, context, from, said),
            Role::Settled(settled) => {
                settled.hear(&self.config, context, from, said);
                None
            }
        };
        self.settle(context, settled);
    }

    fn fire(&mut self, context: &mut Context<'_, Self>, timer: Timer) {
        let Role::Looking(looking) = &mut self.role else { return };
        let settled = match timer {
            Timer::Finalize => looking.finalize(&self.config),
            Timer::Notify => {
                looking.repeat(&self.config, context);
                None
            }
        };
        self.settle(context, settled);
    }

    /// The outer engine knows who leads.
    fn settle_on(&mut self, context: &mut Context<'_, Self>, leader: NodeId, epoch: u32) {
        let (votes, known) = match &self.role {
            Role::Idle => (false, None),
            Role::Looking(looking) => (looking.own.is_some(), None),
            Role::Settled(settled) => (settled.state != State::Observing, Some(settled.vote)),
        };
        let state = match (leader == self.config.node, votes) {
            (true, _) => State::Leading,
            (false, true) => State::Following,
            (false, false) => State::Observing,
        };
        let zxid = known.filter(|vote| vote.leader == leader).map(|vote| vote.zxid);
        let vote = Vote { epoch, zxid: zxid.unwrap_or(Zxid::new(epoch, 0)), leader };
        self.stop_looking(context);
        self.role = Role::Settled(Settled { state, vote, round: self.round(), found: Found::Told });
    }

    fn stop_looking(&self, context: &mut Context<'_, Self>) {
        if let Role::Looking(_) = &self.role {
            context.cancel_timer(Timer::Finalize);
            context.cancel_timer(Timer::Notify);
        }
    }

    /// A leader was found, if one was.
    fn settle(&mut self, context: &mut Context<'_, Self>, settled: Option<Settled>) {
        let Some(settled) = settled else { return };
        self.stop_looking(context);
        let Settled { state, vote, round, .. } = settled;
        context.emit(Event::Elected { state, vote, round });
        self.role = Role::Settled(settled);
    }
}
