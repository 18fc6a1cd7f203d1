//! Clients of the store in a simulation: they write and read a few keys, retry as a clerk does, and
//! record what they saw.
//!
//! A session has several *lanes*, each with one call at a time, so that commands of one session
//! overtake each other. A lane sends a command again, under the same number, until it is answered or
//! its patience ends; a part of the commands is sent twice from the start, to be sure that duplicates
//! are common. Reads go to any node; writes do where followers forward them. One more client keeps the
//! replicated clock ticking, one looks at states that may be old ([`stale`](super::stale)), some watch
//! ([`watchers`](super::watchers)), and the [`operator`](super::operator) or its
//! [`rivals`](super::rivals) change the members.
//!
//! At the end of a run the clients [close](Clients::close): each key is read once more, so that what was
//! acknowledged must still be there.

use std::time::Duration;

use bytes::Bytes;
use synod_check::registers::{Input, Output};
use synod_consensus::{Outcome, Refusal, ReplicatedLog};
use synod_engine::{NodeId, Violation};
use synod_kv::Store;
use synod_kv::message::{Answer, Command, Op, Query, Rejected, Response};
use synod_kv::rules::Rules;
use synod_sim::replicated::{Answer as Reply, Call, Replica};
use synod_sim::{ClientId, Outside, Verdict, Workload};

use super::history::History;
use super::lanes::{Attempts, Lane, Session, Task, write};
use super::operation;
use super::operator::{OPERATOR, Operator};
use super::rivals::{RIVALS, Rivals};
use super::stale::{ONLOOKER, Stale};
use super::watchers::{WATCHERS, Watchers};

type World<'a, L, R> = Outside<'a, L, Replica<Store<R>>>;

/// How the clients behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// Sessions.
    pub(crate) sessions: u32,
    /// Lanes of each session.
    pub(crate) lanes: u32,
    /// Keys that they fight over.
    pub(crate) keys: u64,
    /// The longest pause between two calls of a lane.
    pub(crate) think: Duration,
    /// Commands sent twice, in millionths.
    pub(crate) twice_ppm: u32,
    /// Calls that read, in millionths.
    pub(crate) reads_ppm: u32,
    /// Reads that go to any node, in millionths; others go to the one that is believed to lead.
    pub(crate) anywhere_ppm: u32,
    /// Writes that go to any node, in millionths.
    pub(crate) writes_anywhere_ppm: u32,
    /// The longest pause between two steps of the operator, if there is one.
    pub(crate) churn: Option<Duration>,
    /// The longest pause of its rivals, if there are any.
    pub(crate) rivals: Option<Duration>,
    /// Watches.
    pub(crate) watchers: usize,
    /// How long values are at least; if they are long, the store forgets what happened first.
    pub(crate) value_bytes: usize,
}

/// All clients of one run.
pub struct Clients {
    habits: Habits,
    sessions: Vec<Session>,
    lanes: Vec<Lane>,
    /// What was last read of each key: what a compare-and-swap expects.
    seen: Vec<Option<Bytes>>,
    pub(super) history: History,
    stale: Stale,
    pub(super) operator: Option<Operator>,
    rivals: Option<Rivals>,
    watchers: Watchers,
    /// Only one lane begins calls, and has patience: a cluster that has fallen behind must be able to catch up.
    is_quiet: bool,
    /// The keys that must still be read, last of all; `None` before that.
    closing: Option<Vec<u64>>,
}

const CLOCK: ClientId = ClientId(u32::MAX);
const TICK: Duration = Duration::from_secs(1);
/// Replicated time runs four times as fast as the virtual one, so that sessions expire in short runs.
const TICK_MS: u64 = 4_000;
const LEASE_MS: u64 = 10_000;

impl Clients {
    pub(crate) fn new(habits: Habits) -> Self {
        let lane = Lane::default();
        Self {
            sessions: vec![Session::default(); habits.sessions as usize],
            lanes: vec![lane; (habits.sessions * habits.lanes) as usize],
            seen: vec![None; habits.keys as usize],
            history: History::default(),
            stale: Stale::default(),
            operator: habits.churn.map(Operator::new),
            rivals: habits.rivals.map(Rivals::new),
            watchers: Watchers::new(habits.watchers, habits.keys, habits.value_bytes > 0),
            is_quiet: false,
            closing: None,
            habits,
        }
    }

    /// Nothing new is begun: what was begun is finished, and each key read once more.
    pub fn close(&mut self) {
        self.quieten();
        self.closing = Some((0..self.habits.keys).collect());
    }

    /// From here on nobody changes the members, but to finish what was begun, and one lane alone goes on.
    pub(super) fn quieten(&mut self) {
        self.is_quiet = true;
        self.operator.iter_mut().for_each(Operator::close);
        self.rivals.iter_mut().for_each(Rivals::close);
    }

