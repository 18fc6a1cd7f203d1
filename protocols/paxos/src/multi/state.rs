//! What every role shares: the durable state in memory, and what is chosen and applied.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use synod_consensus::{Batch, Event, Index, Snapshot};
use synod_engine::{Corrupt, Instant, NodeId, Random, TaskId, Token};
use synod_log::{Members, ReadIds, Snapshotting, Unapplied};
use synod_quorum::Quorum;

use crate::Ballot;
use crate::multi::record::{Checkpoint, Record};
use crate::multi::serving::Serving;
use crate::multi::slots::Slots;
use crate::multi::written::Written;
use crate::multi::{Config, MultiPaxos, Rules};

pub(crate) type Context<'a, R> = synod_engine::Context<'a, MultiPaxos<R>>;

/// The state of a node apart from its role.
#[derive(Clone, Debug)]
pub(crate) struct State<R> {
    pub(crate) config: Config<R>,
    /// The highest ballot that the acceptor has promised.
    pub(crate) promised: Ballot,
    /// The highest ballot that this life has heard of.
    heard: Ballot,
    /// How many times it campaigned since a leader was heard.
    campaigns: u32,
    /// As far as they are chosen.
    pub(crate) members: Members,
    pub(crate) slots: Slots,
    /// The newest snapshot that a checkpoint record names.
    pub(crate) snapshot: Option<Snapshot>,
    /// Up to here the values in the slots are known to be chosen, and were told to the user.
    pub(crate) commit: Index,
    pub(crate) applied: Index,
    /// Up to here records say that what they hold is chosen.
    known: Index,
    /// Up to here a record of its own says so.
    marked: Index,
    /// Whether a record told where the log begins.
    is_based: bool,
    /// Bytes of values written since the newest snapshot.
    pub(crate) fresh_bytes: usize,
    pub(crate) written: Written,
    pub(crate) snapshots: Snapshotting,
    pub(crate) serving: Serving,
    /// Until then this node promises no other ballot.
    bound_until: Option<Instant>,
    /// The names of its questions to a leader.
    pub(crate) read_ids: ReadIds,
    unapplied: Unapplied,
    tasks: u64,
}

impl<R: Rules> State<R> {
    pub(crate) fn new(config: Config<R>) -> Self {
        let members = Members::none(config.rules.both_majorities());
        let written = Written::new(config.bounds.stretch_bytes());
        let snapshots = Snapshotting::new(config.bounds.snapshots());
        Self {
            config,
            promised: Ballot::LOWEST,
            heard: Ballot::LOWEST,
            campaigns: 0,
            members,
            slots: Slots::default(),
            snapshot: None,
            commit: Index::ZERO,
            applied: Index::ZERO,
            known: Index::ZERO,
            marked: Index::ZERO,
            is_based: false,
            fresh_bytes: 0,
            written,
            snapshots,
            serving: Serving::default(),
            bound_until: None,
            read_ids: ReadIds::default(),
            unapplied: Unapplied::default(),
            tasks: 0,
        }
    }

    pub(crate) fn me(&self) -> NodeId {
        self.config.part.node
    }

    pub(crate) fn rules(&self) -> R {
        self.config.rules
    }

    /// Whether no life of this node has written anything.
    pub(crate) fn has_no_record(&self) -> bool {
        self.written.is_empty()
    }

    /// A life begins. What an earlier one promised a leader is not known, so all of it is promised again.
    pub(crate) fn begin(&mut self, now: Instant) {
        if self.rules().lease_outlives_restart() {
            self.bind(now);
        }
    }

    /// Binds itself to promise no other ballot from now on, if leases are used; returns for how long, in
    /// ms.
    pub(crate) fn bind(&mut self, now: Instant) -> u64 {
        if self.config.timing.lease.is_none() {
            return 0;
        }
        self.bound_until = Some(now + self.config.timing.election_timeout_min());
        self.config.timing.election_timeout_min_ms
    }

    /// For how long it promises no other ballot.
    pub(crate) fn bound_for(&self, now: Instant) -> Duration {
        let left = self.bound_until.map_or(Duration::ZERO, |until| until.since(now));
        if self.rules().lease_is_kept() { left } else { Duration::ZERO }
    }

    /// Who decides.
    pub(crate) fn quorum(&self) -> &Quorum {
        self.members.quorum()
    }

