//! A Multi-Paxos node: the dispatch table, and the one place where a role changes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use synod_consensus::{
    Event, Index, Membership, Output, Refusal, ReplicatedLog, Request, Role as OutsideRole, Status,
    Task,
};
use synod_engine::{
    Context, Corrupt, Engine, Input, Instant, LinkState, NodeId, Sound, TaskId, Token,
};
use synod_log::{Cause, ReadId, ReadResult, Transfer};

use crate::Ballot;
use crate::multi::role::{Becomes, Candidate, CandidateAnswer, Follower, Leader, Role};
use crate::multi::slots::Slots;
use crate::multi::state::State;
use crate::multi::{Config, Message, Record, Rules, View};

/// A Multi-Paxos node. See the [module](crate::multi) page.
#[derive(Clone, Debug)]
pub struct MultiPaxos<R: Rules = Sound> {
    pub(crate) state: State<R>,
    pub(crate) role: Role,
    announced: Option<Leadership>,
}

/// What the local user was last told.
type Leadership = (OutsideRole, Option<NodeId>, Ballot);

/// Elections take milliseconds, so a node cannot have slept through this many rounds; without a bound,
/// one damaged message would use them all up.
const MAX_ROUND_LEAP: u64 = 1 << 40;

/// The last round that fits into an epoch with room for leaps.
const LAST_ROUND: u64 = 1 << 46;

/// The timers of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// A follower's or candidate's patience; a leader's check that a majority follows.
    Election,
    /// A leader's next heartbeat; a candidate's next question.
    Heartbeat,
    /// A leader's patience with its successor.
    Transfer,
    /// A follower's patience with questions about reads.
    Read,
    /// A follower's patience with what it forwarded.
    Forward,
}

impl<R: Rules> Engine for MultiPaxos<R> {
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
        Self { state: State::new(config), role: Role::Follower(Follower::idle()), announced: None }
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
            Input::Cancel(token) => match &mut self.role {
                Role::Follower(follower) => follower.cancel(context, token),
                Role::Candidate(_) => {}
                Role::Leader(leader) => leader.cancel(context, token),
            },
            Input::Link { peer, state: LinkState::Opened } => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.link_opened(peer);
                }
            }
            Input::Link { peer, state: LinkState::Closed } => match &mut self.role {
                Role::Follower(follower) => follower.link_closed(&self.state, context, peer),
                Role::Candidate(_) => {}
                Role::Leader(leader) => leader.link_closed(peer),
            },
            Input::TaskDone { id, output } => self.task_done(context, id, output),
            Input::Applied(position) => {
                self.state.applied(Index(position));
                self.snapshot_if_due(context);
            }
            Input::Flush => self.flush(context),
        }
        self.announce(context);
    }

    fn fingerprint<H: Hasher>(&self, now: Instant, hasher: &mut H) {
        self.state.fingerprint(now, hasher);
        self.role.hash(hasher);
        match &self.role {
            Role::Follower(follower) => follower.content_for(&self.state, now).hash(hasher),
            Role::Candidate(_) => {}
            Role::Leader(leader) => leader.promises.hash_ages(now, hasher),
        }
        self.announced.hash(hasher);
    }

    fn view(&self) -> View {
        let State { slots, commit, applied, .. } = &self.state;
        let (role, leader, ballot) = self.leadership();
        let (base, last) = (slots.base(), slots.last());
        View { role, leader, ballot, base, last, commit: *commit, applied: *applied }
    }
}

impl<R: Rules> ReplicatedLog for MultiPaxos<R> {
    fn status(&self) -> Status {
        let (role, leader, ballot) = self.leadership();
        Status {
            node: self.state.me(),
            role,
            leader,
            epoch: ballot.epoch(),
            last: self.state.slots.last(),
            commit: self.state.commit,
            applied: self.state.applied,
            snapshot: self.state.snapshot_index(),
            members: self.state.members.current().clone(),
            members_settled: match &self.role {
                Role::Leader(leader) => leader.members_are_known(&self.state),
                Role::Follower(_) | Role::Candidate(_) => true,
            },
            peers: match &self.role {
                Role::Leader(leader) => leader.peers(&self.state),
                Role::Follower(_) | Role::Candidate(_) => Vec::new(),
            },
        }
    }
}

