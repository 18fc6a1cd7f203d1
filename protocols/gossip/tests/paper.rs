//! "Epidemic Algorithms for Replicated Database Maintenance", section 1.4, by hand.

use bytes::Bytes;
use synod_engine::{Context, Effect, Engine, Input, Instant, NodeId, Random, To, Token};
use synod_gossip::{
    Config, Direction, Event, Gossip, Judgement, Message, Refusal, Request, Rumor, RumorId, Stop,
    Timer, Verdict,
};

/// Node 1 of three.
struct Hand {
    engine: Gossip,
    random: Random,
}

impl Hand {
    fn new(direction: Direction, judgement: Judgement, stop: Stop) -> Self {
        let mut config = Config::new(NodeId(1), [1, 2, 3].map(NodeId));
        (config.direction, config.judgement, config.stop) = (direction, judgement, stop);
        Self::with(config)
    }

    fn with(config: Config) -> Self {
        config.check().expect("a test's configuration fits");
        Self { engine: Gossip::new(config), random: Random::new(1) }
    }

    fn step(&mut self, input: Input<Gossip>) -> Did {
        let mut effects = Vec::new();
        let mut context = Context::new(Instant::START, &mut self.random, &mut effects);
        self.engine.step(&mut context, input);
        Did(effects)
    }

    fn hears(&mut self, from: u64, message: Message) -> Did {
        self.step(Input::Message { from: NodeId(from), message })
    }

    fn round(&mut self) -> Did {
        self.step(Input::Timer(Timer::Round))
    }

    fn starts(&mut self, content: &'static [u8]) -> Did {
        let request = Request::Start(Bytes::from_static(content));
        self.step(Input::Request { token: Token(1), request })
    }

    /// Rounds until nothing is hot any more.
    fn rounds_until_cold(&mut self) -> usize {
        (1..).find(|_| self.round().is_silent() || self.engine.view().hot == 0).expect("it ends")
    }
}

struct Did(Vec<Effect<Gossip>>);

impl Did {
    fn sent(&self) -> Vec<(To, &Message)> {
        let sent = self.0.iter().filter_map(|effect| match effect {
            Effect::Send { to, message, .. } => Some((*to, message)),
            _ => None,
        });
        sent.collect()
    }

    fn events(&self) -> Vec<&Event> {
        let events = self.0.iter().filter_map(|effect| match effect {
            Effect::Emit { event, .. } => Some(event),
            _ => None,
        });
        events.collect()
    }

    fn is_silent(&self) -> bool {
        self.sent().is_empty()
    }

    /// The rumors of its one call.
    fn called(&self) -> Vec<Rumor> {
        match self.sent()[..] {
            [(To::Node(NodeId(2 | 3)), Message::Call { rumors, .. })] => rumors.clone(),
            ref other => panic!("not one call to another node: {other:?}"),
        }
    }
}

fn rumor(number: u64) -> Rumor {
    let id = RumorId { origin: NodeId(2), number };
    Rumor { id, content: Bytes::from_static(b"news") }
}

fn push(number: u64) -> Message {
    Message::Call { rumors: vec![rumor(number)], pull: false }
}

fn feedback(number: u64, news: bool) -> Message {
    Message::Feedback { verdicts: vec![Verdict { id: rumor(number).id, news }] }
}

#[test]
fn a_rumor_is_heard_once_and_told_from_the_next_round_on() {
    let mut node = Hand::new(Direction::Push, Judgement::Feedback, Stop::Counter(1));
    let did = node.hears(2, push(7));
    assert_eq!(did.events(), [&Event::Heard(rumor(7))]);
    assert_eq!(did.sent(), [(To::Node(NodeId(2)), &feedback(7, true))]);
    assert_eq!(node.round().called(), [rumor(7)]);
    let did = node.hears(3, push(7));
    assert!(did.events().is_empty());
    assert_eq!(did.sent(), [(To::Node(NodeId(3)), &feedback(7, false))]);
}

#[test]
fn what_was_heard_in_this_round_is_still_news_to_a_second_teller() {
    let mut node = Hand::new(Direction::Push, Judgement::Feedback, Stop::Counter(1));
    node.hears(2, push(7));
    let did = node.hears(3, push(7));
    assert!(did.events().is_empty(), "heard once");
    assert_eq!(did.sent(), [(To::Node(NodeId(3)), &feedback(7, true))]);
}

#[test]
fn a_node_that_pushes_calls_nobody_without_news_and_one_that_pulls_always_does() {
    let mut pushing = Hand::new(Direction::Push, Judgement::Blind, Stop::Coin(2));
    assert!(pushing.round().is_silent());
    let mut pulling = Hand::new(Direction::Pull, Judgement::Blind, Stop::Coin(2));
    assert_eq!(pulling.round().called(), []);
    pulling.hears(2, Message::Answer { rumors: vec![rumor(7)] });
    assert_eq!(pulling.round().called(), [], "a pulling caller tells nothing");
}

#[test]
fn a_counter_rises_with_useless_rounds_and_falls_with_a_useful_one() {
    let mut node = Hand::new(Direction::Push, Judgement::Feedback, Stop::Counter(2));
    node.hears(2, push(7));
    for news in [false, true, false] {
        assert_eq!(node.round().called(), [rumor(7)]);
        node.hears(3, feedback(7, news));
    }
    assert_eq!(node.round().called(), [rumor(7)], "one useless round since the useful one");
    node.hears(3, feedback(7, false));
    assert!(node.round().is_silent());
    assert_eq!((node.engine.view().hot, node.engine.view().cold), (0, 1));
}

