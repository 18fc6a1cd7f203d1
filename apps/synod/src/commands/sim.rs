//! `synod sim kv`: one run of the store in the simulator, looked at closely. Many are `swarm.rs`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use synod_sim::{Chance, Decisions, Report};

use super::runs::RunArgs;
use crate::engines::EngineName;
use crate::exit::{Exit, Failure, Result};
use crate::output::{say, table, tell, write_bytes};
use crate::sim::{Budget, Run, Runs, Shrunk, shrink};

#[derive(Args, Debug)]
pub(crate) struct SimArgs {
    /// The replicated log beneath the store
    #[arg(long, value_enum, default_value_t)]
    engine: EngineName,
    /// Which run: one seed is one run, the same everywhere
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    runs: RunArgs,
    /// Print everything that happens
    #[arg(long)]
    trace: bool,
    /// Write all decisions of the run to this file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Run the decisions in this file again, without drawing any
    #[arg(long, value_name = "FILE", conflicts_with_all = ["engine", "seed", "mix", "transport", "events", "without", "record"])]
    replay: Option<PathBuf>,
    /// If the run fails, find a smaller one that fails in the same way, and write its decisions to a file:
    /// that of --record, that of --replay anew, or ENGINE-SEED.decisions
    #[arg(long)]
    shrink: bool,
    /// For how long to look for a smaller one
    #[arg(long, value_name = "SECONDS", default_value_t = 20, requires = "shrink")]
    shrink_seconds: u64,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &SimArgs) -> Result<Exit> {
    if let Some(file) = &args.replay {
        return replay(args, file);
    }
    one(args, &args.runs.of(args.engine)?)
}

fn one(args: &SimArgs, runs: &Runs) -> Result<Exit> {
    let mut plan = runs.plan(args.seed);
    plan.trace = args.trace;
    if args.record.is_some() || args.shrink {
        plan.chance = Chance::Recorded;
    }
    let run = runs.planted.run(runs.engine, plan, &runs.words(args.seed));
    if let (Some(file), Some(decisions)) = (&args.record, &run.decisions) {
        write(file, decisions)?;
    }
    let file = || format!("{}-{}.decisions", runs.engine, args.seed).into();
    let file = args.record.clone().unwrap_or_else(file);
    tell_one(args, &run, &file)
}

fn write(file: &Path, decisions: &Decisions) -> Result<()> {
    std::fs::write(file, decisions.to_string())
        .map_err(|error| Failure::usage(format!("cannot write {}: {error}", file.display())))
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
    let (ended, plan) = (decisions.ended.clone(), plan.replaying(decisions));
    let run = runs.planted.run(runs.engine, plan, &runs.words(seed));
    let now = run.report.verdict.name();
    if now != ended && !args.json {
        say!("It ended otherwise when it was recorded, by another version perhaps: {ended}.");
    }
    tell_one(args, &run, file)
}

/// Tells a run; if it failed and shall be made small, that goes to this file.
fn tell_one(args: &SimArgs, run: &Run, file: &Path) -> Result<Exit> {
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
    if args.shrink && !report.verdict.is_sound() {
        shrunk(args, run, file)?;
    }
    Ok(report.verdict.kind().into())
}

/// Makes a failure small, and says how to see it again.
fn shrunk(args: &SimArgs, run: &Run, file: &Path) -> Result<()> {
    let time = Duration::from_secs(args.shrink_seconds);
    let log = run.decisions.as_ref().expect("it was recorded, or replayed");
    let Some(small) = Small::of(log, time, file)? else {
        let what = "the run failed, and its replay ends otherwise: something is not deterministic";
        return Err(Failure::new(Exit::Parted, what));
    };
    if args.json {
        tell(&small.as_json());
    } else {
        say!("{small}");
    }
    Ok(())
}

/// A failure that was made small and written down.
pub(super) struct Small {
    file: PathBuf,
    draws: usize,
    of: usize,
    events: u64,
    tried: usize,
}

impl Small {
    /// Makes the failure of `log` small, for no longer than this; `None` if its replay ends otherwise.
    pub(super) fn of(log: &Decisions, time: Duration, file: &Path) -> Result<Option<Self>> {
        let Some(Shrunk { run, tried }) = shrink(log, Budget { runs: usize::MAX, time }) else {
            return Ok(None);
        };
        let small = run.decisions.as_ref().expect("it was replayed");
        write(file, small)?;
        let (draws, of, events) = (small.weight(), log.weight(), run.report.events);
        Ok(Some(Self { file: file.to_owned(), draws, of, events, tried }))
    }

    fn command(&self) -> String {
        format!("synod sim kv --trace --replay {}", self.file.display())
    }

    pub(super) fn as_json(&self) -> Value {
        let Self { file, draws, of, events, tried } = self;
        json!({ "shrunk": { "file": file, "draws": draws, "of": of, "events": events, "runs": tried,
                            "command": self.command() } })
    }
}

impl fmt::Display for Small {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { draws, of, events, tried, .. } = self;
        let command = self.command();
        write!(
            f,
            "  made small: {draws} of {of} draws are left, {events} events, found in {tried} runs: {command}"
        )
    }
}

pub(super) fn as_json(report: &Report) -> Value {
    json!({
        "seed": report.seed,
        "sound": report.verdict.is_sound(),
        "kind": report.verdict.kind().name(),
        "verdict": report.verdict.to_string(),
        "events": report.events,
        "virtual_seconds": report.elapsed.as_secs_f64(),
        "trace_hash": format!("{:016x}", report.trace_hash),
        "points": report.sometimes.iter().collect::<std::collections::BTreeMap<_, _>>(),
        "faults": report.counts.fields().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
    })
}
