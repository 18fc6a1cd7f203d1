//! The one binary: parse, wire, run.
//!
//! `cli` says what can be typed, `commands` has a module for each subcommand. `config` has the
//! files that describe nodes and clusters, `place` finds the cluster that a command is about,
//! `exit` says how commands end, `output` how they speak to people and to programs.

mod cli;
mod commands;
mod config;
mod exit;
mod output;
mod place;
pub mod sim;

use std::process::ExitCode;

use clap::Parser;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.report();
            failure.exit.into()
        }
    }
}
