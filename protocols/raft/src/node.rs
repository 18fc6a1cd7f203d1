//! A Raft node: the dispatch table, and the one place where a role changes.

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
use synod_log::{Cause, Log, ReadId, Transfer};

use crate::role::{Asks, Becomes, Campaign, Candidate, Follower, Leader, Role};
use crate::state::State;
use crate::{AppendResult, Config, Message, ReadResult, Record, Rules, Term, View};

/// A Raft node. See the [crate] page.
#[derive(Clone, Debug)]
pub struct Raft<R: Rules = Sound> {
    pub(crate) state: State<R>,
    pub(crate) role: Role,
    announced: Option<Leadership>,
}

/// What the local user was last told.
type Leadership = (OutsideRole, Option<NodeId>, Term);

/// Elections take milliseconds, so a node cannot have slept through this many terms; without a bound,
/// one damaged message would use them all up.
const MAX_TERM_LEAP: u64 = 1 << 40;

/// The timers of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// A follower's or candidate's patience; a leader's check that a majority follows.
    Election,
    /// A leader's next heartbeat.
    Heartbeat,
    /// A leader's patience with its successor.
    Transfer,
    /// A follower's patience with questions about reads.
    Read,
    /// A follower's patience with what it forwarded.
    Forward,
}

impl<R: Rules> Engine for Raft<R> {
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
        self.role.wake_for(&self.state, context, &input);
        match input {
            Input::Start => self.start(context),
            Input::Message { from, message } => self.receive(context, from, message),
            Input::Timer(Timer::Election) => self.election_timeout(context),
            Input::Timer(Timer::Heartbeat) => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.heartbeat(&self.state, context);
                    self.state.snapshot_for(context, Cause::Passing);
                }
            }
            Input::Timer(Timer::Transfer) => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.give_up_transfer(context);
                }
            }
            Input::Timer(Timer::Read) => {
                if let Role::Follower(follower) = &mut self.role {
                    follower.read_timeout(&self.state, context);
                }
            }
            Input::Timer(Timer::Forward) => {
                if let Role::Follower(follower) = &mut self.role {
                    follower.forward_timeout(&self.state, context);
                }
            }
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
                self.state.snapshot_for(context, Cause::Applied { installs: self.role.installs() });
            }
            Input::Flush => {
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
        let State { hard, log, commit, applied, .. } = &self.state;
        let (role, leader, term) = self.leadership();
        let (base, last) = (log.base(), log.last());
        View { role, leader, term, vote: hard.vote, base, last, commit: *commit, applied: *applied }
    }
}

impl<R: Rules> ReplicatedLog for Raft<R> {
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
                Role::Follower(_) | Role::Candidate(_) => Vec::new(),
            },
        }
    }
}

