//! A leader has its values accepted by all followers (*Paxos Made Simple* §2.2), and makes sure that a
//! majority still follows.
//!
//! Values are sent in order as they are proposed, many under way at once; a follower accepts them in
//! whatever order they come. What was lost with a link is sent again together with what is new. What a
//! follower lacks from before, or that is no longer in memory, it asks for (`serving.rs`).

use synod_consensus::{Batch, Index};
use synod_engine::NodeId;

use crate::Ballot;
use crate::multi::progress::Progress;
use crate::multi::role::{Becomes, Leader};
use crate::multi::state::{Context, State};
use crate::multi::{Message, Rules, Timer};

impl Leader {
    /// A follower, or the own disk, has accepted.
    pub(crate) fn accepted<R: Rules>(
        &mut self,
        state: &mut State<R>,
        from: NodeId,
        (prefix, beyond): (Index, Option<(Index, Index)>),
        chosen: Index,
    ) {
        let last = self.last;
        if from == state.me() {
            self.stored = self.stored.max(prefix.min(last));
            self.noted = self.noted.max(chosen);
            self.acknowledged = true;
            return;
        }
        let Some(progress) = self.followers.get_mut(&from) else { return };
        progress.hear();
        let beyond = beyond.filter(|(_, end)| *end <= last);
        self.acknowledged |= progress.accepted(prefix.min(last), beyond);
        if chosen > progress.chosen {
            progress.chosen = chosen;
            self.acknowledged |= self.closed.is_some();
        }
        state.serving.has(from, prefix);
    }

    /// A follower lacks what begins at `from`. If that is chosen it is sent what is asked for; if not, it
    /// is proposed again.
    pub(crate) fn learn_asked<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        node: NodeId,
        ballot: Ballot,
        from: Index,
    ) {
        let Some(progress) = self.followers.get_mut(&node) else { return };
        progress.hear();
        if from > state.commit {
            progress.lacks(from);
        }
        state.serve(context, node, ballot, from);
    }

    /// A session of the link to a follower ended: what was under way may be lost.
    pub(crate) fn link_closed(&mut self, peer: NodeId) {
        if let Some(progress) = self.followers.get_mut(&peer) {
            progress.lost();
        }
    }

    /// A new session of the link to a follower began: nothing of the last one arrives any more.
    pub(crate) fn link_opened(&mut self, peer: NodeId) {
        self.link_closed(peer);
    }

    /// Time for a heartbeat, to all.
    pub(crate) fn heartbeat<R: Rules>(
        &mut self,
        state: &mut State<R>,
        context: &mut Context<'_, R>,
    ) {
        context.set_timer(Timer::Heartbeat, state.config.timing.heartbeat());
        let (ballot, chosen) = (state.promised, self.told_chosen(state));
        let round = Some(self.heartbeat_round(context));
        let serving = &mut state.serving;
        self.followers.retain(|node, progress| {
            let stays = !progress.has_left();
            if !stays {
                serving.forget(*node);
            }
            stays
        });
        let last = self.last;
        let last_before = core::mem::replace(&mut self.last_at_heartbeat, last);
        let awaited = self.since.max(chosen.min(self.closed.unwrap_or_default()));
        for (peer, progress) in &mut self.followers {
            progress.caught_up = progress.prefix >= last_before;
            let is_awaited = progress.chosen < awaited;
            let prefix = if is_awaited { Index::ZERO } else { progress.prefix };
            let last = Some(last);
            context.send_now(*peer, Message::Heartbeat { ballot, chosen, prefix, last, round });
            progress.told_chosen = chosen;
        }
        self.call_again();
        self.yield_to_priority(state, context);
    }

    /// Whether a follower that was heard lately installs a snapshot.
    pub(crate) fn installs<R: Rules>(&self, state: &State<R>) -> bool {
        let mut heard = self.followers.iter().filter(|(_, progress)| progress.presence.is_heard());
        heard.any(|(node, _)| state.serving.installs(*node))
    }

    /// Steps down unless a majority was heard since the last check.
    pub(crate) fn check_quorum<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) -> Becomes {
        context.set_timer(Timer::Election, state.config.timing.election_timeout_min());
        let heard = |node| {
            node == state.me()
                || self.followers.get(&node).is_some_and(|it| it.presence.was_heard())
        };
        if !state.quorum().is_quorum(heard) {
            return Becomes::Follower { leader: None };
        }
        self.followers.values_mut().for_each(|progress| progress.presence.checked());
        Becomes::Same
    }
}

/// Sends a follower what it was not sent yet, as far as its window allows and memory reaches back.
pub(super) fn send_values<R: Rules>(
    state: &State<R>,
    context: &mut Context<'_, R>,
    peer: NodeId,
    progress: &mut Progress,
    (chosen, last): (Index, Index),
) {
    let config = &state.config;
    progress.next = progress.next.max(state.slots.evicted().next());
    while progress.next <= last
        && progress.has_room(config.bounds.max_in_flight_appends, config.bounds.max_in_flight_bytes)
    {
        let run = state.slots.run_from(progress.next).expect("a leader has no gap");
        let run = run.head(config.bounds.max_append_bytes);
        let (end, size_bytes) = (run.last(), run.size_bytes());
        if progress.has(run.first(), end) {
            progress.next = end.next();
            continue;
        }
        let batch: Batch = run.proposed_in(state.promised.epoch());
        context.send_now(peer, Message::Accept { batch, chosen });
        progress.told_chosen = chosen;
        progress.sent(end, size_bytes);
    }
}
