//! A small engine around the election, for scripts: it keeps the standing that it is given, looks when it
//! starts and when the link to its leader closes, and leads only while it has links to a quorum.
//!
//! Scripts know replicated logs. To them this is one that is never written: its epoch is the round of the
//! election, and the entries that it is given are its standing.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use synod_consensus::{
    Batch, Epoch, Event, Index, LogRecord, Membership, Output, Refusal, ReplicatedLog, Request,
    Role, Status, Task,
};
use synod_election::fle::{self, Fle, Notification, Safety, State, Timer, View, Zxid};
use synod_engine::{
    Context, Corrupt, Embeds, Engine, Input, Instant, Invariants, LinkState, NodeId, Sometimes,
    Sound, Stepped, Token, Violation,
};
use synod_quorum::Voters;

/// A node of a script.
#[derive(Clone)]
pub(crate) struct Keeper {
    config: Config,
    fle: Fle,
    standing: Standing,
    links: BTreeSet<NodeId>,
}

/// Who elects. Who is no voter observes.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) node: NodeId,
    pub(crate) voters: Voters,
}

/// What it stands for: its epoch and the last write in its history.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) epoch: u32,
    pub(crate) zxid: Zxid,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}, zxid {}", self.epoch, self.zxid)
    }
}

impl synod_engine::Record for Standing {}

impl LogRecord for Standing {
    fn entries(&self) -> Option<&Batch> {
        None
    }
}

impl Embeds<Fle> for Keeper {
    fn wrap_message(message: Notification) -> Notification {
        message
    }

    fn wrap_record(record: Infallible) -> Standing {
        match record {}
    }

    fn wrap_timer(timer: Timer) -> Timer {
        timer
    }
}

impl Engine for Keeper {
    type Config = Config;
    type Message = Notification;
    type Record = Standing;
    type Timer = Timer;
    type Request = Request;
    type Event = Event;
    type Task = Task;
    type Output = Output;
    type Rules = Sound;
    type View = View;

    fn new(config: Config) -> Self {
        let fle = Fle::new(fle::Config::new(config.node, config.voters.clone()));
        Self { config, fle, standing: Standing::default(), links: BTreeSet::new() }
    }

    fn replay(&mut self, standing: Standing) -> Result<(), Corrupt> {
        self.standing = standing;
        Ok(())
    }

    fn step(&mut self, context: &mut Context<'_, Self>, input: Input<Self>) {
        match input {
            Input::Start => self.look(context),
            Input::Message { from, message } => {
                self.elect(context, Input::Message { from, message });
            }
            Input::Timer(timer) => self.elect(context, Input::Timer(timer)),
            Input::Link { peer, state } => {
                self.elect(context, Input::Link { peer, state });
                match state {
                    LinkState::Opened => self.links.insert(peer),
                    LinkState::Closed => self.links.remove(&peer),
                };
                if state == LinkState::Closed && self.is_alone() {
                    self.look(context);
                }
            }
            Input::Request { token, .. } => {
                let refusal = Refusal::NotLeader { leader: self.fle.leader() };
                context.emit(Event::Refused { token, refusal });
            }
            Input::Cancel(_) | Input::TaskDone { .. } | Input::Applied(_) | Input::Flush => {}
        }
    }

    fn fingerprint<H: Hasher>(&self, now: Instant, hasher: &mut H) {
        self.fle.fingerprint(now, hasher);
        self.links.hash(hasher);
    }

    fn view(&self) -> View {
        self.fle.view()
    }
}

impl Keeper {
    fn look(&mut self, context: &mut Context<'_, Self>) {
        let Standing { epoch, zxid } = self.standing;
        let request = fle::Request::Look { epoch, zxid, voters: self.config.voters.clone().into() };
        self.elect(context, Input::Request { token: Token(0), request });
        self.tell(context);
    }

    fn elect(&mut self, context: &mut Context<'_, Self>, input: Input<Fle>) {
        if !context.embed(&mut self.fle, input).is_empty() {
            self.tell(context);
        }
    }

    fn tell(&self, context: &mut Context<'_, Self>) {
        let Status { role, leader, epoch, .. } = self.status();
        context.emit(Event::Leadership { role, leader, epoch });
    }

    /// Whether it hears nothing of its leader or, as a leader, of no quorum.
    fn is_alone(&self) -> bool {
        let hears = |node| node == self.config.node || self.links.contains(&node);
        match self.fle.leader() {
            None => false,
            Some(leader) if leader == self.config.node => !self.config.voters.is_quorum(hears),
            Some(leader) => !hears(leader),
        }
    }
}

impl ReplicatedLog for Keeper {
    fn status(&self) -> Status {
        Status {
            node: self.config.node,
            role: match self.fle.state() {
                State::Looking => Role::Candidate,
                State::Leading => Role::Leader,
                State::Following | State::Observing => Role::Follower,
            },
            leader: self.fle.leader(),
            epoch: Epoch(self.fle.round().0),
            last: Index(0),
            commit: Index(0),
            applied: Index(0),
            snapshot: Index(0),
            members: Arc::new(Membership::founded_by(&self.config.voters)),
            members_settled: true,
            peers: Vec::new(),
        }
    }
}

/// The election's invariants, seen through the engine around it.
#[derive(Default)]
pub(crate) struct Kept(Safety);

impl Invariants<Keeper> for Kept {
    fn stepped(
        &mut self,
        step: &Stepped<'_, Keeper>,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        let Stepped { node, now, after, .. } = *step;
        self.0.stepped(&Stepped { node, now, effects: &[], after: &after.fle }, sometimes)
    }

    fn recovered(&mut self, node: NodeId, keeper: &Keeper) -> Result<(), Violation> {
        self.0.recovered(node, &keeper.fle)
    }

    fn checkpoint<'a>(
        &mut self,
        nodes: &mut dyn Iterator<Item = (NodeId, &'a Keeper)>,
    ) -> Result<(), Violation>
    where
        Keeper: 'a,
    {
        self.0.checkpoint(&mut nodes.map(|(node, keeper)| (node, &keeper.fle)))
    }
}
