//! What every role shares: the durable state in memory, and what is committed and applied.

use alloc::format;
use alloc::vec::Vec;

use synod_consensus::{Batch, Event, Index, Output, Snapshot, Task};
use synod_engine::{Corrupt, NodeId, TaskId, Token};
use synod_quorum::Voters;

use crate::record::{Checkpoint, HardState, Record};
use crate::{Config, EntryId, Log, Raft, Rules, Term};

pub(crate) type Context<'a, R> = synod_engine::Context<'a, Raft<R>>;

/// The state of a node apart from its role.
#[derive(Clone, Debug)]
pub(crate) struct State<R> {
    pub(crate) config: Config<R>,
    pub(crate) hard: HardState,
    pub(crate) voters: Voters,
    pub(crate) log: Log,
    /// The newest snapshot that a checkpoint record names.
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) commit: Index,
    pub(crate) applied: Index,
    snapshots: Snapshotting,
}

/// Whether a snapshot is being built.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Snapshotting {
    running: Option<TaskId>,
    started: u64,
    /// After a failure: not again before this much is applied.
    not_before: Index,
}

impl<R: Rules> State<R> {
    pub(crate) fn new(config: Config<R>) -> Self {
        Self {
            config,
            hard: HardState::default(),
            voters: Voters::default(),
            log: Log::default(),
            snapshot: None,
            commit: Index::ZERO,
            applied: Index::ZERO,
            snapshots: Snapshotting { running: None, started: 0, not_before: Index::ZERO },
        }
    }

    pub(crate) fn me(&self) -> NodeId {
        self.config.node
    }

    pub(crate) fn term(&self) -> Term {
        self.hard.term
    }

    pub(crate) fn rules(&self) -> R {
        self.config.rules
    }

    /// Whether this node may vote and lead.
    pub(crate) fn is_voter(&self) -> bool {
        self.voters.contains(self.me())
    }

    /// The other voters.
    pub(crate) fn peers(&self) -> impl Iterator<Item = NodeId> {
        self.voters.iter().filter(|node| *node != self.me())
    }

    /// The last entry that the newest snapshot contains.
    pub(crate) fn snapshot_id(&self) -> EntryId {
        self.snapshot.map_or_else(EntryId::default, |snapshot| EntryId {
            index: snapshot.index,
            term: snapshot.epoch,
        })
    }

    /// Takes in a record, in a replay or when it is persisted.
    pub(crate) fn replay(&mut self, record: Record) -> Result<(), Corrupt> {
        match record {
            Record::HardState(hard) => {
                self.replay_hard(hard)?;
            }
            Record::Entries(batch) => {
                if batch.first() <= self.log.base().index {
                    return Err(Corrupt(format!("entries {batch} in a log of {}", self.log)));
                }
                self.log.truncate(batch.first());
                self.replay_entries(batch)?;
            }
            Record::Checkpoint(Checkpoint { hard, voters, snapshot, entries }) => {
                self.replay_hard(hard)?;
                self.voters = voters;
                self.snapshot = snapshot;
                self.log = Log::after(self.snapshot_id());
                entries.into_iter().try_for_each(|batch| self.replay_entries(batch))?;
                self.commit = self.snapshot_id().index;
                self.applied = self.commit;
            }
        }
        Ok(())
    }

    /// Terms never fall, and a vote is not taken back (§5.2).
    fn replay_hard(&mut self, hard: HardState) -> Result<(), Corrupt> {
        let HardState { term, vote } = self.hard;
        let votes_again = hard.term == term && vote.is_some() && hard.vote != vote;
        if hard.term < term || votes_again && self.rules().one_vote_per_term() {
            return Err(Corrupt(format!("{hard} after {}", self.hard)));
        }
        self.hard = hard;
        Ok(())
    }

    /// The log has no gaps, and terms do not fall in it.
    fn replay_entries(&mut self, batch: Batch) -> Result<(), Corrupt> {
        let last = self.log.last();
        if batch.first() != last.index.next() || batch.epoch() < last.term {
            return Err(Corrupt(format!("entries {batch} after {last}")));
        }
        self.log.append(batch);
        Ok(())
    }