    /// Whether this node votes.
    pub(crate) fn is_voter(&self) -> bool {
        self.quorum().contains(self.me())
    }

    /// Whether this node may lead: a voter of priority 0 never does.
    pub(crate) fn may_lead(&self) -> bool {
        let me = self.members.current().member(self.me());
        self.is_voter() && me.is_some_and(|me| me.priority > 0 && self.config.part.is_this_life(me))
    }

    /// The other voters.
    pub(crate) fn other_voters(&self) -> impl Iterator<Item = NodeId> {
        self.quorum().iter().filter(|node| *node != self.me())
    }

    /// The last instance that the newest snapshot contains.
    pub(crate) fn snapshot_index(&self) -> Index {
        snapshot_index(self.snapshot)
    }

    /// Takes in a record that an earlier life persisted. The first may be one that a checkpoint kept:
    /// what there was before it is not known until that checkpoint comes.
    pub(crate) fn replay(&mut self, record: Record) -> Result<(), Corrupt> {
        match record {
            Record::Promise(ballot) => {
                self.written.other();
                self.replay_promise(ballot)
            }
            Record::Accept { batch, chosen } => {
                self.replay_accept(&batch)?;
                self.replay_chosen(chosen)
            }
            Record::Chosen(index) => {
                self.written.other();
                self.marked = self.marked.max(index);
                self.replay_chosen(index)
            }
            Record::Checkpoint(checkpoint) => self.replay_checkpoint(checkpoint),
        }
    }

    /// A promise is not taken back.
    fn replay_promise(&mut self, ballot: Ballot) -> Result<(), Corrupt> {
        if ballot < self.promised && self.rules().promises_are_kept() {
            return Err(Corrupt(format!("{ballot} after {} was promised", self.promised)));
        }
        self.promised = self.promised.max(ballot);
        Ok(())
    }

    /// A value is accepted once in a ballot, and never after one of a higher ballot.
    fn replay_accept(&mut self, batch: &Batch) -> Result<(), Corrupt> {
        self.replay_promise(Ballot::of(batch.epoch()))?;
        if self.slots.lacking(batch, batch.first()).as_ref() != Some(batch)
            && self.rules().promises_are_kept()
        {
            return Err(Corrupt(format!("{batch} over what was accepted in it, or is given up")));
        }
        self.written.values(batch);
        self.fresh_bytes += batch.size_bytes();
        self.put(batch);
        Ok(())
    }

    /// Up to what is chosen there is no gap.
    fn replay_chosen(&mut self, index: Index) -> Result<(), Corrupt> {
        if index > self.known && self.is_based {
            let last = self.slots.contiguous(self.known, None);
            if last < index {
                return Err(Corrupt(format!("chosen to {index}, and there is a gap after {last}")));
            }
        }
        self.known = self.known.max(index);
        Ok(())
    }

