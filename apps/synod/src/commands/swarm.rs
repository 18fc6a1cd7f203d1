//! `synod swarm`: many runs of a replicated log in the simulator, each under faults of its own.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use synod_sim::{Chance, Report, Spread, Summary, Swarm};

use super::runs::RunArgs;
use super::sim::{Small, as_json};
use crate::engines::EngineName;
use crate::exit::{Exit, Failure, Result};
use crate::output::{say, table, tell};
use crate::sim::Runs;

#[derive(Args, Debug)]
pub(crate) struct SwarmArgs {
    /// The replicated log, with the key-value store on it
    #[arg(value_enum)]
    protocol: EngineName,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds to run [default: 1000, or as many as --minutes allows]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Begin no run later than this
    #[arg(long, value_name = "M")]
    minutes: Option<u64>,
    /// On how many threads [default: all]
    #[arg(long)]
    jobs: Option<std::num::NonZeroUsize>,
    #[command(flatten)]
    runs: RunArgs,
    /// Stop after so many failures
    #[arg(long, default_value = "10")]
    max_failures: std::num::NonZeroUsize,
    /// Make every K-th run twice, and compare; 0 for none
    #[arg(long, value_name = "K", default_value_t = 25)]
    twice_every: u64,
    /// For how long to look for a smaller run of each of the first three failures; 0 for none
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    shrink_seconds: u64,
    /// Where the decisions of these smaller runs go
    #[arg(long, value_name = "DIR", default_value = ".")]
    keep: PathBuf,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// A batch of this many runs is expected to reach every point.
const ENOUGH: u64 = 1_000;

/// So many failures are made small.
const SHRUNK: usize = 3;

pub(crate) fn run(args: &SwarmArgs) -> Result<Exit> {
    let runs = args.runs.of(args.protocol)?;
    let begin = Instant::now();
    let swarm = swarm(args, begin)?;
    let bar = Bar::new(args, begin);
    // A panic is a verdict, told with its run.
    std::panic::set_hook(Box::new(|_| {}));
    let summary = swarm.run(|seed| {
        let is_sample = args.twice_every > 0 && seed.is_multiple_of(args.twice_every);
        let report = if is_sample { runs.run_twice(seed) } else { runs.run(seed) };
        bar.ran(&report);
        report
    });
    bar.bar.finish_and_clear();
    let seconds = begin.elapsed().as_secs_f64();
    let missed = summary.missed(&runs.points());
    let small = make_small(args, &runs, &summary.failures)?;
    if args.json {
        tell(&summary_as_json(&summary, &missed, &small, seconds));
    } else {
        say!("{}", summary_as_text(&summary, &missed, &small, seconds, &runs));
    }
    Ok(match Exit::from(summary.worst()) {
        Exit::Done if !missed.is_empty() && summary.runs >= ENOUGH => Exit::Missed,
        exit => exit,
    })
}

fn swarm(args: &SwarmArgs, begin: Instant) -> Result<Swarm> {
    let many = match (args.seeds, args.minutes) {
        (Some(seeds), _) => seeds,
        (None, Some(_)) => u64::MAX - (1 << 20) - args.seed.min(u64::MAX >> 1),
        (None, None) => ENOUGH,
    };
    let threads = args.jobs.map_or(1 << 20, |jobs| jobs.get() as u64);
    let end = args.seed.checked_add(many).filter(|end| end.checked_add(threads).is_some());
    let end = end.ok_or_else(|| Failure::usage("there are not so many seeds; nothing was run"))?;
    let swarm = Swarm::new(args.seed..end);
    Ok(Swarm {
        jobs: args.jobs.unwrap_or(swarm.jobs),
        max_failures: args.max_failures.get(),
        until: args.minutes.map(|minutes| begin + Duration::from_secs(60 * minutes)),
        ..swarm
    })
}

/// How far the swarm is: by seeds, or by time where that is all that ends it.
struct Bar {
    bar: ProgressBar,
    by_time: bool,
    begin: Instant,
    failures: AtomicUsize,
    told: Mutex<()>,
}

impl Bar {
    fn new(args: &SwarmArgs, begin: Instant) -> Self {
        let by_time = args.seeds.is_none() && args.minutes.is_some();
        let most =
            if by_time { 60 * args.minutes.unwrap_or(0) } else { args.seeds.unwrap_or(ENOUGH) };
        let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new(most) };
        let style = if by_time {
            "{bar:40} {pos}/{len} s, {msg}"
        } else {
            "{bar:40} {pos}/{len} runs, {per_sec}, {eta} left, {msg}"
        };
        bar.set_style(ProgressStyle::with_template(style).expect("a template that was tried"));
        bar.set_message("0 failures");
        Self { bar, by_time, begin, failures: AtomicUsize::new(0), told: Mutex::new(()) }
    }