impl<R: Rules> MultiPaxos<R> {
    /// What it has accepted, as far as that is in memory.
    #[must_use]
    pub fn slots(&self) -> &Slots {
        &self.state.slots
    }

    /// The first input of a life: a new cluster's voters become the first record.
    fn start(&mut self, context: &mut Context<'_, Self>) {
        let is_new = self.state.has_no_record();
        if let Some(voters) = self.state.config.part.initial_voters.as_ref().filter(|_| is_new) {
            let founders = Arc::new(Membership::founded_by(voters));
            self.state.members.rebase(Index::ZERO, founders);
            self.state.write_checkpoint(context);
        }
        self.state.begin(context.now());
        self.state.tell_members(context);
        if let Some(snapshot) = self.state.snapshot {
            context.emit_now(Event::Install(snapshot));
        }
        let known = self.state.replayed();
        self.state.commit_to(context, known, |_| Vec::new());
        if let Role::Follower(follower) = &self.role {
            follower.wait(&self.state, context);
        }
        let is_free = self.state.bound_for(context.now()).is_zero();
        if is_free && self.state.may_lead() && self.state.other_voters().next().is_none() {
            self.become_(context, Becomes::Candidate { handover: None });
        }
    }

    /// The dispatch table of messages: who handles which.
    fn receive(&mut self, context: &mut Context<'_, Self>, node: NodeId, message: Message) {
        if !self.is_credible(node, &message) {
            return;
        }
        match message {
            Message::Prepare { ballot, from, handover } => {
                self.prepare_asked(context, node, ballot, from, handover);
            }
            Message::Promise { ballot, from, accepted, next, chosen } => {
                let answer = CandidateAnswer { from, accepted, next, chosen };
                self.promised(context, node, ballot, answer);
            }
            Message::Refused { ballot, promised } => self.refused(context, node, ballot, promised),
            Message::Accept { batch, chosen } => {
                let ballot = Ballot::of(batch.epoch());
                if let Some((follower, state)) = self.follow(context, node, ballot) {
                    follower.accept(state, context, &batch, chosen);
                }
            }
            Message::Accepted { ballot, prefix, beyond, chosen } => {
                if let Some((leader, state)) = self.leading(ballot) {
                    leader.accepted(state, node, (prefix, beyond), chosen);
                }
            }
            Message::Heartbeat { ballot, chosen, prefix, last, round } => {
                if let Some((follower, state)) = self.follow(context, node, ballot) {
                    if let Some(round) = round {
                        follower.confirm(state, context, node, round);
                    }
                    follower.beat(state, context, (chosen, prefix), last);
                }
            }
            Message::HeartbeatReply { ballot, round, promise_ms } => {
                if let Some((leader, state)) = self.leading(ballot) {
                    leader.promised_lease(state, context, node, round, promise_ms);
                    leader.round_confirmed(state, context, node, round);
                }
            }
            Message::Learn { ballot, from } => self.learn_asked(context, node, ballot, from),
            Message::Learned { ballot, values, chosen } => {
                if ballot <= self.state.promised {
                    self.learned(context, values, chosen);
                }
            }
            Message::Install { ballot, snapshot, members } => {
                if ballot <= self.state.promised {
                    self.install(context, snapshot, members);
                }
            }
            Message::TakeOver { ballot, last } => {
                self.told_to_take_over(context, node, ballot, last);
            }
            Message::ReadIndex { ballot, id } => self.read_asked(context, node, ballot, id),
            Message::ReadIndexReply { ballot, id, result } => {
                if let Role::Follower(follower) = &mut self.role
                    && ballot == self.state.promised
                {
                    follower.reads_answered(&self.state, context, node, id, result);
                }
            }
            Message::Forward { ballot, lane, first, commands } => {
                self.forwarded(context, node, ballot, (lane, first), commands);
            }
            Message::Forwarded { ballot, lane, first, answers } => {
                if let Role::Follower(follower) = &mut self.role
                    && ballot == self.state.promised
                {
                    follower.forwards_answered(&self.state, context, node, (lane, first), answers);
                }
            }
        }
    }