    fn replay_checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), Corrupt> {
        let Checkpoint { promised, members, snapshot, base, keeps } = checkpoint;
        if members.is_empty() {
            return Err(Corrupt("a checkpoint without members".into()));
        }
        // An earlier one among what a later one keeps may lack its own: that one tells where they begin.
        let is_whole = self.written.count() >= keeps;
        let base = if is_whole { base } else { snapshot_index(snapshot) };
        if keeps > 0 && self.written.is_empty() {
            return Err(Corrupt(format!("a checkpoint without the {keeps} records that it keeps")));
        }
        self.replay_promise(promised)?;
        self.snapshot = snapshot;
        let index = self.snapshot_index();
        self.slots.compact(base);
        let last = self.slots.contiguous(base, None);
        if base > index || last < index {
            return Err(Corrupt(format!("a snapshot to {index}, and a gap after {last}")));
        }
        self.written.retain(keeps);
        self.written.other();
        self.is_based = is_whole;
        (self.commit, self.applied) = (index, index);
        (self.known, self.marked) = (self.known.max(index), self.marked.max(index));
        self.members.rebase(index, members);
        self.fresh_bytes = self.written.bytes_beyond(index);
        self.evict(index);
        Ok(())
    }

    /// All was replayed: up to here what the slots hold is known to be chosen.
    pub(crate) fn replayed(&self) -> Index {
        self.known.min(self.slots.contiguous(self.commit, None))
    }

    /// Makes a record durable.
    pub(crate) fn persist(&mut self, context: &mut Context<'_, R>, record: Record) {
        match &record {
            Record::Accept { batch, .. } => self.written.values(batch),
            Record::Promise(_) | Record::Chosen(_) | Record::Checkpoint(_) => self.written.other(),
        }
        context.persist(record);
    }

    /// Somebody uses this ballot, or promised it.
    pub(crate) fn hear(&mut self, ballot: Ballot) {
        self.heard = self.heard.max(ballot);
    }

    /// A ballot above all that this node has heard of: it never led in it.
    pub(crate) fn next_ballot(&mut self) -> Ballot {
        let ballot = self.promised.max(self.heard).after(self.me());
        self.hear(ballot);
        self.campaigns += 1;
        ballot
    }

    /// Somebody leads.
    pub(crate) fn led(&mut self) {
        self.campaigns = 0;
    }

    /// How long to wait for a leader, or for the own phase 1 to end. Proposers whose phase 1 takes longer than
    /// the others leave them alone would overtake each other for ever (§2.4), so who campaigned twice in vain
    /// waits for up to two, and then four, times as long.
    pub(crate) fn election_timeout(&self, random: &mut Random) -> Duration {
        let timing = &self.config.timing;
        let patience = 1 << self.campaigns.saturating_sub(1).min(2);
        random.duration(timing.election_timeout_min(), timing.election_timeout_max() * patience)
    }

    /// Puts what is not accepted in its ballot, or a higher one, into memory.
    fn put(&mut self, batch: &Batch) {
        let mut from = batch.first();
        while let Some(part) = self.slots.lacking(batch, from) {
            from = part.last().next();
            self.slots.put(part);
        }
    }

    /// Moves what is known to be chosen to `to`, which the slots reach without a gap, and tells the state
    /// machine; `own` yields the token of an index that was proposed here, up to the index it is given.
    pub(crate) fn commit_to(
        &mut self,
        context: &mut Context<'_, R>,
        to: Index,
        mut own: impl FnMut(Index) -> Vec<(Index, Token)>,
    ) {
        if to <= self.commit {
            return;
        }
        let mut changed = None;
        for batch in self.slots.range(self.commit.next(), to) {
            let own = own(batch.last());
            self.unapplied.committed(&batch);
            if let Some(members) = batch.members() {
                self.members.adopt(batch.first(), members.clone());
                changed = Some(batch.first());
            }
            context.emit_now(Event::Committed { batch, own });
        }
        self.commit = to;
        if let Some(index) = changed {
            self.mark_chosen(context, index);
            self.tell_members(context);
        }
    }

    /// Makes durable that everything up to `index` is chosen.
    pub(crate) fn mark_chosen(&mut self, context: &mut Context<'_, R>, index: Index) {
        if index > self.marked {
            self.marked = index;
            self.persist(context, Record::Chosen(index));
        }
    }

    /// Tells the driver who belongs to the group, as far as this node knows.
    pub(crate) fn tell_members(&self, context: &mut Context<'_, R>) {
        context.emit_now(Event::Members(self.members.current().clone()));
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

    /// Lets go of values up to `to`, which are applied, as far as too many are in memory.
    pub(crate) fn evict(&mut self, to: Index) {
        self.slots.evict(to, self.config.bounds.max_cached_log_bytes);
    }

    /// A name for a task that no other has in this life.
    pub(crate) fn new_task(&mut self) -> TaskId {
        self.tasks += 1;
        TaskId(self.tasks)
    }

    pub(crate) fn fingerprint<H: core::hash::Hasher>(&self, now: Instant, hasher: &mut H) {
        use core::hash::Hash;
        let Self { config: _, promised, heard, members, slots, snapshot, commit, .. } = self;
        (promised, heard, members, slots, snapshot, commit).hash(hasher);
        let Self { applied, known, marked, is_based, fresh_bytes, written, snapshots, .. } = self;
        (applied, known, marked, is_based, fresh_bytes, written, snapshots).hash(hasher);
        let Self { campaigns, serving, bound_until: _, read_ids, unapplied, tasks, .. } = self;
        (campaigns, serving, read_ids, unapplied, tasks, self.bound_for(now)).hash(hasher);
    }
}

fn snapshot_index(snapshot: Option<Snapshot>) -> Index {
    snapshot.map_or(Index::ZERO, |snapshot| snapshot.index)
}
