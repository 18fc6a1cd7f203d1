//! A node of a script: its engine, its disk, its timers, and a local user who applies commands to a
//! list of them.

use std::collections::{BTreeMap, VecDeque};

use synod_consensus::{
    Batch, Epoch, Event, Index, LogRecord, Output, Payload, ReplicatedLog, Status,
};
use synod_engine::{
    Effect, Engine, HeldQueue, Input, Instant, NodeId, Position, Random, Record, TaskId,
};

use crate::Subject;
use crate::error::Trouble;
use crate::expect::Known;

pub(crate) type Config<S> = <<S as Subject>::Log as Engine>::Config;
pub(crate) type Message<S> = <<S as Subject>::Log as Engine>::Message;
pub(crate) type RecordOf<S> = <<S as Subject>::Log as Engine>::Record;
type Timer<S> = <<S as Subject>::Log as Engine>::Timer;

pub(crate) struct Node<S: Subject> {
    pub(crate) id: NodeId,
    config: Config<S>,
    /// While it is up.
    pub(crate) engine: Option<S::Log>,
    lives: u64,
    pub(crate) random: Random,
    pub(crate) timers: BTreeMap<Timer<S>, Instant>,
    /// Whether it takes in nothing, while its inbox fills.
    pub(crate) is_paused: bool,
    /// What it takes in before its next flush.
    pub(crate) inbox: VecDeque<Input<S::Log>>,
    pub(crate) disk: Disk<RecordOf<S>>,
    pub(crate) held: HeldQueue<Effect<S::Log>>,
    pub(crate) user: User,
    /// The snapshot that the engine asked for and that is not written yet.
    pub(crate) snapshot: Option<TaskId>,
    /// Durable snapshots, by blob.
    pub(crate) blobs: BTreeMap<u64, User>,
}

/// A disk: records, the first of them durable.
pub(crate) struct Disk<R> {
    pub(crate) records: Vec<R>,
    pub(crate) durable: usize,
    /// Where the records are that the engine counts, as of its start.
    counted_from: usize,
    /// Whether it syncs only on command.
    pub(crate) is_held: bool,
}

/// The local user: a state machine that remembers the commands it has applied.
#[derive(Clone, Default)]
pub(crate) struct User {
    pub(crate) applied: Index,
    pub(crate) commands: Vec<String>,
}

impl<R> Disk<R> {
    fn with(records: Vec<R>) -> Self {
        Self { durable: records.len(), records, counted_from: 0, is_held: false }
    }

    /// Everything written so far.
    pub(crate) fn written(&self) -> Position {
        Position(self.records.len() as u64)
    }
}

impl<S: Subject> Node<S> {
    /// A node that is down and finds these records.
    pub(crate) fn new(id: NodeId, config: Config<S>, records: Vec<RecordOf<S>>) -> Self {
        Self {
            id,
            config,
            engine: None,
            lives: 0,
            random: Random::new(id.0),
            timers: BTreeMap::new(),
            is_paused: false,
            inbox: VecDeque::new(),
            disk: Disk::with(records),
            held: HeldQueue::default(),
            user: User::default(),
            snapshot: None,
            blobs: BTreeMap::new(),
        }
    }

    /// Rebuilds the engine from what is durable, from the oldest record on that the newest checkpoint
    /// keeps.
    pub(crate) fn start(&mut self) -> Result<&S::Log, Trouble> {
        self.lives += 1;
        self.random = Random::new(self.id.0 << 32 | self.lives);
        let durable = &self.disk.records[..self.disk.durable];
        let place = durable.iter().rposition(|record| record.checkpoint().is_some()).unwrap_or(0);
        let keeps = durable.get(place).and_then(Record::checkpoint).unwrap_or(0);
        let first = place.saturating_sub(keeps as usize);
        let mut engine = S::Log::new(self.config.clone());
        self.disk.counted_from = first;
        for record in &durable[first..] {
            let corrupt = |corrupt| Trouble::Broken(format!("{} cannot start: {corrupt}", self.id));
            engine.replay(record.clone()).map_err(corrupt)?;
        }
        self.inbox.push_back(Input::Start);
        Ok(self.engine.insert(engine))
    }

    /// What these records hold of the log. No record is ever dropped here.
    pub(crate) fn read_log(&self, first: u64, last: u64) -> Output {
        let place = |number: u64| self.disk.counted_from + number as usize;
        let Some(records) =
            self.disk.records[..self.disk.durable].get(place(first) - 1..place(last))
        else {
            return Output::LogFailed;
        };
        Output::Log(records.iter().filter_map(LogRecord::entries).cloned().collect())
    }

    /// Loses what is not durable.
    pub(crate) fn crash(&mut self) {
        self.engine = None;
        self.is_paused = false;
        self.timers.clear();
        self.inbox.clear();
        self.held = HeldQueue::default();
        self.disk.records.truncate(self.disk.durable);
        self.user = User::default();
        self.snapshot = None;
    }

    /// The timer of this name, or the only one that is set, and when it is due.
    pub(crate) fn timer(&self, name: Option<&str>) -> Result<(Timer<S>, Instant), Trouble> {
        let fits = |timer: &Timer<S>| {
            name.is_none_or(|name| format!("{timer:?}").eq_ignore_ascii_case(name))
        };
        let mut fitting = self.timers.iter().filter(|(timer, _)| fits(timer));
        match (fitting.next(), fitting.next()) {
            (Some((timer, due)), None) => Ok((*timer, *due)),
            _ => {
                let set: Vec<_> = self.timers.keys().collect();
                Err(Trouble::Senseless(format!("which timer? {} has set {set:?}", self.id)))
            }
        }
    }

    /// What there is to know of it, if it is up.
    pub(crate) fn known(&self) -> Option<Known> {
        let engine = self.engine.as_ref()?;
        let status: Status = engine.status();
        let applies = self.user.commands.clone();
        Some(Known { status, log: epochs(&S::entries(engine)), applies })
    }
}

/// The epoch of each entry.
pub(crate) fn epochs(batches: &[Batch]) -> Vec<Epoch> {
    let epochs = batches.iter().flat_map(|batch| std::iter::repeat_n(batch.epoch(), batch.len()));
    epochs.collect()
}

impl User {
    /// Takes in an event; the index applied, if it changed.
    pub(crate) fn take(&mut self, event: &Event, blobs: &BTreeMap<u64, Self>) -> Option<Index> {
        match event {
            Event::Committed { batch, .. } => {
                self.applied = batch.last();
                self.commands.extend(batch.payloads().iter().filter_map(spelled));
                Some(self.applied)
            }
            Event::Install(snapshot) => {
                self.clone_from(blobs.get(&snapshot.blob.id)?);
                Some(self.applied)
            }
            Event::ReadReady { .. }
            | Event::Refused { .. }
            | Event::Unknown { .. }
            | Event::Transferred { .. }
            | Event::Members(_)
            | Event::Leadership { .. } => None,
        }
    }
}

/// A command as text; `None` for an entry that is none.
pub(crate) fn spelled(payload: &Payload) -> Option<String> {
    match payload {
        Payload::Noop | Payload::Members(_) => None,
        Payload::Command(command) => Some(String::from_utf8_lossy(command).into_owned()),
    }
}
