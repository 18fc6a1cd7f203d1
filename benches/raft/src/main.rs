//! synod's Raft and openraft in one process, in memory, under the same clients.
//!
//! Three nodes, a network of function calls, a log and a state machine on each, one async task for each
//! client, and a commit counts once its client was answered, after the leader applied it. Ours runs on
//! one thread; openraft is given one thread and, in a column of its own, as many as there are cores.
//! Runs take turns, so that noise falls on all alike; each figure is the median of its runs. In the end
//! the state machines of the three nodes must be equal, or the run counts for nothing.
//!
//! `ours` and `theirs` are the two sides, `load` the clients, `tally` the state machine.

mod load;
mod ours;
mod tally;
mod theirs;

use std::time::Duration;

use load::{By, Found, Shape};

const HELP: &str = "\
usage: raft-bench [--clients 1,64,1024,4096] [--values 0,256] [--runs 5] [--seconds 1.0]
                  [--only synod|openraft] [--cpu]

--cpu counts commits per second of processor time instead: for busy machines, one thread only
";

/// What to run.
struct Args {
    clients: Vec<usize>,
    values: Vec<usize>,
    runs: usize,
    seconds: f64,
    only: Option<String>,
    by: By,
}

impl Args {
    fn parse() -> Result<Self, String> {
        let mut args = Self {
            clients: vec![1, 64, 1024, 4096],
            values: vec![0, 256],
            runs: 5,
            seconds: 1.0,
            only: None,
            by: By::Wall,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} wants a value"));
            match word.as_str() {
                "--clients" => args.clients = list(&value()?)?,
                "--values" => args.values = list(&value()?)?,
                "--runs" => args.runs = number(&value()?)?,
                "--seconds" => args.seconds = number(&value()?)?,
                "--cpu" => args.by = By::Cpu,
                "--only" => args.only = Some(value()?),
                _ => return Err(format!("unknown: {word}")),
            }
        }
        Ok(args)
    }

    fn wants(&self, side: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == side)
    }
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("not a number: {word}"))
}

fn list(words: &str) -> Result<Vec<usize>, String> {
    words.split(',').map(number).collect()
}

fn main() {
    let args = match Args::parse() {
        Ok(args) => args,
        Err(fault) => {
            eprint!("{fault}\n{HELP}");
            std::process::exit(2);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from).max(2);
    println!(
        "commits per second{}, median of {} runs of {} s; openraft 0.10.0-alpha.37\n",
        if args.by == By::Cpu { " of processor time" } else { "" },
        args.runs,
        args.seconds
    );
    println!(
        "| value bytes | clients | synod, 1 thread | openraft, 1 thread | openraft, {cores} threads | \
         synod / better openraft | runs of synod (lowest..highest) |"
    );
    println!("|---|---|---|---|---|---|---|");
    for &value_bytes in &args.values {
        for &clients in &args.clients {
            let measured = Duration::from_secs_f64(args.seconds);
            let shape =
                Shape { clients, value_bytes, warm_up: measured / 4, measured, by: args.by };
            row(&args, shape, cores);
        }
    }
}

/// Measures and prints one row.
fn row(args: &Args, shape: Shape, cores: usize) {
    let (mut ours, mut one, mut many) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.runs {
        if args.wants("synod") {
            ours.push(checked(ours::run(shape)));
        }
        if args.wants("openraft") {
            one.push(checked(theirs::run(shape, 1)));
            if args.by == By::Wall {
                many.push(checked(theirs::run(shape, cores)));
            }
        }
    }
    let [ours_, one, many] = [&mut ours, &mut one, &mut many].map(|runs| median(runs));
    println!(
        "| {} | {} | {} | {} | {} | {:.1} | {}..{} |",
        shape.value_bytes,
        shape.clients,
        rounded(ours_),
        rounded(one),
        rounded(many),
        ours_ / one.max(many),
        rounded(ours.first().copied().unwrap_or(0.0)),
        rounded(ours.last().copied().unwrap_or(0.0)),
    );
}

/// The rate of a run whose three state machines are the same and hold what was answered.
fn checked(found: Found) -> f64 {
    let first = found.states[0];
    assert_eq!(found.states, [first; 3], "the state machines differ");
    assert_eq!(first.applied, found.answered, "each answered write was applied once");
    found.per_second
}

fn median(runs: &mut [f64]) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs.get(runs.len() / 2).copied().unwrap_or(0.0)
}

/// With thousands apart.
fn rounded(rate: f64) -> String {
    let digits = format!("{rate:.0}");
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(|group| String::from_utf8_lossy(group)).collect();
    groups.join(",")
}
