//! What must always hold, numbered as in the guide.
//!
//! The fold keeps, of the past: who held which vote in which round, and who was settled on which leader
//! in which epoch. It looks at what nodes have become, not at what they say, so it serves an outer engine
//! as well. Two leaders in one round are no violation: the election does not promise one.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use synod_engine::{Invariants, NodeId, Sometimes, Stepped, Violation};
use synod_quorum::Quorum;

use super::node::Fle;
use super::role::Role;
use super::role::looking::Looking;
use super::role::settled::{Found, Settled};
use super::{Round, Rules, State, Vote};

/// The five invariants of the guide.
#[derive(Clone, Debug, Default)]
pub struct Safety {
    held: BTreeMap<(Round, Vote), BTreeSet<NodeId>>,
    settled: BTreeMap<(NodeId, u32), BTreeSet<NodeId>>,
    led: BTreeMap<Round, BTreeSet<NodeId>>,
    now: BTreeMap<NodeId, Now>,
}

/// What a node stands for, after its last step.
#[derive(Clone, Debug)]
struct Now {
    looks: bool,
    round: Round,
    own: Option<Vote>,
    vote: Option<Vote>,
    is_closing: bool,
    voters: Quorum,
}

impl Safety {
    fn looks(
        &mut self,
        node: NodeId,
        looking: &Looking,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        let Looking { round, own, vote, voters, is_closing, .. } = looking;
        let standing = |vote: &Option<Vote>| vote.as_ref().map(Vote::standing);
        ensure(standing(own) <= standing(vote), "Nobody votes below himself", || {
            format!("{node} votes {} and is {}", shown(*vote), shown(*own))
        })?;
        if let Some(before) = self.now.get(&node).filter(|before| before.looks) {
            ensure(before.round <= *round, "Votes rise", || {
                format!("{node} went from round {} to {round}", before.round)
            })?;
            let falls = before.round == *round && *vote < before.vote;
            ensure(!falls, "Votes rise", || {
                format!("{node} went from {} to {}", shown(before.vote), shown(*vote))
            })?;
            if before.round == *round && before.vote < *vote {
                sometimes.reached("a better vote adopted");
                if before.is_closing {
                    sometimes.reached("the poll was opened again");
                }
            }
            if before.round < *round && vote < &before.vote {
                sometimes.reached("a vote given up for a new round");
            }
        }
        if let Some(vote) = vote {
            self.held.entry((*round, *vote)).or_default().insert(node);
        }
        let (round, own, vote, is_closing) = (*round, *own, *vote, *is_closing);
        let now = Now { looks: true, round, own, vote, is_closing, voters: voters.clone() };
        self.now.insert(node, now);
        Ok(())
    }

    fn settled(
        &mut self,
        node: NodeId,
        Settled { state, vote, round, found }: &Settled,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        let Some(now) = self.now.get_mut(&node) else { return Ok(()) };
        let (is_news, was_closing) = (now.looks, now.is_closing);
        now.looks = false;
        let seat = (vote.leader, vote.epoch);
        if !is_news || *found == Found::Told {
            self.settled.entry(seat).or_default().insert(node);
            return Ok(());
        }
        let voters = now.voters.clone();
        let surpasses = now.own.is_none_or(|own| *vote > own);
        let right = match state {
            State::Leading => vote.leader == node && voters.contains(node),
            State::Following => vote.leader != node && voters.contains(node),
            State::Observing => vote.leader != node && !voters.contains(node),
            State::Looking => false,
        };
        ensure(
            right && (voters.contains(vote.leader) || surpasses),
            "Voters lead, voters follow",
            || format!("{node}, {state}, elected {vote}; the voters are {voters}"),
        )?;
        let held = self.held.get(&(*round, *vote));
        let polled =
            was_closing && voters.is_quorum(|node| held.is_some_and(|by| by.contains(&node)));
        let settled = self.settled.get(&seat);
        let seated = voters.is_quorum(|node| settled.is_some_and(|by| by.contains(&node)));
        ensure(polled || seated, "A quorum elects", || {
            format!("{node} elected {vote} in round {round}; held by {held:?}, led {settled:?}")
        })?;
        self.settled.entry(seat).or_default().insert(node);
        sometimes.reached(if polled { "elected by the poll" } else { "joined a sitting leader" });
        if *state == State::Observing {
            sometimes.reached("an observer found the leader");
        }
        if *state == State::Leading {
            let leaders = self.led.entry(*round).or_default();
            leaders.insert(node);
            if leaders.len() > 1 {
                sometimes.reached("two leaders in one round");
            }
        }
        Ok(())
    }
}

impl<R: Rules> Invariants<Fle<R>> for Safety {
    fn stepped(
        &mut self,
        step: &Stepped<'_, Fle<R>>,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        match &step.after.role {
            Role::Idle => Ok(()),
            Role::Looking(looking) => self.looks(step.node, looking, sometimes),
            Role::Settled(settled) => self.settled(step.node, settled, sometimes),
        }
    }

    fn recovered(&mut self, node: NodeId, _: &Fle<R>) -> Result<(), Violation> {
        // It remembers nothing, and nobody relies on it.
        self.now.remove(&node);
        Ok(())
    }

    fn checkpoint<'a>(
        &mut self,
        nodes: &mut dyn Iterator<Item = (NodeId, &'a Fle<R>)>,
    ) -> Result<(), Violation>
    where
        Fle<R>: 'a,
    {
        let mut follows: BTreeMap<NodeId, NodeId> = BTreeMap::new();
        for (node, engine) in nodes {
            follows.extend(engine.leader().map(|leader| (node, leader)));
        }
        let leads = |leader: NodeId, voters: &Quorum| {
            follows.get(&leader) == Some(&leader)
                && voters.is_quorum(|node| follows.get(&node) == Some(&leader))
        };
        for Now { voters, .. } in self.now.values() {
            let leaders: BTreeSet<_> = voters.iter().filter(|node| leads(*node, voters)).collect();
            ensure(leaders.len() <= 1, "One leader is followed", || {
                format!("{leaders:?} lead, each followed by a quorum of {voters}")
            })?;
        }
        Ok(())
    }
}

fn ensure(
    holds: bool,
    invariant: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { invariant, detail: detail() }) }
}

fn shown(vote: Option<Vote>) -> String {
    vote.map_or_else(|| String::from("nobody"), |vote| format!("{vote}"))
}
