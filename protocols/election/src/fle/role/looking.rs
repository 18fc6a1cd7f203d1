//! A node that looks for a leader: it votes, unless it is an observer, and listens.
//!
//! There are two ways to a leader. The *poll*: a quorum of voters, oneself among them, votes alike in the
//! same round, and no better vote comes for a while. And *joining*: a quorum of voters already follows a
//! leader that says itself that it leads. An observer has the second way only.

use alloc::collections::BTreeMap;
use core::time::Duration;

use synod_engine::{Context, NodeId};
use synod_quorum::Quorum;

use super::settled::{Found, Settled};
use crate::fle::{Config, Fle, Notification, Round, Rules, State, Timer, Vote};

/// What a node that looks knows.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Looking {
    /// The round it votes in.
    pub(crate) round: Round,
    /// What it would vote if it heard of nobody better; `None` if it has no vote.
    pub(crate) own: Option<Vote>,
    /// Its vote, at least as good as its own standing.
    pub(crate) vote: Option<Vote>,
    /// Who votes and may be elected.
    pub(crate) voters: Quorum,
    /// The last that each voter has said since this node looks.
    heard: BTreeMap<NodeId, Notification>,
    /// Whether a quorum has voted alike, and only a better vote can keep it from electing.
    pub(crate) is_closing: bool,
    /// How often the vote was repeated in vain.
    vain: u32,
}

impl Looking {
    /// Begins to look in this round: votes for itself, if it has a vote, and says so.
    pub(crate) fn begin<R: Rules>(
        config: &Config<R>,
        context: &mut Context<'_, Fle<R>>,
        round: Round,
        own: Option<Vote>,
        voters: Quorum,
    ) -> Self {
        let heard = BTreeMap::new();
        let mut looking = Self { round, own, vote: own, voters, heard, is_closing: false, vain: 0 };
        context.cancel_timer(Timer::Finalize);
        looking.announce(config, context);
        looking.count(config, context);
        looking
    }

    fn question(&self) -> Notification {
        let (state, round, vote) = (State::Looking, self.round, self.vote);
        Notification { state, round, vote, asks: true }
    }

    fn answer(&self) -> Notification {
        Notification { asks: false, ..self.question() }
    }

    /// A link to this node has opened: what was sent to it before may be lost.
    pub(crate) fn greet<R: Rules>(&self, context: &mut Context<'_, Fle<R>>, peer: NodeId) {
        if self.voters.contains(peer) {
            context.send(peer, self.question());
        }
    }

    /// Nothing happened for a while.
    pub(crate) fn repeat<R: Rules>(
        &mut self,
        config: &Config<R>,
        context: &mut Context<'_, Fle<R>>,
    ) {
        self.vain = self.vain.saturating_add(1);
        self.tell_voters(config, context);
    }

    /// The poll was not opened again: the leader is elected.
    pub(crate) fn finalize<R: Rules>(&self, config: &Config<R>) -> Option<Settled> {
        let vote = self.vote.filter(|_| self.is_closing)?;
        let state = if vote.leader == config.node { State::Leading } else { State::Following };
        Some(Settled { state, vote, round: self.round, found: Found::Polled })
    }

    /// Somebody said something. What comes of it, if the node no longer looks.
    pub(crate) fn hear<R: Rules>(
        &mut self,
        config: &Config<R>,
        context: &mut Context<'_, Fle<R>>,
        from: NodeId,
        said: Notification,
    ) -> Option<Settled> {
        let lags = said.round < self.round && config.rules.lower_round_is_answered();
        // Who votes worse than this node, though that has repeated its vote already, did not look yet when
        // the vote came, and would hear of it at the next repetition only.
        let is_late = said.round == self.round && said.vote < self.vote && self.vain > 0;
        let is_answered = said.asks && (lags || is_late || !self.voters.contains(from));
        let joined = self.consider(config, context, from, said);
        if is_answered && self.own.is_some() && joined.is_none() {
            context.send(from, self.answer());
        }
        joined
    }

    /// Takes in what somebody said.
    fn consider<R: Rules>(
        &mut self,
        config: &Config<R>,
        context: &mut Context<'_, Fle<R>>,
        from: NodeId,
        said: Notification,
    ) -> Option<Settled> {
        let vote = said.vote?;
        // Rule `voters_only`. With weights, who has none is no candidate either.
        let is_known = |node| self.voters.contains(node);
        let is_heard = (is_known(from) && is_known(vote.leader)) || self.surpasses(vote);
        if !is_heard && config.rules.voters_only() {
            // The round of a voter is begun whomever it votes for: it counts no vote of a lower one.
            if said.state == State::Looking && is_known(from) && said.round > self.round {
                let own = self.own?;
                self.compare(config, context, said.round, own);
                self.count(config, context);
            }
            return None;
        }
        match said.state {
            State::Looking => {
                if self.is_overtaken(from, said) {
                    return None;
                }
                if is_known(from) {
                    self.heard.insert(from, said);
                }
                self.compare(config, context, said.round, vote);
            }
            State::Following | State::Leading => {
                // Of strangers only the leader's own word matters.
                if is_known(from) || from == vote.leader {
                    self.heard.insert(from, said);
                }
                if let Some(joined) = self.join(config, vote) {
                    return Some(joined);
                }
            }
            State::Observing => return None,
        }
        self.count(config, context);
        None
    }

