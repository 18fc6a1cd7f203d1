//! `synod sim`: runs of the store in the simulator, one or many.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use synod_sim::{Chance, Decisions, Mix, Report, Summary, Swarm, Transport};

use crate::engines::EngineName;
use crate::exit::{Exit, Failure, Result};
use crate::output::{say, table, tell, write_bytes};
use crate::sim::{Planted, Run, Runs};

#[derive(Args, Debug)]
pub(crate) struct SimArgs {
    /// The replicated log beneath the store
    #[arg(long, value_enum, default_value_t)]
    engine: EngineName,
    /// The first seed; one seed is one run, the same everywhere
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds to run
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// On how many threads [default: all]
    #[arg(long)]
    jobs: Option<std::num::NonZeroUsize>,
    /// Which faults: calm, default, lossy, crashy, slow-disks, drifting, lying-disk or bad-clocks
    /// [default: default, lossy, crashy, slow-disks and drifting, in turn]
    #[arg(long, value_parser = mix)]
    mix: Option<Mix>,
    /// How messages travel: sessions or datagrams [default: in turn]
    #[arg(long, value_parser = transport)]
    transport: Option<Transport>,
    /// The length of each run
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Break this rule, to see it found; `--without help` lists them
    #[arg(long, value_name = "RULE", default_value = "nothing", hide_default_value = true)]
    without: String,
    /// Stop after so many failures
    #[arg(long, default_value = "10")]
    max_failures: std::num::NonZeroUsize,
    /// Print everything that happens; one seed only
    #[arg(long, conflicts_with = "seeds")]
    trace: bool,
    /// Write all decisions of the run to this file; one seed only
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    record: Option<PathBuf>,
    /// Run the decisions in this file again, without drawing any
    #[arg(long, value_name = "FILE", conflicts_with_all = ["engine", "seed", "seeds", "mix", "transport", "events", "without", "record"])]
    replay: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

fn mix(name: &str) -> std::result::Result<Mix, String> {
    let names = || Mix::NAMED.map(|mix| mix.name).join(", ");
    Mix::named(name).ok_or_else(|| format!("there is no such mix; there are {}", names()))
}

fn transport(name: &str) -> std::result::Result<Transport, String> {
    match name {
        "sessions" => Ok(Transport::Sessions),
        "datagrams" => Ok(Transport::Datagrams),
        _ => Err("messages travel by sessions or datagrams".into()),
    }
}

fn planted(engine: EngineName, name: &str) -> Result<Planted> {
    Planted::named(engine, name).ok_or_else(|| {
        let names = Planted::names(engine).collect::<Vec<_>>().join(", ");
        Failure::usage(format!(
            "{engine} has no rule {name:?}; the rules are {names}; nothing was run"
        ))
    })
}

pub(crate) fn run(args: &SimArgs) -> Result<Exit> {
    if let Some(file) = &args.replay {
        return replay(args, file);
    }
    let runs = Runs {
        engine: args.engine,
        mix: args.mix.clone(),
        transport: args.transport,
        max_events: args.events,
        planted: planted(args.engine, &args.without)?,
    };
    if args.seeds > 1 { many(args, &runs) } else { one(args, &runs) }
}

fn one(args: &SimArgs, runs: &Runs) -> Result<Exit> {
    let mut plan = runs.plan(args.seed);
    plan.trace = args.trace;
    if args.record.is_some() {
        plan.chance = Chance::Recorded;
    }
    let run = runs.planted.run(runs.engine, plan, &runs.words(args.seed));
    if let (Some(file), Some(decisions)) = (&args.record, &run.decisions) {
        std::fs::write(file, decisions.to_string())
            .map_err(|error| Failure::usage(format!("cannot write {}: {error}", file.display())))?;
    }
    tell_one(args, &run)
}

fn replay(args: &SimArgs, file: &Path) -> Result<Exit> {
    let refuse = |why: String| {
        Failure::usage(format!("{} cannot be replayed: {why}; nothing was run", file.display()))
    };
    let text = std::fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
    let decisions: Decisions = text.parse().map_err(|error| refuse(format!("{error}")))?;
    let (runs, seed) = Runs::from_words(&decisions.config)
        .ok_or_else(|| refuse(format!("nobody can run {:?}", decisions.config)))?;
    let mut plan = runs.plan(seed);
    plan.trace = args.trace;
    plan.chance = Chance::Replayed(decisions);
    tell_one(args, &runs.planted.run(runs.engine, plan, &runs.words(seed)))
}

fn tell_one(args: &SimArgs, run: &Run) -> Result<Exit> {
    if let Some(trace) = &run.trace {
        write_bytes(trace.as_bytes());
    }
    let report = &run.report;
    if args.json {
        tell(&as_json(report));
    } else {
        say!("{report}");
        let mut points = table(&["point", "times"]);
        for (point, count) in report.sometimes.iter() {
            points.add_row([point.to_owned(), count.to_string()]);
        }
        say!("{points}");
    }
    Ok(if report.verdict.is_sound() { Exit::Done } else { Exit::Violation })
}

fn many(args: &SimArgs, runs: &Runs) -> Result<Exit> {
    let threads = args.jobs.map_or(1 << 20, |jobs| jobs.get() as u64);
    let end = args.seed.checked_add(args.seeds).filter(|end| end.checked_add(threads).is_some());
    let end = end.ok_or_else(|| Failure::usage("there are not so many seeds; nothing was run"))?;
    let seeds = args.seed..end;
    let mut swarm = Swarm { max_failures: args.max_failures.get(), ..Swarm::new(seeds) };
    swarm.jobs = args.jobs.unwrap_or(swarm.jobs);
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new(args.seeds) };
    let style = "{bar:40} {pos}/{len} runs, {per_sec}, {eta} left, {msg}";
    bar.set_style(ProgressStyle::with_template(style).expect("a template that was tried"));
    bar.set_message("0 failures");
    let begin = Instant::now();
    let failures = AtomicUsize::new(0);
    let summary = swarm.run(|seed| {
        let report = runs.run(seed);
        bar.inc(1);
        if !report.verdict.is_sound() {
            let count = failures.fetch_add(1, Ordering::Relaxed) + 1;
            bar.set_message(format!("{count} failures"));
        }
        report
    });
    bar.finish_and_clear();
    let seconds = begin.elapsed().as_secs_f64();
    let missed = summary.missed(&runs.points());
    if args.json {
        tell(&summary_as_json(&summary, &missed, seconds));
    } else {
        say!("{}", summary_as_text(&summary, &missed, seconds, runs));
    }
    Ok(match (summary.failures.is_empty(), missed.is_empty()) {
        (false, _) => Exit::Violation,
        (true, false) if args.seeds >= ENOUGH => Exit::Missed,
        (true, _) => Exit::Done,
    })
}

