//! Phase 0: the embedded fast leader election. This engine owns it, wraps its messages and timers, starts it
//! whenever the node looks, and hears from it whom to follow.
//!
//! What it says is an oracle's word. A node may also be called by a leader that it hears, or told by one that
//! hands over.

use core::convert::Infallible;

use synod_consensus::Epoch;
use synod_election::fle;
use synod_engine::{Context, Embeds, Input, LinkState, NodeId, Token};

use crate::role::{Becomes, Role};
use crate::{Message, Record, Rules, Timer, Zab};

impl<R: Rules> Zab<R> {
    /// Looks for a leader. Who knows of no group waits for one to call.
    pub(crate) fn look(&mut self, context: &mut Context<'_, Self>) {
        let voters = self.state.electorate();
        if voters.is_empty() {
            return;
        }
        context.set_timer(Timer::Limit, self.state.config.init_limit());
        let zxid = self.state.zxid(self.state.log.last());
        let epoch = half(self.state.epochs.current);
        self.ask_election(context, fle::Request::Look { epoch, zxid, voters });
    }

    /// Those who look learn from this node that this leader is established.
    pub(crate) fn tell_election(&mut self, context: &mut Context<'_, Self>, leader: NodeId) {
        let epoch = half(self.state.epoch());
        self.ask_election(context, fle::Request::Settle { leader, epoch });
    }

    fn ask_election(&mut self, context: &mut Context<'_, Self>, request: fle::Request) {
        self.elect(context, Input::Request { token: Token(0), request });
    }

    /// A peer speaks about the election.
    pub(crate) fn hear_election(
        &mut self,
        context: &mut Context<'_, Self>,
        from: NodeId,
        message: fle::Notification,
    ) {
        self.elect(context, Input::Message { from, message });
        if self.is_surpassed_by(from, message) {
            self.become_(context, Becomes::Looking);
            self.elect(context, Input::Message { from, message });
        }
        let looks = message.state == fle::State::Looking && self.state.quorum().contains(from);
        if let Role::Follower(follower) = &mut self.role
            && looks
        {
            let becomes = follower.hear_of_look();
            self.become_(context, becomes);
        }
    }

    /// Whether a stranger who looks is better than whom this node has elected, and nothing came of that yet. It
    /// may know newer members than this node does, and need its vote; but nobody tells it when this node looks,
    /// and that lasts for moments only.
    fn is_surpassed_by(&self, from: NodeId, said: fle::Notification) -> bool {
        let is_open = match &self.role {
            Role::Looking(_) | Role::Leader(_) => false,
            Role::Discovery(discovery) => discovery.epoch().is_none(),
            Role::Follower(follower) => !follower.takes_part(),
        };
        let is_better = said.vote.is_some_and(|vote| vote.leader == from)
            && said.vote > self.election.vote()
            && said.state == fle::State::Looking;
        is_open && is_better && self.election.is_polled() && !self.state.electorate().contains(from)
    }

    /// Whether this is the node's present vote. Its own poll may never end: it counts by the members that it
    /// knows, and others may know newer ones.
    fn votes_for(&self, leader: NodeId) -> bool {
        self.election.vote().is_some_and(|vote| vote.leader == leader)
    }

    /// Whether to follow one who was elected, by its own word: this node looks, and votes for it or, by the
    /// members that it knows, for nobody.
    pub(crate) fn heeds(&self, leader: NodeId) -> bool {
        let is_free = self.election.vote().is_none() || self.votes_for(leader);
        matches!(self.role, Role::Looking(_)) && is_free
    }

    /// A timer of the election fired.
    pub(crate) fn election_timer(&mut self, context: &mut Context<'_, Self>, timer: fle::Timer) {
        self.elect(context, Input::Timer(timer));
    }

    /// A link came or went.
    pub(crate) fn election_link(
        &mut self,
        context: &mut Context<'_, Self>,
        peer: NodeId,
        state: LinkState,
    ) {
        self.elect(context, Input::Link { peer, state });
    }

    fn elect(&mut self, context: &mut Context<'_, Self>, input: Input<fle::Fle>) {
        for fle::Event::Elected { vote, .. } in context.embed(&mut self.election, input) {
            self.elected(context, vote.leader);
        }
    }

    /// The election has come to nothing for long. If nobody who is heard knows more than this node, it seeks an
    /// epoch all the same. Polls count by the members that each node knows: who lags behind a change of them
    /// may have no vote by its own list, though the newest counts on it.
    pub(crate) fn looked_in_vain(&mut self, context: &mut Context<'_, Self>) -> Becomes {
        if self.votes_for(self.state.me()) {
            return Becomes::Discovery;
        }
        context.set_timer(Timer::Limit, self.state.config.init_limit());
        Becomes::Same
    }

    /// The election has come to this leader. Of no matter, if the node has found one in the meantime.
    fn elected(&mut self, context: &mut Context<'_, Self>, leader: NodeId) {
        let seeks = match &self.role {
            Role::Looking(_) => true,
            Role::Discovery(discovery) => discovery.epoch().is_none() && leader != self.state.me(),
            // One who was elected called, and the poll went on to another.
            Role::Follower(follower) => !follower.takes_part() && follower.leader != leader,
            Role::Leader(_) => false,
        };
        if seeks {
            let is_me = leader == self.state.me();
            self.become_(
                context,
                if is_me { Becomes::Discovery } else { Becomes::Follower { leader } },
            );
        }
    }
}

impl<R: Rules> Embeds<fle::Fle> for Zab<R> {
    fn wrap_message(message: fle::Notification) -> Message {
        Message::Election(message)
    }

    fn wrap_record(record: Infallible) -> Record {
        match record {}
    }

    fn wrap_timer(timer: fle::Timer) -> Timer {
        Timer::Election(timer)
    }
}

/// An epoch as a zxid has it.
fn half(epoch: Epoch) -> u32 {
    u32::try_from(epoch.0).unwrap_or(u32::MAX)
}
