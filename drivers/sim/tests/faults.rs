//! Each kind of fault does what it says, and comes by chance where a mix has it.

mod toy;

use std::time::Duration;

use bytes::Bytes;
use synod_engine::{Blob, LinkState, NodeId, Sometimes, TaskId, Token};
use synod_sim::{App, Caller, Desk, Mix, Plan, Sim, Swarm, Transport, Unchecked, Wipe};
use toy::{Ask, Config, Promises, Toy};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const D: NodeId = NodeId(4);
const E: NodeId = NodeId(5);
const SECOND: Duration = Duration::from_secs(1);

/// Nodes that do nothing unless asked, in a calm world.
fn calm(nodes: u64, transport: Transport) -> Sim<Toy, (), Promises, ()> {
    let plan = Plan { mix: Mix::CALM, transport, ..Plan::default() };
    let mut sim = Sim::new(plan, toy::idle(nodes), (), Promises::default(), ());
    sim.run_for(SECOND);
    sim
}

/// Who has heard of each node's newest number, after every node has told the others one.
fn hearers(sim: &mut Sim<Toy, (), Promises, ()>, nodes: &[NodeId]) -> Vec<Vec<NodeId>> {
    let number = 1 + sim.now().as_nanos() as u64;
    nodes.iter().for_each(|node| sim.request(*node, Token(number), Ask::Keep(number)));
    sim.run_for(SECOND);
    let heard =
        |by: NodeId, of: NodeId| sim.engine(by).expect("up").promised.contains(&(of, number));
    let of = |of: &NodeId| nodes.iter().copied().filter(|by| heard(*by, *of)).collect();
    nodes.iter().map(of).collect()
}

#[test]
fn in_a_chain_only_neighbours_hear_each_other() {
    let mut sim = calm(3, Transport::Datagrams);
    sim.chain(&[A, C, B]);
    assert_eq!(hearers(&mut sim, &[A, B, C]), [vec![C], vec![C], vec![A, B]]);
    sim.heal();
    assert_eq!(hearers(&mut sim, &[A, B, C]), [vec![B, C], vec![A, C], vec![A, B]]);
}

#[test]
fn in_a_star_only_the_hub_is_heard() {
    let mut sim = calm(5, Transport::Datagrams);
    sim.star(C);
    let all = [A, B, C, D, E];
    assert_eq!(hearers(&mut sim, &all), [vec![C], vec![C], vec![A, B, D, E], vec![C], vec![C]]);
}

/// A node that writes a blob and keeps an eye on its disk.
struct Porter {
    blob: Blob,
    full: bool,
}

impl App<Toy> for Porter {
    type Config = ();
    type Call = ();
    type Answer = ();

    fn start((): &(), desk: &mut Desk<'_, Toy, Self>) -> Self {
        Self { blob: desk.write_blob([Bytes::from_static(b"cargo")]), full: false }
    }

    fn event(&mut self, desk: &mut Desk<'_, Toy, Self>, _: toy::Event) {
        self.full = desk.disk_is_full();
    }

