//! What can be typed after `synod kv`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Subcommand, Debug)]
pub(crate) enum Operation {
    /// Print the value of a key; exit code 1 if there is none
    Get {
        key: String,
        /// Print the value and nothing else, not even the end of the line
        #[arg(long, conflicts_with = "json")]
        raw: bool,
        /// Who answers, and what that promises
        #[arg(long, value_enum, default_value_t)]
        reads: Level,
    },
    /// Set a key
    Put {
        key: String,
        /// `-` reads it from standard input
        value: String,
    },
    /// Add to the end of a key's value
    Append {
        key: String,
        /// `-` reads it from standard input
        value: String,
    },
    /// Remove a key; exit code 1 if there is none
    Delete { key: String },
    /// Set a key if it is as expected; exit code 1 if it is not
    Cas {
        key: String,
        /// The new value; `-` reads it from standard input
        value: String,
        #[command(flatten)]
        expect: ExpectArgs,
    },
    /// Print keys and values in order
    Range {
        /// The first key
        #[arg(default_value = "")]
        start: String,
        /// Before this key
        end: Option<String>,
        /// Only keys that begin so
        #[arg(long, conflicts_with_all = ["start", "end"])]
        prefix: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// Who answers, and what that promises
        #[arg(long, value_enum, default_value_t)]
        reads: Level,
    },
    /// Compare, then do one thing or another, all at once; exit code 1 if a comparison fails
    #[command(after_help = TXN)]
    Txn {
        /// Where the transaction is written; `-` is standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Print what happens to a key, a line an event; exit code 1 if it is compacted
    Watch(WatchArgs),
}

/// How a transaction is written.
const TXN: &str = "\
A transaction:
  # a lock that nobody holds
  if
    locks/a absent
    --prefix config/ modified < 900
  then
    put locks/a \"my name\"
    get --prefix config/ --limit 10
    delete --prefix old/ --prev
  else
    get locks/a

Comparisons: KEY absent, KEY exists, KEY value|version|created|modified =|!=|<|> OPERAND.";

/// Who answers a read, and what that promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Level {
    /// The leader; linearizable
    #[default]
    Leader,
    /// Any node; linearizable
    Any,
    /// Any node, at once; it may be old
    Stale,
}

#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    pub(crate) key: String,
    /// All keys that begin so
    #[arg(long)]
    pub(crate) prefix: bool,
    /// From this revision on, instead of from now on
    #[arg(long)]
    pub(crate) rev: Option<u64>,
    /// Tell also what the key held before
    #[arg(long)]
    pub(crate) prev: bool,
    /// Only such events
    #[arg(long, value_enum)]
    pub(crate) only: Option<Only>,
    /// End after so many events
    #[arg(long)]
    pub(crate) count: Option<u64>,
}

/// A kind of event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Only {
    Put,
    Delete,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct ExpectArgs {
    /// The key must have this value
    #[arg(long, value_name = "VALUE")]
    pub(crate) expect: Option<String>,
    /// There must be no such key
    #[arg(long)]
    pub(crate) absent: bool,
    /// The key must have been changed last by this revision
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: Option<u64>,
}
