//! One node, stepped by hand.

use std::time::Duration;

use synod_election::fle::{
    Config, Event, Fle, Notification, RULES, Request, Round, Rules, State, Timer, View, Vote, Zxid,
};
use synod_engine::{
    Context, Effect, Engine, Input, Instant, LinkState, NodeId, Random, Sound, To, Token, When,
    Without,
};
use synod_quorum::{Quorum, Voters};

pub(crate) struct Hand<R: Rules = Sound> {
    engine: Fle<R>,
    voters: Quorum,
    random: Random,
}

impl Hand {
    /// A node of so many voters, that has not looked yet.
    pub(crate) fn new(node: u64, voters: u64) -> Self {
        Self::with(node, voters, Sound)
    }
}

impl Hand<Without> {
    /// The same without this rule.
    pub(crate) fn without(rule: &str, node: u64, voters: u64) -> Self {
        let rules = Without::named(RULES, &[rule]).expect("a rule of the election");
        Self::with(node, voters, rules)
    }
}

impl<R: Rules> Hand<R> {
    fn with(node: u64, voters: u64, rules: R) -> Self {
        let voters = Quorum::of(Voters::new((1..=voters).map(NodeId)));
        let config = Config::with_rules(NodeId(node), voters.clone(), rules);
        config.check().expect("a test's configuration fits");
        Self { engine: Fle::new(config), voters, random: Random::new(1) }
    }

    pub(crate) fn step(&mut self, input: Input<Fle<R>>) -> Did<R> {
        let mut effects = Vec::new();
        self.engine.step(&mut Context::new(Instant::START, &mut self.random, &mut effects), input);
        Did(effects)
    }

    /// Looks, with a history that ends with this write of epoch 1.
    pub(crate) fn looks(&mut self, counter: u32) -> Did<R> {
        let voters = self.voters.clone();
        self.looks_among(counter, voters)
    }

    pub(crate) fn looks_among(&mut self, counter: u32, voters: Quorum) -> Did<R> {
        self.voters = voters.clone();
        let request = Request::Look { epoch: 1, zxid: Zxid::new(1, counter), voters };
        self.step(Input::Request { token: Token(0), request })
    }

    pub(crate) fn is_led(&mut self, leader: u64, epoch: u32) -> Did<R> {
        let request = Request::Settle { leader: NodeId(leader), epoch };
        self.step(Input::Request { token: Token(0), request })
    }

    pub(crate) fn hears(&mut self, from: u64, message: Notification) -> Did<R> {
        self.step(Input::Message { from: NodeId(from), message })
    }

    pub(crate) fn fires(&mut self, timer: Timer) -> Did<R> {
        self.step(Input::Timer(timer))
    }

    pub(crate) fn opens(&mut self, peer: u64) -> Did<R> {
        self.step(Input::Link { peer: NodeId(peer), state: LinkState::Opened })
    }

    pub(crate) fn engine(&self) -> &Fle<R> {
        &self.engine
    }

    pub(crate) fn view(&self) -> View {
        self.engine.view()
    }

    /// State, round, and whom it votes for or follows.
    pub(crate) fn is(&self) -> (State, u64, Option<u64>) {
        let View { state, round, vote, .. } = self.view();
        (state, round.0, vote.map(|vote| vote.leader.0))
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.view().is_closing
    }
}

/// The effects of one step, in order.
pub(crate) struct Did<R: Rules>(Vec<Effect<Fle<R>>>);

impl<R: Rules> Did<R> {
    /// To whom it sent what. Nothing is ever sent now.
    pub(crate) fn sent(&self) -> Vec<(u64, Notification)> {
        let sent = self.0.iter().filter_map(|effect| match effect {
            Effect::Send { to: To::Node(to), message, when } => {
                assert_eq!(*when, When::Held, "a vote may tell what is not durable yet");
                Some((to.0, *message))
            }
            Effect::Send { to: To::Others, .. } => panic!("not all others are voters"),
            _ => None,
        });
        sent.collect()
    }

    pub(crate) fn receivers(&self) -> Vec<u64> {
        self.sent().into_iter().map(|(to, _)| to).collect()
    }

    /// When this timer was set to fire.
    pub(crate) fn set(&self, wanted: Timer) -> Option<Duration> {
        self.0.iter().find_map(|effect| match effect {
            Effect::SetTimer { timer, after } if *timer == wanted => Some(*after),
            _ => None,
        })
    }

    pub(crate) fn cancelled(&self, wanted: Timer) -> bool {
        let is_it = |effect: &Effect<_>| matches!(effect, Effect::CancelTimer(it) if *it == wanted);
        self.0.iter().any(is_it)
    }

    /// What the user was told: state, leader, round.
    pub(crate) fn elected(&self) -> Option<(State, u64, u64)> {
        self.0.iter().find_map(|effect| match effect {
            Effect::Emit { event: Event::Elected { state, vote, round }, .. } => {
                Some((*state, vote.leader.0, round.0))
            }
            _ => None,
        })
    }
}

/// A vote for this node, whose history ends with this write of epoch 1.
pub(crate) fn vote(leader: u64, counter: u32) -> Vote {
    Vote { epoch: 1, zxid: Zxid::new(1, counter), leader: NodeId(leader) }
}

/// What somebody says who votes so in this round.
pub(crate) fn looking(round: u64, vote: Vote) -> Notification {
    Notification { state: State::Looking, round: Round(round), vote: Some(vote), asks: true }
}

/// The same, as an answer.
pub(crate) fn answer(round: u64, vote: Vote) -> Notification {
    Notification { asks: false, ..looking(round, vote) }
}

pub(crate) fn following(round: u64, vote: Vote) -> Notification {
    Notification { state: State::Following, ..answer(round, vote) }
}

pub(crate) fn leading(round: u64, vote: Vote) -> Notification {
    Notification { state: State::Leading, ..answer(round, vote) }
}

/// What an observer asks.
pub(crate) fn asking(round: u64) -> Notification {
    Notification { state: State::Looking, round: Round(round), vote: None, asks: true }
}
