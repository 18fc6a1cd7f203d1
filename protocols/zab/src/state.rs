//! What every role shares: the durable state in memory, and what is committed and applied.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use synod_consensus::{Batch, Epoch, Event, Index, Membership, Snapshot};
use synod_engine::{Corrupt, NodeId, TaskId, Token};
use synod_log::{Behind, EntryId, Log, Members, ReadIds, Snapshotting, Unapplied, Written};
use synod_quorum::{Quorum, Voters};

use crate::message::{MAX_RUNS, Summary};
use crate::record::{Checkpoint, Epochs, Record};
use crate::{Config, Rules, Zab, Zxid};

pub(crate) type Context<'a, R> = synod_engine::Context<'a, Zab<R>>;

/// The state of a node apart from its role.
#[derive(Clone, Debug)]
pub(crate) struct State<R> {
    pub(crate) config: Config<R>,
    pub(crate) epochs: Epochs,
    pub(crate) members: Members,
    pub(crate) log: Log,
    /// The newest snapshot that a checkpoint record names.
    pub(crate) snapshot: Option<Snapshot>,
    /// The last entry before those of the epoch of the snapshot's last.
    pub(crate) snapshot_began: Index,
    /// The newest epoch that a member was heard to have accepted, in this life.
    pub(crate) heard: Epoch,
    pub(crate) commit: Index,
    pub(crate) applied: Index,
    /// Bytes of entries written since the newest snapshot.
    pub(crate) fresh_bytes: usize,
    pub(crate) written: Written,
    pub(crate) snapshots: Snapshotting,
    /// The names of its questions to a leader.
    pub(crate) read_ids: ReadIds,
    unapplied: Unapplied,
    tasks: u64,
}

impl<R: Rules> State<R> {
    pub(crate) fn new(config: Config<R>) -> Self {
        let both = config.rules.both_majorities();
        let written = Written::new(config.bounds.stretch_bytes());
        let snapshots = Snapshotting::new(config.bounds.snapshots());
        Self {
            config,
            epochs: Epochs::default(),
            members: Members::none(both),
            log: Log::default(),
            snapshot: None,
            snapshot_began: Index::ZERO,
            heard: Epoch::default(),
            commit: Index::ZERO,
            applied: Index::ZERO,
            fresh_bytes: 0,
            written,
            snapshots,
            read_ids: ReadIds::default(),
            unapplied: Unapplied::default(),
            tasks: 0,
        }
    }

    pub(crate) fn me(&self) -> NodeId {
        self.config.part.node
    }

