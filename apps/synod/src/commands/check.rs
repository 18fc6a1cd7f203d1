//! `synod check`: judges a recorded history, of any system.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;
use synod_check::registers::{Input, Output, Registers};
use synod_check::{
    Counterexample, DEFAULT_MAX_STEPS, Operation, Verdict, check, draw, file, jepsen,
};

use crate::exit::{Exit, Failure, Result};
use crate::output::{say, tell};

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The history
    history: PathBuf,
    /// How it is written [default: as its first line looks]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Give up on a key after so many steps of the search, and say that it is undecided
    #[arg(long, default_value_t = DEFAULT_MAX_STEPS, value_parser = clap::value_parser!(u64).range(1..))]
    max_steps: u64,
    /// Draw a violation into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// How a history is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// Lines of JSON, as synod records them
    Synod,
    /// Jepsen's history.edn or history.txt
    Jepsen,
}

pub(crate) fn run(args: &CheckArgs) -> Result<Exit> {
    judge(args).map_err(|failure| failure.in_json(args.json))
}

fn judge(args: &CheckArgs) -> Result<Exit> {
    let history = read(&args.history, args.format)?;
    let verdict = check(&Registers, &history, args.max_steps);
    let (clients, keys) = (
        count(history.iter().map(|operation| operation.client)),
        count(history.iter().map(|operation| operation.input.key())),
    );
    let operations = history.len();
    let story = match &verdict {
        Verdict::Illegal(found) => {
            if let Some(svg) = &args.svg {
                save(svg, found, &history)?;
            }
            Some(found.explain(&history).to_string())
        }
        Verdict::Ok | Verdict::Unknown { .. } => None,
    };
    if args.json {
        let word = match &verdict {
            Verdict::Ok => "linearizable",
            Verdict::Illegal(_) => "illegal",
            Verdict::Unknown { .. } => "undecided",
        };
        tell(&json!({ "verdict": word, "operations": operations, "clients": clients, "keys": keys,
                      "told": story.unwrap_or_else(|| verdict.to_string()) }));
    } else {
        say!("operations {operations}, clients {clients}, keys {keys}: {verdict}");
        if let Some(story) = story {
            say!("{}", story.trim_end());
        }
    }
    Ok(if verdict.is_ok() { Exit::Done } else { Exit::Violation })
}

/// How many different ones there are.
fn count<T: Ord>(all: impl Iterator<Item = T>) -> usize {
    all.collect::<std::collections::BTreeSet<_>>().len()
}

fn read(path: &Path, format: Option<Format>) -> Result<Vec<Operation<Input, Output>>> {
    let named =
        |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
    let mut from = BufReader::new(File::open(path).map_err(|error| named(&error))?);
    let begin = from.fill_buf().map_err(|error| named(&error))?;
    let looks = if begin.starts_with(b"{\"") { Format::Synod } else { Format::Jepsen };
    let history = match format.unwrap_or(looks) {
        Format::Synod => file::read(from),
        Format::Jepsen => jepsen::read(from),
    };
    history.map_err(|error| named(&error))
}

fn save(
    path: &Path,
    found: &Counterexample<bytes::Bytes>,
    history: &[Operation<Input, Output>],
) -> Result<()> {
    std::fs::write(path, draw(found, history)).map_err(|error| {
        Failure::new(
            Exit::Untold,
            format!("a violation was found, and {}: {error}", path.display()),
        )
    })
}
