//! Raft under the simulator's faults: figure 3 holds after every step, over links with and without
//! order.

use synod_engine::{NodeId, Sound};
use synod_load::batch::{
    assert_reached, cluster, faults, holds, short_logs, short_logs_and_messages, voters,
};
use synod_load::{Calm, Load, NODES};
use synod_raft::{Config, Invariants, Raft, Rules};
use synod_sim::{Mix, Plan, Report, Transport};

fn run(seed: u64, mix: Mix, transport: Transport) -> Report {
    let ids = voters(seed);
    let engines = ids.clone().map(|id| {
        let mut config = Config::new(id, ids.clone());
        config.bounds = short_logs_and_messages(seed);
        config.forward_proposals = seed.is_multiple_of(3);
        config.hibernate_after_heartbeats = (seed % 4 == 3).then_some(1);
        (id, config)
    });
    let plan = Plan { seed, mix, transport, ..Plan::default() };
    cluster::<Raft, Invariants>(plan, engines, Load::new(4)).run()
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
    cluster::<Raft<R>, Invariants>(plan, engines, Load::with_operator(3)).run()
}

#[test]
fn members_come_and_go_under_faults() {
    let reached = holds(0..60, |seed| {
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
fn figure_3_holds_over_ordered_links() {
    let reached = holds(0..40, |seed| run(seed, Mix::DEFAULT, Transport::Sessions));
    assert_reached(&reached, &POINTS);
}

#[test]
fn figure_3_holds_over_datagrams() {
    let reached = holds(0..40, |seed| run(seed, Mix::LOSSY, Transport::Datagrams));
    assert_reached(&reached, &POINTS);
    assert!(reached.count("a pull cut entries") > 0, "most pulls only add");
}

/// What every batch must have met.
const POINTS: [&str; 11] = [
    "leader elected",
    "election under load",
    "conflict back-up",
    "uncommitted entries replaced",
    "snapshot installed",
    "log pulled without a leader",
    "old log read",
    "old log not read",
    "leader steps down without a majority",
    "write acknowledged",
    "read answered",
];

fn calm() -> Calm<Raft, Invariants> {
    Calm::new(Plan::default().seed, |node| Config::new(node, NODES))
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
