//! The driver keeps the contract: durability before promises, order in lanes, sessions that end.

mod toy;

use std::time::Duration;

use synod_engine::{LinkState, NodeId, Token};
use synod_sim::{Mix, Plan, Sim, Transport, Unchecked};
use toy::{Ask, Promises, Toy};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const SECOND: Duration = Duration::from_secs(1);

/// Three nodes that do nothing unless asked, in a calm world.
fn calm() -> Sim<Toy, (), Unchecked, ()> {
    let plan = Plan { mix: Mix::CALM, trace: true, ..Plan::default() };
    let mut sim = Sim::new(plan, toy::idle(3), (), Unchecked, ());
    sim.run_for(SECOND);
    sim
}

fn plan(seed: u64, mix: Mix) -> Plan {
    Plan { seed, mix, ..Plan::default() }
}

fn run(plan: Plan) -> synod_sim::Report {
    let promises =
        Promises { ordered: plan.transport == Transport::Sessions, ..Promises::default() };
    Sim::<Toy, (), _, _>::new(plan, toy::configs(3), (), promises, ()).run()
}

#[test]
fn a_disk_that_never_syncs_leaks_nothing_held() {
    let mut sim = calm();
    sim.never_sync(A);
    for number in 1..=9 {
        sim.request(A, Token(number), Ask::Keep(number));
    }
    sim.run_for(60 * SECOND);
    assert_eq!(sim.engine(A).unwrap().kept.len(), 9);
    assert!(sim.engine(A).unwrap().durable.is_empty(), "it told itself");
    assert!(sim.engine(B).unwrap().promised.is_empty(), "it promised others");
    sim.calm();
    sim.run_for(SECOND);
    assert_eq!(sim.engine(A).unwrap().durable, (1..=9).collect::<Vec<_>>());
    assert_eq!(sim.engine(B).unwrap().promised.len(), 9);
}

#[test]
fn a_disk_that_stalls_holds_promises_back_and_nothing_else() {
    let mut configs = toy::configs(3);
    configs.iter_mut().for_each(|(_, config)| config.keep_every = 0);
    let plan = Plan { mix: Mix::CALM, ..Plan::default() };
    let mut sim = Sim::<Toy, (), _, _>::new(plan, configs, (), Unchecked, ());
    sim.run_for(SECOND);
    sim.stall_disk(A, 5 * SECOND);
    sim.request(A, Token(1), Ask::Keep(1));
    let pings = sim.engine(B).unwrap().pings;
    sim.run_for(Duration::from_millis(4_900));
    assert!(sim.engine(B).unwrap().promised.is_empty());
    assert!(sim.engine(B).unwrap().pings > pings + 600, "pings go out now");
    sim.run_for(SECOND);
    assert_eq!(sim.engine(B).unwrap().promised.len(), 1);
}

#[test]
fn a_crash_takes_what_was_not_synced_and_nothing_more() {
    let mut sim = calm();
    sim.request(A, Token(1), Ask::Keep(1));
    sim.run_for(SECOND);
    sim.never_sync(A);
    for number in 2..=5 {
        sim.request(A, Token(number), Ask::Keep(number));
    }
    sim.crash(A);
    assert!(sim.engine(A).is_none());
    sim.restart(A);
    let kept = &sim.engine(A).unwrap().kept;
    assert!(!kept.is_empty() && kept.len() <= 5);
    assert_eq!(*kept, (1..=kept.len() as u64).collect::<Vec<_>>(), "a prefix survives");
}

#[test]
fn a_session_that_loses_a_message_ends_for_both_and_a_new_one_begins() {
    let mut sim = calm();
    let link = |sim: &Sim<Toy, (), _, ()>, at, to| sim.engine(at).unwrap().links[&to];
    assert_eq!(link(&sim, A, B), (LinkState::Opened, 1));
    sim.isolate(&[A]);
    sim.request(A, Token(1), Ask::Keep(1));
    sim.run_for(SECOND);
    assert_eq!(link(&sim, A, B), (LinkState::Closed, 2));
    assert_eq!(link(&sim, B, A), (LinkState::Closed, 2));
    assert_eq!(link(&sim, B, C), (LinkState::Opened, 1));
    sim.heal();
    sim.run_for(SECOND);
    assert_eq!(link(&sim, A, B), (LinkState::Opened, 3));
    assert_eq!(link(&sim, B, A), (LinkState::Opened, 3));
    assert!(sim.engine(B).unwrap().promised.is_empty(), "what was lost stays lost");
}

#[test]
fn held_sends_die_with_the_session_they_were_meant_for() {
    let mut sim = calm();
    sim.stall_disk(A, 3 * SECOND);
    sim.request(A, Token(1), Ask::Keep(1));
    sim.crash(B);
    sim.restart(B);
    sim.run_for(2 * SECOND);
    assert_eq!(sim.engine(B).unwrap().links[&A].0, LinkState::Opened);
    sim.run_for(5 * SECOND);
    assert!(sim.engine(B).unwrap().promised.is_empty(), "sent in the old session");
    assert_eq!(sim.engine(C).unwrap().promised.len(), 1);
}

#[test]
fn lanes_are_in_order_and_promises_durable_under_every_fault() {
    for mix in Mix::NAMED.iter().filter(|mix| mix.name != "lying-disk") {
        for seed in 0..30 {
            let report = run(plan(seed, mix.clone()));
            assert!(report.verdict.is_sound(), "{}: {report}", mix.name);
            let datagrams = Transport::Datagrams;
            let report = run(Plan { transport: datagrams, ..plan(seed, mix.clone()) });
            assert!(report.verdict.is_sound(), "{} as datagrams: {report}", mix.name);
        }
    }
}

#[test]
fn a_disk_that_lies_is_found_out() {
    let found = (0..20).filter(|seed| !run(plan(*seed, Mix::LYING_DISK)).verdict.is_sound());
    assert!(found.count() > 10);
}
