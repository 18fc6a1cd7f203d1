//! The local user of a replicated log: a state machine, and the clients that wait for it.
//!
//! A [`Replica`] applies what is committed, in order, installs snapshots, takes them, and answers
//! each call with an [`Outcome`]. It checks what every replicated log promises its user: no gap, no
//! read before its index, every request ended once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use synod_consensus::{
    Batch, Event, Index, LogRecord, Membership, Outcome, Output, Payload, Refusal, Request, Role,
    Seat, Snapshot, StateMachine, Task,
};
use synod_engine::{Blob, Engine, Input, NodeId, TaskId, Token};

use crate::{App, Caller, Desk, Pieces};

mod calls;

pub use calls::{Answer, Call};
use calls::{Failed, Waits};

/// What a [`Replica`] is made from.
#[derive(Clone, Debug)]
pub struct Replicated<S> {
    /// The state before all entries.
    pub empty: S,
    /// How long applying lags behind, at most: each event waits for a time up to this. Zero applies
    /// at once.
    pub lag: Duration,
    /// In how many of a million calls the caller gives up before the answer.
    pub cancel_ppm: u32,
}

impl<S> Replicated<S> {
    /// Applies at once; callers are patient.
    pub fn new(empty: S) -> Self {
        Self { empty, lag: Duration::ZERO, cancel_ppm: 0 }
    }
}

/// One node's copy of a replicated state machine.
pub struct Replica<S: StateMachine> {
    state: S,
    applied: Index,
    role: Role,
    leader: Option<NodeId>,
    members: Arc<Membership>,
    /// Who waits for which request.
    waiting: BTreeMap<Token, (Caller, Waits<S::Query>)>,
    tokens: u64,
    /// What the log told and this replica has not taken in; with the bytes of a snapshot, since a
    /// newer one may make its blob dead before its turn comes.
    behind: VecDeque<(Event, Option<Pieces>)>,
    lag: Duration,
    cancel_ppm: u32,
    /// The snapshot that is being written.
    writing: Option<(TaskId, Index, Blob)>,
}

/// The alarm for the next event that is behind; all other alarms are tokens to cancel.
const BEHIND: u64 = 0;
/// How long it takes to read old log, at most, and in how many of a million times it fails.
const READ_TIME: Duration = Duration::from_millis(20);
const READ_FAILS_PPM: u32 = 30_000;
/// When a caller that gives up does so, at most.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a replica needs to know of the log beneath it.
pub trait Log:
    Engine<Request = Request, Event = Event, Task = Task, Output = Output, Record: LogRecord>
{
}

impl<E> Log for E where
    E: Engine<Request = Request, Event = Event, Task = Task, Output = Output, Record: LogRecord>
{
}

/// What the desk of a replica is called here.
type At<'a, 'b, S, E> = &'a mut Desk<'b, E, Replica<S>>;

impl<S: StateMachine + Clone> Replica<S> {
    /// The state as it is.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The last entry that was applied.
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// Its role in its group.
    pub fn role(&self) -> Role {
        self.role
    }
}

