//! A ZAB node: the dispatch table, and the one place where a role changes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};

use synod_consensus::{
    Epoch, Event, Index, Membership, Output, ReplicatedLog, Request, Role as OutsideRole, Status,
    Task,
};
use synod_election::fle;
use synod_engine::{Context, Corrupt, Engine, Input, Instant, LinkState, NodeId, Sound};
use synod_log::{Cause, Log, ReadId, ReadResult};

use crate::role::{Becomes, Discovery, Follower, Leader, Looking, Role};
use crate::state::State;
use crate::{Config, Message, Phase, Record, Rules, View};

/// A ZAB node. See the [crate] page.
#[derive(Clone)]
pub struct Zab<R: Rules = Sound> {
    pub(crate) state: State<R>,
    pub(crate) role: Role,
    pub(crate) election: fle::Fle,
    announced: Option<Leadership>,
}

/// What the local user was last told.
pub(crate) type Leadership = (OutsideRole, Option<NodeId>, Epoch);

/// Elections take milliseconds, so a node cannot have slept through this many epochs; without a bound, one
/// damaged message would use them all up.
const MAX_EPOCH_LEAP: u64 = 1 << 24;

/// Beyond this an epoch would not fit into a zxid.
const LAST_EPOCH: u64 = u32::MAX as u64;

/// The timers of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// A timer of the embedded election.
    Election(fle::Timer),
    /// A follower's patience with its leader; the patience of who was elected with its followers; a leader's
    /// check that a quorum follows; the patience of who looks with the election.
    Limit,
    /// A leader's next heartbeat.
    Ping,
    /// A follower that was not answered says again that it follows.
    Inform,
    /// A leader's patience with its successor.
    Transfer,
    /// A follower's patience with questions about reads.
    Read,
    /// A follower's patience with what it forwarded.
    Forward,
}

impl<R: Rules> Engine for Zab<R> {
    type Config = Config<R>;
    type Message = Message;
    type Record = Record;
    type Timer = Timer;
    type Request = Request;
    type Event = Event;
    type Task = Task;
    type Output = Output;
    type Rules = R;
    type View = View;

    /// # Panics
    /// If the configuration does not pass [`Config::check`].
    fn new(config: Config<R>) -> Self {
        config.check().expect("a configuration that was checked");
        let election = fle::Fle::new(config.election());
        let role = Role::Looking(Looking::default());
        Self { state: State::new(config), role, election, announced: None }
    }

    fn replay(&mut self, record: Record) -> Result<(), Corrupt> {
        self.state.replay(record)
    }

    fn step(&mut self, context: &mut Context<'_, Self>, input: Input<Self>) {
        match input {
            Input::Start => self.start(context),
            Input::Message { from, message } => self.receive(context, from, message),
            Input::Timer(timer) => self.fire(context, timer),
            Input::Request { token, request } => self.request(context, token, request),
            Input::Cancel(token) => self.cancel(context, token),
            Input::Link { peer, state } => self.link(context, peer, state),
            Input::TaskDone { id, output } => self.task_done(context, id, output),
            Input::Applied(position) => {
                self.state.applied(Index(position));
                self.state.snapshot_for(context, Cause::Applied { installs: self.role.installs() });
            }
            Input::Flush => {
                let becomes = match &mut self.role {
                    Role::Follower(follower) => {
                        follower.flush(&mut self.state, context);
                        Becomes::Same
                    }
                    Role::Looking(_) | Role::Discovery(_) => Becomes::Same,
                    Role::Leader(leader) => leader.flush(&mut self.state, context),
                };
                self.become_(context, becomes);
                let evictable = self.role.evictable(&self.state);
                self.state.evict(evictable);
            }
        }
        self.announce(context);
    }

    fn fingerprint<H: Hasher>(&self, now: Instant, hasher: &mut H) {
        self.state.fingerprint(hasher);
        self.role.hash(hasher);
        self.election.fingerprint(now, hasher);
        self.announced.hash(hasher);
    }

