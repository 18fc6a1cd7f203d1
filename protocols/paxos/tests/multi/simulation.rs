//! Multi-Paxos under the simulator's faults: its invariants hold after every step, over links with and
//! without order, reads are current, and in the end everything works again.

use std::time::Duration;

use synod_consensus::{ReplicatedLog, Role};
use synod_engine::{NodeId, Sound};
use synod_load::batch::{
    assert_reached, cluster, faults, holds, short_logs, short_logs_and_messages, voters,
};
use synod_load::{Calm, Load, NODES};
use synod_log::Lease;
use synod_paxos::multi::{Config, Invariants, MultiPaxos, Rules};
use synod_sim::{Mix, Plan, Report, Span, Transport};

pub(crate) type Cluster<R = Sound> = synod_load::Cluster<MultiPaxos<R>, Invariants>;

/// Three or five nodes.
pub(crate) fn run<R: Rules>(seed: u64, mix: Mix, transport: Transport, rules: R) -> Report {
    let ids = voters(seed);
    let lease = (mix == Mix::DRIFTING).then_some(Lease { max_drift_percent: 10 });
    let engines = ids.clone().map(|id| {
        let mut config = Config::with_rules(id, ids.clone(), rules);
        config.bounds = short_logs_and_messages(seed);
        config.forward_proposals = seed.is_multiple_of(3);
        (config.bounds.max_command_bytes, config.bounds.max_uncommitted_bytes) =
            (1000, 1000 + 100 * (seed % 50) as usize);
        config.sticky_leader = seed % 4 != 3;
        config.timing.lease = lease;
        (id, config)
    });
    let plan = Plan { seed, mix, transport, ..Plan::default() };
    to_the_end(cluster(plan, engines, Load::new(4)))
}

/// Seven nodes, of whom three or five found the group; members come and go.
pub(crate) fn churn<R: Rules>(seed: u64, mix: Mix, transport: Transport, rules: R) -> Report {
    let engines = (1..=7).map(NodeId).map(|id| {
        let mut config = Config::with_rules(id, voters(seed), rules);
        config.part.initial_voters.take_if(|founders| !founders.contains(id));
        config.bounds = short_logs(seed);
        (id, config)
    });
    let plan = Plan { seed, mix, transport, ..Plan::default() };
    to_the_end(cluster(plan, engines, Load::with_operator(3)))
}

/// Runs, and sees that all members agree in the end.
fn to_the_end<R: Rules>(mut sim: Cluster<R>) -> Report {
    sim.run_events();
    sim.recover(Duration::from_secs(60), missing);
    sim.judge();
    sim.report()
}

/// Who does not follow the leader closely, if there is one.
fn missing<R: Rules>(sim: &Cluster<R>) -> Option<String> {
    let leads = |(_, engine): &(NodeId, &MultiPaxos<R>)| engine.status().role == Role::Leader;
    let leaders = sim.engines().filter(leads).map(|(_, engine)| engine.status());
    let Some(leader) = leaders.max_by_key(|status| status.epoch) else {
        return Some("nobody leads".into());
    };
    if leader.commit.0 + 1000 < leader.last.0 || leader.applied < leader.commit {
        return Some(format!("{} applied {} of {}", leader.node, leader.applied, leader.last));
    }
    let late = leader.members.iter().map(|member| member.node).find(|node| {
        let status = sim.engine(*node).map(ReplicatedLog::status);
        status.is_none_or(|it| it.epoch != leader.epoch || it.commit.0 + 100 < leader.commit.0)
    });
    late.map(|node| format!("{node} does not follow {}", leader.node))
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
        "members changed behind a closed window",
        "removed leader steps down",
    ];
    assert_reached(&reached, &points);
}

#[test]
fn the_invariants_hold_over_ordered_links() {
    let reached = holds(0..40, |seed| run(seed, Mix::DEFAULT, Transport::Sessions, Sound));
    assert_reached(&reached, &POINTS);
}

#[test]
fn the_invariants_hold_over_datagrams() {
    let reached = holds(0..100, |seed| run(seed, Mix::LOSSY, Transport::Datagrams, Sound));
    assert_reached(&reached, &POINTS);
    for point in ["chosen out of order", "gap filled with no-ops"] {
        assert!(reached.count(point) > 0, "never: {point}");
    }
}

#[test]
fn reads_by_lease_are_current_although_clocks_drift() {
    let reached = holds(0..40, |seed| run(seed, Mix::DRIFTING, Transport::Sessions, Sound));
    assert!(reached.count("read answered by lease") > 1000);
}

/// What every batch must have met.
const POINTS: [&str; 9] = [
    "leader elected",
    "values adopted",
    "chosen values learned",
    "snapshot installed",
    "old log read",
    "old log not read",
    "leader steps down without a majority",
    "write acknowledged",
    "read answered",
];

fn calm() -> Calm<MultiPaxos, Invariants> {
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

/// Of proposers whose phase 1 takes longer than the others leave them alone each would overtake the last, again
/// and again.
#[test]
fn of_five_proposers_with_slow_disks_one_comes_to_lead() {
    let mix = Mix { sync: Span::millis(200, 250), ..Mix::CALM };
    let ids = (1..=5).map(NodeId);
    for seed in 0..20 {
        let engines = ids.clone().map(|id| (id, Config::new(id, ids.clone())));
        let plan = Plan { seed, mix: mix.clone(), ..Plan::default() };
        let mut sim: Cluster = cluster(plan, engines, Load::new(4));
        let leads =
            |sim: &Cluster| sim.engines().any(|(_, engine)| engine.status().role == Role::Leader);
        assert!(sim.run_until(Duration::from_secs(60), leads), "nobody in seed {seed}");
    }
}