impl<S, E> App<E> for Replica<S>
where
    S: StateMachine + Clone,
    E: Log,
{
    type Config = Replicated<S>;
    type Call = Call<S::Query>;
    type Answer = Answer<S::Response, S::Answer>;

    fn start(config: &Self::Config, _: &mut Desk<'_, E, Self>) -> Self {
        Self {
            state: config.empty.clone(),
            applied: Index::ZERO,
            role: Role::Follower,
            leader: None,
            members: Arc::default(),
            waiting: BTreeMap::new(),
            tokens: 0,
            behind: VecDeque::new(),
            lag: config.lag,
            cancel_ppm: config.cancel_ppm,
            writing: None,
        }
    }

    fn event(&mut self, desk: &mut Desk<'_, E, Self>, event: Event) {
        match event {
            Event::Committed { .. } | Event::ReadReady { .. } => self.in_turn(desk, event, None),
            Event::Install(snapshot) => match desk.blob(snapshot.blob).cloned() {
                Some(pieces) => self.in_turn(desk, event, Some(pieces)),
                None => {
                    let detail = format!("{}: {snapshot} in {}", desk.node(), snapshot.blob);
                    desk.violated("the bytes of a snapshot are durable before it is", detail);
                }
            },
            Event::Refused { token, refusal } => {
                if let Some((caller, waits)) = self.ended(desk, token) {
                    desk.answer(caller, waits.failed(Failed::Refused(refusal)));
                }
            }
            Event::Unknown { token } => match self.ended(desk, token) {
                Some((caller, waits @ (Waits::Write | Waits::Change))) => {
                    desk.answer(caller, waits.failed(Failed::Unknown));
                }
                Some((_, Waits::Read(..) | Waits::Transfer)) => {
                    let detail = format!("{}: {token}", desk.node());
                    desk.violated(
                        "a read ends ready or refused, a transfer done or refused",
                        detail,
                    );
                }
                None => {}
            },
            Event::Leadership { role, leader, .. } => (self.role, self.leader) = (role, leader),
            Event::Transferred { token } => match self.ended(desk, token) {
                Some((caller, Waits::Transfer)) => {
                    desk.answer(caller, Answer::Transferred(Outcome::Done(())));
                }
                Some((_, Waits::Write | Waits::Read(..) | Waits::Change)) => {
                    let detail = format!("{}: {token}", desk.node());
                    desk.violated("only a transfer ends transferred", detail);
                }
                None => {}
            },
            Event::Members(members) => {
                desk.contacts(members.iter().filter_map(|member| {
                    Some((member.node, member.contact.as_ref()?.incarnation))
                }));
                self.members = members;
            }
        }
    }

    fn task(&mut self, desk: &mut Desk<'_, E, Self>, id: TaskId, task: Task) {
        match task {
            Task::Snapshot if self.applied == Index::ZERO || desk.disk_is_full() => {
                desk.submit(Input::TaskDone { id, output: Output::SnapshotFailed });
            }
            Task::Snapshot => {
                let frozen = self.state.freeze();
                let blob = desk.write_blob(S::chunks(&frozen));
                self.writing = Some((id, self.applied, blob));
            }
            Task::ReadLog { first, last } => {
                let fails = desk.dice().chance(READ_FAILS_PPM);
                let read = desk.records(first, last).filter(|_| !fails);
                let output = read.map_or(Output::LogFailed, |records| {
                    Output::Log(records.iter().filter_map(LogRecord::entries).cloned().collect())
                });
                let failed = output == Output::LogFailed;
                desk.reached(if failed { "old log not read" } else { "old log read" });
                let after = desk.dice().duration(Duration::ZERO, READ_TIME);
                desk.submit_after(after, Input::TaskDone { id, output });
            }
        }
    }

    fn abort(&mut self, _: &mut Desk<'_, E, Self>, id: TaskId) {
        self.writing.take_if(|(writing, ..)| *writing == id);
    }

    fn written(&mut self, desk: &mut Desk<'_, E, Self>, blob: Blob) {
        if let Some((id, index, blob)) = self.writing.take_if(|(.., writing)| *writing == blob) {
            desk.reached("snapshot taken");
            desk.submit(Input::TaskDone { id, output: Output::Snapshot { index, blob } });
        }
    }

    fn call(&mut self, desk: &mut Desk<'_, E, Self>, caller: Caller, call: Self::Call) {
        self.tokens += 1;
        let token = Token(self.tokens);
        let (request, waits) = match call {
            Call::Write(_) if desk.disk_is_full() => {
                desk.reached("write refused by a full disk");
                let refusal = Refusal::DiskFull { node: desk.node(), reserve_bytes: 0 };
                return desk.answer(caller, Answer::Written(Outcome::Refused(refusal)));
            }
            Call::Write(command) => (Request::Propose(command), Waits::Write),
            Call::Read(query) => (Request::Read, Waits::Read(query, desk.now())),
            Call::Change(wishes) => (Request::Change(wishes), Waits::Change),
            Call::Transfer(to) => (Request::Transfer(to), Waits::Transfer),
            Call::Stale(query) => {
                let (life, applied) = (desk.life(), self.applied);
                let answer = self.state.read(&query);
                return desk.answer(caller, Answer::Stale { life, applied, answer });
            }
            Call::Ask => {
                let (role, leader, members) = (self.role, self.leader, self.members.clone());
                return desk.answer(caller, Answer::Told { role, leader, members });
            }
        };
        self.waiting.insert(token, (caller, waits));
        desk.request(token, request);
        if desk.dice().chance(self.cancel_ppm) {
            let after = desk.dice().duration(Duration::ZERO, PATIENCE);
            desk.alarm(after, token.0);
        }
    }

    fn alarm(&mut self, desk: &mut Desk<'_, E, Self>, tag: u64) {
        if tag == BEHIND {
            if let Some((event, pieces)) = self.behind.pop_front() {
                self.take_in(desk, event, pieces);
            }
            if !self.behind.is_empty() {
                self.catch_up_later(desk);
            }
        } else if self.waiting.contains_key(&Token(tag)) {
            desk.submit(Input::Cancel(Token(tag)));
        }
    }

    fn leads(&self) -> bool {
        self.role == Role::Leader
    }
}

impl<S: StateMachine + Clone> Replica<S> {
    fn catch_up_later<E>(&mut self, desk: At<'_, '_, S, E>)
    where
        E: Log,
    {
        let after = desk.dice().duration(Duration::ZERO, self.lag);
        desk.alarm(after, BEHIND);
    }

    /// Takes in an event of the log now, or after those that are behind.
    fn in_turn<E>(&mut self, desk: At<'_, '_, S, E>, event: Event, pieces: Option<Pieces>)
    where
        E: Log,
    {
        if self.lag.is_zero() {
            return self.take_in(desk, event, pieces);
        }
        self.behind.push_back((event, pieces));
        if self.behind.len() == 1 {
            self.catch_up_later(desk);
        }
    }