    fn view(&self) -> View {
        let State { epochs, log, commit, applied, .. } = &self.state;
        let (phase, leader) = match &self.role {
            Role::Looking(_) => (Phase::Election, None),
            Role::Discovery(_) => (Phase::Discovery, Some(self.state.me())),
            Role::Leader(leader) if leader.is_established() => {
                (Phase::Broadcast, Some(self.state.me()))
            }
            Role::Leader(_) => (Phase::Synchronisation, Some(self.state.me())),
            Role::Follower(follower) => (follower.phase(), Some(follower.leader)),
        };
        View {
            phase,
            leader,
            accepted: epochs.accepted,
            current: epochs.current,
            zxid: self.state.zxid(log.last()),
            base: log.base().index,
            last: log.last().index,
            commit: *commit,
            applied: *applied,
        }
    }
}

impl<R: Rules> ReplicatedLog for Zab<R> {
    fn status(&self) -> Status {
        let (role, leader, epoch) = self.leadership();
        Status {
            node: self.state.me(),
            role,
            leader,
            epoch,
            last: self.state.log.last().index,
            commit: self.state.commit,
            applied: self.state.applied,
            snapshot: self.state.snapshot_id().index,
            members: self.state.members.current().clone(),
            members_settled: self.state.members.since() <= self.state.commit,
            peers: match &self.role {
                Role::Leader(leader) => leader.peers(),
                Role::Looking(_) | Role::Discovery(_) | Role::Follower(_) => Vec::new(),
            },
        }
    }
}