    /// A run is over; a failure is told at once, should somebody interrupt.
    fn ran(&self, report: &Report) {
        if self.by_time {
            self.bar.set_position(self.begin.elapsed().as_secs());
        } else {
            self.bar.inc(1);
        }
        if !report.verdict.is_sound() {
            let count = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
            self.bar.set_message(format!("{count} failures"));
            let _one_by_one = self.told.lock();
            self.bar.println(report.to_string());
        }
    }
}

/// Smaller runs of the first failures, in their order.
fn make_small(args: &SwarmArgs, runs: &Runs, failures: &[Report]) -> Result<Vec<Option<Small>>> {
    let time = Duration::from_secs(args.shrink_seconds);
    let most = if time.is_zero() { 0 } else { SHRUNK };
    let small = failures.iter().take(most).map(|report| {
        let seed = report.seed;
        let mut plan = runs.plan(seed);
        plan.chance = Chance::Recorded;
        let run = runs.planted.run(runs.engine, plan, &runs.words(seed));
        let log = run.decisions.expect("it was recorded");
        Small::of(&log, time, &args.keep.join(format!("{}-{seed}.decisions", runs.engine)))
    });
    small.collect()
}

fn summary_as_text(
    summary: &Summary,
    missed: &[&str],
    small: &[Option<Small>],
    seconds: f64,
    runs: &Runs,
) -> String {
    let mut points = table(&["point", "times"]);
    for (point, count) in summary.sometimes.iter() {
        points.add_row([point.to_owned(), count.to_string()]);
    }
    for point in missed {
        points.add_row([(*point).to_owned(), "never".to_owned()]);
    }
    let mut faults = table(&["what happened", "times"]);
    for (name, count) in summary.counts.fields() {
        faults.add_row([name.to_owned(), count.to_string()]);
    }
    let headings =
        ["mix", "runs", "failures", "events", "delivered", "virtual seconds", "milliseconds"];
    let mut mixes = table(&headings);
    let spread = |of: Spread| format!("{:.0} ± {:.0}", of.mean(), of.deviation());
    for (mix, tally) in &summary.mixes {
        let (runs, failures) = (tally.runs.to_string(), tally.failures.to_string());
        let spreads = [tally.events, tally.delivered, tally.virtual_seconds, tally.wall_ms];
        mixes.add_row([(*mix).to_owned(), runs, failures].into_iter().chain(spreads.map(spread)));
    }
    let mut text = format!("{points}\n\n{faults}\n\n{mixes}\n\n");
    let mut small = small.iter();
    for report in &summary.failures {
        writeln!(text, "{}: {report}", report.verdict.kind().name()).expect(ANY_TEXT);
        let version = env!("CARGO_PKG_VERSION");
        writeln!(text, "  run it again, with {version}: {}", runs.command(report.seed))
            .expect(ANY_TEXT);
        if let Some(small) = small.next().and_then(Option::as_ref) {
            writeln!(text, "{small}").expect(ANY_TEXT);
        }
    }
    let millions = summary.events as f64 / 1e6;
    let (runs, speed, failures) = (summary.runs, millions / seconds, summary.failures.len());
    write!(
        text,
        "{runs} runs, {millions:.1} M events in {seconds:.0} s ({speed:.2} M/s), {failures} failures"
    )
    .expect(ANY_TEXT);
    text
}

const ANY_TEXT: &str = "memory takes any text";

fn summary_as_json(
    summary: &Summary,
    missed: &[&str],
    small: &[Option<Small>],
    seconds: f64,
) -> Value {
    use std::collections::BTreeMap;
    let spread = |of: Spread| json!({ "mean": of.mean(), "deviation": of.deviation() });
    let mixes = summary.mixes.iter().map(|(mix, tally)| {
        let told = json!({
            "runs": tally.runs,
            "failures": tally.failures,
            "events": spread(tally.events),
            "delivered": spread(tally.delivered),
            "virtual_seconds": spread(tally.virtual_seconds),
            "wall_ms": spread(tally.wall_ms),
        });
        (*mix, told)
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "runs": summary.runs,
        "events": summary.events,
        "seconds": seconds,
        "verdict": summary.worst().name(),
        "failures": summary.failures.iter().map(as_json).collect::<Vec<_>>(),
        "shrunk": small.iter().flatten().map(Small::as_json).collect::<Vec<_>>(),
        "points": summary.sometimes.iter().collect::<BTreeMap<_, _>>(),
        "missed": missed,
        "faults": summary.counts.fields().into_iter().collect::<BTreeMap<_, _>>(),
        "mixes": mixes.collect::<BTreeMap<_, _>>(),
    })
}
