//! Rumors under every fault: nothing is made up, nothing is heard twice, nothing outgrows its bound,
//! and each rule that is taken out is missed.

use std::time::Duration;

use bytes::Bytes;
use synod_engine::{Engine, NodeId, Random, Sometimes, Sound, Token, Without};
use synod_gossip::{Config, Direction, Gossip, Judgement, RULES, Request, Rules, Sanity, Stop};
use synod_sim::{Mix, Plan, Report, Sim, Transport, Verdict};

const ROUND: Duration = Duration::from_millis(100);

/// A group of some variant, whose bounds are tight in some runs.
fn config<R: Rules>(random: &mut Random, rules: R) -> Config<R> {
    let nodes = random.between(2, 40);
    let mut config = Config::with_rules(NodeId(1), (1..=nodes).map(NodeId), rules);
    config.direction =
        [Direction::Push, Direction::Pull, Direction::PushPull][random.below(3) as usize];
    config.judgement = [Judgement::Blind, Judgement::Feedback][random.below(2) as usize];
    let k = random.between(1, 4) as u32;
    config.stop = [Stop::Coin(k), Stop::Counter(k)][random.below(2) as usize];
    config.round_ms = ROUND.as_millis() as u64;
    config.staggered = random.chance(500_000);
    config.max_rumors = random.between(3, 40) as usize;
    config.max_rumor_bytes = 64;
    config.max_packet_bytes = random.between(100, 1100) as usize;
    config.check().expect("a configuration that fits");
    config
}

/// Nodes start rumors at any time while everything goes wrong.
fn run<R: Rules>(seed: u64, mix: Mix, rules: R) -> Report {
    let mut random = Random::new(seed);
    let config = config(&mut random, rules);
    let nodes = config.members.len() as u64;
    let sanity = Sanity::new(config.max_rumors, config.max_packet_bytes);
    let engines = (1..=nodes).map(|id| (NodeId(id), Config { node: NodeId(id), ..config.clone() }));
    let plan = Plan { seed, mix, transport: Transport::Datagrams, ..Plan::default() };
    let mut sim = Sim::<Gossip<R>, (), _, ()>::new(plan, engines, (), sanity, ());
    sim.run_for(Duration::from_millis(10));
    for number in 0..random.between(1, 30) {
        let content = vec![number as u8; random.between(0, 64) as usize];
        let node = NodeId(random.between(1, nodes));
        sim.request(node, Token(number), Request::Start(Bytes::from(content)));
        sim.run_for(random.duration(Duration::ZERO, 2 * ROUND));
    }
    sim.calm();
    sim.run_for(20 * ROUND);
    sim.finish();
    sim.report()
}

#[test]
fn every_invariant_holds_whatever_the_faults() {
    let mut sometimes = Sometimes::default();
    for mix in [Mix::CALM, Mix::DEFAULT, Mix::LOSSY, Mix::CRASHY] {
        for seed in 0..100 {
            let report = run(seed, mix.clone(), Sound);
            assert!(report.verdict.is_sound(), "{}: {report}", mix.name);
            sometimes.merge(&report.sometimes);
        }
    }
    for point in ["a rumor was heard", "a rumor was forgotten", "duplicate delivered", "partition"]
    {
        assert!(sometimes.count(point) > 0, "never: {point}");
    }
}

/// Each rule, and a number of seeds that is enough to miss it.
const MISSED: [(&str, u64); 3] =
    [("cold_is_remembered", 5), ("packets_are_bounded", 20), ("memory_is_bounded", 5)];

#[test]
fn each_rule_taken_out_is_missed() {
    assert_eq!(MISSED.map(|(rule, _)| rule), *RULES, "all rules, in their order");
    for (rule, seeds) in MISSED {
        let rules = Without::named(RULES, &[rule]).unwrap();
        let mut verdicts = (0..seeds).map(|seed| run(seed, Mix::DEFAULT, rules).verdict);
        let found = verdicts.position(|verdict| !verdict.is_sound());
        assert!(found.is_some(), "{rule} is not missed in {seeds} seeds");
    }
}

#[test]
fn equal_seeds_give_equal_runs() {
    for seed in 0..20 {
        assert_eq!(run(seed, Mix::LOSSY, Sound), run(seed, Mix::LOSSY, Sound));
    }
}

#[test]
fn a_thousand_nodes_hear_nearly_all_of_it_under_loss_partitions_and_crashes() {
    let config = Config::new(NodeId(1), (1..=1000).map(NodeId));
    let engines = (1..=1000).map(|id| (NodeId(id), Config { node: NodeId(id), ..config.clone() }));
    let transport = Transport::Datagrams;
    let plan = Plan { seed: 2, mix: Mix::LOSSY, transport, ..Plan::default() };
    let sanity = Sanity::new(config.max_rumors, config.max_packet_bytes);
    let mut sim = Sim::<Gossip, (), _, ()>::new(plan, engines, (), sanity, ());
    sim.run_for(Duration::from_secs(2));
    sim.request(NodeId(1), Token(1), Request::Start(Bytes::from_static(b"news")));
    sim.run_for(Duration::from_secs(60));
    let views: Vec<_> = sim.engines().map(|(_, engine)| engine.view()).collect();
    let heard = views.iter().filter(|view| view.hot + view.cold > 0).count();
    assert!(heard * 100 > views.len() * 97, "{heard} of {}", views.len());
    assert!(views.iter().all(|view| view.hot == 0), "nobody tells it any more");
    assert_eq!(sim.report().verdict, Verdict::Sound);
}
