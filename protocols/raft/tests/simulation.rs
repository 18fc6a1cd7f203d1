//! Raft under the simulator's faults: figure 3 holds after every step, over links with and without
//! order.

use std::ops::Range;

use synod_engine::{NodeId, Sometimes, Sound};
use synod_load::{Calm, Cluster, Load, NODES, Register};
use synod_raft::{Config, Invariants, Raft, Rules};
use synod_sim::replicated::Replicated;
use synod_sim::{Mix, Plan, Report, Transport};

fn run(seed: u64, mix: Mix, transport: Transport) -> Report {
    let voters = [3, 5][(seed % 2) as usize];
    let ids = (1..=voters).map(NodeId);
    let engines = ids.clone().map(|id| {
        let mut config = Config::new(id, ids.clone());
        config.bounds.snapshot_every = 10 + seed % 90;
        config.forward_proposals = seed.is_multiple_of(3);
        config.bounds.keep_log_bytes = 15 * (seed % 20) as usize;
        config.bounds.max_cached_log_bytes = 40 * (seed % 7) as usize;
        config.bounds.max_append_bytes = 64 << (seed % 12);
        config.bounds.max_in_flight_appends = 1 + (seed % 8) as usize;
        config.hibernate_after_heartbeats = (seed % 4 == 3).then_some(1);
        (id, config)
    });
    let plan = Plan { seed, mix, transport, ..Plan::default() };
    let app = Replicated::new(Register::default());
    let (invariants, load) = (Invariants::default(), Load::new(4));
    Cluster::<Raft, _>::new(plan, engines, app, invariants, load).run()
}

/// Seven nodes, of whom three or five found the group; members come and go.
fn churn<R: Rules>(seed: u64, mix: Mix, transport: Transport, rules: R) -> Report {
    let founders = [3, 5][(seed % 2) as usize];
    let engines = (1..=7).map(NodeId).map(|id| {
        let mut config = Config::with_rules(id, (1..=founders).map(NodeId), rules);
        config.part.initial_voters.take_if(|founders| !founders.contains(id));
        config.bounds.snapshot_every = 10 + seed % 90;
        config.bounds.keep_log_bytes = 15 * (seed % 20) as usize;
        config.bounds.max_cached_log_bytes = 40 * (seed % 7) as usize;
        (id, config)
    });
    let plan = Plan { seed, mix, transport, ..Plan::default() };
    let app = Replicated::new(Register::default());
    let (invariants, load) = (Invariants::default(), Load::with_operator(3));
    Cluster::<Raft<R>, _>::new(plan, engines, app, invariants, load).run()
}

#[test]
fn members_come_and_go_under_faults() {
    let mut all = Sometimes::default();
    for seed in 0..60 {
        let (mix, transport) = match seed % 3 {
            0 => (Mix::DEFAULT, Transport::Sessions),
            1 => (Mix::LOSSY, Transport::Datagrams),
            _ => (Mix::CRASHY, Transport::Sessions),
        };
        let report = churn(seed, mix, transport, Sound);
        assert!(report.verdict.is_sound(), "{report}");
        all.merge(&report.sometimes);
    }
    let points = [
        "members changed",
        "learner has not caught up",
        "change is pending",
        "joint change left",
        "removed leader steps down",
    ];
    for point in points {
        assert!(all.count(point) > 0, "never: {point}");
    }
}

/// Runs all seeds; every one must be sound. What they reached.
fn holds(mix: &Mix, transport: Transport, seeds: Range<u64>) -> Sometimes {
    let mut all = Sometimes::default();
    for seed in seeds {
        let report = run(seed, mix.clone(), transport);
        assert!(report.verdict.is_sound(), "{report}");
        all.merge(&report.sometimes);
    }
    all
}

#[test]
fn figure_3_holds_over_ordered_links() {
    let reached = holds(&Mix::DEFAULT, Transport::Sessions, 0..40);
    assert_reached(&reached);
}

#[test]
fn figure_3_holds_over_datagrams() {
    let reached = holds(&Mix::LOSSY, Transport::Datagrams, 0..40);
    assert_reached(&reached);
    assert!(reached.count("a pull cut entries") > 0, "most pulls only add");
}

/// Seeds that never came to these points would have tested little.
fn assert_reached(reached: &Sometimes) {
    let points = [
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
    for point in points {
        assert!(reached.count(point) > 0, "never: {point}");
    }
}

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