impl<R: Rules> Zab<R> {
    /// The log in memory.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.state.log
    }

    /// The first input of a life: a new cluster's voters become the first record.
    fn start(&mut self, context: &mut Context<'_, Self>) {
        let is_new = self.state.has_no_record();
        if let Some(voters) = self.state.config.part.initial_voters.as_ref().filter(|_| is_new) {
            let founders = Arc::new(Membership::founded_by(voters));
            self.state.members.rebase(Index::ZERO, founders);
            self.state.write_checkpoint(context);
        }
        self.state.tell_members(context);
        if let Some(snapshot) = self.state.snapshot {
            context.emit_now(Event::Install(snapshot));
        }
        self.look(context);
    }

    /// Who handles which message. Whatever no correct node could have said changes nothing.
    fn receive(&mut self, context: &mut Context<'_, Self>, from: NodeId, message: Message) {
        if !self.is_credible(from, &message) {
            return;
        }
        let becomes = match message {
            Message::Election(message) => return self.hear_election(context, from, message),
            Message::FollowerInfo { accepted } => self.follower_info(context, from, accepted),
            Message::NewEpoch { epoch } => self.new_epoch(context, from, epoch),
            Message::AckEpoch { epoch, counts, summary } => {
                self.epoch_acked(context, from, epoch, counts, summary)
            }
            Message::Ping { epoch, established, commit, round } => {
                self.pinged(context, from, epoch, established, (commit, round))
            }
            Message::HandOver { epoch, successor, last } => {
                self.told_to_follow(from, epoch, successor, last)
            }
            Message::Look { epoch } => self.told_to_look(from, epoch),
            Message::Diff { epoch, after } => {
                self.led(context, from, epoch, |it, state, context| it.diff(state, context, after))
            }
            Message::Trunc { epoch, last, to } => {
                self.led(context, from, epoch, |it, state, context| {
                    it.trunc(state, context, last, to);
                })
            }
            Message::Snap { epoch, snapshot, began, members } => {
                self.led(context, from, epoch, |it, state, context| {
                    it.snap(state, context, (snapshot, began), members);
                })
            }
            Message::NewLeader { epoch, last, began } => {
                self.led(context, from, epoch, |it, state, context| {
                    it.new_leader(state, context, last, began);
                })
            }
            Message::UpToDate { epoch, commit } => {
                self.led(context, from, epoch, |it, state, context| {
                    it.up_to_date(state, context, commit);
                })
            }
            Message::Propose { epoch, previous, entries, commit }
            | Message::Inform { epoch, previous, entries, commit } => {
                self.led(context, from, epoch, |it, state, context| {
                    it.propose(state, context, previous, &entries, commit);
                })
            }
            Message::Commit { epoch, index } => {
                self.led(context, from, epoch, |it, state, context| {
                    it.commit(state, context, index);
                })
            }
            Message::Requested { epoch, lane, first, answers } => {
                self.led(context, from, epoch, |it, state, context| {
                    it.forwards_answered(state, context, (lane, first), answers);
                })
            }
            Message::SyncReply { epoch, id, result } => {
                self.sync_answered(context, from, epoch, (id, result))
            }
            Message::AckNewLeader { epoch, last } => {
                self.leads(epoch, |it, state| it.new_leader_acked(state, from, last))
            }
            Message::Ack { epoch, index } => {
                self.leads(epoch, |it, state| it.acked(state, from, index))
            }
            Message::Pong { epoch, round } => self.ponged(context, from, epoch, round),
            Message::Request { epoch, lane, first, commands } => {
                self.forwarded(context, (from, epoch), (lane, first), commands)
            }
            Message::Sync { epoch, id } => self.read_asked(context, from, epoch, id),
        };
        self.become_(context, becomes);
    }

    /// Whether a correct node could have said this. To itself a leader says only that its records are durable.
    fn is_credible(&self, from: NodeId, message: &Message) -> bool {
        let may_speak = from != self.state.me()
            || matches!(
                message,
                Message::AckEpoch { .. } | Message::AckNewLeader { .. } | Message::Ack { .. }
            );
        let furthest = self.state.epoch().0.saturating_add(MAX_EPOCH_LEAP).min(LAST_EPOCH);
        let epoch = match message {
            Message::FollowerInfo { accepted } => Some(*accepted),
            other => other.epoch(),
        };
        may_speak && epoch.is_none_or(|epoch| epoch.0 <= furthest) && message.makes_sense()
    }

    /// Something that the leader says, whose epoch this node takes part in.
    fn led(
        &mut self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        epoch: Epoch,
        hear: impl FnOnce(&mut Follower, &mut State<R>, &mut Context<'_, Self>),
    ) -> Becomes {
        let Role::Follower(follower) = &mut self.role else { return Becomes::Same };
        let is_its = follower.leader == from && epoch == self.state.epoch();
        let hears = is_its || !self.state.rules().earlier_leaders_are_left();
        if hears && follower.takes_part() {
            follower.hear(&self.state, context);
            hear(follower, &mut self.state, context);
        }
        Becomes::Same
    }

    /// Something that is said to the leader of this epoch.
    fn leads(&mut self, epoch: Epoch, hear: impl FnOnce(&mut Leader, &State<R>)) -> Becomes {
        match &mut self.role {
            Role::Leader(leader) if epoch == self.state.epoch() => hear(leader, &self.state),
            Role::Leader(_) | Role::Looking(_) | Role::Discovery(_) | Role::Follower(_) => {}
        }
        Becomes::Same
    }

    /// A follower asks which index its reads must reach.
    fn read_asked(
        &mut self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        epoch: Epoch,
        id: ReadId,
    ) -> Becomes {
        match &mut self.role {
            Role::Leader(leader) if epoch == self.state.epoch() => {
                leader.read_asked(&self.state, context, from, id);
            }
            Role::Leader(_) | Role::Looking(_) | Role::Discovery(_) | Role::Follower(_) => {
                context.send(from, Message::SyncReply { epoch, id, result: ReadResult::NotLeader });
            }
        }
        Becomes::Same
    }

    fn fire(&mut self, context: &mut Context<'_, Self>, timer: Timer) {
        let state = &mut self.state;
        let becomes = match (timer, &mut self.role) {
            (Timer::Election(timer), _) => return self.election_timer(context, timer),
            (Timer::Limit, Role::Looking(_)) => self.looked_in_vain(context),
            (Timer::Limit, Role::Discovery(_) | Role::Follower(_)) => Becomes::Looking,
            (Timer::Limit, Role::Leader(leader)) => leader.check_quorum(state, context),
            (Timer::Ping, Role::Leader(leader)) => {
                leader.heartbeat(state, context);
                state.snapshot_for(context, Cause::Passing);
                Becomes::Same
            }
            (Timer::Ping, Role::Discovery(discovery)) => {
                discovery.call(state, context);
                Becomes::Same
            }
            (Timer::Transfer, Role::Leader(leader)) => {
                leader.give_up_transfer(context);
                Becomes::Same
            }
            (Timer::Inform, Role::Follower(follower)) => {
                follower.inform(state, context);
                Becomes::Same
            }
            (Timer::Read, Role::Follower(follower)) => {
                follower.read_timeout(state, context);
                Becomes::Same
            }
            (Timer::Forward, Role::Follower(follower)) => {
                follower.forward_timeout(state, context);
                Becomes::Same
            }
            (
                Timer::Ping | Timer::Transfer | Timer::Inform | Timer::Read | Timer::Forward,
                Role::Looking(_) | Role::Discovery(_) | Role::Leader(_) | Role::Follower(_),
            ) => Becomes::Same,
        };
        self.become_(context, becomes);
    }

    fn link(&mut self, context: &mut Context<'_, Self>, peer: NodeId, link: LinkState) {
        self.election_link(context, peer, link);
        let becomes = match (link, &mut self.role) {
            (LinkState::Opened, Role::Leader(leader)) => {
                leader.link_opened(&self.state, context, peer);
                Becomes::Same
            }
            (LinkState::Opened, Role::Follower(follower)) => {
                follower.link_opened(&self.state, context, peer);
                Becomes::Same
            }
            (LinkState::Closed, Role::Leader(leader)) => {
                leader.link_closed(peer);
                Becomes::Same
            }
            (LinkState::Closed, Role::Follower(follower)) => {
                follower.link_closed(&self.state, context, peer)
            }
            (_, Role::Looking(_) | Role::Discovery(_)) => Becomes::Same,
        };
        self.become_(context, becomes);
    }

    /// The one place where the role changes.
    pub(crate) fn become_(&mut self, context: &mut Context<'_, Self>, becomes: Becomes) {
        let leader = match becomes {
            Becomes::Same => return,
            Becomes::Looking | Becomes::Discovery | Becomes::Leader => None,
            Becomes::Follower { leader } => Some(leader),
        };
        let mut infos = Default::default();
        let mut found = None;
        let transfer = match core::mem::replace(&mut self.role, Role::Looking(Looking::default())) {
            Role::Looking(looking) => {
                infos = looking.infos;
                None
            }
            Role::Discovery(discovery) => {
                if becomes == Becomes::Leader {
                    found = Some(discovery);
                } else {
                    discovery.give_up(&self.state, context);
                }
                None
            }
            Role::Leader(it) => it.retire(&self.state, context, leader),
            Role::Follower(it) => it.retire(context, leader),
        };
        let state = &mut self.state;
        context.cancel_timer(Timer::Limit);
        self.role = match (becomes, found) {
            (Becomes::Discovery, _) => Role::Discovery(Discovery::new(state, context, infos)),
            (Becomes::Leader, Some(discovery)) => {
                Role::Leader(Leader::new(state, context, discovery.answers()))
            }
            (Becomes::Follower { leader }, _) => {
                Role::Follower(Follower::new(state, context, leader))
            }
            (Becomes::Looking | Becomes::Same | Becomes::Leader, _) => {
                Role::Looking(Looking::default())
            }
        };
        match (transfer, &mut self.role) {
            (Some(transfer), Role::Follower(follower)) => follower.transfer = Some(transfer),
            (Some(transfer), _) => context.emit_all_now(transfer.end(None)),
            (None, _) => {}
        }
        if matches!(self.role, Role::Looking(_)) {
            self.look(context);
        }
    }

    /// Tells the local user of a change of role, leader or epoch.
    fn announce(&mut self, context: &mut Context<'_, Self>) {
        let now = self.leadership();
        if self.announced == Some(now) {
            return;
        }
        self.announced = Some(now);
        let (role, leader, epoch) = now;
        context.emit(Event::Leadership { role, leader, epoch });
        if let Some(leader) = leader {
            self.tell_election(context, leader);
        }
        if let Role::Follower(follower) = &mut self.role
            && leader.is_some()
            && let Some(transfer) = follower.transfer.take()
        {
            context.emit_all_now(transfer.end(leader));
        }
    }

    /// Who was elected leads, for the world outside, once a quorum has taken over its history.
    pub(crate) fn leadership(&self) -> Leadership {
        let epoch = self.state.epoch();
        match &self.role {
            Role::Leader(leader) if leader.serves() => {
                (OutsideRole::Leader, Some(self.state.me()), epoch)
            }
            Role::Follower(follower) => (OutsideRole::Follower, follower.known_leader(), epoch),
            Role::Looking(_) | Role::Discovery(_) | Role::Leader(_) => {
                let votes = self.state.is_voter();
                let role = if votes { OutsideRole::Candidate } else { OutsideRole::Follower };
                (role, None, epoch)
            }
        }
    }
}

impl<R: Rules> fmt::Debug for Zab<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, role, election, announced: _ } = self;
        write!(f, "{state:?} {role:?} {}", election.view())
    }
}