    /// Whether a correct node could have said this. Whatever else a peer sends changes nothing. A
    /// stranger may be a member of whom this node has not read yet, so it is heard; what it answers counts
    /// in no quorum. To itself a node says only that its records are durable.
    fn is_credible(&self, from: NodeId, message: &Message) -> bool {
        let ballot = message.ballot();
        let may_speak = from != self.state.me()
            || matches!(message, Message::Promise { .. } | Message::Accepted { .. });
        let is_own = !message.is_of_proposer() || ballot.proposer == from;
        let heard = match message {
            Message::Refused { promised, .. } => ballot.max(*promised),
            _ => ballot,
        };
        let furthest = self.state.promised.round.saturating_add(MAX_ROUND_LEAP).min(LAST_ROUND);
        may_speak
            && is_own
            && heard.round <= furthest
            && heard.proposer <= Ballot::LAST_PROPOSER
            && message.makes_sense()
    }

    /// This node, if it leads in this ballot. Answers in others count for nothing (§2.2).
    fn leading(&mut self, ballot: Ballot) -> Option<(&mut Leader, &mut State<R>)> {
        let is_own = ballot == self.state.promised || !self.state.rules().own_ballot_only();
        match &mut self.role {
            Role::Leader(leader) if is_own => Some((leader, &mut self.state)),
            Role::Leader(_) | Role::Follower(_) | Role::Candidate(_) => None,
        }
    }

    /// A follower asks which index its reads must reach.
    fn read_asked(
        &mut self,
        context: &mut Context<'_, Self>,
        node: NodeId,
        ballot: Ballot,
        id: ReadId,
    ) {
        if let Some((leader, state)) = self.leading(ballot) {
            leader.read_asked(state, context, node, id);
        } else {
            let result = ReadResult::NotLeader;
            context.send(node, Message::ReadIndexReply { ballot, id, result });
        }
    }

    fn fire(&mut self, context: &mut Context<'_, Self>, timer: Timer) {
        match (timer, &mut self.role) {
            (Timer::Election, _) => self.election_timeout(context),
            (Timer::Heartbeat, Role::Leader(leader)) => {
                leader.heartbeat(&mut self.state, context);
                self.state.snapshot_for(context, Cause::Passing);
            }
            (Timer::Heartbeat, Role::Candidate(candidate)) => {
                candidate.ask_again(&mut self.state, context);
            }
            (Timer::Transfer, Role::Leader(leader)) => leader.give_up_transfer(context),
            (Timer::Read, Role::Follower(follower)) => follower.read_timeout(&self.state, context),
            (Timer::Forward, Role::Follower(follower)) => {
                follower.forward_timeout(&self.state, context);
            }
            (Timer::Heartbeat | Timer::Transfer, Role::Follower(_))
            | (Timer::Transfer | Timer::Read | Timer::Forward, Role::Candidate(_))
            | (Timer::Read | Timer::Forward, Role::Leader(_)) => {}
        }
    }

    fn flush(&mut self, context: &mut Context<'_, Self>) {
        let becomes = match &mut self.role {
            Role::Follower(follower) => {
                follower.flush(&mut self.state, context);
                Becomes::Same
            }
            Role::Candidate(_) => Becomes::Same,
            Role::Leader(leader) => leader.flush(&mut self.state, context),
        };
        self.become_(context, becomes);
        let evictable = self.role.evictable(&self.state);
        self.state.evict(evictable);
    }

    fn task_done(&mut self, context: &mut Context<'_, Self>, id: TaskId, output: Output) {
        match output {
            Output::Snapshot { index, blob } => {
                self.state.snapshot_done(context, id, Some((index, blob)));
                self.snapshot_if_due(context);
            }
            Output::SnapshotFailed => self.state.snapshot_done(context, id, None),
            Output::Log(batches) => self.state.log_read(context, id, &batches),
            Output::LogFailed => self.state.log_read(context, id, &[]),
        }
    }