impl<R: Rules> Raft<R> {
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
        self.state.begin(context.now());
        self.state.tell_members(context);
        if let Some(snapshot) = self.state.snapshot {
            context.emit_now(Event::Install(snapshot));
        }
        if let Role::Follower(follower) = &self.role {
            follower.wait(&self.state, context);
        }
        let is_free = self.state.bound_for(context.now()).is_zero();
        if is_free && self.state.may_lead() && self.state.other_voters().next().is_none() {
            self.become_(context, Becomes::Candidate(Campaign::Cautious));
        }
    }

    /// The term rule (§5.1), once.
    fn receive(&mut self, context: &mut Context<'_, Self>, from: NodeId, message: Message) {
        if !self.is_credible(from, &message) {
            return;
        }
        if let Message::PreVote { term, last } = message {
            return self.pre_vote_asked(context, from, term, last);
        }
        if self.would_depose_a_leader(context.now(), &message) {
            return;
        }
        if self.observe_term(context, &message) {
            self.dispatch(context, from, message);
        } else {
            self.answer_from_later_term(context, from, &message);
        }
    }

    /// Who handles which message of this term.
    fn dispatch(&mut self, context: &mut Context<'_, Self>, from: NodeId, message: Message) {
        match message {
            Message::PreVote { .. } => {}
            Message::PreVoteReply { term, granted, better } => {
                if term == self.state.term().next() || !granted {
                    self.answer(context, Asks::PreVotes, (from, granted), better);
                }
            }
            Message::Vote { last, transfer, .. } => self.vote_asked(context, from, last, transfer),
            Message::VoteReply { granted, .. } => {
                self.answer(context, Asks::Votes, (from, granted), None);
            }
            Message::Pull { last, shared, .. } => self.pull_asked(context, from, last, shared),
            Message::Pulled { previous, entries, last, .. } => {
                self.pulled(context, from, previous, entries, last);
            }
            Message::Rest { last, .. } => {
                if let Some((follower, state)) = self.follow(context, from) {
                    follower.rest(state, context, last);
                }
            }
            Message::TimeoutNow { last, .. } => self.told_to_campaign(context, from, last),
            Message::Append { previous, entries, commit, .. } => {
                if let Some((follower, state)) = self.follow(context, from) {
                    follower.append(state, context, from, previous, entries, commit);
                }
            }
            Message::Heartbeat { commit, matched, round, .. } => {
                if let Some((follower, state)) = self.follow(context, from) {
                    if let Some(round) = round {
                        follower.confirm(state, context, from, round);
                    }
                    follower.learn_commit(state, context, commit, matched);
                }
            }
            Message::Install { snapshot, members, .. } => {
                if let Some((follower, state)) = self.follow(context, from) {
                    follower.install(state, context, snapshot, members);
                }
            }
            Message::AppendReply { result, .. } => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.append_answered(&self.state, from, result);
                }
            }
            Message::HeartbeatReply { round, promise_ms, .. } => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.promised(&self.state, context, from, round, promise_ms);
                    leader.round_confirmed(&self.state, context, from, round);
                }
            }
            Message::Forward { lane, first, commands, .. } => {
                self.forwarded(context, from, (lane, first), commands);
            }
            Message::Forwarded { lane, first, answers, .. } => {
                if let Role::Follower(follower) = &mut self.role {
                    let which = (lane, first);
                    follower.forwards_answered(&self.state, context, from, which, answers);
                }
            }
            Message::ReadIndex { id, .. } => self.read_asked(context, from, id),
            Message::ReadIndexReply { id, result, .. } => {
                if let Role::Follower(follower) = &mut self.role {
                    follower.reads_answered(&self.state, context, from, id, result);
                }
            }
        }
    }

    /// Whether a correct node could have said this. Whatever else a peer sends changes nothing. A
    /// stranger may be a member of whom this node has not read yet, so it is heard (thesis §4.1); what
    /// it answers counts in no quorum. To itself a node says only that its records are durable.
    fn is_credible(&self, from: NodeId, message: &Message) -> bool {
        let may_speak = from != self.state.me()
            || matches!(
                message,
                Message::VoteReply { granted: true, .. }
                    | Message::AppendReply { result: AppendResult::Matches(_), .. }
            );
        let furthest = self.state.term().0.saturating_add(MAX_TERM_LEAP);
        may_speak
            && message.term().0 <= furthest.min(u64::MAX - MAX_TERM_LEAP)
            && message.makes_sense()
    }

    /// A follower asks which index its reads must reach.
    fn read_asked(&mut self, context: &mut Context<'_, Self>, from: NodeId, id: ReadId) {
        if let Role::Leader(leader) = &mut self.role {
            leader.read_asked(&self.state, context, from, id);
        } else {
            let (term, result) = (self.state.term(), ReadResult::NotLeader);
            context.send(from, Message::ReadIndexReply { term, id, result });
        }
    }

    /// A message of this term's leader: whoever is not leading follows it.
    pub(crate) fn follow(
        &mut self,
        context: &mut Context<'_, Self>,
        leader: NodeId,
    ) -> Option<(&mut Follower, &mut State<R>)> {
        match &self.role {
            Role::Leader(_) => return None,
            Role::Follower(follower) if follower.leader == Some(leader) => {}
            Role::Follower(_) | Role::Candidate(_) => {
                self.become_(context, Becomes::Follower { leader: Some(leader) });
            }
        }
        let Role::Follower(follower) = &mut self.role else { return None };
        follower.hear(&self.state, context);
        Some((follower, &mut self.state))
    }

    fn task_done(&mut self, context: &mut Context<'_, Self>, id: TaskId, output: Output) {
        match (output, &mut self.role) {
            (Output::Snapshot { index, blob }, _) => {
                self.state.snapshot_done(context, id, Some((index, blob)));
                self.state.snapshot_for(context, Cause::Applied { installs: self.role.installs() });
            }
            (Output::SnapshotFailed, _) => self.state.snapshot_done(context, id, None),
            (Output::Log(batches), Role::Leader(leader)) => {
                leader.log_read(&self.state, context, id, &batches);
            }
            (Output::LogFailed, Role::Leader(leader)) => {
                leader.log_read(&self.state, context, id, &[]);
            }
            (Output::Log(_) | Output::LogFailed, Role::Follower(_) | Role::Candidate(_)) => {}
        }
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

    /// The one place where the role changes. Who followed already goes on waiting, unless it rested: only
    /// a leader that is heard, or a vote that is granted, starts the timeout anew (figure 2).
    pub(crate) fn become_(&mut self, context: &mut Context<'_, Self>, becomes: Becomes) {
        let state = &mut self.state;
        let (role, next) = match becomes {
            Becomes::Same => return,
            Becomes::Follower { leader } => {
                (Role::Follower(Follower::new(state, context, leader)), Becomes::Same)
            }
            Becomes::Candidate(campaign) => {
                let mut candidate = Candidate::new(state, context, campaign);
                let next = candidate.count(state, None);
                (Role::Candidate(candidate), next)
            }
            Becomes::Leader => (Role::Leader(Leader::new(state, context)), Becomes::Same),
        };
        let (waited, transfer) = match core::mem::replace(&mut self.role, role) {
            Role::Follower(follower) => {
                (!follower.asleep, follower.retire(context, self.leadership().1))
            }
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

    /// Tells the local user of a change of role, leader or term.
    fn announce(&mut self, context: &mut Context<'_, Self>) {
        let now = self.leadership();
        if self.announced != Some(now) {
            self.announced = Some(now);
            let (role, leader, epoch) = now;
            context.emit(Event::Leadership { role, leader, epoch });
        }
    }

    fn leadership(&self) -> Leadership {
        let term = self.state.term();
        match &self.role {
            Role::Follower(follower) => (OutsideRole::Follower, follower.leader, term),
            Role::Candidate(_) => (OutsideRole::Candidate, None, term),
            Role::Leader(_) => (OutsideRole::Leader, Some(self.state.me()), term),
        }
    }
}
