//! `synod bench kv`: drives a running cluster and says how it did.
//!
//! The load is closed by default: a fixed number of requests is under way, and each that ends is
//! followed by the next; the latency of a request is measured from the moment its caller makes it. With
//! a rate it is open: requests are due at that rate, and latencies count from when they are due.
//! `keys` draws keys, `schedule` says when requests are due, `load` drives, `report` prints.
//!
//! Beside it: `synod bench failover` ([`failover`]) and `synod bench machine` ([`machine`]).

pub(crate) mod failover;
mod keys;
mod load;
pub(crate) mod machine;
mod report;
mod schedule;

use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use synod_clerk::{Clerk, status_of};

use crate::cli::ClusterArgs;
use crate::commands::block_on;
use crate::exit::{Exit, Failure, Result};
use crate::place::Target;
pub(crate) use failover::FailoverArgs;
use keys::Keys;
use load::{Load, Start, Tally};
pub(crate) use machine::MachineArgs;

/// What to measure.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Requests under way at a time, over all connections; with --rate, at most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) in_flight: u32,
    /// Connections, each with a session of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) connections: u32,
    /// Threads that share the connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,
    /// Ask so many times a second in all, however long answers take (an open load): latencies then
    /// count from when a request was due, and requests for which no place is free in time are dropped
    #[arg(long, value_name = "PER_SECOND")]
    pub(crate) rate: Option<f64>,
    /// Bytes of each value
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(0..=1 << 20))]
    pub(crate) value_bytes: u64,
    /// Which part of the requests are linearizable reads, from 0 to 1; the rest are puts
    #[arg(long, default_value_t = 0.0)]
    pub(crate) read_share: f64,
    /// How many keys there are
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) keys: u64,
    /// How keys are drawn
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    pub(crate) distribution: Distribution,
    /// How long to measure
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// How long to run before measuring
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warm_up_seconds: f64,
    /// Seed of the draws
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// How keys are drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Distribution {
    /// Each as often as any other
    Uniform,
    /// Few very often, most rarely (Zipf's law, exponent 0.99)
    Zipf,
}

pub(crate) fn run(args: &BenchArgs) -> Result<Exit> {
    let json = args.cluster.json;
    measure(args).map_err(|failure| failure.in_json(json))
}

fn measure(args: &BenchArgs) -> Result<Exit> {
    check(args)?;
    let mut target = args.cluster.target()?;
    target.options.max_in_flight = args.in_flight as usize;
    let keys = Keys::new(args.keys, args.distribution);
    if args.read_share > 0.0 {
        block_on(fill(args, &target))?;
    }
    let epoch = block_on(async { Ok(newest_epoch(&target).await) })?;
    let spinner = spinner("measuring");
    let threads = args.threads.min(args.connections);
    let start = Start::new(threads as usize + usize::from(args.rate.is_some()));
    let (tallies, dropped) = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (target, keys, start) = (&target, &keys, &start);
                let load = Load { args, target, keys, thread, threads, start };
                scope.spawn(move || block_on(load.drive()))
            })
            .collect();
        let times = if args.rate.is_some() { start.wait(args, true) } else { None };
        let schedule = times.and_then(|times| Some((times.schedule.clone()?, times)));
        if let Some((schedule, times)) = &schedule {
            schedule.run(times.end);
        }
        let ended = running.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        let ended: Result<Vec<Tally>> = ended.collect();
        let dropped = schedule.map_or(0, |(schedule, times)| schedule.dropped(times.begin));
        (ended, dropped)
    });
    spinner.finish_and_clear();
    let mut tally = Tally::new();
    tallies?.iter().for_each(|part| tally.add(part));
    tally.dropped = dropped;
    tally.elections = block_on(async { Ok(newest_epoch(&target).await) })?.saturating_sub(epoch);
    report::show(args, &tally, Duration::from_secs_f64(args.seconds));
    match tally.done() {
        0 => Err(Failure::new(Exit::NotDone, "no request was done; `synod status` may say why")),
        _ => Ok(Exit::Done),
    }
}

fn check(args: &BenchArgs) -> Result<()> {
    if !(0.0..=1.0).contains(&args.read_share) {
        return Err(Failure::usage("--read-share is between 0 and 1"));
    }
    if !(args.seconds > 0.0 && args.seconds <= 86_400.0) {
        return Err(Failure::usage("--seconds is above 0 and at most a day"));
    }
    if !(0.0..=3_600.0).contains(&args.warm_up_seconds) {
        return Err(Failure::usage("--warm-up-seconds is between 0 and 3600"));
    }
    if args.rate.is_some_and(|rate| !(0.001..=10_000_000.0).contains(&rate)) {
        return Err(Failure::usage("--rate is between 0.001 and 10000000"));
    }
    if args.in_flight < args.connections {
        return Err(Failure::usage("--in-flight is at least --connections"));
    }
    Ok(())
}

/// The newest epoch that a node knows; 0 if none answers.
async fn newest_epoch(target: &Target) -> u64 {
    let mut newest = 0;
    for address in &target.addresses {
        if let Ok(report) = status_of(address, &target.options).await {
            newest = newest.max(report.log.epoch.0);
        }
    }
    newest
}

/// Puts every key once, so that reads find something.
async fn fill(args: &BenchArgs, target: &Target) -> Result<()> {
    const AT_ONCE: u64 = 1_000;
    let clerk = Clerk::connect(target.addresses.clone(), target.options.clone()).await?;
    let bar = ProgressBar::new(args.keys).with_style(
        ProgressStyle::with_template("filling {bar:40} {human_pos}/{human_len}")
            .expect("the template is well-formed"),
    );
    let value = load::value(args.value_bytes, args.seed);
    let mut writers = tokio::task::JoinSet::new();
    for first in 0..AT_ONCE.min(args.keys) {
        let (clerk, value, bar, keys) = (clerk.clone(), value.clone(), bar.clone(), args.keys);
        writers.spawn(async move {
            for key in (first..keys).step_by(AT_ONCE as usize) {
                clerk.put(keys::name(key), value.clone()).await?;
                bar.inc(1);
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(written) = writers.join_next().await {
        written.expect("writers do not panic")?;
    }
    bar.finish_and_clear();
    clerk.close().await;
    Ok(())
}

fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(200));
    spinner
}
