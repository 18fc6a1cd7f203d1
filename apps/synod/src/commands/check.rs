//! `synod check`: judges a recorded history, of any system.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use serde_json::json;
use synod_check::recorded::{self, Consistency, History, Kind, Report, Size};
use synod_check::{DEFAULT_MAX_STEPS, Verdict};

use crate::exit::{Exit, Failure, Result};
use crate::output::{say, tell};

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The history
    history: PathBuf,
    /// What was recorded [default: what the first line of the history names, else kv]
    #[arg(long, value_parser = named(&Kind::ALL))]
    model: Option<Kind>,
    /// What is asked about it [default: linearizable; of messages: reliable]
    #[arg(long, value_parser = named(&Consistency::ALL))]
    consistency: Option<Consistency>,
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

/// Takes one of these by its name.
fn named<T>(all: &[(T, &'static str, &'static str)]) -> impl TypedValueParser<Value = T> + use<T>
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    let values = all.iter().map(|(_, name, what)| PossibleValue::new(*name).help(*what));
    PossibleValuesParser::new(values.collect::<Vec<_>>()).try_map(|name| name.parse::<T>())
}

pub(crate) fn run(args: &CheckArgs) -> Result<Exit> {
    judge(args).map_err(|failure| failure.in_json(args.json))
}

fn judge(args: &CheckArgs) -> Result<Exit> {
    let history = read(args)?;
    let Size { operations, clients, keys } = history.size();
    let asked = args.consistency.unwrap_or_else(|| history.usual());
    let Report { verdict, story, svg } = history.judge(asked, args.max_steps);
    if let Some((path, svg)) = args.svg.as_ref().zip(svg) {
        save(path, &svg)?;
    }
    let (word, told) = match &verdict {
        Verdict::Ok => (asked.to_string(), asked.to_string()),
        Verdict::Illegal(found) => ("illegal".into(), format!("not {asked}: {}", found.about)),
        Verdict::Unknown { .. } => ("undecided".into(), verdict.to_string()),
    };
    if args.json {
        tell(&json!({ "verdict": word, "consistency": asked.to_string(), "operations": operations,
                      "clients": clients, "keys": keys, "told": story.unwrap_or(told) }));
    } else {
        say!("operations {operations}, clients {clients}, keys {keys}: {told}");
        if let Some(story) = story {
            say!("{}", story.trim_end());
        }
    }
    Ok(match verdict {
        Verdict::Ok => Exit::Done,
        Verdict::Illegal(_) => Exit::Violation,
        Verdict::Unknown { .. } => Exit::Undecided,
    })
}

fn read(args: &CheckArgs) -> Result<History> {
    let path = &args.history;
    let named = |error: &dyn Display| Failure::usage(format!("{}: {error}", path.display()));
    let mut from = BufReader::new(File::open(path).map_err(|error| named(&error))?);
    let begin = from.fill_buf().map_err(|error| named(&error))?;
    let format = match args.format {
        Some(Format::Synod) => recorded::Format::Synod,
        Some(Format::Jepsen) => recorded::Format::Jepsen,
        None if begin.starts_with(b"{\"") => recorded::Format::Synod,
        None => recorded::Format::Jepsen,
    };
    History::read(from, format, args.model).map_err(|error| named(&error))
}

fn save(path: &Path, svg: &str) -> Result<()> {
    std::fs::write(path, svg).map_err(|error| {
        Failure::new(
            Exit::Untold,
            format!("a violation was found, and {}: {error}", path.display()),
        )
    })
}
