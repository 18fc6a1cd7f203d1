//! One group, as the core keeps it: its engine, who waits for it, and how it was when it was last
//! published.
//!
//! Next: [`crate::core`], which gives it its turns.

use std::collections::VecDeque;

use synod_consensus::{BadChange, Refusal, ReplicatedLog, StateMachine};
use synod_engine::{Input, Instant, LinkState, NodeId, Position};

use crate::host::Host;
use crate::hosted::{HostedLog, HostedState};
use crate::outlets::{Admitted, GroupOutlets, Own, Shared};
use crate::{Call, Disk, Limits, NodeStatus, Reply};

/// A group of this node.
pub(crate) struct Group<L: ReplicatedLog, S: StateMachine, R> {
    pub(crate) host: Host<L>,
    pub(crate) own: Own<S, R>,
    /// Requests that are worked off, before those at the door.
    pub(crate) calls: VecDeque<Call<S, R>>,
    /// Whether it had input in this turn, and is to be flushed.
    pub(crate) is_dirty: bool,
    /// How many of its records the core waits for the disk to take.
    pub(crate) awaited: Position,
    pub(crate) status: NodeStatus,
    pub(crate) published: Option<Instant>,
    /// Whether it is to be published a little later.
    pub(crate) is_unpublished: bool,
}

/// How much a group may take in at a time.
#[derive(Clone, Copy)]
pub(crate) struct Portion {
    pub(crate) requests: usize,
    pub(crate) bytes: usize,
}

/// What was taken in.
#[derive(Clone, Copy, Default)]
pub(crate) struct Taken {
    pub(crate) proposals: u64,
    pub(crate) reads: u64,
}

impl<L: HostedLog, S: HostedState, R: Reply<S>> Group<L, S, R> {
    /// A group that was published as `status`.
    pub(crate) fn new(host: Host<L>, own: Own<S, R>, status: NodeStatus) -> Self {
        Self {
            host,
            own,
            calls: VecDeque::new(),
            is_dirty: false,
            awaited: Position::default(),
            status,
            published: None,
            is_unpublished: false,
        }
    }

    /// Whether `peer` is a member, or may be: a group that has no members yet hears of every link.
    pub(crate) fn has(&self, peer: NodeId) -> bool {
        self.own.members.is_empty() || self.host.others().contains(&peer)
    }

    /// Everything up to `durable` is.
    pub(crate) fn durable(
        &mut self,
        now: Instant,
        durable: Position,
        shared: &mut Shared<L, S, R>,
    ) {
        self.host.durable(now, durable, &mut GroupOutlets { shared, own: &mut self.own });
        self.own.blobs.durable(durable);
    }

    /// Fires what is due.
    pub(crate) fn fire(&mut self, now: Instant, shared: &mut Shared<L, S, R>) -> usize {
        self.host.fire(now, &mut GroupOutlets { shared, own: &mut self.own })
    }

    /// A session of the link to `peer` began or ended.
    pub(crate) fn link(
        &mut self,
        now: Instant,
        peer: NodeId,
        state: LinkState,
        shared: &mut Shared<L, S, R>,
    ) {
        self.host.link(now, peer, state, &mut GroupOutlets { shared, own: &mut self.own });
    }

    /// Ends a batch of input. Returns whether it waits for the disk to take more than before.
    pub(crate) fn flush(&mut self, now: Instant, shared: &mut Shared<L, S, R>) -> bool {
        self.host.flush(now, &mut GroupOutlets { shared, own: &mut self.own });
        self.is_dirty = false;
        let persisted = self.host.persisted();
        std::mem::replace(&mut self.awaited, persisted) < persisted
    }

    /// Works off a portion of the requests. What is too much now is refused.
    pub(crate) fn take_calls(
        &mut self,
        now: Instant,
        portion: Portion,
        (disk, limits): (Disk, &Limits),
        shared: &mut Shared<L, S, R>,
    ) -> Taken {
        let mut taken = Taken::default();
        let mut bytes = 0;
        let has_room = shared.pool.has_room(self.own.place);
        for _ in 0..portion.requests {
            if bytes >= portion.bytes {
                break;
            }
            let Some(call) = self.calls.pop_front() else { break };
            let is_proposal = matches!(call, Call::Propose { .. });
            if !has_room || !shared.unanswered.has_room(self.own.pending.len(), 1) {
                shared.refuse(call, Refusal::Busy);
            } else if is_proposal && disk == Disk::Low {
                let reserve_bytes = limits.disk_reserve_bytes;
                shared.refuse(call, Refusal::DiskFull { node: shared.net.me, reserve_bytes });
            } else if is_proposal && shared.journal.undurable_bytes() > limits.max_undurable_bytes {
                shared.refuse(call, Refusal::Busy);
            } else if let Some(node) = call.emptied(&shared.net.acquaintances) {
                shared.refuse(call, Refusal::BadChange(BadChange::Founder(node)));
            } else {
                *(if is_proposal { &mut taken.proposals } else { &mut taken.reads }) += 1;
                bytes += call.size_bytes();
                match self.own.admit(call) {
                    Admitted::Request(token, request) => {
                        shared.unanswered.take(1);
                        self.host.step(now, Input::Request { token, request });
                    }
                    Admitted::Local(query, reply) => {
                        shared.read_locally(self.own.place, query, reply);
                    }
                }
            }
        }
        taken
    }

    /// The node stops: whoever still waits is refused, or told that nobody knows.
    pub(crate) fn abandon(&mut self, shared: &mut Shared<L, S, R>) {
        self.refuse_waiting(shared);
        self.own.door.close();
        self.own.door.take(&mut self.calls);
        self.refuse_waiting(shared);
        self.own.abandon(&mut shared.answers);
    }

    fn refuse_waiting(&mut self, shared: &mut Shared<L, S, R>) {
        while let Some(call) = self.calls.pop_front() {
            shared.refuse(call, Refusal::NotLeader { leader: None });
        }
    }
}