    /// Whether a change of members may be under way that nobody was told of.
    pub(super) fn may_change_members(&self) -> bool {
        self.rivals.is_some() || self.operator.as_ref().is_some_and(Operator::may_change_members)
    }

    /// What keeps the clients from being done, once they were told to close.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        if let Some(missing) = self.operator.as_ref().and_then(Operator::missing) {
            return Some(missing);
        }
        if let Some(key) = self.closing.iter().flatten().next() {
            return Some(format!("key {key} cannot be read"));
        }
        if let Some(busy) = self.lanes.iter().position(|lane| !matches!(lane.task, Task::Rest)) {
            return Some(format!("lane {busy} has no answer"));
        }
        self.watchers.missing(self.history.newest())
    }

    fn session_of(&self, client: ClientId) -> usize {
        (client.0 / self.habits.lanes) as usize
    }

    /// The lane has nothing to do: it finds something, or rests.
    fn begin_call<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        client: ClientId,
    ) {
        let session = self.session_of(client);
        let give_up = world.now() + Duration::from_millis(world.dice().between(5_000, 60_000));
        let attempts = |call| Attempts { call, numbers: Vec::new(), refused: 0, give_up };
        let mut key = world.dice().below(self.habits.keys);
        let last = self.closing.as_mut().map(Vec::pop);
        if let Some(last) = last {
            let Some(last) = last else { return self.rest(world, client) };
            key = last;
        }
        // In turn where both must be answered: a session is over that writes too seldom.
        let drawn = world.dice().chance(self.habits.reads_ppm);
        let reads = if self.is_quiet { self.history.len().is_multiple_of(2) } else { drawn };
        let task = if last.is_some() || reads {
            if world.dice().chance(self.habits.anywhere_ppm) {
                self.lanes[client.0 as usize].node = world.dice().below(1 << 16) as usize;
            }
            let query = Query::Get { key: operation::key(key) };
            let operation =
                self.history.invoke(client, world.now(), Input::Get { key: operation::key(key) });
            Task::Read { key, operation, attempts: attempts(Call::Read(query)) }
        } else if let Some(id) = self.sessions[session].id {
            let (drawn, op) = self.draw_write(world, key);
            let number = self.sessions[session].next_number();
            let answered_below = self.sessions[session].answered_below();
            let command = Command::Write { session: id, number, answered_below, op };
            let operations = self.history.invoke_all(client, world.now(), drawn);
            if world.dice().chance(self.habits.writes_anywhere_ppm) {
                self.lanes[client.0 as usize].node = world.dice().below(1 << 16) as usize;
            }
            Task::Write { session: id, number, operations, attempts: attempts(write(&command)) }
        } else {
            Task::Open(attempts(write(&Command::Open { lease_ms: LEASE_MS })))
        };
        self.lanes[client.0 as usize].task = task;
        self.attempt(world, client);
        let twice = world.dice().chance(self.habits.twice_ppm);
        if twice && matches!(self.lanes[client.0 as usize].task, Task::Write { .. }) {
            self.attempt(world, client);
        }
    }

    /// A write to this key, and now and then to others with it: what it means, and how it is said.
    fn draw_write<L: ReplicatedLog, R: Rules>(
        &self,
        world: &mut World<'_, L, R>,
        key: u64,
    ) -> (Vec<Input>, Op) {
        let (serial, Habits { keys, value_bytes, .. }) = (self.history.len(), self.habits);
        let dice = world.dice();
        if keys > 1 && value_bytes == 0 && dice.chance(150_000) {
            let drawn = (serial..).zip(operation::draw_keys(dice, key, keys));
            let drawn: Vec<_> = drawn
                .map(|(serial, key)| {
                    let seen = self.seen[key as usize].clone();
                    operation::draw_part(dice, operation::key(key), (serial, value_bytes), seen)
                })
                .collect();
            let op = operation::txn(&drawn).expect("its parts are puts, on condition or not");
            return (drawn, op);
        }
        let seen = self.seen[key as usize].clone();
        let drawn = operation::draw_write(dice, operation::key(key), (serial, value_bytes), seen);
        let drawn = vec![drawn];
        let txn = operation::txn(&drawn).filter(|_| dice.chance(200_000));
        let op = txn.or_else(|| operation::op(&drawn[0])).expect("a write was drawn");
        (drawn, op)
    }

    /// Sends the lane's call, once more if it was sent before.
    fn attempt<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        client: ClientId,
    ) {
        let nodes = world.nodes().len();
        let patience = Duration::from_millis(world.dice().between(150, 900));
        let patience =
            if self.closing.is_none() && self.is_quiet { 10 * patience } else { patience };
        let lane = &mut self.lanes[client.0 as usize];
        let node = world.nodes()[lane.node % nodes];
        lane.due = world.now() + patience;
        let Some(attempts) = lane.attempts() else { return };
        let call = attempts.call.clone();
        attempts.numbers.push(world.call(client, node, call));
        world.wake(client, patience);
    }

    /// The lane is done with its call and rests for a while: usually a moment, seldom so long that
    /// its session may expire.
    fn rest<L: ReplicatedLog, R: Rules>(&mut self, world: &mut World<'_, L, R>, client: ClientId) {
        let most = if world.dice().chance(10_000) { TICK * 10 } else { self.habits.think };
        let least = Duration::from_millis(u64::from(self.is_quiet));
        let pause = least + Duration::from_nanos(world.dice().below(most.as_nanos() as u64 + 1));
        let lane = &mut self.lanes[client.0 as usize];
        lane.task = Task::Rest;
        lane.due = world.now() + pause;
        world.wake(client, pause);
    }

    /// Nobody will know how the call ended.
    fn give_up<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        client: ClientId,
    ) {
        let session = self.session_of(client);
        match &self.lanes[client.0 as usize].task {
            Task::Rest | Task::Open(_) => {}
            Task::Write { session: id, number, operations, attempts } => {
                self.sessions[session].settle(*id, *number);
                if attempts.refused == attempts.numbers.len() {
                    self.history.forget(operations.clone());
                } else {
                    world.reached("write of unknown fate");
                }
            }
            Task::Read { operation, key, .. } => {
                self.history.forget([*operation]);
                self.closing.iter_mut().for_each(|keys| keys.push(*key));
            }
        }
        self.rest(world, client);
    }

    /// The store answered a command of the lane.
    fn written<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        client: ClientId,
        response: Response,
    ) {
        let session = self.session_of(client);
        let now = world.now();
        let lane = &mut self.lanes[client.0 as usize];
        match (&mut lane.task, &response) {
            (Task::Open(_), Response::Opened { session: id, .. }) => {
                self.sessions[session] = Session { id: Some(*id), ..Session::default() };
                return self.rest(world, client);
            }
            (
                Task::Write { session: id, number, operations, attempts },
                Response::Written(written),
            ) => {
                if operations.len() > 1 {
                    world.reached("transaction over several keys");
                }
                if let Err(violation) = self.history.written(operations.clone(), now, written) {
                    return world.violated(violation);
                }
                self.sessions[session].settle(*id, *number);
                lane.settled = Some((attempts.numbers.clone(), response));
                return self.rest(world, client);
            }
            (Task::Write { session: id, attempts, .. }, Response::Rejected(rejected)) => {
                attempts.refused += 1;
                if *rejected == Rejected::NoSession {
                    world.reached("session expired");
                    self.sessions[session].id.take_if(|open| open == id);
                }
            }
            _ => {}
        }
        self.give_up(world, client);
    }

    /// The store answered a read.
    fn read<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        key: u64,
        operation: usize,
        answer: Answer,
    ) {
        let Answer::Value { revision: now_at, entry } = answer else { return };
        let found =
            entry.iter().try_for_each(|entry| self.stale.found(&operation::key(key), entry));
        let revision = entry.as_ref().map(|entry| entry.mod_revision);
        let value = entry.map(|entry| entry.value);
        self.seen[key as usize].clone_from(&value);
        let output = Output::Value { value, revision };
        let judged = found.and_then(|()| self.history.read(operation, world.now(), now_at, output));
        judged.unwrap_or_else(|violation| world.violated(violation));
    }

    /// A duplicate of a settled command was answered: by the same answer, or not at all.
    fn answered_again<L: ReplicatedLog, R: Rules>(
        &self,
        world: &mut World<'_, L, R>,
        client: ClientId,
        call: u64,
        response: &Response,
    ) {
        let Some((numbers, settled)) = &self.lanes[client.0 as usize].settled else { return };
        if !numbers.contains(&call) {
            return;
        }
        world.reached("duplicate client command");
        let is_same = response == settled
            || matches!(
                response,
                Response::Rejected(Rejected::AlreadyAnswered | Rejected::NoSession)
            );
        if !is_same {
            let detail = format!("client {} got {settled:?}, then {response:?}", client.0);
            world.violated(Violation { invariant: "Exactly Once", detail });
        }
    }

    /// This copy of the call did nothing: asks the leader, or the next node.
    fn refused<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        client: ClientId,
        leader: Option<NodeId>,
    ) {
        let hint = leader.and_then(|node| world.nodes().iter().position(|known| *known == node));
        let lane = &mut self.lanes[client.0 as usize];
        lane.node = hint.unwrap_or(lane.node + 1);
        lane.is_directed = true;
        let soon = Duration::from_millis(world.dice().between(1, 60));
        lane.due = world.now() + soon;
        world.wake(client, soon);
    }
}

