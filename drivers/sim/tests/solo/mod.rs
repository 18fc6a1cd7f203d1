//! The smallest replicated log: every node is a group of its own and commits what is on its disk.

#![allow(unreachable_pub, reason = "a module of a test")]

use std::fmt;
use std::hash::Hasher;

use synod_consensus::{
    Batch, Epoch, Event, Index, LogRecord, Output, Payload, Refusal, Request, Role, Snapshot, Task,
};
use synod_engine::{
    Blob, Class, Context, Corrupt, Engine, Input, Instant, Message, Record, Sound, TaskId, Token,
};

/// How a log can break its word.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bug {
    None,
    /// Some committed entries are not told.
    Gap,
    /// Some requests end twice.
    Twice,
    /// Reads are ready before their index.
    EarlyRead,
    /// Commits are told before they are durable.
    NotHeld,
}

#[derive(Clone)]
pub struct Solo {
    bug: Bug,
    last: Index,
    pub snapshot: Option<Snapshot>,
    log: Vec<Batch>,
    tasks: u64,
    busy: bool,
}

#[derive(Clone, Debug)]
pub enum Fact {
    Entries(Batch),
    Checkpoint(Snapshot, Vec<Batch>),
}

#[derive(Clone, Debug)]
pub enum Silence {}

impl Message for Silence {
    fn class(&self) -> Class {
        Class::Datagram
    }
}

impl Record for Fact {
    fn checkpoint(&self) -> Option<u64> {
        matches!(self, Self::Checkpoint(..)).then_some(0)
    }

    fn blob(&self) -> Option<Blob> {
        match self {
            Self::Checkpoint(snapshot, _) => Some(snapshot.blob),
            Self::Entries(_) => None,
        }
    }
}

impl LogRecord for Fact {
    fn entries(&self) -> Option<&Batch> {
        match self {
            Self::Entries(batch) => Some(batch),
            Self::Checkpoint(..) => None,
        }
    }
}

const SNAPSHOT_EVERY: u64 = 20;

impl Engine for Solo {
    type Config = Bug;
    type Message = Silence;
    type Record = Fact;
    type Timer = ();
    type Request = Request;
    type Event = Event;
    type Task = Task;
    type Output = Output;
    type Rules = Sound;
    type View = String;

    fn new(bug: Bug) -> Self {
        let log = Vec::new();
        Self { bug, last: Index::ZERO, snapshot: None, log, tasks: 0, busy: false }
    }

    fn replay(&mut self, record: Fact) -> Result<(), Corrupt> {
        match record {
            Fact::Entries(batch) if batch.first() != self.last.next() => {
                return Err(Corrupt(format!("{batch} after {}", self.last)));
            }
            Fact::Entries(batch) => self.log.push(batch),
            Fact::Checkpoint(snapshot, log) => {
                self.snapshot = Some(snapshot);
                self.log = log;
                self.last = snapshot.index;
            }
        }
        self.last = self.log.last().map_or(self.last, Batch::last);
        Ok(())
    }

    fn step(&mut self, context: &mut Context<'_, Self>, input: Input<Self>) {
        match input {
            Input::Start => {
                let (role, leader, epoch) = (Role::Leader, None, Epoch(1));
                context.emit(Event::Leadership { role, leader, epoch });
                if let Some(snapshot) = self.snapshot {
                    context.emit(Event::Install(snapshot));
                }
                for batch in self.log.clone() {
                    context.emit(Event::Committed { batch, own: Vec::new() });
                }
            }
            Input::Request { token, request: Request::Propose(command) } => {
                let batch = Batch::new(self.last.next(), Epoch(1), vec![Payload::Command(command)]);
                self.last = batch.last();
                self.log.push(batch.clone());
                context.persist(Fact::Entries(batch.clone()));
                self.tell(context, batch, token);
            }
            Input::Request { token, request: Request::Read } => {
                let early = if self.bug == Bug::EarlyRead { 1 } else { 0 };
                let index = Index(self.last.0 + early);
                context.emit(Event::ReadReady { index, tokens: vec![token] });
            }
            Input::Request { token, request: Request::Change(_) | Request::Transfer(_) } => {
                let refusal = Refusal::NoSuccessor;
                context.emit(Event::Refused { token, refusal });
            }
            Input::Request { token: _, request: Request::Compact } => {}
            Input::Applied(applied) => {
                let taken = self.snapshot.map_or(0, |snapshot| snapshot.index.0);
                if applied >= taken + SNAPSHOT_EVERY && !self.busy {
                    self.tasks += 1;
                    self.busy = true;
                    context.start_task(TaskId(self.tasks), Task::Snapshot);
                }
            }
            Input::TaskDone { output: Output::Snapshot { index, blob }, .. } => {
                self.busy = false;
                let snapshot = Snapshot { index, epoch: Epoch(1), blob };
                self.snapshot = Some(snapshot);
                self.log.retain(|batch| batch.last() > index);
                context.persist(Fact::Checkpoint(snapshot, self.log.clone()));
            }
            Input::TaskDone { output: Output::SnapshotFailed, .. } => self.busy = false,
            Input::TaskDone { output: Output::Log(_) | Output::LogFailed, .. } => {}
            Input::Message { message, .. } => match message {},
            Input::Timer(()) | Input::Cancel(_) | Input::Link { .. } | Input::Flush => {}
        }
    }

    fn fingerprint<H: Hasher>(&self, _: Instant, _: &mut H) {}

    fn view(&self) -> String {
        self.last.to_string()
    }
}

impl Solo {
    fn tell(&self, context: &mut Context<'_, Self>, batch: Batch, token: Token) {
        let nth = batch.last().0.is_multiple_of(7);
        let own = vec![(batch.last(), token)];
        match self.bug {
            Bug::Gap if nth => {}
            Bug::NotHeld => context.emit_now(Event::Committed { batch, own }),
            _ => context.emit(Event::Committed { batch, own }),
        }
        if self.bug == Bug::Twice && nth {
            context.emit(Event::Unknown { token });
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entries(batch) => write!(f, "entries {batch}"),
            Self::Checkpoint(snapshot, log) => write!(f, "{snapshot} and {} batches", log.len()),
        }
    }
}
