//! The one binary: parse, wire, run.
//!
//! `cli` says what can be typed, `commands` has a module for each subcommand. `engines` binds the replicated
//! logs by name, `sim` and `compare` run them in the simulator, `config` has the files that describe nodes and
//! clusters, `torture` breaks real processes, with `network` between them, `place` finds the cluster that a command is about, `exit` says how commands end, `output` how they
//! speak to people and to programs.

mod cli;
mod commands;
pub mod compare;
mod config;
pub mod engines;
mod exit;
pub mod network;
mod output;
mod place;
pub mod sim;
mod torture;

use std::process::ExitCode;

use clap::Parser;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return wrong_usage(&error),
    };
    match commands::run(cli) {
        Ok(exit) if output::is_lost() => {
            let what = "what this command had to tell could not be written (is the device full?)";
            exit::Failure::new(exit::Exit::Untold, what).report();
            match exit {
                exit::Exit::Done => exit::Exit::Untold.into(),
                other => other.into(),
            }
        }
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.report();
            failure.exit.into()
        }
    }
}

/// What was typed makes no sense, or asks for help: says so as usual, and to programs in their way.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    // Whoever reads may have gone.
    error.print().ok();
    if !error.use_stderr() {
        return exit::Exit::Done.into();
    }
    if std::env::args_os().any(|word| word == "--json") {
        exit::Failure::tell_usage(&error.render().to_string());
    }
    exit::Exit::Usage.into()
}