impl<L: ReplicatedLog, R: Rules> Workload<L, Replica<Store<R>>> for Clients {
    fn begin(&mut self, world: &mut World<'_, L, R>) {
        world.wake(CLOCK, TICK);
        world.wake(ONLOOKER, TICK);
        if self.operator.is_some() {
            Operator::begin(world);
        }
        self.rivals.iter_mut().for_each(|rivals| rivals.begin(world));
        self.watchers.begin(world);
        for lane in 0..self.lanes.len() as u32 {
            self.lanes[lane as usize].node = lane as usize;
            self.rest(world, ClientId(lane));
        }
    }

    fn woken(&mut self, world: &mut World<'_, L, R>, client: ClientId) {
        if client == CLOCK {
            let tick = write(&Command::Tick { elapsed_ms: TICK_MS });
            for node in world.nodes().to_vec() {
                world.call(CLOCK, node, tick.clone());
            }
            // Who lags behind with a slow disk must be able to catch up in the end.
            let pause = if self.is_quiet { 10 * TICK } else { TICK };
            return world.wake(CLOCK, pause);
        }
        if client == OPERATOR {
            return self.operator.iter_mut().for_each(|operator| operator.woken(world));
        }
        if client == ONLOOKER {
            return self.stale.look(world, self.habits.keys);
        }
        if client.0 >= WATCHERS {
            return self.watchers.woken(world, client);
        }
        if client.0 >= RIVALS {
            return self.rivals.iter_mut().for_each(|rivals| rivals.woken(world, client));
        }
        let now = world.now();
        let lane = &mut self.lanes[client.0 as usize];
        if now < lane.due {
            return;
        }
        match lane.attempts() {
            None if self.is_quiet && self.closing.is_none() && client.0 > 0 => {
                self.rest(world, client);
            }
            None => self.begin_call(world, client),
            Some(attempts) if now >= attempts.give_up => self.give_up(world, client),
            Some(_) => {
                if !std::mem::take(&mut lane.is_directed) {
                    lane.node += 1;
                }
                self.attempt(world, client);
            }
        }
    }

