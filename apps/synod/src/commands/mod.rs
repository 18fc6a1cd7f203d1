//! One module per subcommand.

pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod kv;
mod members;
mod node;
pub(crate) mod paxos;
mod recover;
mod repair;
mod runs;
pub(crate) mod sim;
mod status;
pub(crate) mod swarm;
pub(crate) mod torture;
pub(crate) mod up;

use std::future::Future;

use clap::CommandFactory;

use crate::cli::{Bench, Cli, Command, Sim};
use crate::exit::{Exit, Failure, Result};

/// Does what was typed.
pub(crate) fn run(cli: Cli) -> Result<Exit> {
    match cli.command {
        Command::Up(args) => block_on(up::run(args, cli.log_format)),
        Command::Node(args) => node::run(&args, cli.log_format),
        Command::Kv(args) => block_on(kv::run(args)),
        Command::Members(args) => block_on(members::run(args)),
        Command::Status(args) => block_on(status::run(args)),
        Command::Bench { what } => match what {
            Bench::Kv(args) => bench::run(&args),
            Bench::Failover(args) => bench::failover::run(&args),
            Bench::Machine(args) => bench::machine::run(&args),
        },
        Command::Paxos { what } => paxos::run(what, cli.log_format),
        Command::Sim { what } => match what {
            Sim::Kv(args) => sim::run(&args),
            Sim::Compare(args) => Ok(compare::run(&args)),
        },
        Command::Swarm(args) => swarm::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Recover(args) => recover::run(&args),
        Command::Repair(args) => repair::run(&args),
        Command::Torture(args) => torture::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "synod", &mut script);
            let failed = |error: std::io::Error| Failure::new(Exit::Fatal, error);
            std::io::Write::write_all(&mut std::io::stdout(), &script).map_err(failed)?;
            Ok(Exit::Done)
        }
    }
}

/// Runs `future` on this thread.
fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::new(Exit::Fatal, format!("cannot start: {error}")))?;
    runtime.block_on(future)
}
