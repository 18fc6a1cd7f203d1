//! Batches of random runs: the store on a log, sound under every mix, every run repeatable to the byte.
//! `synod swarm ENGINE --seeds 100000` is the same with more seeds.

use synod::engines::EngineName;
use synod::sim::{Planted, Runs};
use synod_sim::{Chance, Decisions, Mix, Report, Swarm, Verdict};

fn runs(engine: &str) -> Runs {
    let engine = EngineName::named(engine).expect("an engine of this program");
    Runs { engine, ..Runs::default() }
}

/// The first failure of these runs.
fn found(runs: &Runs) -> Option<Report> {
    let swarm = Swarm { max_failures: 1, ..Swarm::new(0..1_000) };
    swarm.run(|seed| runs.run(seed)).failures.into_iter().next()
}

pub(crate) fn are_sound_and_reach_the_points(engine: &str) {
    let runs = runs(engine);
    let summary = Swarm::new(0..200).run(|seed| runs.run(seed));
    assert!(summary.failures.is_empty(), "{summary}");
    assert_eq!(summary.missed(&runs.points()), [""; 0]);
}

pub(crate) fn repeat_to_the_byte(engine: &str) {
    let runs = runs(engine);
    for seed in 0..8 {
        let again = || {
            let mut plan = runs.plan(seed);
            (plan.trace, plan.max_events) = (true, 3_000);
            Planted::Nothing.run(runs.engine, plan, "")
        };
        let (one, two) = (again(), again());
        assert!(one.trace.as_ref().is_some_and(|trace| trace.len() > 10_000));
        assert_eq!(one.trace, two.trace);
        assert_eq!(one.report, two.report);
    }
}

pub(crate) fn replay_from_decisions(engine: &str) {
    let runs = Runs { max_events: 3_000, ..runs(engine) };
    for seed in 0..8 {
        let mut plan = runs.plan(seed);
        (plan.trace, plan.chance) = (true, Chance::Recorded);
        let recorded = Planted::Nothing.run(runs.engine, plan, &runs.words(seed));
        let text = recorded.decisions.expect("it was recorded").to_string();
        let decisions: Decisions = text.parse().expect("what was written can be read");
        let (same, seed) = Runs::from_words(&decisions.config).expect("its own words");
        let mut plan = same.plan(seed);
        (plan.trace, plan.chance) = (true, Chance::Replayed(decisions));
        let replayed = Planted::Nothing.run(same.engine, plan, "");
        assert_eq!(recorded.trace, replayed.trace);
        assert_eq!(recorded.report.trace_hash, replayed.report.trace_hash);
    }
}

/// The judges are awake, whatever the log: a store that forgets its sessions is found out.
pub(crate) fn find_lost_sessions(engine: &str) {
    let runs = runs(engine);
    let planted = Planted::named(runs.engine, "sessions_in_snapshot").expect("a rule");
    let runs = Runs { mix: Some(Mix::CRASHY), planted, ..runs };
    // Nodes that refuse what others apply come to different states: reads that may be old tell.
    let expected = ["Linearizability", "Exactly Once", "One State Per Index"];
    let told = |report: &Report| matches!(&report.verdict, Verdict::Violated(by) if expected.contains(&by.invariant));
    assert!((0..1_000).any(|seed| told(&runs.run(seed))), "it went unnoticed");
}

pub(crate) fn find_a_lying_disk(engine: &str) {
    let runs = Runs { mix: Some(Mix::LYING_DISK), ..runs(engine) };
    assert!(found(&runs).is_some(), "a lie went unnoticed");
}
