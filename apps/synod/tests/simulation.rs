//! The store on Raft in the simulator: sound under every mix, every planted fault found, every run
//! repeatable to the byte. `synod sim raft --seeds 100000` is the same with more seeds.

use synod::sim::{POINTS, Planted, Runs};
use synod_sim::{Chance, Decisions, Mix, Report, Swarm, Verdict};

/// The first failure of these runs.
fn found(runs: &Runs) -> Option<Report> {
    let swarm = Swarm { max_failures: 1, ..Swarm::new(0..1_000) };
    swarm.run(|seed| runs.run(seed)).failures.into_iter().next()
}

fn without(rule: &str, mix: Mix) -> Runs {
    let planted = Planted::named(rule).expect("a rule");
    Runs { mix: Some(mix), planted, ..Runs::default() }
}

fn violated(report: Option<Report>) -> &'static str {
    match report.map(|report| report.verdict) {
        Some(Verdict::Violated(violation)) => violation.invariant,
        other => panic!("no violation: {other:?}"),
    }
}

#[test]
fn sound_runs_are_sound_and_reach_the_interesting_points() {
    let runs = Runs::default();
    let summary = Swarm::new(0..200).run(|seed| runs.run(seed));
    assert!(summary.failures.is_empty(), "{summary}");
    assert_eq!(summary.missed(POINTS), [""; 0]);
}

#[test]
fn a_vote_that_is_not_durable_is_found() {
    // Most who forget their vote forget their term too, are not heard for it, and nobody leads. Not all.
    let runs = without("vote_is_durable", Mix::CRASHY);
    let expected = ["One Vote Per Term", "Election Safety"];
    let told = |report: &Report| matches!(&report.verdict, Verdict::Violated(by) if expected.contains(&by.invariant));
    assert!((0..1_000).any(|seed| told(&runs.run(seed))), "two votes of a term went unnoticed");
}

#[test]
fn a_commit_of_an_old_term_by_counting_is_found() {
    let invariant = violated(found(&without("own_term_commit", Mix::CRASHY)));
    assert!(["Leader Completeness", "State Machine Safety"].contains(&invariant), "{invariant}");
}

#[test]
fn a_snapshot_without_the_sessions_is_found() {
    let invariant = violated(found(&without("sessions_in_snapshot", Mix::CRASHY)));
    // Nodes that refuse what others apply come to different states: reads that may be old tell.
    let expected = ["Linearizability", "Exactly Once", "One State Per Index"];
    assert!(expected.contains(&invariant), "{invariant}");
}

#[test]
fn a_disk_that_lies_about_syncing_is_found() {
    let runs = Runs { mix: Some(Mix::LYING_DISK), ..Runs::default() };
    assert!(found(&runs).is_some(), "a lie went unnoticed");
}

#[test]
fn the_same_seed_gives_the_same_trace_to_the_byte() {
    let runs = Runs::default();
    for seed in 0..8 {
        let again = || {
            let mut plan = runs.plan(seed);
            (plan.trace, plan.max_events) = (true, 3_000);
            Planted::Nothing.run(plan, "")
        };
        let (one, two) = (again(), again());
        assert!(one.trace.as_ref().is_some_and(|trace| trace.len() > 10_000));
        assert_eq!(one.trace, two.trace);
        assert_eq!(one.report, two.report);
    }
}

#[test]
fn a_log_of_decisions_replays_its_run() {
    let runs = Runs { max_events: 3_000, ..Runs::default() };
    for seed in 0..8 {
        let mut plan = runs.plan(seed);
        (plan.trace, plan.chance) = (true, Chance::Recorded);
        let recorded = Planted::Nothing.run(plan, &runs.words(seed));
        let text = recorded.decisions.expect("it was recorded").to_string();
        let decisions: Decisions = text.parse().expect("what was written can be read");
        let (same, seed) = Runs::from_words(&decisions.config).expect("its own words");
        let mut plan = same.plan(seed);
        (plan.trace, plan.chance) = (true, Chance::Replayed(decisions));
        let replayed = Planted::Nothing.run(plan, "");
        assert_eq!(recorded.trace, replayed.trace);
        assert_eq!(recorded.report.trace_hash, replayed.report.trace_hash);
    }
}