    /// Whether a candidate beats this node: it may know of voters that this node does not know yet, or have a
    /// vote by the members before the newest. One that was removed and has not heard of it cannot, for it lacks
    /// what removed it.
    fn surpasses(&self, vote: Vote) -> bool {
        self.own.is_none_or(|own| vote > own)
    }

    /// Whether a better vote of the same voter came before this one: votes rise within a round.
    fn is_overtaken(&self, from: NodeId, said: Notification) -> bool {
        let looking = |known: &&Notification| known.state == State::Looking;
        let known = self.heard.get(&from).filter(looking);
        known.is_some_and(|known| known.round == said.round && known.vote > said.vote)
    }

    /// Somebody else who looks votes so.
    fn compare<R: Rules>(
        &mut self,
        config: &Config<R>,
        context: &mut Context<'_, Fle<R>>,
        round: Round,
        vote: Vote,
    ) {
        let Some(own) = self.own else { return };
        if round > self.round {
            self.round = round;
            // Rule `higher_round_restarts`: what convinced it in the old round may be dead by now.
            let before =
                if config.rules.higher_round_restarts() { own } else { self.vote.unwrap_or(own) };
            self.vote = Some(if beats(config.rules, vote, before) { vote } else { before });
        } else if (round < self.round && config.rules.votes_match_round())
            || self.vote.is_some_and(|mine| !beats(config.rules, vote, mine))
            || (self.is_closing && !config.rules.better_vote_reopens())
        {
            return;
        } else {
            self.vote = Some(vote);
        }
        self.is_closing = false;
        context.cancel_timer(Timer::Finalize);
        self.announce(config, context);
    }

    /// Whether a quorum of voters follows the leader of this vote, and it leads.
    fn join<R: Rules>(&self, config: &Config<R>, vote: Vote) -> Option<Settled> {
        // Rounds and zxids may differ among those who follow one leader, since they may have found it
        // in different rounds. One epoch has one leader.
        let follows = |said: &Notification| {
            let alike = |other: Vote| (other.leader, other.epoch) == (vote.leader, vote.epoch);
            said.state != State::Looking && said.vote.is_some_and(alike)
        };
        let by = |node| self.heard.get(&node).filter(|said| follows(said));
        let is_followed = self.voters.is_quorum(|node| by(node).is_some());
        let leads = by(vote.leader).filter(|said| said.state == State::Leading);
        // Rules `quorum_follows` and `leader_confirms`.
        if (config.rules.quorum_follows() && !is_followed)
            || (config.rules.leader_confirms() && leads.is_none())
        {
            return None;
        }
        let state = if self.own.is_some() { State::Following } else { State::Observing };
        let round = leads.map_or(self.round, |said| said.round);
        let vote = leads.and_then(|said| said.vote).unwrap_or(vote);
        Some(Settled { state, vote, round, found: Found::Joined })
    }

    /// Whether a quorum votes as this node does, and since when.
    fn count<R: Rules>(&mut self, config: &Config<R>, context: &mut Context<'_, Fle<R>>) {
        let alike = |said: &Notification| {
            let in_round = said.round == self.round || !config.rules.votes_match_round();
            in_round && said.vote == self.vote
        };
        let agrees = |node| node == config.node || self.heard.get(&node).is_some_and(alike);
        // Rule `quorum_of_votes`.
        let is_elected = self.voters.is_quorum(agrees) || !config.rules.quorum_of_votes();
        let is_closing = self.own.is_some() && is_elected;
        if is_closing && !self.is_closing {
            // Rule `finalize_wait`.
            let waits = config.rules.finalize_wait();
            context
                .set_timer(Timer::Finalize, if waits { config.finalize() } else { Duration::ZERO });
        } else if self.is_closing && !is_closing {
            context.cancel_timer(Timer::Finalize);
        }
        self.is_closing = is_closing;
    }

    /// Something is new: tells the voters, and begins to wait anew.
    fn announce<R: Rules>(&mut self, config: &Config<R>, context: &mut Context<'_, Fle<R>>) {
        self.vain = 0;
        self.tell_voters(config, context);
    }

    fn tell_voters<R: Rules>(&self, config: &Config<R>, context: &mut Context<'_, Fle<R>>) {
        for voter in self.voters.iter().filter(|voter| *voter != config.node) {
            context.send(voter, self.question());
        }
        context.set_timer(Timer::Notify, config.notify(self.vain));
    }
}

/// Whether one vote is better than another.
fn beats<R: Rules>(rules: R, vote: Vote, than: Vote) -> bool {
    if rules.standing_before_id() { vote > than } else { vote.leader > than.leader }
}
