//! Each invariant catches what it forbids, and nothing that is allowed.

use synod_engine::{
    Effect, Engine, Input, Instant, Invariants, NodeId, Sometimes, Stepped, To, Token, Violation,
    When,
};
use synod_paxos::basic::{Config, Event, Message, Paxos, Record, Request, Safety, Value};

use crate::hand::{accept, accepted, ballot, promise, proposal};

/// What the fold sees of three nodes.
struct Fold {
    safety: Safety,
    sometimes: Sometimes,
}

type Judged = Result<(), &'static str>;

fn judged(result: Result<(), Violation>) -> Judged {
    result.map_err(|violation| violation.invariant)
}

fn config() -> Config {
    Config::new(NodeId(1), [1, 2, 3].map(NodeId))
}

/// A node that had made these records durable.
fn engine(records: &[Record]) -> Paxos {
    let mut engine = Paxos::new(config());
    records.iter().for_each(|record| engine.replay(record.clone()).expect("they fit"));
    engine
}

fn sent(message: Message) -> Effect<Paxos> {
    Effect::Send { to: To::Node(NodeId(3)), message, when: When::Held }
}

fn told(value: &'static str) -> Effect<Paxos> {
    let event = Event::Chosen { value: value.into(), own: vec![] };
    Effect::Emit { event, when: When::Held }
}

impl Fold {
    fn new() -> Self {
        Self { safety: Safety::new(config().acceptors), sometimes: Sometimes::default() }
    }

