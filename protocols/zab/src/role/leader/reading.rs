//! A leader confirms that it leads before it answers reads, its own user's and its followers': a round of
//! pings after they were asked. ZooKeeper's own `sync` takes no such round, and so may be stale.

use synod_consensus::{Event, Refusal};
use synod_engine::{NodeId, Token};
use synod_log::{ReadAnswer, ReadId};

use crate::role::Leader;
use crate::state::{Context, State};
use crate::{Message, Rules};

impl Leader {
    /// A linearizable read to confirm, in the round that the next flush opens.
    pub(crate) fn read<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        token: Token,
    ) {
        let taken = if self.serves() {
            self.reads.ask(token, state.config.bounds.max_pending_reads)
        } else {
            Err(Refusal::NotLeader { leader: None })
        };
        if let Err(refusal) = taken {
            context.emit_now(Event::Refused { token, refusal });
        }
    }

    /// A follower asks for the reads of its user; they join the same round. What a stranger asks is not
    /// answered.
    pub(crate) fn read_asked<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        from: NodeId,
        id: ReadId,
    ) {
        if self.followers.contains_key(&from)
            && let Err(result) = self.reads.ask_for(from, id, state.config.bounds.max_pending_reads)
        {
            context.send_now(from, Message::SyncReply { epoch: state.epoch(), id, result });
        }
    }

    /// A follower confirms a read round.
    pub(crate) fn round_confirmed<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
        from: NodeId,
        round: u64,
    ) {
        if let Some(progress) = self.followers.get_mut(&from)
            && round <= self.reads.newest_round()
        {
            progress.presence.hear();
            progress.round = progress.round.max(round);
            self.answer_reads(state, context);
        }
    }

    /// Opens a read round if reads wait and the commit index is known to be current.
    pub(super) fn open_round<R: Rules>(&mut self, state: &State<R>) -> Option<u64> {
        if self.established { self.reads.open_round(state.commit) } else { None }
    }

    /// Answers the reads of every round that a majority confirmed.
    pub(super) fn answer_reads<R: Rules>(
        &mut self,
        state: &State<R>,
        context: &mut Context<'_, R>,
    ) {
        let round = |node: NodeId| {
            if node == state.me() || !state.rules().read_is_confirmed() {
                u64::MAX
            } else {
                self.followers.get(&node).map_or(0, |progress| progress.round)
            }
        };
        let Some(confirmed) = state.quorum().reached(round) else { return };
        let epoch = state.epoch();
        self.reads.confirmed(confirmed).for_each(|answer| match answer {
            ReadAnswer::User(event) => context.emit_now(event),
            ReadAnswer::Node { node, id, result } => {
                context.send_now(node, Message::SyncReply { epoch, id, result });
            }
        });
    }
}
