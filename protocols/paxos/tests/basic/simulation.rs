//! Paxos in the simulator: the invariants hold under every fault, somebody always learns in the end,
//! and each rule that is taken out is missed.

use std::time::Duration;

use bytes::Bytes;
use synod_engine::{Engine, NodeId, Random, Sometimes, Sound, Token, Without};
use synod_paxos::basic::{Attempt, Config, Learning, Paxos, RULES, Request, Rules, Safety, Value};
use synod_sim::{Mix, Odds, Often, Plan, Report, Sim, Span, Transport};

/// Links that lose, repeat and delay so much that proposers duel for long. A decision takes tens of
/// milliseconds where all goes well, so the faults are as quick.
const DUELS: Mix = Mix {
    name: "duels",
    loss: Odds { runs_ppm: 900_000, low_ppm: 100_000, high_ppm: 500_000 },
    late: Odds { runs_ppm: 900_000, low_ppm: 10_000, high_ppm: 400_000 },
    late_by: Span::millis(1, 500),
    crash: Often::NEVER,
    ..Mix::DEFAULT
};

/// Nodes that crash every few steps.
const CRASHES: Mix = Mix {
    name: "crashes",
    crash: Often { runs_ppm: 1_000_000, gap: Span::millis(10, 200), length: Span::millis(1, 50) },
    ..DUELS
};

type Cluster<R> = Sim<Paxos<R>, (), Safety, ()>;

/// Three to five acceptors among up to six nodes; all nodes propose and learn, or only some do.
fn config<R: Rules>(random: &mut Random, rules: R) -> Config<R> {
    let acceptors = random.between(3, 5);
    let nodes = random.between(acceptors, 6);
    let mut config = Config::with_rules(NodeId(1), (1..=nodes).map(NodeId), rules);
    config.acceptors = (1..=acceptors).map(NodeId).collect();
    config.attempt_ms = random.between(20, 200);
    if random.chance(500_000) {
        config.proposers = (random.between(1, nodes)..=nodes).map(NodeId).collect();
        config.learners = (1..=random.between(1, nodes)).map(NodeId).collect();
    }
    let learners: Vec<_> = config.learners.iter().copied().collect();
    let mut any = || learners[random.below(learners.len() as u64) as usize];
    let (one, other) = (any(), any());
    config.learning = match random.below(3) {
        0 => Learning::Everyone,
        1 => Learning::One(one),
        _ => Learning::Few([one, other].into()),
    };
    config.check().expect("a configuration that fits");
    config
}

/// Clients ask for different values at different nodes and times, while everything goes wrong; then
/// the faults end, in half of the runs one more client asks, and everybody who should learns. Where nobody
/// asks any more, that is everybody if anything was accepted.
fn run<R: Rules>(seed: u64, mix: Mix, rules: R) -> Report {
    let mut random = Random::new(seed);
    let config = config(&mut random, rules);
    let nodes = config.proposers.iter().chain(&config.learners).max().map_or(0, |node| node.0);
    let nodes = nodes.max(config.acceptors.len() as u64);
    let engines = (1..=nodes).map(|id| {
        let node = NodeId(id);
        (node, Config { node, ..config.clone() })
    });
    let plan = Plan { seed, mix, transport: Transport::Datagrams, ..Plan::default() };
    let mut sim = Sim::new(plan, engines, (), Safety::new(config.acceptors.clone()), ());
    sim.run_for(Duration::from_millis(10));
    let pause = Duration::from_millis(random.between(1, 200));
    for number in 0..random.between(1, 20) {
        propose(&mut sim, NodeId(random.between(1, nodes)), number);
        sim.run_for(random.duration(Duration::ZERO, pause));
    }
    sim.calm();
    sim.run_for(Duration::from_millis(1));
    let is_asked = random.chance(500_000);
    if is_asked {
        propose(&mut sim, NodeId(1), 100);
    }
    let knows = |sim: &Cluster<R>, node| {
        sim.engine(node).is_some_and(|engine| engine.view().chosen.is_some())
    };
    let learned = sim.run_until(Duration::from_secs(60), |sim| {
        let client = !is_asked || knows(sim, NodeId(1));
        client && config.learners.iter().all(|node| knows(sim, *node))
    });
    let is_idle = !is_asked && sim.engines().all(|(_, node)| node.view().accepted.is_none());
    sim.finish();
    let report = sim.report();
    assert!(learned || is_idle || !report.verdict.is_sound(), "somebody never learned: {report}");
    report
}