/// A batch of this many runs is expected to reach every point.
const ENOUGH: u64 = 1_000;

fn summary_as_text(summary: &Summary, missed: &[&str], seconds: f64, runs: &Runs) -> String {
    let mut points = table(&["point", "times"]);
    for (point, count) in summary.sometimes.iter() {
        points.add_row([point.to_owned(), count.to_string()]);
    }
    for point in missed {
        points.add_row([(*point).to_owned(), "never".to_owned()]);
    }
    let mut text = format!("{points}\n");
    for report in &summary.failures {
        let command = runs.command(report.seed);
        writeln!(text, "{report}\n  run it again: {command}").expect("memory takes any text");
    }
    let millions = summary.events as f64 / 1e6;
    write!(
        text,
        "{} runs, {millions:.1} M events in {seconds:.0} s ({:.2} M/s), {} failures",
        summary.runs,
        millions / seconds,
        summary.failures.len()
    )
    .expect("memory takes any text");
    text
}

fn summary_as_json(summary: &Summary, missed: &[&str], seconds: f64) -> Value {
    json!({
        "runs": summary.runs,
        "events": summary.events,
        "seconds": seconds,
        "failures": summary.failures.iter().map(as_json).collect::<Vec<_>>(),
        "points": summary.sometimes.iter().collect::<std::collections::BTreeMap<_, _>>(),
        "missed": missed,
        "faults": summary.counts.fields().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
    })
}

fn as_json(report: &Report) -> Value {
    json!({
        "seed": report.seed,
        "sound": report.verdict.is_sound(),
        "verdict": report.verdict.to_string(),
        "events": report.events,
        "virtual_seconds": report.elapsed.as_secs_f64(),
        "trace_hash": format!("{:016x}", report.trace_hash),
        "points": report.sometimes.iter().collect::<std::collections::BTreeMap<_, _>>(),
        "faults": report.counts.fields().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
    })
}
