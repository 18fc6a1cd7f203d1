//! What every role shares: the durable state in memory, and what is committed and applied.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use synod_consensus::{Batch, Event, Index, Member, Snapshot};
use synod_engine::{Corrupt, Instant, NodeId, TaskId, Token};
use synod_log::{Behind, EntryId, Log, Members, ReadIds, Snapshotting, Unapplied, Written};
use synod_quorum::Quorum;

use crate::record::{Checkpoint, HardState, Record};
use crate::{Config, Raft, Rules, Term};

pub(crate) type Context<'a, R> = synod_engine::Context<'a, Raft<R>>;

/// The state of a node apart from its role.
#[derive(Clone, Debug)]
pub(crate) struct State<R> {
    pub(crate) config: Config<R>,
    pub(crate) hard: HardState,
    pub(crate) members: Members,
    pub(crate) log: Log,
    /// The newest snapshot that a checkpoint record names.
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) commit: Index,
    pub(crate) applied: Index,
    /// Bytes of entries written since the newest snapshot.
    pub(crate) fresh_bytes: usize,
    pub(crate) written: Written,
    pub(crate) snapshots: Snapshotting,
    /// Until then this node votes for nobody: it promised (thesis §6.4.1).
    bound_until: Option<Instant>,
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
            hard: HardState::default(),
            members: Members::none(both),
            log: Log::default(),
            snapshot: None,
            commit: Index::ZERO,
            applied: Index::ZERO,
            fresh_bytes: 0,
            written,
            snapshots,
            bound_until: None,
            read_ids: ReadIds::default(),
            unapplied: Unapplied::default(),
            tasks: 0,
        }
    }

    pub(crate) fn me(&self) -> NodeId {
        self.config.part.node
    }

    pub(crate) fn term(&self) -> Term {
        self.hard.term
    }

    pub(crate) fn rules(&self) -> R {
        self.config.rules
    }

    /// Whether no life of this node has written anything.
    pub(crate) fn has_no_record(&self) -> bool {
        self.written.is_empty()
    }

    /// A life begins. What an earlier one promised is not known, nor whether there was one, if its disk
    /// was slow: so all of it is promised again.
    pub(crate) fn begin(&mut self, now: Instant) {
        if self.rules().promise_outlives_restart() {
            self.promise(now);
        }
    }

    /// Promises to vote for nobody from now on, if leases are used; returns for how long, in ms.
    pub(crate) fn promise(&mut self, now: Instant) -> u64 {
        if self.config.timing.lease.is_none() {
            return 0;
        }
        self.bound_until = Some(now + self.config.timing.election_timeout_min());
        self.config.timing.election_timeout_min_ms
    }

    /// For how long it votes for nobody.
    pub(crate) fn bound_for(&self, now: Instant) -> Duration {
        let left = self.bound_until.map_or(Duration::ZERO, |until| until.since(now));
        if self.rules().promise_is_kept() { left } else { Duration::ZERO }
    }

    /// Who decides.
    pub(crate) fn quorum(&self) -> &Quorum {
        self.members.quorum()
    }

    /// Whether this node votes.
    pub(crate) fn is_voter(&self) -> bool {
        self.quorum().contains(self.me())
    }

    /// Whether this node may campaign: a voter of priority 0 never does, whoever else is there. Who is no
    /// voter any more does as long as the entry that says so is not committed: it may be the only one to
    /// have that entry, and so the only one whom the others can elect (thesis §4.2.2).
    pub(crate) fn may_lead(&self) -> bool {
        self.members.possible(self.commit).any(|members| {
            let may =
                |member: &Member| member.priority > 0 && self.config.part.is_this_life(member);
            members.quorum().contains(self.me()) && members.member(self.me()).is_some_and(may)
        })
    }

    /// The other voters.
    pub(crate) fn other_voters(&self) -> impl Iterator<Item = NodeId> {
        self.quorum().iter().filter(|node| *node != self.me())
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

    /// Takes in a record that an earlier life persisted. The first may be one that a checkpoint kept:
    /// what the log held before it is not known until that checkpoint comes.
    pub(crate) fn replay(&mut self, record: Record) -> Result<(), Corrupt> {
        match record {
            Record::HardState(hard) => {
                self.written.other();
                self.replay_hard(hard)
            }
            Record::Entries(batch) => self.replay_entries(batch),
            Record::Checkpoint(checkpoint) => self.replay_checkpoint(checkpoint),
        }
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
        let is_first = self.written.is_empty();
        self.members.replaced_by(&batch);
        self.written.entries(&batch);
        self.fresh_bytes += batch.size_bytes();
        self.log.replay(batch, is_first)
    }

    fn replay_checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), Corrupt> {
        let Checkpoint { hard, members, snapshot, keeps } = checkpoint;
        if members.is_empty() {
            return Err(Corrupt("a checkpoint without members".into()));
        }
        if keeps > 0 && self.written.is_empty() {
            return Err(Corrupt(format!("a checkpoint without the {keeps} records that it keeps")));
        }
        self.replay_hard(hard)?;
        self.written.other();
        self.snapshot = snapshot;
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
            Record::HardState(_) | Record::Checkpoint(_) => self.written.other(),
            Record::Entries(batch) => self.written.entries(batch),
        }
        context.persist(record);
    }

    /// Enters a term, or votes in it.
    pub(crate) fn set_hard(&mut self, context: &mut Context<'_, R>, hard: HardState) {
        self.hard = hard;
        self.persist(context, Record::HardState(hard));
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

    /// Tells the driver who belongs to the group, as far as this node knows.
    pub(crate) fn tell_members(&self, context: &mut Context<'_, R>) {
        context.emit_now(Event::Members(self.members.current().clone()));
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

    pub(crate) fn fingerprint<H: core::hash::Hasher>(&self, now: Instant, hasher: &mut H) {
        use core::hash::Hash;
        let Self { config: _, hard, members, log, snapshot, commit, applied, .. } = self;
        (hard, members, log, snapshot, commit, applied).hash(hasher);
        let Self { fresh_bytes, written, snapshots, unapplied, tasks, .. } = self;
        (fresh_bytes, written, snapshots, unapplied, tasks).hash(hasher);
        (&self.read_ids, self.bound_for(now)).hash(hasher);
    }
}