    /// In which a client has asked for these.
    fn asked(values: &[&'static str]) -> Self {
        let mut fold = Self::new();
        for value in values {
            let mut node = engine(&[]);
            let request = Request::Propose((*value).into());
            let (mut random, mut effects) = (synod_engine::Random::new(1), Vec::new());
            let now = Instant::START;
            let mut context = synod_engine::Context::new(now, &mut random, &mut effects);
            node.step(&mut context, Input::Request { token: Token(1), request });
            assert_eq!(fold.stepped_to(&node, 1, &effects), Ok(()));
        }
        fold
    }

    /// In which "a" is asked for and chosen in 1.1, by nodes 1 and 2; "b" is asked for too.
    fn chosen() -> Self {
        let mut fold = Self::asked(&["a", "b"]);
        assert_eq!(fold.stepped(1, sent(accept("a", 1, 1))), Ok(()));
        for node in [1, 2] {
            assert_eq!(fold.performed(node, &sent(accepted("a", 1, 1))), Ok(()));
        }
        fold
    }

    fn stepped(&mut self, node: u64, effect: Effect<Paxos>) -> Judged {
        self.stepped_to(&engine(&[]), node, &[effect])
    }

    fn stepped_to(&mut self, after: &Paxos, node: u64, effects: &[Effect<Paxos>]) -> Judged {
        let (node, now) = (NodeId(node), Instant::START);
        let step = Stepped { node, now, effects, after };
        judged(self.safety.stepped(&step, &mut self.sometimes))
    }

    fn performed(&mut self, node: u64, effect: &Effect<Paxos>) -> Judged {
        judged(self.safety.performed(NodeId(node), effect))
    }

    /// What the fold says of a node that comes back with these records; a checkpoint says the same.
    fn recovered(&mut self, node: u64, records: &[Record]) -> Judged {
        let engine = engine(records);
        let recovered = judged(self.safety.recovered(NodeId(node), &engine));
        let mut nodes = [(NodeId(node), &engine)].into_iter();
        assert_eq!(judged(self.safety.checkpoint(&mut nodes)), recovered);
        recovered
    }
}

#[test]
fn agreement() {
    let mut fold = Fold::chosen();
    assert_eq!(fold.stepped(1, told("a")), Ok(()));
    assert_eq!(fold.stepped(2, told("a")), Ok(()));
    assert_eq!(fold.stepped(3, told("b")), Err("Agreement"));
}

#[test]
fn validity() {
    let mut fold = Fold::new();
    // A learner may send the value on; that is no client's wish.
    assert_eq!(fold.stepped(2, sent(Message::Request { value: "a".into() })), Ok(()));
    assert_eq!(fold.sometimes.count("a learner had a ballot issued"), 1);
    for node in [1, 2] {
        assert_eq!(fold.performed(node, &sent(accepted("a", 1, 1))), Ok(()));
    }
    assert_eq!(fold.stepped(1, told("a")), Err("Validity"));
}

#[test]
fn only_what_is_chosen_is_learned() {
    let mut fold = Fold::asked(&["a"]);
    assert_eq!(fold.sometimes.count("a learner had a ballot issued"), 0);
    fold.performed(1, &sent(accepted("a", 1, 1))).unwrap();
    fold.performed(1, &sent(accepted("a", 1, 1))).unwrap();
    fold.performed(2, &sent(accepted("a", 2, 2))).unwrap();
    assert_eq!(fold.stepped(1, told("a")), Err("Only what is chosen is learned"));
}

#[test]
fn one_value_per_ballot() {
    let mut fold = Fold::new();
    assert_eq!(fold.stepped(1, sent(accept("a", 1, 1))), Ok(()));
    assert_eq!(fold.stepped(1, sent(accept("a", 1, 1))), Ok(()));
    assert_eq!(fold.stepped(2, sent(accept("b", 1, 2))), Ok(()));
    assert_eq!(fold.stepped(1, sent(accept("b", 1, 1))), Err("One value per ballot"));
}

#[test]
fn chosen_once() {
    let mut fold = Fold::chosen();
    assert_eq!(fold.stepped(2, sent(accept("a", 2, 2))), Ok(()));
    assert_eq!(fold.stepped(3, sent(accept("b", 1, 0))), Ok(()), "a lower ballot may be late");
    assert_eq!(fold.stepped(3, sent(accept("b", 2, 3))), Err("Chosen once"));
    // The same, where the other value was proposed before the first one was chosen.
    let mut fold = Fold::new();
    assert_eq!(fold.stepped(1, sent(accept("a", 1, 1))), Ok(()));
    assert_eq!(fold.stepped(3, sent(accept("b", 2, 3))), Ok(()));
    assert_eq!(fold.performed(1, &sent(accepted("a", 1, 1))), Ok(()));
    assert_eq!(fold.performed(2, &sent(accepted("a", 1, 1))), Err("Chosen once"));
}

#[test]
fn what_is_chosen_in_a_later_ballot_too_stays_chosen_in_the_first() {
    let mut fold = Fold::chosen();
    for node in [1, 2, 3] {
        assert_eq!(fold.performed(node, &sent(accepted("a", 3, 3))), Ok(()));
    }
    assert_eq!(fold.stepped(2, sent(accept("b", 2, 2))), Err("Chosen once"));
}

#[test]
fn what_turns_out_to_be_chosen_in_an_earlier_ballot_binds_from_there_on() {
    let mut fold = Fold::new();
    for (node, round) in [(1, 1), (1, 3), (2, 3)] {
        assert_eq!(fold.performed(node, &sent(accepted("a", round, round))), Ok(()));
    }
    assert_eq!(fold.stepped(2, sent(accept("b", 2, 2))), Ok(()), "chosen in ballot 3 only, so far");
    assert_eq!(fold.performed(3, &sent(accepted("a", 1, 1))), Err("Chosen once"));
}

#[test]
fn promises_are_kept() {
    const BROKEN: Judged = Err("Promises are kept");
    let mut fold = Fold::new();
    assert_eq!(fold.performed(1, &sent(promise(2, 2, None))), Ok(()));
    assert_eq!(fold.performed(1, &sent(promise(1, 2, None))), Ok(()), "told again, late");
    assert_eq!(fold.performed(1, &sent(accepted("a", 1, 1))), BROKEN);
    assert_eq!(fold.performed(1, &sent(accepted("a", 2, 2))), Ok(()));
    assert_eq!(fold.performed(1, &sent(promise(3, 3, None))), Ok(()));
    assert_eq!(fold.performed(1, &sent(accepted("a", 2, 2))), Ok(()), "told again, to who asks");
    let accepted = Record::Accept(proposal("a", 2, 2));
    assert_eq!(fold.recovered(1, std::slice::from_ref(&accepted)), BROKEN);
    let promised = |round| [accepted.clone(), Record::Promise(ballot(round, 3))];
    assert_eq!(fold.recovered(1, &promised(3)), Ok(()));
    assert_eq!(fold.recovered(1, &promised(4)), Ok(()), "what it told nobody");
    assert_eq!(fold.recovered(2, &[]), Ok(()), "it has told nothing");
}

#[test]
fn acceptance_does_not_fall() {
    const FALLEN: Judged = Err("Acceptance does not fall");
    let mut fold = Fold::new();
    assert_eq!(fold.performed(1, &sent(promise(1, 1, Some(proposal("a", 5, 5))))), Ok(()));
    assert_eq!(fold.performed(1, &sent(accepted("b", 4, 4))), FALLEN);
    assert_eq!(fold.performed(1, &sent(accepted("a", 5, 5))), Ok(()));
    assert_eq!(fold.recovered(1, &[Record::Promise(ballot(5, 5))]), FALLEN);
    assert_eq!(fold.recovered(1, &[Record::Accept(proposal("a", 5, 5))]), Ok(()));
}

#[test]
fn the_outcome_is_stable() {
    const FORGOTTEN: Judged = Err("The outcome is stable");
    let chosen = Message::Chosen { value: Value::from("a") };
    for telling in [told("a"), sent(chosen)] {
        let mut fold = Fold::chosen();
        let accepted = Record::Accept(proposal("a", 1, 1));
        assert_eq!(fold.recovered(1, std::slice::from_ref(&accepted)), Ok(()), "told nobody");
        assert_eq!(fold.performed(1, &telling), Ok(()));
        let knowing = |record| [accepted.clone(), record];
        assert_eq!(fold.recovered(1, std::slice::from_ref(&accepted)), FORGOTTEN);
        assert_eq!(fold.recovered(1, &knowing(Record::Commit("b".into()))), FORGOTTEN);
        assert_eq!(fold.recovered(1, &knowing(Record::Commit("a".into()))), Ok(()));
        let acknowledged = Record::Acknowledge(proposal("a", 1, 1));
        assert_eq!(fold.recovered(1, &knowing(acknowledged)), Ok(()));
    }
}