    fn snapshot_if_due(&mut self, context: &mut Context<'_, Self>) {
        let installs = self.role.installs(&self.state);
        self.state.snapshot_for(context, Cause::Applied { installs });
    }

    fn request(&mut self, context: &mut Context<'_, Self>, token: Token, request: Request) {
        match (&mut self.role, request) {
            (Role::Leader(leader), Request::Propose(command)) => {
                leader.propose(&self.state, context, token, command);
            }
            (Role::Leader(leader), Request::Read) => leader.read(&self.state, context, token),
            (Role::Leader(leader), Request::Change(wishes)) => {
                leader.change(&mut self.state, context, token, &wishes);
            }
            (Role::Leader(leader), Request::Transfer(target)) => {
                leader.transfer(&self.state, context, token, target);
            }
            (Role::Follower(follower), Request::Read) => {
                follower.read(&self.state, context, token);
            }
            (_, Request::Compact) => self.state.snapshot_for(context, Cause::Asked),
            (Role::Follower(follower), Request::Propose(command)) => {
                follower.forward(&self.state, context, token, command);
            }
            (Role::Follower(_) | Role::Candidate(_), _) => {
                let refusal = Refusal::NotLeader { leader: self.leadership().1 };
                context.emit_now(Event::Refused { token, refusal });
            }
        }
    }

    /// The one place where the role changes. Who followed already goes on waiting: only a leader that is
    /// heard, or a promise, starts the timeout anew.
    pub(crate) fn become_(&mut self, context: &mut Context<'_, Self>, becomes: Becomes) {
        let state = &mut self.state;
        let (role, next) = match becomes {
            Becomes::Same => return,
            Becomes::Follower { leader } => {
                (Role::Follower(Follower::new(state, context, leader)), Becomes::Same)
            }
            Becomes::Candidate { handover } => {
                let mut candidate = Candidate::new(state, context, handover);
                let next = candidate.go_on(state, context);
                (Role::Candidate(candidate), next)
            }
            Becomes::Leader => {
                let gathered = match &mut self.role {
                    Role::Candidate(candidate) => core::mem::take(&mut candidate.gathered),
                    Role::Follower(_) | Role::Leader(_) => Slots::default(),
                };
                (Role::Leader(Leader::new(state, context, gathered)), Becomes::Same)
            }
        };
        let (waited, transfer) = match core::mem::replace(&mut self.role, role) {
            Role::Follower(follower) => (true, follower.retire(context, self.leadership().1)),
            Role::Candidate(_) => (false, None),
            Role::Leader(leader) => (false, leader.retire(context, self.leadership().1)),
        };
        if let Some(transfer) = transfer {
            self.pass_on(context, transfer);
        }
        if let Role::Follower(follower) = &self.role
            && !waited
        {
            follower.wait(&self.state, context);
        }
        self.become_(context, next);
    }

    /// A transfer whose leader leads no more ends once it is known who does, or that nobody is.
    fn pass_on(&mut self, context: &mut Context<'_, Self>, transfer: Transfer) {
        match &mut self.role {
            Role::Follower(follower) if follower.leader.is_none() => {
                follower.transfer = Some(transfer);
            }
            Role::Follower(_) | Role::Candidate(_) | Role::Leader(_) => {
                context.emit_all_now(transfer.end(self.leadership().1));
            }
        }
    }

    /// Tells the local user of a change of role, leader or ballot.
    fn announce(&mut self, context: &mut Context<'_, Self>) {
        let now = self.leadership();
        if self.announced != Some(now) {
            self.announced = Some(now);
            let (role, leader, ballot) = now;
            context.emit(Event::Leadership { role, leader, epoch: ballot.epoch() });
        }
    }

    fn leadership(&self) -> Leadership {
        let promised = self.state.promised;
        match &self.role {
            Role::Follower(follower) => (OutsideRole::Follower, follower.leader, promised),
            Role::Candidate(_) => (OutsideRole::Candidate, None, promised),
            Role::Leader(_) => (OutsideRole::Leader, Some(self.state.me()), promised),
        }
    }
}