    /// Takes in one event of the log.
    fn take_in<E>(&mut self, desk: At<'_, '_, S, E>, event: Event, pieces: Option<Pieces>)
    where
        E: Log,
    {
        match event {
            Event::Committed { batch, own } => self.apply(desk, &batch, own),
            Event::Install(snapshot) => {
                self.install(desk, snapshot, &pieces.expect("a snapshot waits with its bytes"));
            }
            Event::ReadReady { index, tokens } => {
                if index > self.applied {
                    let detail = format!("{}: {index} of {}", desk.node(), self.applied);
                    desk.violated("a read is ready after its index is applied", detail);
                }
                for token in tokens {
                    match self.ended(desk, token) {
                        Some((caller, Waits::Read(query, asked))) => {
                            self.reach_reader(desk, asked);
                            let answer = self.state.read(&query);
                            desk.answer(caller, Answer::Read(Outcome::Done(answer)));
                        }
                        Some((_, Waits::Write | Waits::Change | Waits::Transfer)) => {
                            let detail = format!("{}: {token}", desk.node());
                            desk.violated("only a read ends ready", detail);
                        }
                        None => {}
                    }
                }
            }
            Event::Refused { .. }
            | Event::Unknown { .. }
            | Event::Transferred { .. }
            | Event::Members(_)
            | Event::Leadership { .. } => {}
        }
    }

    /// A read that was asked at this time is answered by a node that does not lead, or by a leader of
    /// several that cannot have asked any of them since.
    fn reach_reader<E>(&self, desk: At<'_, '_, S, E>, asked: Duration)
    where
        E: Log,
    {
        let seat = self.members.member(desk.node()).map(|member| member.seat);
        match (self.role, seat) {
            (Role::Leader, _) if asked < desk.now() => {}
            (Role::Leader, _) => {
                if self.members.quorum().incoming().len() > 1 {
                    desk.reached("read answered by lease");
                }
            }
            (_, Some(Seat::Learner)) => desk.reached("read answered by a learner"),
            (_, _) => desk.reached("read answered by a follower"),
        }
    }

    fn apply<E>(&mut self, desk: At<'_, '_, S, E>, batch: &Batch, own: Vec<(Index, Token)>)
    where
        E: Log,
    {
        if batch.first() != self.applied.next() {
            let detail = format!("{}: {batch} after {}", desk.node(), self.applied);
            return desk.violated("committed entries come without a gap", detail);
        }
        let mut own = own.into_iter().peekable();
        for (index, payload) in batch.iter() {
            let token = own.next_if(|(at, _)| *at == index).map(|(_, token)| token);
            match payload {
                Payload::Noop => self.committed(desk, index, token, None),
                Payload::Members(_) => {
                    self.committed(desk, index, token, Some(Answer::Changed(Outcome::Done(()))));
                }
                Payload::Command(command) => {
                    let response = Answer::Written(Outcome::Done(self.state.apply(index, command)));
                    self.committed(desk, index, token, Some(response));
                }
            }
            self.applied = index;
        }
        if let Some((index, token)) = own.next() {
            let detail = format!("{}: {token} at {index}, {batch}", desk.node());
            desk.violated("own proposals lie in their batch, in order", detail);
        }
        desk.submit(Input::Applied(self.applied.0));
    }

    /// An entry took effect; if it was asked for here, it is what was asked for.
    fn committed<E>(
        &mut self,
        desk: At<'_, '_, S, E>,
        index: Index,
        token: Option<Token>,
        answer: Option<Answer<S::Response, S::Answer>>,
    ) where
        E: Log,
    {
        let Some(token) = token else { return };
        let Some((caller, waits)) = self.ended(desk, token) else { return };
        match (waits, answer) {
            (Waits::Write, Some(answer @ Answer::Written(_))) => {
                if self.role != Role::Leader {
                    desk.reached("forwarded write committed");
                }
                desk.answer(caller, answer);
            }
            (Waits::Change, Some(answer @ Answer::Changed(_))) => desk.answer(caller, answer),
            _ => {
                let detail = format!("{}: {token} at {index}", desk.node());
                desk.violated("a proposal is committed as what was proposed", detail);
            }
        }
    }

    fn install<E>(&mut self, desk: At<'_, '_, S, E>, snapshot: Snapshot, pieces: &[Bytes])
    where
        E: Log,
    {
        let node = desk.node();
        if snapshot.index < self.applied {
            let detail = format!("{node}: {snapshot} at {}", self.applied);
            return desk.violated("a snapshot does not lead back", detail);
        }
        match self.state.restore(pieces.iter().cloned()) {
            Ok(state) => {
                self.state = state;
                self.applied = snapshot.index;
                desk.reached("snapshot installed");
                desk.submit(Input::Applied(self.applied.0));
            }
            Err(error) => {
                desk.violated("a snapshot can be restored", format!("{node}: {snapshot}: {error}"));
            }
        }
    }

    /// A request ends: who asked, and what. Ending what does not wait is a violation.
    fn ended<E>(
        &mut self,
        desk: At<'_, '_, S, E>,
        token: Token,
    ) -> Option<(Caller, Waits<S::Query>)>
    where
        E: Log,
    {
        let waiting = self.waiting.remove(&token);
        if waiting.is_none() {
            let detail = format!("{}: {token} ended again, or was never asked", desk.node());
            desk.violated("every request ends once", detail);
        }
        waiting
    }
}
