//! How many messages an election takes, where all begin together, with equal histories, on links that
//! lose nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use synod_election::fle::{Config, Event, Fle, Notification, Request, Safety, State, Zxid};
use synod_engine::{NodeId, Random, Token};
use synod_quorum::{Quorum, Voters};
use synod_sim::{App, Caller, Desk, Mix, Plan, Sim, Span, Transport};

use crate::hand::Hand;

/// From whom, to whom, what.
type Flying = (u64, u64, Notification);

/// How many messages n nodes send until none is under way, when `next` chooses which arrives next.
fn messages(n: u64, mut next: impl FnMut(&[Flying]) -> usize) -> u64 {
    let mut nodes: Vec<Hand> = (1..=n).map(|id| Hand::new(id, n)).collect();
    let mut flying: Vec<Flying> = Vec::new();
    let mut sent = 0;
    let mut send = |flying: &mut Vec<Flying>, from, did: Vec<(u64, Notification)>| {
        sent += did.len() as u64;
        flying.extend(did.into_iter().map(|(to, said)| (from, to, said)));
    };
    for id in 1..=n {
        let did = nodes[id as usize - 1].looks(5);
        send(&mut flying, id, did.sent());
    }
    while !flying.is_empty() {
        let place = next(&flying);
        let (from, to, said) = flying.remove(place);
        let did = nodes[to as usize - 1].hears(from, said);
        send(&mut flying, to, did.sent());
    }
    assert!(
        nodes.iter().all(|node| node.is() == (State::Looking, 1, Some(n)) && node.is_closing())
    );
    sent
}

const fn least(n: u64) -> u64 {
    (n - 1) * (2 * n - 1)
}

const fn most(n: u64) -> u64 {
    (n - 1) * n * (n + 1) / 2
}

fn leader((_, _, said): &Flying) -> Option<NodeId> {
    said.vote.map(|vote| vote.leader)
}

#[test]
fn where_the_best_vote_always_comes_first_each_node_changes_its_mind_once() {
    for (n, count) in [(3, 10), (5, 36), (7, 78), (9, 136)] {
        let best =
            |flying: &[Flying]| (0..flying.len()).max_by_key(|at| leader(&flying[*at])).unwrap();
        assert_eq!((messages(n, best), least(n)), (count, count), "{n} nodes");
    }
}

#[test]
fn where_the_worst_vote_always_comes_first_each_node_votes_for_all_better_ones() {
    for (n, count) in [(3, 12), (5, 60), (7, 168), (9, 360)] {
        let worst =
            |flying: &[Flying]| (0..flying.len()).min_by_key(|at| leader(&flying[*at])).unwrap();
        assert_eq!((messages(n, worst), most(n)), (count, count), "{n} nodes");
    }
}

/// Any link that is busy delivers next with the same chance: exponential delays, first in, first out.
#[test]
fn with_exponential_delays_the_mean_is_as_published() {
    const RUNS: u64 = 1000;
    let mut random = Random::new(1);
    let mut any_link = |flying: &[Flying]| {
        let links: BTreeSet<_> = flying.iter().map(|(from, to, _)| (from, to)).collect();
        let link = links.iter().nth(random.below(links.len() as u64) as usize).copied();
        flying.iter().position(|(from, to, _)| link == Some((from, to))).unwrap()
    };
    for (n, mean) in [(3, 11), (5, 46), (7, 109)] {
        let mut total = 0;
        for _ in 0..RUNS {
            let count = messages(n, &mut any_link);
            assert!((least(n)..=most(n)).contains(&count), "{n} nodes sent {count} messages");
            total += count;
        }
        let found = (total + RUNS / 2) / RUNS;
        assert!(found.abs_diff(mean) <= 1, "{n} nodes: a mean of {found}, published {mean}");
    }
}

/// Asks its node to look once, when all are up.
struct Starter;

impl App<Fle> for Starter {
    type Config = Quorum;
    type Call = ();
    type Answer = ();

    fn start(voters: &Quorum, desk: &mut Desk<'_, Fle, Self>) -> Self {
        let together = Duration::from_millis(20) - desk.now();
        let request = Request::Look { epoch: 1, zxid: Zxid::new(1, 5), voters: voters.clone() };
        let input = synod_engine::Input::Request { token: Token(0), request };
        desk.submit_after(together, input);
        Self
    }

    fn event(&mut self, _: &mut Desk<'_, Fle, Self>, _: Event) {}
    fn task(
        &mut self,
        _: &mut Desk<'_, Fle, Self>,
        _: synod_engine::TaskId,
        task: std::convert::Infallible,
    ) {
        match task {}
    }
    fn call(&mut self, _: &mut Desk<'_, Fle, Self>, _: Caller, (): ()) {}
}

#[test]
fn in_the_simulator_a_start_takes_between_the_least_and_the_most() {
    let apart =
        Mix { delay: Span::micros(100, 40_000), jitter: Span::micros(0, 20_000), ..Mix::CALM };
    let equal = Mix { delay: Span::millis(5, 5), jitter: Span::NONE, ..Mix::CALM };
    for mix in [Mix::CALM, apart, equal] {
        for n in [3, 5, 7] {
            for seed in 0..50 {
                let voters = Quorum::of(Voters::new((1..=n).map(NodeId)));
                let plan = Plan {
                    seed,
                    mix: mix.clone(),
                    transport: Transport::Datagrams,
                    ..Plan::default()
                };
                let nobody = || Voters::new([]);
                let engines = (1..=n).map(|id| (NodeId(id), Config::new(NodeId(id), nobody())));
                let mut sim: Sim<Fle, Starter, _, ()> =
                    Sim::new(plan, engines, voters, Safety::default(), ());
                // Before anybody repeats anything.
                sim.run_for(Duration::from_millis(219));
                let count = sim.report().counts.delivered;
                assert!((least(n)..=most(n)).contains(&count), "{n} nodes, seed {seed}: {count}");
                sim.run_for(Duration::from_secs(1));
                assert!(sim.engines().all(|(_, node)| node.leader() == Some(NodeId(n))));
            }
        }
    }
}