    /// The newest epoch that it accepted: the one that it is in.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epochs.accepted
    }

    pub(crate) fn rules(&self) -> R {
        self.config.rules
    }

    /// Whether no life of this node has written anything.
    pub(crate) fn has_no_record(&self) -> bool {
        self.written.is_empty()
    }

    /// Who decides.
    pub(crate) fn quorum(&self) -> &Quorum {
        self.members.quorum()
    }

    /// Whether this node votes.
    pub(crate) fn is_voter(&self) -> bool {
        self.quorum().contains(self.me())
    }

    /// Who elects, as this node knows it: the voters of the newest membership. While the entry that says so
    /// is not committed and this node is none of them any more, those of the one before: it may be the only
    /// one to have that entry, and so the only one whom the others can elect. Who came back as another life
    /// has no vote.
    pub(crate) fn electorate(&self) -> Quorum {
        let me = self.me();
        let mut possible = self.members.possible(self.commit);
        let votes = |members: &&Arc<Membership>| {
            members.quorum().contains(me)
                && members.member(me).is_some_and(|member| self.config.part.is_this_life(member))
        };
        if let Some(members) = possible.find(votes) {
            return members.quorum();
        }
        let others = |voters: &Voters| voters.iter().filter(|node| *node != me).collect();
        let (incoming, outgoing) = (self.quorum().incoming(), self.quorum().outgoing());
        if self.quorum().is_joint() {
            Quorum::joint(others(incoming), others(outgoing))
        } else {
            Quorum::of(others(incoming))
        }
    }

    /// The last entry that the newest snapshot contains.
    pub(crate) fn snapshot_id(&self) -> EntryId {
        self.snapshot.map_or_else(EntryId::default, |snapshot| EntryId {
            index: snapshot.index,
            epoch: snapshot.epoch,
        })
    }

    /// What lies behind the newest snapshot.
    pub(crate) fn behind(&self) -> Behind {
        let Self { snapshot, applied, fresh_bytes, .. } = *self;
        Behind { snapshot, applied, fresh_bytes }
    }

    /// The entry at `index`, if the history reaches it and its epoch is known.
    pub(crate) fn entry_at(&self, index: Index) -> Option<EntryId> {
        self.log.epoch_at(index).map(|epoch| EntryId { epoch, index })
    }

    /// The last entry before those of the epoch of this one, which the newest snapshot does not hold unless it
    /// is its last. (An epoch later than the snapshot's begins behind it.)
    pub(crate) fn began(&self, entry: EntryId) -> Index {
        if entry.epoch == self.epochs.current {
            self.epochs.began
        } else if self.snapshot.is_some_and(|snapshot| snapshot.epoch == entry.epoch) {
            self.snapshot_began
        } else {
            let first = self.log.first_of_epoch_at(entry.index).unwrap_or(entry);
            first.index.previous().unwrap_or_default()
        }
    }

    /// The name of an entry as ZooKeeper has it.
    pub(crate) fn zxid(&self, entry: EntryId) -> Zxid {
        let counter = entry.index.0.saturating_sub(self.began(entry).0);
        let half = |whole: u64| u32::try_from(whole).unwrap_or(u32::MAX);
        Zxid::new(half(entry.epoch.0), half(counter))
    }

    /// How the history ends, for a leader.
    pub(crate) fn summary(&self) -> Summary {
        let (mut runs, base) = (Vec::new(), self.log.base());
        let mut end = self.log.last();
        while end.index > base.index && runs.len() < MAX_RUNS {
            runs.push(end);
            let first = self.log.first_of_epoch_at(end.index).unwrap_or(end);
            let before = first.index.previous().and_then(|index| self.entry_at(index));
            end = before.unwrap_or(base);
        }
        Summary { current: self.epochs.current, runs, base }
    }

    /// Takes in a record that an earlier life persisted. The first may be one that a checkpoint kept:
    /// what the log held before it is not known until that checkpoint comes.
    pub(crate) fn replay(&mut self, record: Record) -> Result<(), Corrupt> {
        match record {
            Record::Epochs(epochs) => {
                self.written.other();
                self.replay_epochs(epochs)
            }
            Record::Entries(batch) => self.replay_entries(batch),
            Record::Truncated(last) => {
                if last < self.log.base().index || last > self.log.last().index {
                    return Err(Corrupt(format!("truncated behind {last}, in {}", self.log)));
                }
                self.cut(last);
                Ok(())
            }
            Record::Checkpoint(checkpoint) => self.replay_checkpoint(checkpoint),
        }
    }

    /// Epochs never fall.
    fn replay_epochs(&mut self, epochs: Epochs) -> Result<(), Corrupt> {
        let falls = epochs.accepted < self.epochs.accepted || epochs.current < self.epochs.current;
        if falls || epochs.current > epochs.accepted {
            return Err(Corrupt(format!("{epochs} after {}", self.epochs)));
        }
        self.epochs = epochs;
        Ok(())
    }

    /// The log has no gaps, and epochs do not fall in it.
    fn replay_entries(&mut self, batch: Batch) -> Result<(), Corrupt> {
        let is_first = self.written.is_empty();
        self.members.replaced_by(&batch);
        self.written.entries(&batch);
        self.fresh_bytes += batch.size_bytes();
        self.log.replay(batch, is_first)
    }

    fn replay_checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), Corrupt> {
        let Checkpoint { epochs, members, snapshot, began, keeps } = checkpoint;
        if members.is_empty() {
            return Err(Corrupt("a checkpoint without members".into()));
        }
        if keeps > 0 && self.written.is_empty() {
            return Err(Corrupt(format!("a checkpoint without the {keeps} records that it keeps")));
        }
        self.replay_epochs(epochs)?;
        self.written.other();
        (self.snapshot, self.snapshot_began) = (snapshot, began);
        let id = self.snapshot_id();
        (self.commit, self.applied) = (id.index, id.index);
        self.members.rebase(id.index, members);
        if keeps == 0 {
            self.written.clear();
            self.log = Log::after(id);
            self.members.truncate(id.index.next());
        } else if self.log.base().index <= id.index {
            self.log.settle_base(id);
        }
        self.fresh_bytes = self.written.bytes_beyond(id.index);
        self.evict(id.index);
        Ok(())
    }

    /// Makes a record durable.
    pub(crate) fn persist(&mut self, context: &mut Context<'_, R>, record: Record) {
        match &record {
            Record::Epochs(_) | Record::Checkpoint(_) => self.written.other(),
            Record::Entries(batch) => self.written.entries(batch),
            Record::Truncated(_) => {}
        }
        context.persist(record);
    }

    /// Accepts an epoch of its leader.
    pub(crate) fn accept(&mut self, context: &mut Context<'_, R>, epoch: Epoch, leader: NodeId) {
        (self.epochs.accepted, self.epochs.leader) = (epoch, Some(leader));
        if self.rules().accepted_epoch_is_durable() {
            self.persist(context, Record::Epochs(self.epochs));
        }
    }

    /// The history is the one of the leader of the epoch that was accepted, whose own entries follow
    /// `began`.
    pub(crate) fn enter(&mut self, context: &mut Context<'_, R>, began: Index) {
        let epochs = Epochs { current: self.epochs.accepted, began, ..self.epochs };
        if self.epochs != epochs {
            self.epochs = epochs;
            self.persist(context, Record::Epochs(epochs));
        }
    }

    /// Puts a batch into the log, in place of what it had from the batch's first entry on. A
    /// membership in it counts from here on, and one that it replaces counts no more.
    pub(crate) fn store(&mut self, context: &mut Context<'_, R>, batch: Batch) {
        self.log.truncate(batch.first());
        let changed = self.members.replaced_by(&batch);
        self.fresh_bytes += batch.size_bytes();
        self.log.append(batch.clone());
        self.persist(context, Record::Entries(batch));
        if changed {
            self.tell_members(context);
        }
    }

    /// The log ends with `last`, durably.
    pub(crate) fn truncate(&mut self, context: &mut Context<'_, R>, last: Index) {
        if last >= self.log.last().index {
            return;
        }
        if self.cut(last) {
            self.tell_members(context);
        }
        self.persist(context, Record::Truncated(last));
    }

    /// Removes what is behind `last`; returns whether another membership counts now.
    fn cut(&mut self, last: Index) -> bool {
        self.log.truncate(last.next());
        self.written.truncated(last);
        self.members.truncate(last.next())
    }

    /// Tells the driver who belongs to the group, as far as this node knows.
    pub(crate) fn tell_members(&self, context: &mut Context<'_, R>) {
        context.emit_now(Event::Members(self.members.current().clone()));
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
            self.unapplied.committed(&batch);
            context.emit_now(Event::Committed { batch, own });
        }
        self.commit = to;
    }

    /// Whether the state machine is too far behind to be given more.
    pub(crate) fn applying_lags(&self) -> bool {
        let entries = self.commit.0.saturating_sub(self.applied.0);
        self.unapplied.lags(&self.config.bounds, entries)
    }

    /// The state machine has reached `index`.
    pub(crate) fn applied(&mut self, index: Index) {
        self.applied = self.applied.max(index.min(self.commit));
        self.unapplied.applied(self.applied);
    }

    /// Lets go of entries up to `to`, which are applied, as far as too many are in memory.
    pub(crate) fn evict(&mut self, to: Index) {
        self.log.evict(to, self.config.bounds.max_cached_log_bytes);
    }

    /// A name for a task that no other has in this life.
    pub(crate) fn new_task(&mut self) -> TaskId {
        self.tasks += 1;
        TaskId(self.tasks)
    }

    pub(crate) fn fingerprint<H: core::hash::Hasher>(&self, hasher: &mut H) {
        use core::hash::Hash;
        let Self { config: _, epochs, members, log, snapshot, commit, applied, .. } = self;
        (epochs, members, log, snapshot, commit, applied, self.snapshot_began).hash(hasher);
        self.heard.hash(hasher);
        let Self { fresh_bytes, written, snapshots, unapplied, tasks, read_ids, .. } = self;
        (fresh_bytes, written, snapshots, unapplied, tasks, read_ids).hash(hasher);
    }
}
