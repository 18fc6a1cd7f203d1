//! `synod sim compare`: the replicated logs side by side, as Markdown.

use clap::Args;
use serde_json::{Map, Value};

use crate::compare;
use crate::exit::Exit;
use crate::output::{say, tell};

#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    /// How many crashes of leaders; each partition is tried a tenth as often
    #[arg(long, default_value_t = compare::SEEDS, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &CompareArgs) -> Exit {
    let tables = compare::tables(args.seeds);
    if args.json {
        let tables = tables.iter().map(|table| (table.title.to_owned(), table.as_json()));
        tell(&Value::Object(tables.collect::<Map<_, _>>()));
    } else {
        for table in tables {
            say!("## {}\n\n{table}", table.title);
        }
    }
    Exit::Done
}
