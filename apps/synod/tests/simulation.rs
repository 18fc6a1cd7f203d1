//! What Raft would break without, found by the store and the invariants in random runs. What every log must
//! do is in `conformance`; `synod swarm raft --without RULE` tries any rule.

use synod::engines::EngineName;
use synod::sim::{Planted, Runs};
use synod_sim::{Mix, Report, Swarm, Verdict};

fn without(rule: &str) -> Runs {
    let planted = Planted::named(EngineName::Raft, rule).expect("a rule");
    Runs { mix: Some(Mix::CRASHY), planted, ..Runs::default() }
}

#[test]
fn a_vote_that_is_not_durable_is_found() {
    // Most who forget their vote forget their term too, are not heard for it, and nobody leads. Not all.
    let runs = without("vote_is_durable");
    let expected = ["One Vote Per Term", "Election Safety"];
    let told = |report: &Report| matches!(&report.verdict, Verdict::Violated(by) if expected.contains(&by.invariant));
    assert!((0..1_000).any(|seed| told(&runs.run(seed))), "two votes of a term went unnoticed");
}

#[test]
fn a_commit_of_an_old_term_by_counting_is_found() {
    let runs = without("own_term_commit");
    let swarm = Swarm { max_failures: usize::MAX, ..Swarm::new(1_000..2_000) };
    let expected = ["Leader Completeness", "State Machine Safety"];
    let told = |report: &Report| matches!(&report.verdict, Verdict::Violated(by) if expected.contains(&by.invariant));
    let failures = swarm.run(|seed| runs.run(seed)).failures;
    assert!(failures.iter().any(told), "it went unnoticed: {failures:?}");
}
