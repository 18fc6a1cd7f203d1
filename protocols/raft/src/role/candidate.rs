//! Campaigns for leadership: first for pre-votes, which promise nothing (thesis §9.6), then for votes
//! in a new term (§5.2).

use synod_engine::NodeId;
use synod_quorum::{Outcome, Tally};

use crate::record::HardState;
use crate::role::Becomes;
use crate::state::{Context, State};
use crate::{Message, Rules, Timer};

/// What a candidate has heard.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Candidate {
    pub(crate) campaign: Campaign,
    tally: Tally,
}

/// What a candidate asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Campaign {
    /// Pre-votes: would I win the next term? No term or vote changes.
    PreVote,
    /// Votes in a new term.
    Vote,
}

impl Candidate {
    /// Opens the campaign.
    pub(crate) fn new<R: Rules>(
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        campaign: Campaign,
    ) -> Self {
        let config = &state.config;
        let (min, max) = (config.election_timeout_min(), config.election_timeout_max());
        let timeout = context.random().duration(min, max);
        context.set_timer(Timer::Election, timeout);
        let mut tally = Tally::default();
        let last = state.log.last();
        match campaign {
            Campaign::PreVote => {
                tally.record(state.me(), true);
                let term = state.term().next();
                for peer in state.other_voters() {
                    context.send_now(peer, Message::PreVote { term, last });
                }
            }
            Campaign::Vote => {
                let hard = HardState { term: state.term().next(), vote: Some(state.me()) };
                if state.rules().vote_is_durable() {
                    state.set_hard(context, hard);
                } else {
                    state.hard = hard;
                }
                let term = hard.term;
                context.send(state.me(), Message::VoteReply { term, granted: true });
                for peer in state.other_voters() {
                    context.send(peer, Message::Vote { term, last });
                }
            }
        }
        Self { campaign, tally }
    }

    /// An answer, or silence so far: the campaign goes on, or ends.
    pub(crate) fn count<R: Rules>(
        &mut self,
        state: &State<R>,
        answer: Option<(NodeId, bool)>,
    ) -> Becomes {
        if let Some((node, granted)) = answer {
            self.tally.record(node, granted);
        }
        match (state.quorum().outcome(&self.tally), self.campaign) {
            (Outcome::Won, Campaign::PreVote) => Becomes::Candidate(Campaign::Vote),
            (Outcome::Won, Campaign::Vote) => Becomes::Leader,
            (Outcome::Lost, _) => Becomes::Follower { leader: None },
            (Outcome::Open, _) => Becomes::Same,
        }
    }
}
