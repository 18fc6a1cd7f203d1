//! The local user of a log that is measured: takes in at once what is committed, and notes when what ended.

use std::collections::BTreeMap;
use std::time::Duration;

use synod_consensus::{Epoch, Event, Index, Output, ReplicatedLog, Role, Task};
use synod_engine::{Input, TaskId, Token};
use synod_sim::{App, Desk};

/// What a node's user was told, and when.
#[derive(Default)]
pub(super) struct Probe {
    /// The requests that took effect here.
    done: BTreeMap<Token, Done>,
    /// Up to where entries were told, and when.
    told: BTreeMap<Index, Duration>,
    /// The epochs in which this node came to lead.
    reigns: Vec<Epoch>,
}

/// A request that took effect.
#[derive(Clone, Copy)]
pub(super) struct Done {
    /// When its user was told.
    pub(super) at: Duration,
    /// Where the entry is, or which one a read must have reached.
    pub(super) index: Index,
}

impl Probe {
    /// How this request ended, if it took effect.
    pub(super) fn done(&self, token: Token) -> Option<Done> {
        self.done.get(&token).copied()
    }

    /// The requests that took effect, from this one on.
    pub(super) fn done_since(&self, first: Token) -> impl Iterator<Item = (Token, Done)> {
        self.done.range(first..).map(|(token, done)| (*token, *done))
    }

    /// When this node's user was told of the entry.
    pub(super) fn told(&self, index: Index) -> Option<Duration> {
        self.told.range(index..).next().map(|(_, at)| *at)
    }

    /// The epochs in which this node came to lead.
    pub(super) fn reigns(&self) -> &[Epoch] {
        &self.reigns
    }
}

impl<L: ReplicatedLog> App<L> for Probe {
    type Config = ();
    type Call = ();
    type Answer = ();

    fn start((): &(), _: &mut Desk<'_, L, Self>) -> Self {
        Self::default()
    }

    fn event(&mut self, desk: &mut Desk<'_, L, Self>, event: Event) {
        let at = desk.now();
        match event {
            Event::Committed { batch, own } => {
                self.told.insert(batch.last(), at);
                let done = own.into_iter().map(|(index, token)| (token, Done { at, index }));
                self.done.extend(done);
                desk.submit(Input::Applied(batch.last().0));
            }
            Event::ReadReady { index, tokens } => {
                self.done.extend(tokens.into_iter().map(|token| (token, Done { at, index })));
            }
            Event::Leadership { role: Role::Leader, epoch, .. } => {
                if self.reigns.last() != Some(&epoch) {
                    self.reigns.push(epoch);
                }
            }
            Event::Leadership { role: Role::Follower | Role::Candidate, .. }
            | Event::Install(_)
            | Event::Refused { .. }
            | Event::Unknown { .. }
            | Event::Transferred { .. }
            | Event::Members(_) => {}
        }
    }

    fn task(&mut self, desk: &mut Desk<'_, L, Self>, id: TaskId, task: Task) {
        let output = match task {
            Task::Snapshot => Output::SnapshotFailed,
            Task::ReadLog { .. } => Output::LogFailed,
        };
        desk.submit(Input::TaskDone { id, output });
    }

    fn call(&mut self, _: &mut Desk<'_, L, Self>, _: synod_sim::Caller, (): ()) {}
}
