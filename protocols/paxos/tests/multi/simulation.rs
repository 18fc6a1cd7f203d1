//! Multi-Paxos under the simulator's faults: its invariants hold after every step, over links with and
//! without order, reads are current, and in the end everything works again.

use std::ops::Range;
use std::time::Duration;

use synod_consensus::{ReplicatedLog, Role};
use synod_engine::{NodeId, Sometimes, Sound};
use synod_load::{Calm, Load, NODES, Register};
use synod_log::Lease;
use synod_paxos::multi::{Config, Invariants, MultiPaxos, Rules};
use synod_sim::replicated::Replicated;
use synod_sim::{Mix, Plan, Report, Span, Transport};

pub(crate) type Cluster<R = Sound> = synod_load::Cluster<MultiPaxos<R>, Invariants>;

/// Three or five nodes.
pub(crate) fn run<R: Rules>(seed: u64, mix: Mix, transport: Transport, rules: R) -> Report {
    let voters = [3, 5][(seed % 2) as usize];
    let ids = (1..=voters).map(NodeId);
    let lease = (mix == Mix::DRIFTING).then_some(Lease { max_drift_percent: 10 });
    let engines = ids.clone().map(|id| {
        let mut config = Config::with_rules(id, ids.clone(), rules);
        config.bounds.snapshot_every = 10 + seed % 90;
        config.forward_proposals = seed.is_multiple_of(3);
        config.bounds.keep_log_bytes = 15 * (seed % 20) as usize;
        config.bounds.max_cached_log_bytes = 40 * (seed % 7) as usize;
        config.bounds.max_append_bytes = 64 << (seed % 12);
        config.bounds.max_in_flight_appends = 1 + (seed % 8) as usize;
        (config.bounds.max_command_bytes, config.bounds.max_uncommitted_bytes) =
            (1000, 1000 + 100 * (seed % 50) as usize);
        config.sticky_leader = seed % 4 != 3;
        config.timing.lease = lease;
        (id, config)
    });
    let plan = Plan { seed, mix, transport, ..Plan::default() };
    let app = Replicated::new(Register::default());
    let sim = Cluster::<R>::new(plan, engines, app, Invariants::default(), Load::new(4));
    to_the_end(sim)
}

/// Seven nodes, of whom three or five found the group; members come and go.
pub(crate) fn churn<R: Rules>(seed: u64, mix: Mix, transport: Transport, rules: R) -> Report {
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
    let sim = Cluster::<R>::new(plan, engines, app, Invariants::default(), Load::with_operator(3));
    to_the_end(sim)
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
        "members changed behind a closed window",
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
        let report = run(seed, mix.clone(), transport, Sound);
        assert!(report.verdict.is_sound(), "{report}");
        all.merge(&report.sometimes);
    }
    all
}

#[test]
fn the_invariants_hold_over_ordered_links() {
    let reached = holds(&Mix::DEFAULT, Transport::Sessions, 0..40);
    assert_reached(&reached);
}

#[test]
fn the_invariants_hold_over_datagrams() {
    let reached = holds(&Mix::LOSSY, Transport::Datagrams, 0..100);
    assert_reached(&reached);
    for point in ["chosen out of order", "gap filled with no-ops"] {
        assert!(reached.count(point) > 0, "never: {point}");
    }
}

#[test]
fn reads_by_lease_are_current_although_clocks_drift() {
    let reached = holds(&Mix::DRIFTING, Transport::Sessions, 0..40);
    assert!(reached.count("read answered by lease") > 1000);
}

/// Seeds that never came to these points would have tested little.
fn assert_reached(reached: &Sometimes) {
    let points = [
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
    for point in points {
        assert!(reached.count(point) > 0, "never: {point}");
    }
}

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
        let app = Replicated::new(Register::default());
        let mut sim = Cluster::new(plan, engines, app, Invariants::default(), Load::new(4));
        let leads =
            |sim: &Cluster| sim.engines().any(|(_, engine)| engine.status().role == Role::Leader);
        assert!(sim.run_until(Duration::from_secs(60), leads), "nobody in seed {seed}");
    }
}
