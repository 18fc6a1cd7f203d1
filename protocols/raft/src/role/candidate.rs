//! Campaigns for leadership: first for pre-votes, which promise nothing (thesis §9.6), then for votes
//! in a new term (§5.2). Whom the leader wishes in its place asks for votes at once (thesis §3.10).

use synod_engine::NodeId;
use synod_quorum::{Outcome, Tally};

use crate::record::HardState;
use crate::role::Becomes;
use crate::state::{Context, State};
use crate::{EntryId, Message, Rules, Timer};

/// What a candidate has heard.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Candidate {
    pub(crate) asks: Asks,
    /// The best log that refused a pre-vote because it is better, by its last entry, and whose it is.
    pub(crate) better: Option<(EntryId, NodeId)>,
    tally: Tally,
}

/// What a candidate asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Asks {
    /// Would I win the next term? No term or vote changes.
    PreVotes,
    /// Votes in a new term.
    Votes,
}

/// Why and how a campaign begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Campaign {
    /// No leader was heard: pre-votes first.
    Cautious,
    /// The pre-votes were won: votes.
    Promising,
    /// The leader wishes it: votes at once, also of those who hear that leader (thesis §3.10).
    Wished,
}

impl Candidate {
    /// Opens the campaign.
    pub(crate) fn new<R: Rules>(
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        campaign: Campaign,
    ) -> Self {
        let config = &state.config;
        let (min, max) =
            (config.timing.election_timeout_min(), config.timing.election_timeout_max());
        let timeout = context.random().duration(min, max);
        context.set_timer(Timer::Election, timeout);
        match campaign {
            Campaign::Cautious => Self::ask_for_pre_votes(state, context),
            Campaign::Promising => Self::ask_for_votes(state, context, false),
            Campaign::Wished => Self::ask_for_votes(state, context, true),
        }
    }

    fn ask_for_pre_votes<R: Rules>(state: &State<R>, context: &mut Context<'_, R>) -> Self {
        let (term, last) = (state.term().next(), state.log.last());
        for peer in state.other_voters() {
            context.send_now(peer, Message::PreVote { term, last });
        }
        let mut tally = Tally::default();
        tally.record(state.me(), true);
        Self { asks: Asks::PreVotes, better: None, tally }
    }

    fn ask_for_votes<R: Rules>(
        state: &mut State<R>,
        context: &mut Context<'_, R>,
        transfer: bool,
    ) -> Self {
        let hard = HardState { term: state.term().next(), vote: Some(state.me()) };
        if state.rules().vote_is_durable() {
            state.set_hard(context, hard);
        } else {
            state.hard = hard;
        }
        let (term, last) = (hard.term, state.log.last());
        context.send(state.me(), Message::VoteReply { term, granted: true });
        for peer in state.other_voters() {
            context.send(peer, Message::Vote { term, last, transfer });
        }
        Self { asks: Asks::Votes, better: None, tally: Tally::default() }
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
        match (state.quorum().outcome(&self.tally), self.asks) {
            (Outcome::Won, Asks::PreVotes) => Becomes::Candidate(Campaign::Promising),
            (Outcome::Won, Asks::Votes) => Becomes::Leader,
            (Outcome::Lost, _) => Becomes::Follower { leader: None },
            (Outcome::Open, _) => Becomes::Same,
        }
    }
}