    /// Enters `term` with `vote`.
    pub(crate) fn set_hard(&mut self, context: &mut Context<'_, R>, hard: HardState) {
        self.hard = hard;
        context.persist(Record::HardState(hard));
    }

    /// The whole durable state, its log starting after the newest snapshot.
    pub(crate) fn checkpoint(&self) -> Record {
        let after = self.snapshot_id().index.next();
        Record::Checkpoint(Checkpoint {
            hard: self.hard,
            voters: self.voters.clone(),
            snapshot: self.snapshot,
            entries: self.log.range(after, self.log.last().index).collect::<Vec<_>>(),
        })
    }

    /// Whether the log of a candidate that ends with `last` is at least as up to date as this one
    /// (§5.4.1).
    pub(crate) fn is_up_to_date(&self, last: EntryId) -> bool {
        last >= self.log.last() || !self.rules().vote_for_up_to_date_log()
    }

    /// Moves the commit index to `to` and tells the state machine; `own` yields the token of an
    /// index that was proposed here, up to the index it is given.
    pub(crate) fn commit_to(
        &mut self,
        context: &mut Context<'_, R>,
        to: Index,
        mut own: impl FnMut(Index) -> Vec<(Index, Token)>,
    ) {
        if to <= self.commit {
            return;
        }
        for batch in self.log.range(self.commit.next(), to) {
            let own = own(batch.last());
            context.emit_now(Event::Committed { batch, own });
        }
        self.commit = to;
    }

    /// Whether the state machine is too far behind to be given more.
    pub(crate) fn applying_lags(&self) -> bool {
        self.commit.0.saturating_sub(self.applied.0) > self.config.max_unapplied_entries
    }

    /// The state machine has reached `index`; starts a snapshot where one is due (§7).
    pub(crate) fn applied(&mut self, context: &mut Context<'_, R>, index: Index) {
        self.applied = self.applied.max(index.min(self.commit));
        let snapshot = self.snapshot_id().index;
        let entries = self.applied.0.saturating_sub(snapshot.0);
        let due = entries >= self.config.snapshot_every
            || entries > 0 && self.log.size_bytes() >= self.config.snapshot_every_bytes;
        if due && self.snapshots.running.is_none() && self.applied >= self.snapshots.not_before {
            self.snapshots.started += 1;
            let id = TaskId(self.snapshots.started);
            self.snapshots.running = Some(id);
            context.start_task(id, Task::Snapshot);
        }
    }

    /// A snapshot was built: checkpoints, and compacts the log behind it.
    pub(crate) fn task_done(&mut self, context: &mut Context<'_, R>, id: TaskId, output: Output) {
        if self.snapshots.running != Some(id) {
            return;
        }
        self.snapshots.running = None;
        match output {
            Output::SnapshotFailed => {
                self.snapshots.not_before =
                    Index(self.applied.0 + self.config.snapshot_every / 2 + 1);
            }
            Output::Snapshot { index, blob } => {
                if index <= self.snapshot_id().index {
                    return;
                }
                let epoch = self.log.term_at(index).expect("applied entries are in the log");
                self.snapshot = Some(Snapshot { index, epoch, blob });
                context.persist(self.checkpoint());
                let config = &self.config;
                self.log.compact(Index(index.0.saturating_sub(config.keep_entries)));
                self.log.shrink(index, config.snapshot_every_bytes / 4);
            }
        }
    }

    /// Takes over the state of a leader's snapshot; keeps the entries behind it if the logs agree
    /// there (§7).
    pub(crate) fn install(
        &mut self,
        context: &mut Context<'_, R>,
        snapshot: Snapshot,
        voters: Voters,
    ) {
        let id = EntryId { index: snapshot.index, term: snapshot.epoch };
        if !self.log.holds(id) {
            self.log = Log::after(id);
        }
        self.snapshot = Some(snapshot);
        self.voters = voters;
        context.persist(self.checkpoint());
        self.log.compact(id.index);
        self.commit = id.index;
        context.emit_now(Event::Install(snapshot));
    }

    pub(crate) fn fingerprint<H: core::hash::Hasher>(&self, hasher: &mut H) {
        use core::hash::Hash;
        let Self { config: _, hard, voters, log, snapshot, commit, applied, snapshots } = self;
        (hard, voters, log, snapshot, commit, applied, snapshots).hash(hasher);
    }
}
