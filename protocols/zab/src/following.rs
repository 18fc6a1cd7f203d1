//! Whom a node follows, besides by election (phases 0 and 1): who was elected hears of its followers, a leader
//! calls who has none, a leader hands over or gives up.
//!
//! None of it bears on safety. A node may follow anyone: what makes a leader is that a quorum accepts its epoch
//! and takes over its history.

use synod_consensus::{Epoch, Index};
use synod_engine::{Context, NodeId};
use synod_log::{EntryId, ReadId, ReadResult};

use crate::message::Summary;
use crate::role::{Becomes, Role};
use crate::{Message, Rules, Zab};

impl<R: Rules> Zab<R> {
    /// CEPOCH: a node has elected this one. Two that elected each other look again, both.
    pub(crate) fn follower_info(
        &mut self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        accepted: Epoch,
    ) -> Becomes {
        let state = &mut self.state;
        if state.members.current().contains(from) {
            state.heard = state.heard.max(accepted);
        }
        match &mut self.role {
            Role::Looking(looking) => looking.elected_by(from, accepted),
            Role::Discovery(discovery) => discovery.follower_info(state, context, from, accepted),
            Role::Leader(leader) => return leader.follower_info(state, context, from, accepted),
            Role::Follower(follower) if follower.leader == from => {
                context.send_now(from, Message::Look { epoch: state.epoch() });
                return if follower.takes_part() { Becomes::Same } else { Becomes::Looking };
            }
            Role::Follower(_) => {}
        }
        Becomes::Same
    }

    /// NEWEPOCH: the leader asks to accept its epoch.
    pub(crate) fn new_epoch(
        &mut self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        epoch: Epoch,
    ) -> Becomes {
        match &mut self.role {
            Role::Follower(follower) => follower.new_epoch(&mut self.state, context, from, epoch),
            Role::Looking(_) | Role::Discovery(_) | Role::Leader(_) => Becomes::Same,
        }
    }

    /// ACKEPOCH: a follower accepts this node's epoch.
    pub(crate) fn epoch_acked(
        &mut self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        epoch: Epoch,
        counts: bool,
        summary: Summary,
    ) -> Becomes {
        let state = &mut self.state;
        match &mut self.role {
            Role::Discovery(discovery) if discovery.epoch() == Some(epoch) => {
                discovery.epoch_acked(state, context, from, counts, summary)
            }
            Role::Leader(leader) if epoch == state.epoch() => {
                leader.epoch_acked(from, summary);
                Becomes::Same
            }
            Role::Looking(_) | Role::Discovery(_) | Role::Leader(_) | Role::Follower(_) => {
                Becomes::Same
            }
        }
    }

    /// A leader is there, or one who was elected. Its followers answer. Who has no leader, or one of an earlier
    /// epoch, follows one that a quorum follows; who looks also heeds one that was elected; who accepted a later epoch than it has tells it so.
    pub(crate) fn pinged(
        &mut self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        epoch: Epoch,
        established: bool,
        (commit, round): (Index, u64),
    ) -> Becomes {
        let accepted = self.state.epoch();
        let follow = Becomes::Follower { leader: from };
        let is_elected = self.heeds(from);
        match &mut self.role {
            Role::Follower(follower) if follower.leader == from => {
                if epoch == accepted && follower.takes_part() {
                    follower.hear(&self.state, context);
                    follower.ping(&mut self.state, context, established, commit, round);
                }
                Becomes::Same
            }
            Role::Looking(_) if established && epoch < accepted => {
                context.send_now(from, Message::FollowerInfo { accepted });
                Becomes::Same
            }
            Role::Looking(_) if established || is_elected => follow,
            Role::Follower(follower) if established && !follower.takes_part() => {
                if epoch >= accepted { follow } else { Becomes::Same }
            }
            Role::Discovery(_) | Role::Leader(_) | Role::Follower(_) | Role::Looking(_) => {
                if established && epoch > accepted {
                    follow
                } else {
                    Becomes::Same
                }
            }
        }
    }

    /// A follower is there. It may take part in the epoch that this node accepted last, of its own, and not know
    /// that it was given up: it follows again, and accepted no later one.
    pub(crate) fn ponged(
        &mut self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        epoch: Epoch,
        round: u64,
    ) -> Becomes {
        let state = &mut self.state;
        match &mut self.role {
            Role::Leader(leader) if epoch == state.epoch() => {
                leader.round_confirmed(state, context, from, round);
            }
            Role::Discovery(discovery) => discovery.follower_info(state, context, from, epoch),
            Role::Leader(_) | Role::Looking(_) | Role::Follower(_) => {}
        }
        Becomes::Same
    }

    /// The leader hands over to another, which has all that it has: leads, if it is this node and that is so.
    pub(crate) fn told_to_follow(
        &self,
        from: NodeId,
        epoch: Epoch,
        successor: NodeId,
        last: EntryId,
    ) -> Becomes {
        let is_led = match &self.role {
            Role::Follower(follower) => follower.leader == from && epoch == self.state.epoch(),
            Role::Looking(_) | Role::Discovery(_) | Role::Leader(_) => false,
        };
        if !is_led {
            Becomes::Same
        } else if successor != self.state.me() {
            Becomes::Follower { leader: successor }
        } else if last == self.state.log.last() && self.state.electorate().contains(successor) {
            Becomes::Discovery
        } else {
            Becomes::Looking
        }
    }

    /// The leader answers a question about reads. That it leads no more is no sign of life of a leader.
    pub(crate) fn sync_answered(
        &mut self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        epoch: Epoch,
        (id, result): (ReadId, ReadResult),
    ) -> Becomes {
        let Role::Follower(follower) = &mut self.role else { return Becomes::Same };
        if follower.leader != from || epoch != self.state.epoch() || !follower.takes_part() {
            return Becomes::Same;
        }
        follower.reads_answered(&self.state, context, id, result);
        match result {
            ReadResult::Index(_) | ReadResult::Busy => {
                follower.hear(&self.state, context);
                Becomes::Same
            }
            ReadResult::NotLeader => Becomes::Looking,
        }
    }

    /// The leader gives up, or who was elected does.
    pub(crate) fn told_to_look(&self, from: NodeId, epoch: Epoch) -> Becomes {
        match &self.role {
            Role::Follower(follower)
                if follower.leader == from
                    && (epoch >= self.state.epoch() || !follower.takes_part()) =>
            {
                Becomes::Looking
            }
            Role::Follower(_) | Role::Looking(_) | Role::Discovery(_) | Role::Leader(_) => {
                Becomes::Same
            }
        }
    }
}
