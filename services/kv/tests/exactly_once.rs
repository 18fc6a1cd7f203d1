//! Clients that pipeline and retry over a network that loses, repeats and reorders, against a store
//! that is restored from a snapshot now and then: each command takes effect exactly once. And without
//! any one of the rules, it does not.

mod client;

use std::collections::BTreeSet;

use client::{append, bytes};
use synod_codec::encode;
use synod_consensus::{Index, StateMachine};
use synod_engine::{Random, Sound, Without};
use synod_kv::Store;
use synod_kv::limits::MIN_LEASE_MS;
use synod_kv::message::{Answer, Command, Query, Rejected, Response, SessionId};
use synod_kv::rules::{RULES, Rules};

const COMMANDS: u64 = 60;
const PIPELINED: u64 = 8;

/// One client appends the tokens `1.`, `2.`, … to one key; two replicas apply every command, and one
/// of them is restored now and then.
struct Story<R: Rules> {
    random: Random,
    index: u64,
    steady: Store<R>,
    restored: Store<R>,
    session: SessionId,
    /// Token of number `n` is `first_token + n`.
    first_token: u64,
    unanswered: BTreeSet<u64>,
    next_number: u64,
    in_flight: Vec<Command>,
    acknowledged_tokens: Vec<u64>,
}

impl<R: Rules + Default> Story<R> {
    fn new(seed: u64, rules: R) -> Self {
        Self {
            random: Random::new(seed),
            index: 0,
            steady: Store::new().with_rules(rules),
            restored: Store::new().with_rules(rules),
            session: SessionId(0),
            first_token: 0,
            unanswered: BTreeSet::new(),
            next_number: 1,
            in_flight: Vec::new(),
            acknowledged_tokens: Vec::new(),
        }
    }

    fn tell(mut self) -> Result<(), String> {
        self.open()?;
        for _ in 0..1_500 {
            match self.random.below(100) {
                0..45 => self.send(),
                45..95 => self.deliver()?,
                95..98 => self.restore(),
                98 => self.commit(&Command::Tick { elapsed_ms: 1_000 }).map(|_| ())?,
                _ => self.pause()?,
            }
        }
        self.judge()
    }

    fn open(&mut self) -> Result<(), String> {
        match self.commit(&Command::Open { lease_ms: MIN_LEASE_MS })? {
            Response::Opened { session, .. } => self.session = session,
            other => return Err(format!("no session was opened: {other:?}")),
        }
        self.first_token += self.next_number;
        self.next_number = 1;
        self.unanswered.clear();
        Ok(())
    }

    fn send(&mut self) {
        let lowest = self.unanswered.first().copied().unwrap_or(self.next_number);
        let fresh = self.first_token + self.next_number < COMMANDS
            && self.next_number < lowest + PIPELINED
            && self.random.chance(500_000);
        let number = if fresh {
            self.unanswered.insert(self.next_number);
            self.next_number += 1;
            self.next_number - 1
        } else if !self.unanswered.is_empty() {
            let place = self.random.below(self.unanswered.len() as u64) as usize;
            *self.unanswered.iter().nth(place).expect("a place below the length")
        } else {
            return;
        };
        let op = append("k", &format!("{}.", self.first_token + number));
        let answered_below = self.unanswered.first().copied().unwrap_or(self.next_number);
        self.in_flight.push(Command::Write { session: self.session, number, answered_below, op });
    }

    fn deliver(&mut self) -> Result<(), String> {
        if self.in_flight.is_empty() {
            return Ok(());
        }
        let place = self.random.below(self.in_flight.len() as u64) as usize;
        let command = if self.random.chance(300_000) {
            self.in_flight[place].clone()
        } else {
            self.in_flight.swap_remove(place)
        };
        let response = self.commit(&command)?;
        let Command::Write { session, number, .. } = command else { unreachable!("only writes") };
        if session != self.session || self.random.chance(300_000) {
            return Ok(());
        }
        match response {
            Response::Written(_) if self.unanswered.remove(&number) => {
                self.acknowledged_tokens.push(self.first_token + number);
            }
            Response::Rejected(Rejected::NoSession) => self.open()?,
            Response::Written(_) | Response::Rejected(Rejected::AlreadyAnswered) => {}
            other => return Err(format!("number {number} was answered {other:?}")),
        }
        Ok(())
    }

    fn pause(&mut self) -> Result<(), String> {
        for _ in 0..3 {
            self.commit(&Command::Tick { elapsed_ms: MIN_LEASE_MS })?;
        }
        Ok(())
    }

    fn restore(&mut self) {
        let pieces: Vec<_> = Store::chunks(&self.restored.freeze()).collect();
        self.restored = self.restored.restore(pieces.into_iter()).expect("its own snapshot");
    }

    /// Both replicas apply the command, and answer the same.
    fn commit(&mut self, command: &Command) -> Result<Response, String> {
        self.index += 1;
        let mut encoded = Vec::new();
        encode(command, &mut encoded);
        let steady = self.steady.apply(Index(self.index), &encoded);
        let restored = self.restored.apply(Index(self.index), &encoded);
        if steady != restored {
            return Err(format!("{command:?} was answered {steady:?} and {restored:?}"));
        }
        Ok(steady)
    }

    fn judge(&self) -> Result<(), String> {
        let Answer::Value { entry: Some(entry), .. } =
            self.steady.read(&Query::Get { key: bytes("k") })
        else {
            return Err("nothing was ever applied".into());
        };
        let text = String::from_utf8(entry.value.to_vec()).expect("tokens are text");
        let applied: Vec<u64> =
            text.split_terminator('.').map(|token| token.parse().expect("a number")).collect();
        let once: BTreeSet<u64> = applied.iter().copied().collect();
        if once.len() != applied.len() {
            return Err(format!("something was applied twice: {applied:?}"));
        }
        match self.acknowledged_tokens.iter().find(|token| !once.contains(token)) {
            Some(lost) => Err(format!("{lost} was acknowledged and is lost: {applied:?}")),
            None => Ok(()),
        }
    }
}

#[test]
fn each_command_takes_effect_exactly_once_whatever_the_network_does() {
    for seed in 0..200 {
        let story = Story::new(seed, Sound);
        story.tell().unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    }
}

#[test]
fn without_any_one_of_the_rules_some_command_takes_effect_twice_or_is_lost() {
    for rule in RULES {
        let without = Without::named(RULES, &[rule]).unwrap();
        let found = (0..50).find_map(|seed| Story::new(seed, without).tell().err());
        assert!(found.is_some(), "nobody missed the rule {rule}");
    }
}