fn propose<R: Rules>(sim: &mut Cluster<R>, node: NodeId, number: u64) {
    let value = Value(Bytes::from(format!("value {number}")));
    sim.request(node, Token(number), Request::Propose(value));
}

/// Each rule, the mix that misses it, and a number of seeds that is enough.
const MISSED: [(&str, Mix, u64); 13] = [
    ("ballot_is_durable", CRASHES, 10_000),
    ("one_ballot_per_proposer", DUELS, 10),
    ("promise_is_durable", CRASHES, 10),
    ("accept_is_durable", CRASHES, 10),
    ("acknowledgement_is_durable", CRASHES, 10),
    ("commit_is_durable", CRASHES, 50),
    ("promises_are_kept", DUELS, 10),
    ("majority_of_promises", DUELS, 50),
    ("promises_match_ballot", DUELS, 1000),
    ("adopt_accepted", DUELS, 50),
    ("adopt_highest_accepted", DUELS, 1000),
    ("majority_of_acceptances", DUELS, 10),
    ("acceptances_match_ballot", DUELS, 50),
];

#[test]
fn each_rule_taken_out_is_missed() {
    assert_eq!(MISSED.map(|(rule, ..)| rule), *RULES, "all rules, in their order");
    for (rule, mix, seeds) in MISSED {
        let rules = Without::named(RULES, &[rule]).unwrap();
        let mut verdicts = (0..seeds).map(|seed| run(seed, mix.clone(), rules).verdict);
        let found = verdicts.position(|verdict| !verdict.is_sound());
        assert!(found.is_some(), "{rule} is not missed in {seeds} seeds of {}", mix.name);
    }
}

#[test]
fn every_invariant_holds_and_everybody_learns_whatever_the_faults() {
    let mut sometimes = Sometimes::default();
    for mix in [Mix::DEFAULT, Mix::LOSSY, Mix::CRASHY, Mix::SLOW_DISKS, DUELS, CRASHES] {
        for seed in 0..1000 {
            let report = run(seed, mix.clone(), Sound);
            assert!(report.verdict.is_sound(), "{}: {report}", mix.name);
            sometimes.merge(&report.sometimes);
        }
    }
    for point in [
        "a value adopted",
        "a proposer gave way",
        "a learner asked",
        "a learner had a ballot issued",
        "a node was told",
        "a node learned",
        "crash between write and sync",
        "torn tail",
        "duplicate delivered",
        "partition",
    ] {
        assert!(sometimes.count(point) > 0, "never: {point}");
    }
}

#[test]
fn a_disk_that_lies_is_found_out() {
    let lying = Mix { lie: Mix::LYING_DISK.lie, ..CRASHES };
    let found = (0..20).filter(|seed| !run(*seed, lying.clone(), Sound).verdict.is_sound());
    assert!(found.count() > 10);
}

#[test]
fn equal_seeds_give_equal_runs() {
    for seed in 0..20 {
        assert_eq!(run(seed, CRASHES, Sound), run(seed, CRASHES, Sound));
    }
}

#[test]
fn a_disk_that_never_syncs_leaks_no_promise_and_no_acceptance() {
    let plan = Plan { mix: Mix::CALM, transport: Transport::Datagrams, ..Plan::default() };
    let config = Config::new(NodeId(1), (1..=3).map(NodeId));
    let engines = (1..=3).map(|id| (NodeId(id), Config { node: NodeId(id), ..config.clone() }));
    let mut sim = Cluster::new(plan, engines, (), Safety::new(config.acceptors.clone()), ());
    sim.run_for(Duration::from_millis(20));
    sim.never_sync(NodeId(2));
    sim.never_sync(NodeId(3));
    propose(&mut sim, NodeId(1), 1);
    sim.run_for(Duration::from_secs(10));
    let view = |sim: &Cluster<Sound>, node| sim.engine(NodeId(node)).unwrap().view();
    assert!(view(&sim, 2).promised.is_some(), "it was asked");
    assert!(matches!(view(&sim, 1).attempt, Some(Attempt::Preparing(_))), "and said nothing");
    sim.calm();
    sim.run_for(Duration::from_secs(10));
    assert!((1..=3).all(|node| view(&sim, node).chosen.is_some()));
}
