//! ZAB under the simulator's faults: the invariants of the published specification hold after every step,
//! over links with and without order.

use std::time::Duration;

use synod_engine::{NodeId, Sound};
use synod_load::batch::{
    assert_reached, cluster, faults, holds, short_logs, short_logs_and_messages, voters,
};
use synod_load::{Calm, Cluster, Load, NODES, leader};
use synod_sim::{Mix, Plan, Report, Transport};
use synod_zab::{Config, Invariants, Rules, Zab};

fn run(seed: u64, mix: Mix, transport: Transport) -> Report {
    let ids = voters(seed);
    let engines = ids.clone().map(|id| {
        let mut config = Config::new(id, ids.clone());
        config.bounds = short_logs_and_messages(seed);
        config.forward_proposals = !seed.is_multiple_of(3);
        (id, config)
    });
    let plan = Plan { seed, mix, transport, ..Plan::default() };
    cluster::<Zab, Invariants>(plan, engines, Load::new(4)).run()
}

/// Seven nodes, of whom three or five found the group; members come and go.
fn churn<R: Rules>(seed: u64, mix: Mix, transport: Transport, rules: R) -> Report {
    let engines = (1..=7).map(NodeId).map(|id| {
        let mut config = Config::with_rules(id, voters(seed), rules);
        config.part.initial_voters.take_if(|founders| !founders.contains(id));
        config.bounds = short_logs(seed);
        (id, config)
    });
    let plan = Plan { seed, mix, transport, ..Plan::default() };
    cluster::<Zab<R>, Invariants>(plan, engines, Load::with_operator(3).with_priority_0()).run()
}

#[test]
fn members_come_and_go_under_faults() {
    let reached = holds(0..120, |seed| {
        let (mix, transport) = faults(seed);
        churn(seed, mix, transport, Sound)
    });
    let points = [
        "members changed",
        "learner has not caught up",
        "change is pending",
        "joint change left",
        "removed leader steps down",
    ];
    assert_reached(&reached, &points);
}

#[test]
fn the_specification_holds_over_ordered_links() {
    let reached = holds(0..150, |seed| run(seed, Mix::DEFAULT, Transport::Sessions));
    assert_reached(&reached, &POINTS);
}

#[test]
fn the_specification_holds_over_datagrams() {
    let reached = holds(0..150, |seed| run(seed, Mix::LOSSY, Transport::Datagrams));
    assert_reached(&reached, &POINTS);
}

/// What every batch must have met.
const POINTS: [&str; 12] = [
    "leader elected",
    "election under load",
    "DIFF",
    "TRUNC",
    "SNAP",
    "uncommitted entries replaced",
    "snapshot installed",
    "a leader gives up",
    "old log read",
    "old log not read",
    "write acknowledged",
    "read answered",
];

fn calm() -> Calm<Zab, Invariants> {
    calm_by(Plan::default().seed)
}

fn calm_by(seed: u64) -> Calm<Zab, Invariants> {
    Calm::new(seed, |node| Config::new(node, NODES))
}

/// The end of the link tells its followers, and each waits a quarter of `sync_limit_ms` at most for it.
#[test]
fn a_leader_that_dies_has_a_successor_within_half_a_second() {
    for seed in 0..20 {
        let Calm { mut sim, leader: first } = calm_by(seed);
        sim.crash(first);
        let is_led = |sim: &Cluster<_, _>| leader(sim).is_some_and(|leader| leader != first);
        assert!(sim.run_until(Duration::from_millis(500), is_led), "seed {seed}");
    }
}

#[test]
fn a_leaders_disk_that_stalls_for_5_s_costs_no_election_and_stops_no_write() {
    calm().survives_a_stall_of_the_leaders_disk();
}

#[test]
fn disks_of_all_nodes_that_stall_for_5_s_cost_no_election() {
    calm().survives_a_stall_of_all_disks();
}

#[test]
fn a_disk_that_never_syncs_makes_no_leader_and_acknowledges_nothing() {
    calm().disks_that_never_sync_promise_nothing();
}