    fn task(&mut self, _: &mut Desk<'_, Toy, Self>, _: TaskId, (): ()) {}
    fn call(&mut self, _: &mut Desk<'_, Toy, Self>, _: Caller, (): ()) {}
}

#[test]
fn a_full_disk_loses_what_would_fill_it_and_nothing_else_until_it_has_space_again() {
    let plan = Plan { mix: Mix::CALM, ..Plan::default() };
    let mut sim: Sim<Toy, Porter, _, _> = Sim::new(plan, toy::idle(2), (), Unchecked, ());
    sim.run_for(SECOND);
    let blob = sim.app(A).unwrap().blob;
    sim.fill_disk(B, 3 * SECOND);
    sim.request(A, Token(1), Ask::Carry(B, blob));
    sim.request(A, Token(2), Ask::Keep(2));
    sim.run_for(SECOND);
    assert!(sim.engine(B).unwrap().carried.is_empty(), "it would fill the disk");
    assert_eq!(sim.engine(B).unwrap().promised.len(), 1, "all else is taken");
    assert_eq!(sim.engine(B).unwrap().links[&A], (LinkState::Opened, 1), "in the same session");
    assert!(sim.app(B).unwrap().full && !sim.app(A).unwrap().full);
    sim.run_for(3 * SECOND);
    sim.request(A, Token(3), Ask::Carry(B, blob));
    sim.run_for(SECOND);
    assert_eq!(sim.engine(B).unwrap().carried, [blob]);
    assert!(!sim.app(B).unwrap().full);
}

#[test]
fn a_wiped_node_remembers_nothing_and_counts_for_nobody_until_it_is_admitted() {
    for transport in [Transport::Sessions, Transport::Datagrams] {
        let mut sim = calm(3, transport);
        assert_eq!(hearers(&mut sim, &[A, B, C])[1], [A, C]);
        let config: Config = sim.engine(B).unwrap().config.clone();
        let late = 1 + sim.now().as_nanos() as u64;
        sim.request(A, Token(late), Ask::Keep(late));
        sim.request(B, Token(late), Ask::Keep(late));
        let is_sent = |sim: &Sim<Toy, (), Promises, ()>, node| {
            sim.engine(node).is_some_and(|engine| engine.durable.contains(&late))
        };
        assert!(sim.run_until(SECOND, |sim| is_sent(sim, A) && is_sent(sim, B)));
        sim.wipe(B, Wipe::Repaired, config);
        assert!(sim.engine(B).is_none());
        sim.restart(B);
        assert!(sim.engine(B).unwrap().kept.is_empty());
        sim.run_for(SECOND);
        for node in [A, C] {
            let heard = &sim.engine(node).unwrap().promised;
            assert!(!heard.contains(&(B, late)), "what was under way from it is lost");
        }
        assert_eq!(hearers(&mut sim, &[A, B, C]), [vec![B, C], vec![], vec![A, B]]);
        assert!(!sim.engine(B).unwrap().promised.contains(&(A, late)), "and to it");
        sim.admit(B);
        sim.run_for(SECOND);
        assert_eq!(hearers(&mut sim, &[A, B, C]), [vec![B, C], vec![A, C], vec![A, B]]);
        assert!(sim.report().verdict.is_sound(), "{}", sim.report());
    }
}

/// How far the clocks of all nodes went in a minute, in the order of their ids.
fn minute(sim: &mut Sim<Toy, (), Unchecked, ()>) -> Vec<Duration> {
    let read = |sim: &Sim<Toy, (), Unchecked, ()>| -> Vec<u64> {
        [A, B, C].iter().map(|node| sim.engine(*node).expect("up").pings).collect()
    };
    let before = read(sim);
    sim.run_for(60 * SECOND);
    let passed = read(sim).into_iter().zip(before).map(|(after, before)| after - before);
    passed.map(|beats| Duration::from_millis(20 * beats)).collect()
}

#[test]
fn each_clock_runs_at_its_own_pace_within_the_bound_and_far_beyond_only_where_planted() {
    let (mut fastest, mut slowest) = (Duration::ZERO, Duration::MAX);
    for seed in 0..20 {
        let only = Mix { drift_ppm: 100_000, ..Mix::CALM };
        let plan = Plan { seed, mix: only, ..Plan::default() };
        let mut sim: Sim<Toy, (), _, _> = Sim::new(plan, toy::configs(3), (), Unchecked, ());
        sim.run_for(SECOND);
        for passed in minute(&mut sim) {
            assert!((53_900..=66_100).contains(&passed.as_millis()), "{passed:?}");
            (fastest, slowest) = (fastest.max(passed), slowest.min(passed));
        }
    }
    assert!(fastest > Duration::from_secs(65) && slowest < Duration::from_secs(55));
    let bad = Mix { beyond_ppm: 500_000, ..Mix::CALM };
    let seeds = (0..20).map(|seed| Plan { seed, mix: bad.clone(), ..Plan::default() });
    let beyond = seeds.filter(|plan| {
        let nodes = toy::configs(3);
        let mut sim: Sim<Toy, (), _, _> = Sim::new(plan.clone(), nodes, (), Unchecked, ());
        sim.run_for(SECOND);
        minute(&mut sim).iter().any(|passed| passed.as_secs() > 80)
    });
    assert!(beyond.count() > 5);
}

#[test]
fn a_pace_that_changes_moves_the_timers_that_are_set() {
    let plan = Plan { mix: Mix::CALM, ..Plan::default() };
    let mut sim: Sim<Toy, (), _, _> = Sim::new(plan, toy::configs(3), (), Unchecked, ());
    sim.run_for(SECOND);
    sim.set_pace(A, 500_000);
    sim.set_pace(B, -500_000);
    let passed = minute(&mut sim);
    assert!((89..=91).contains(&passed[0].as_secs()), "{passed:?}");
    assert!((29..=31).contains(&passed[1].as_secs()), "{passed:?}");
    assert!((59..=60).contains(&passed[2].as_secs()), "{passed:?}");
}

#[test]
fn every_kind_of_fault_comes_by_chance() {
    let run = |mix: &Mix| {
        let swarm = Swarm::new(0..60);
        swarm.run(|seed| {
            let plan = Plan { seed, mix: mix.clone(), ..Plan::default() };
            let promises = Promises { ordered: true, ..Promises::default() };
            Sim::<Toy, (), _, _>::new(plan, toy::configs(5), (), promises, ()).run()
        })
    };
    let points = [
        "partition",
        "one-way partition",
        "chained partition",
        "quorum-loss partition",
        "constrained partition",
        "clogged link",
        "swizzled clogging",
        "clock jumps ahead",
        "pause",
        "disk stall",
        "disk full",
        "failed sync",
        "link session lost",
        "crash between write and sync",
        "torn tail",
    ];
    let mut reached = Sometimes::default();
    let sound =
        [Mix::DEFAULT, Mix::LOSSY, Mix::CRASHY, Mix::SLOW_DISKS, Mix::DRIFTING, Mix::STEPPING];
    for mix in sound {
        let summary = run(&mix);
        assert!(summary.failures.is_empty(), "{}: {summary}", mix.name);
        reached.merge(&summary.sometimes);
    }
    for point in points {
        assert!(reached.count(point) > 0, "never: {point}");
    }
    let bad = run(&Mix::BAD_CLOCKS);
    assert!(bad.sometimes.count("clock stands still") > 0);
    assert!(bad.failures.is_empty(), "who trusts no clock does not care: {bad}");
}
