//! `synod torture`: breaks a cluster of real processes again and again, and judges what its clients saw.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::commands::block_on;
use crate::engines::EngineName;
use crate::exit::{Exit, Failure, Result};
use crate::output::{say, table, tell};
use crate::torture::{Kind, Outcome, Plan, Report, Timeline, Torture, file, page, span};

/// How often the progress line is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(250);

#[derive(Args, Clone, Debug)]
pub(crate) struct TortureArgs {
    /// The replicated log beneath the store
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["attach", "resume"])]
    engine: EngineName,
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=9), conflicts_with_all = ["attach", "resume"])]
    nodes: u64,
    /// Servers of a cluster that runs, `host:port,host:port`: clients call them and are judged, and the only
    /// fault is that leadership moves
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    attach: Vec<String>,
    /// Where the nodes keep their data, and the report is written
    #[arg(long, default_value = "synod-torture")]
    dir: PathBuf,
    /// Go on with what was ended in --dir, until --duration is reached in all
    #[arg(long)]
    resume: bool,
    /// How long: 90s, 10m, 2h, 1h30m
    #[arg(long, default_value = "5m", value_parser = span::parse)]
    duration: Duration,
    /// How long faults strike before everything is mended and judged, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    round_seconds: u64,
    /// Within how many seconds all must be well again after a round
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    recovery_seconds: u64,
    /// Decides when which fault strikes whom, and what clients ask
    #[arg(long, default_value_t = 0, conflicts_with = "resume")]
    seed: u64,
    /// Which faults strike [default: all but disk]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FAULTS")]
    faults: Vec<Kind>,
    /// How many clients, each with one call under way
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    clients: u64,
    /// How many calls a second all clients together aim at
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// How many keys the calls of a round are about
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    keys: u64,
    /// Print one JSON object per round and one in the end, for programs
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &TortureArgs) -> Result<Exit> {
    block_on(torture(args)).map_err(|failure| failure.in_json(args.json))
}

async fn torture(args: &TortureArgs) -> Result<Exit> {
    let stop = asked_to_stop()?;
    let mut torture = Torture::begin(plan(args)).await?;
    tell_begin(args, torture.report());
    let bar = match !args.json && std::io::stderr().is_terminal() {
        true => ProgressBar::new_spinner(),
        false => ProgressBar::hidden(),
    };
    while torture.goes_on() && *stop.borrow() == 0 {
        let drawing = tokio::spawn(draw(bar.clone(), torture.timeline().clone(), args.duration));
        let mut twice = stop.clone();
        let outcome = tokio::select! {
            outcome = torture.round(stop.clone()) => outcome?,
            _ = twice.wait_for(|times| *times > 1) => {
                let what = "ended in the middle of a round, which is not judged";
                return Err(Failure::new(Exit::NotDone, what));
            }
        };
        drawing.abort();
        bar.suspend(|| tell_round(args, outcome));
    }
    bar.finish_and_clear();
    let report = torture.end().await;
    tell_end(args, &report);
    Ok(report.verdict().exit())
}

fn plan(args: &TortureArgs) -> Plan {
    let kinds = match args.faults.is_empty() {
        true => Kind::usual(),
        false => args.faults.clone(),
    };
    Plan {
        dir: args.dir.clone(),
        resume: args.resume,
        engine: args.engine,
        nodes: args.nodes,
        attached: args.attach.clone(),
        kinds,
        seed: args.seed,
        time: args.duration,
        round: Duration::from_secs(args.round_seconds),
        bound: Duration::from_secs(args.recovery_seconds),
        clients: args.clients,
        rate: args.rate,
        keys: args.keys,
    }
}

/// Counts how often SIGINT or SIGTERM came. Once: end the round, judge and report. Twice: end at once.
fn asked_to_stop() -> Result<watch::Receiver<u32>> {
    let cannot = |error| Failure::new(Exit::Fatal, format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let (tell, told) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tell.send_modify(|times| *times += 1);
        }
    });
    Ok(told)
}

/// Draws the progress line until it is aborted.
async fn draw(bar: ProgressBar, timeline: Timeline, time: Duration) {
    loop {
        let (done, faults) = timeline.glance();
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        bar.set_message(format!(
            "{} of {}, {done} operations a second; {}",
            span::show(timeline.now()),
            span::show(time),
            faults.join(", ")
        ));
        bar.tick();
        tokio::time::sleep(DRAW_EVERY).await;
    }
}

fn tell_begin(args: &TortureArgs, report: &Report) {
    if args.json {
        return;
    }
    let what = match report.engine {
        Some(engine) => format!("{} nodes on {engine}", report.nodes),
        None => format!("{} servers that run elsewhere", report.nodes),
    };
    let kinds: Vec<String> = report.kinds.iter().map(ToString::to_string).collect();
    say!(
        "{what}, for {}, seed {}; faults: {}",
        span::show(args.duration),
        report.seed,
        kinds.join(", ")
    );
    for (kind, why) in &report.skipped {
        say!("skipped: {kind}: {why}");
    }
}

fn tell_round(args: &TortureArgs, round: &Outcome) {
    if args.json {
        let mut told = json!(round);
        told["event"] = json!("round");
        tell(&told);
        return;
    }
    let Outcome { number, recovery_ms, operations, unknown, verdict, .. } = round;
    say!(
        "round {number}: {operations} operations, {unknown} of unknown fate, well after {:.1} s: {}",
        *recovery_ms as f64 / 1_000.0,
        verdict.word()
    );
}

fn tell_end(args: &TortureArgs, report: &Report) {
    let (totals, verdict, gap) = (report.totals(), report.verdict(), report.record.longest_gap);
    if args.json {
        let mut told: Value = json!(totals);
        told["event"] = json!("end");
        told["verdict"] = json!(verdict.word());
        told["told"] = json!(verdict.told());
        told["elapsed_ms"] = json!(report.elapsed_ms);
        told["longest_gap_ms"] = json!(gap.ms);
        told["faults"] = json!(report.record.counts());
        told["report"] = json!(file(&args.dir));
        tell(&told);
        return;
    }
    let mut rows = table(&["fault", "how often"]);
    for (kind, count) in report.record.counts() {
        rows.add_row([kind.to_string(), count.to_string()]);
    }
    say!("\n{rows}\n");
    say!(
        "{} done, {} not done, {} unknown; longest time without a write {:.1} s; slowest recovery {:.1} s",
        totals.done,
        totals.not_done,
        totals.unknown,
        gap.ms as f64 / 1_000.0,
        totals.slowest_recovery_ms as f64 / 1_000.0
    );
    let colour = match verdict.exit() {
        Exit::Done => anstyle::AnsiColor::Green,
        _ => anstyle::AnsiColor::Red,
    };
    let style = colour.on_default().bold();
    say!(
        "{style}{}{style:#} after {} in {} rounds; the report is {}",
        verdict.word(),
        span::show(report.elapsed()),
        totals.rounds,
        page(&args.dir).display()
    );
    if !verdict.told().is_empty() {
        say!("{}", verdict.told());
    }
}
