//! Small runs that failed once, in `corpus/`: each is the log of the decisions that were left when a failure was
//! shrunk, and says how it ended.
//!
//! A log with a rule taken out is a *canary*: it must still end as it did, and break nothing once the rule is back. A
//! log with all rules in is of a bug that was mended: it must break nothing.
//!
//! A log rots when draws move: the run that it stands for is another one then. A canary that has rotted is looked
//! for anew among whole runs; the test fails only if the fault is not found at all. To have it found, shrunk and
//! written anew: `SYNOD_REWRITE=1 cargo test -p synod --test corpus`. A log of a mended bug rots without a
//! word: such a bug gets a story of its own, beside the log.
//!
//! To add one: `synod sim kv --engine E --seed S --without RULE --shrink --record FILE`.

#![allow(clippy::unwrap_used, reason = "a log that cannot be read fails the test")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use synod::sim::{Budget, Planted, Run, Runs, shrink};
use synod_sim::{Chance, Decisions, Kind, Plan};

fn logs() -> Vec<(PathBuf, Decisions)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let log = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).unwrap();
        let log = text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        (file, log)
    };
    files.into_iter().map(log).collect()
}

fn replay(runs: &Runs, seed: u64, log: &Decisions) -> Run {
    let plan = Plan { give_up_after: 10_000_000, ..runs.plan(seed).replaying(log.clone()) };
    runs.planted.run(runs.engine, plan, &runs.words(seed))
}

/// The first whole run under the same faults that ends like this log.
fn found_anew(runs: &Runs, ended: &str) -> Option<Decisions> {
    let runs = Runs { max_events: Runs::default().max_events, ..runs.clone() };
    let seed = (0..1_000).find(|seed| runs.run(*seed).verdict.name() == ended)?;
    let plan = Plan { chance: Chance::Recorded, ..runs.plan(seed) };
    runs.planted.run(runs.engine, plan, &runs.words(seed)).decisions
}

fn rewrite(file: &Path, log: &Decisions) {
    let budget = Budget { runs: 5_000, time: Duration::from_secs(120) };
    let small = shrink(log, budget).expect("it is deterministic");
    std::fs::write(file, small.run.decisions.unwrap().to_string()).unwrap();
}

#[test]
fn what_was_found_once_is_found_and_what_was_mended_stays_mended() {
    let rewrites = std::env::var("SYNOD_REWRITE").is_ok_and(|value| value == "1");
    for (file, log) in logs() {
        let name = file.file_name().unwrap().display();
        let (runs, seed) = Runs::from_words(&log.config).expect("the words of this version");
        let whole = Runs { planted: Planted::Nothing, ..runs.clone() };
        let report = replay(&whole, seed, &log).report;
        // With all draws at their calmest a client asks one node for ever, for one: it may wait in vain.
        let is_well = matches!(report.verdict.kind(), Kind::Ok | Kind::Liveness);
        assert!(is_well && report.verdict.name() != log.ended, "{name}: {report}");
        if runs.planted == Planted::Nothing {
            continue;
        }
        let now = replay(&runs, seed, &log).report.verdict.name();
        if now == log.ended && !rewrites {
            continue;
        }
        let anew = found_anew(&runs, &log.ended);
        let anew = anew.unwrap_or_else(|| panic!("{name}: 1,000 runs, and no {}", log.ended));
        if rewrites {
            rewrite(&file, &anew);
        } else {
            eprintln!("{name} has rotted: {now} now, {} then; write it anew", log.ended);
        }
    }
}

/// Or a reader would believe that something is tested.
#[test]
fn the_corpus_has_canaries_of_every_engine_and_they_are_small() {
    let logs = logs();
    for engine in ["raft", "paxos", "zab"] {
        let canaries = logs.iter().filter(|(_, log)| {
            let (runs, _) = Runs::from_words(&log.config).unwrap();
            runs.engine.name() == engine && runs.planted != Planted::Nothing
        });
        assert!(canaries.count() > 0, "{engine}");
    }
    for (file, log) in logs {
        assert!(log.weight() < 500, "{}: {} draws", file.display(), log.weight());
    }
}
