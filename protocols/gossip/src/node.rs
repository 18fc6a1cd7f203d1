//! The node: calls once a round, listens, tells, and judges.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::hash::{Hash, Hasher};
use core::time::Duration;

use bytes::Bytes;
use synod_engine::{Context, Corrupt, Engine, Input, Instant, NoRecord, NodeId, Sound, Token};

use crate::rumors::{Hearing, Rumors};
use crate::{
    Config, Direction, Event, Judgement, Message, Refusal, Request, Rules, Rumor, RumorId, Timer,
    Verdict, View,
};

/// A node that gossips.
#[derive(Clone)]
pub struct Gossip<R = Sound> {
    config: Arc<Config<R>>,
    pub(crate) rumors: Rumors,
}

impl<R: Rules> Engine for Gossip<R> {
    type Config = Config<R>;
    type Message = Message;
    type Record = NoRecord;
    type Timer = Timer;
    type Request = Request;
    type Event = Event;
    type Task = Infallible;
    type Output = Infallible;
    type Rules = R;
    type View = View;

    fn new(config: Config<R>) -> Self {
        Self { config: Arc::new(config), rumors: Rumors::default() }
    }

    fn replay(&mut self, record: NoRecord) -> Result<(), Corrupt> {
        match record {}
    }

    /// The dispatch table.
    fn step(&mut self, context: &mut Context<'_, Self>, input: Input<Self>) {
        match input {
            Input::Start => self.start(context),
            Input::Message { from, message } => match message {
                Message::Call { rumors, pull } => self.called(context, from, rumors, pull),
                Message::Answer { rumors } => self.listen(context, from, rumors),
                Message::Feedback { verdicts } => self.judged(&verdicts),
            },
            Input::Timer(Timer::Round) => self.round(context),
            Input::Request { token, request: Request::Start(content) } => {
                self.start_rumor(context, token, content);
            }
            Input::TaskDone { output, .. } => match output {},
            Input::Cancel(_) | Input::Link { .. } | Input::Applied(_) | Input::Flush => {}
        }
    }

    fn fingerprint<H: Hasher>(&self, _now: Instant, hasher: &mut H) {
        self.rumors.hash(hasher);
    }

    fn view(&self) -> View {
        View { hot: self.rumors.hot(), cold: self.rumors.cold() }
    }
}

impl<R: Rules> Gossip<R> {
    /// Whether this node remembers having heard the rumor.
    #[must_use]
    pub fn knows(&self, id: RumorId) -> bool {
        self.rumors.knows(id)
    }

    fn start(&self, context: &mut Context<'_, Self>) {
        let round = self.config.round();
        let first = if self.config.staggered {
            context.random().duration(Duration::ZERO, round)
        } else {
            round
        };
        context.set_timer(Timer::Round, first);
    }

    fn start_rumor(&mut self, context: &mut Context<'_, Self>, token: Token, content: Bytes) {
        let max_bytes = self.config.max_rumor_bytes;
        if content.len() > max_bytes {
            let refusal = Refusal::TooLarge { max_bytes };
            return context.emit(Event::Refused { token, refusal });
        }
        let id = RumorId { origin: self.config.node, number: context.random().bits() };
        let rumor = Rumor { id, content };
        let event = match self.rumors.hear(&self.config, rumor.clone()) {
            Hearing::First { forgot } => {
                forgot.into_iter().for_each(|id| context.emit(Event::Forgot(id)));
                Event::Started { token, rumor }
            }
            Hearing::NoRoom | Hearing::Again | Hearing::Known => {
                Event::Refused { token, refusal: Refusal::Busy }
            }
        };
        context.emit(event);
    }

    /// A round ends and the next one begins, with a call.
    fn round(&mut self, context: &mut Context<'_, Self>) {
        self.rumors.end_round(&self.config, context.random());
        context.set_timer(Timer::Round, self.config.round());
        let Some(partner) = self.config.partner(context.random()) else { return };
        let (push, pull) = match self.config.direction {
            Direction::Push => (true, false),
            Direction::Pull => (false, true),
            Direction::PushPull => (true, true),
        };
        let rumors = if push { self.rumors.tell(&self.config, &[]) } else { Vec::new() };
        if pull || !rumors.is_empty() {
            context.send(partner, Message::Call { rumors, pull });
        }
    }

    /// A call: listens and, if asked, tells. What the caller told, it need not be told: telling it
    /// would have been useless.
    fn called(
        &mut self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        rumors: Vec<Rumor>,
        pull: bool,
    ) {
        if pull {
            let told = self.rumors.tell(&self.config, &rumors);
            if !told.is_empty() {
                context.send(from, Message::Answer { rumors: told });
            }
            rumors.iter().for_each(|rumor| self.rumors.judged(rumor.id, false));
        }
        self.listen(context, from, rumors);
    }

    /// Takes in what it was told, and says what of it was news.
    fn listen(&mut self, context: &mut Context<'_, Self>, from: NodeId, rumors: Vec<Rumor>) {
        let mut verdicts = Vec::new();
        for rumor in rumors {
            let id = rumor.id;
            match self.rumors.hear(&self.config, rumor.clone()) {
                Hearing::First { forgot } => {
                    forgot.into_iter().for_each(|id| context.emit(Event::Forgot(id)));
                    context.emit(Event::Heard(rumor));
                    verdicts.push(Verdict { id, news: true });
                }
                Hearing::Again => verdicts.push(Verdict { id, news: true }),
                Hearing::Known => verdicts.push(Verdict { id, news: false }),
                Hearing::NoRoom => {}
            }
        }
        if self.config.judgement == Judgement::Feedback && !verdicts.is_empty() {
            context.send(from, Message::Feedback { verdicts });
        }
    }

    fn judged(&mut self, verdicts: &[Verdict]) {
        verdicts.iter().for_each(|verdict| self.rumors.judged(verdict.id, verdict.news));
    }
}