#[test]
fn a_call_that_was_lost_is_neither_useful_nor_useless() {
    let mut node = Hand::new(Direction::Push, Judgement::Feedback, Stop::Counter(1));
    node.hears(2, push(7));
    for _ in 0..10 {
        assert_eq!(node.round().called(), [rumor(7)]);
    }
}

#[test]
fn a_blind_counter_ends_after_k_rounds_and_a_blind_coin_after_k_on_average() {
    let mut node = Hand::new(Direction::Push, Judgement::Blind, Stop::Counter(4));
    node.starts(b"news");
    assert_eq!(node.rounds_until_cold(), 5, "it is told in four rounds");
    let mut told = 0;
    for number in 0..1000 {
        let mut node = Hand::new(Direction::Push, Judgement::Blind, Stop::Coin(4));
        node.random = Random::new(number);
        node.starts(b"news");
        told += node.rounds_until_cold() - 1;
    }
    assert!((3700..4300).contains(&told), "{told} rounds in 1000 lives");
}

#[test]
fn a_source_that_answers_many_pulls_counts_once_a_round_and_any_need_resets_it() {
    let mut node = Hand::new(Direction::Pull, Judgement::Feedback, Stop::Counter(2));
    node.hears(2, Message::Answer { rumors: vec![rumor(7)] });
    let pull = Message::Call { rumors: vec![], pull: true };
    assert!(node.hears(2, pull.clone()).is_silent(), "heard in this round, told in the next");
    for verdicts in [&[false, false, false][..], &[true, false], &[false, false], &[]] {
        node.round();
        for news in verdicts {
            let did = node.hears(3, pull.clone());
            let answer = Message::Answer { rumors: vec![rumor(7)] };
            assert_eq!(did.sent(), [(To::Node(NodeId(3)), &answer)]);
            node.hears(3, feedback(7, *news));
        }
    }
    node.hears(3, pull.clone());
    node.hears(3, feedback(7, false));
    node.round();
    assert!(node.hears(3, pull).is_silent());
}

#[test]
fn in_push_pull_a_callee_tells_only_what_the_call_did_not() {
    let mut node = Hand::new(Direction::PushPull, Judgement::Feedback, Stop::Counter(1));
    node.hears(2, Message::Answer { rumors: vec![rumor(7), rumor(8)] });
    node.round();
    let did = node.hears(3, Message::Call { rumors: vec![rumor(7)], pull: true });
    let answer = Message::Answer { rumors: vec![rumor(8)] };
    assert_eq!(
        did.sent(),
        [(To::Node(NodeId(3)), &answer), (To::Node(NodeId(3)), &feedback(7, false))]
    );
    assert_eq!(node.round().called(), [rumor(8)], "the caller knew the other one");
}

#[test]
fn a_restarted_node_has_heard_nothing_yet() {
    let mut node = Hand::new(Direction::Push, Judgement::Feedback, Stop::Counter(1));
    node.hears(2, push(7));
    let mut node = Hand::new(Direction::Push, Judgement::Feedback, Stop::Counter(1));
    assert_eq!(node.hears(2, push(7)).events(), [&Event::Heard(rumor(7))]);
}

#[test]
fn a_message_carries_what_fits_and_what_was_least_useless() {
    let mut config = Config::new(NodeId(1), [1, 2].map(NodeId));
    config.direction = Direction::Push;
    config.max_rumor_bytes = 4;
    config.max_packet_bytes = 2 * rumor(0).size_bytes() + 1;
    let mut node = Hand::with(config);
    node.hears(2, Message::Answer { rumors: [1, 2, 3].map(rumor).into() });
    assert_eq!(node.round().called(), [rumor(1), rumor(2)]);
    node.hears(2, feedback(1, false));
    node.hears(2, feedback(2, false));
    assert_eq!(node.round().called(), [rumor(3), rumor(1)]);
}

#[test]
fn a_full_node_forgets_the_oldest_cold_rumor_and_takes_up_none_while_all_are_hot() {
    let mut config = Config::new(NodeId(1), [1, 2].map(NodeId));
    (config.direction, config.stop, config.max_rumors) = (Direction::Push, Stop::Counter(1), 2);
    let mut node = Hand::with(config);
    node.hears(2, push(1));
    node.hears(2, push(2));
    let did = node.hears(2, push(3));
    assert!(did.events().is_empty() && did.is_silent());
    let refused = Event::Refused { token: Token(1), refusal: Refusal::Busy };
    assert_eq!(node.starts(b"mine").events(), [&refused]);
    node.round();
    node.hears(2, feedback(1, false));
    node.round();
    let events = [&Event::Forgot(rumor(1).id), &Event::Heard(rumor(3))];
    assert_eq!(node.hears(2, push(3)).events(), events);
    assert!(!node.engine.knows(rumor(1).id) && node.engine.knows(rumor(2).id));
}

#[test]
fn a_rumor_that_is_too_large_is_neither_started_nor_taken_up() {
    let mut config = Config::new(NodeId(1), [1, 2].map(NodeId));
    config.max_rumor_bytes = 3;
    let mut node = Hand::with(config);
    let refused = Event::Refused { token: Token(1), refusal: Refusal::TooLarge { max_bytes: 3 } };
    assert_eq!(node.starts(b"news").events(), [&refused]);
    let did = node.hears(2, push(1));
    assert!(did.events().is_empty() && did.is_silent());
    assert_eq!(node.engine.view().hot, 0);
}
