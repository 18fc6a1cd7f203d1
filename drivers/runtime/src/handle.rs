//! What programs hold to ask a group of a node: requests go in through its bounded door, and its state
//! is published for whoever wants to look.
//!
//! Next: [`Reply`], through which answers come; [`Node`](crate::Node), which hands out handles.

use std::sync::Arc;

use bytes::Bytes;
use synod_consensus::{Change, Epoch, Outcome, Refusal, Role, StateMachine, Status};
use synod_engine::{Incarnation, NodeId};
use tokio::sync::watch;

use crate::acquaintances::Acquaintances;
use crate::door::Door;
use crate::{Answer, Oneshot, PeerVersion, Reply};

/// One request.
pub enum Call<S: StateMachine, R> {
    /// Append this command to the log and apply it everywhere.
    Propose {
        /// The command. Kept in memory as long as the log keeps it: copy it out of a larger buffer.
        command: Bytes,
        /// Where the answer goes.
        reply: R,
    },
    /// Read what is linearizable now.
    Read {
        /// The question.
        query: S::Query,
        /// Where the answer goes.
        reply: R,
    },
    /// Read what this node has applied, whoever leads. It may be old, and never goes back.
    Local {
        /// The question.
        query: S::Query,
        /// Where the answer goes.
        reply: R,
    },
    /// Operate on the group.
    Operate {
        /// What to do.
        operation: Operation,
        /// Where the answer goes.
        reply: R,
    },
}

/// What an operator may ask of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Change who belongs to it; these wishes together are one change.
    Change(Vec<Change>),
    /// Hand leadership to this voter, or to the best one.
    Transfer(Option<NodeId>),
}

/// Takes requests to one group of a node and tells how it is; clones share the same group.
pub struct Handle<S: StateMachine, R> {
    door: Arc<Door<S, R>>,
}

impl<S: StateMachine, R> Clone for Handle<S, R> {
    fn clone(&self) -> Self {
        Self { door: self.door.clone() }
    }
}

impl<S: StateMachine, R: Reply<S>> Handle<S, R> {
    pub(crate) fn new(door: Arc<Door<S, R>>) -> Self {
        Self { door }
    }

    /// Proposes `command`. Returns at once; the outcome goes to `reply`, at once if it is refused at
    /// the door: the queue is full, the command too large, the node stopping.
    pub fn propose(&self, command: Bytes, reply: R) {
        self.call(Call::Propose { command, reply });
    }

    /// Asks `query`. Returns at once; the outcome goes to `reply`. Linearizable: the answer reflects
    /// every write that was answered before this call.
    pub fn read(&self, query: S::Query, reply: R) {
        self.call(Call::Read { query, reply });
    }

    /// Makes one request.
    pub fn call(&self, call: Call<S, R>) {
        self.call_all([call]);
    }

    /// Makes many requests in this order; cheaper than one by one.
    pub fn call_all(&self, calls: impl IntoIterator<Item = Call<S, R>>) {
        for (reply, answer) in self.door.enter(calls) {
            reply.one(answer);
        }
    }

    /// How the node was when it was last published, a few milliseconds ago.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        self.door.status()
    }

    /// Follows who leads.
    #[must_use]
    pub fn leader_changes(&self) -> watch::Receiver<Leadership> {
        self.door.leader_changes()
    }
}

impl<S> Handle<S, Oneshot<S>>
where
    S: StateMachine + 'static,
    S::Response: Send,
    S::Answer: Send,
{
    /// Proposes `command` and waits for its outcome. A caller that gives up does not take it back.
    pub async fn write(&self, command: impl Into<Bytes>) -> Outcome<S::Response> {
        let (reply, answer) = Oneshot::new();
        self.propose(command.into(), reply);
        match answer.await {
            Ok(Answer::Written(outcome)) => outcome,
            Ok(Answer::Read(_) | Answer::Operated(_)) | Err(_) => Outcome::Unknown,
        }
    }

    /// Asks `query` and waits for the answer. Never unknown: a read that was not answered changed
    /// nothing, and is refused.
    pub async fn query(&self, query: S::Query) -> Outcome<S::Answer> {
        let (reply, answer) = Oneshot::new();
        self.read(query, reply);
        match answer.await {
            Ok(Answer::Read(outcome)) => outcome,
            Ok(Answer::Written(_) | Answer::Operated(_)) | Err(_) => {
                Outcome::Refused(Refusal::NotLeader { leader: None })
            }
        }
    }

    /// Operates on the group and waits for the outcome. Only the leader can; a change that is unknown
    /// may be tried again, and is refused as unchanged if it took effect.
    pub async fn operate(&self, operation: Operation) -> Outcome<()> {
        let (reply, answer) = Oneshot::new();
        self.call(Call::Operate { operation, reply });
        match answer.await {
            Ok(Answer::Operated(outcome)) => outcome,
            Ok(Answer::Written(_) | Answer::Read(_)) | Err(_) => Outcome::Unknown,
        }
    }
}

/// How a node is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeStatus {
    /// What its log says.
    pub log: Status,
    /// The life of its directory.
    pub incarnation: Incarnation,
    /// Whether there is room on its disk.
    pub disk: Disk,
    /// The state of its links.
    pub peers: Vec<PeerStatus>,
}

/// Whether a node can take writes, as far as its disk is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disk {
    /// There is room.
    Ample,
    /// Free space is below the reserve: proposals are refused, votes go on.
    Low,
}

/// How the link to a peer is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerStatus {
    /// Which peer.
    pub node: NodeId,
    /// The version of the protocol that its session speaks; `None` while there is no session.
    pub version: Option<PeerVersion>,
}

/// Who leads, as far as a node knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leadership {
    /// What this node is.
    pub role: Role,
    /// Who leads.
    pub leader: Option<NodeId>,
    /// In which epoch.
    pub epoch: Epoch,
}

impl<S: StateMachine, R> Call<S, R> {
    /// Bytes of the command; a read has none.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Propose { command, .. } => command.len(),
            Self::Read { .. } | Self::Local { .. } | Self::Operate { .. } => 0,
        }
    }

    /// A node that this call would make a member though it takes itself for a founder that it is not: its
    /// directory was emptied.
    pub(crate) fn emptied(&self, known: &Acquaintances) -> Option<NodeId> {
        let Self::Operate { operation: Operation::Change(wishes), .. } = self else { return None };
        wishes.iter().find_map(|wish| match wish {
            Change::Add { node, contact } if !contact.incarnation.is_newcomer() => {
                known.first(*node).filter(|first| *first != contact.incarnation).map(|_| *node)
            }
            Change::Add { .. }
            | Change::Promote(_)
            | Change::Demote(_)
            | Change::Remove(_)
            | Change::Prioritise { .. } => None,
        })
    }

    /// The same call, refused.
    pub(crate) fn refuse(self, refusal: Refusal) -> (R, Answer<S>) {
        match self {
            Self::Propose { reply, .. } => (reply, Answer::Written(Outcome::Refused(refusal))),
            Self::Read { reply, .. } | Self::Local { reply, .. } => {
                (reply, Answer::Read(Outcome::Refused(refusal)))
            }
            Self::Operate { reply, .. } => (reply, Answer::Operated(Outcome::Refused(refusal))),
        }
    }
}