    fn answered(
        &mut self,
        world: &mut World<'_, L, R>,
        client: ClientId,
        call: u64,
        reply: Reply<Response, Answer>,
    ) {
        if client == CLOCK {
            return;
        }
        if client == OPERATOR {
            return self.operator.iter_mut().for_each(|it| it.answered(world, call, reply.clone()));
        }
        if (RIVALS..WATCHERS).contains(&client.0) {
            return self.rivals.iter_mut().for_each(|it| it.answered(world, client, &reply));
        }
        if let Reply::Stale { applied, answer, .. } = reply {
            if client != ONLOOKER {
                let judged = self.watchers.told(world, client, call, answer);
                return judged.unwrap_or_else(|violation| world.violated(violation));
            }
            world.reached("stale read answered");
            let judged = self.stale.told(call, applied, &answer, self.history.len());
            return judged.unwrap_or_else(|violation| world.violated(violation));
        }
        let lane = &mut self.lanes[client.0 as usize];
        let is_current = lane.attempts().is_some_and(|attempts| attempts.numbers.contains(&call));
        match reply {
            Reply::Written(Outcome::Done(response)) if is_current => {
                self.written(world, client, response);
            }
            Reply::Written(Outcome::Done(response)) => {
                self.answered_again(world, client, call, &response);
            }
            Reply::Read(Outcome::Done(answer)) if is_current => {
                if let Task::Read { key, operation, .. } = lane.task {
                    self.read(world, key, operation, answer);
                }
                self.rest(world, client);
            }
            Reply::Written(Outcome::Refused(refusal)) | Reply::Read(Outcome::Refused(refusal))
                if is_current =>
            {
                if let Some(attempts) = lane.attempts() {
                    attempts.refused += 1;
                }
                let leader = match refusal {
                    Refusal::NotLeader { leader } => leader,
                    _ => None,
                };
                self.refused(world, client, leader);
            }
            Reply::Written(_)
            | Reply::Read(_)
            | Reply::Changed(_)
            | Reply::Transferred(_)
            | Reply::Stale { .. }
            | Reply::Told { .. } => {}
        }
    }

    fn finish(&mut self) -> Verdict {
        match self.watchers.judge(&self.history) {
            Ok(()) => self.history.judge(),
            Err(violation) => Verdict::Violated(violation),
        }
    }
}
