//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use synod_engine::ClusterId;

use crate::commands::bench::{BenchArgs, FailoverArgs, MachineArgs};
use crate::commands::check::CheckArgs;
use crate::commands::compare::CompareArgs;
use crate::commands::kv::Operation;
use crate::commands::paxos::Paxos;
use crate::commands::sim::SimArgs;
use crate::commands::swarm::SwarmArgs;
use crate::commands::torture::TortureArgs;
use crate::engines::EngineName;
use crate::exit::CODES;

/// Classic distributed systems, one toolkit.
#[derive(Parser, Debug)]
#[command(name = "synod", version, after_help = CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How nodes write their log
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "SYNOD_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Start a whole local cluster, in the foreground
    Up(UpArgs),
    /// Run one node
    Node(NodeArgs),
    /// Read and write keys
    Kv(KvArgs),
    /// Show and change who belongs to a cluster, and who leads it
    Members(MembersArgs),
    /// Show how the nodes of a cluster are
    Status(StatusArgs),
    /// Measure a running cluster
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Run a protocol in the fault-injecting simulator
    Sim {
        #[command(subcommand)]
        what: Sim,
    },
    /// Run a protocol in the simulator many times, each time under faults of its own
    Swarm(Box<SwarmArgs>),
    /// Agree on one value, once and for ever, and watch how: Basic Paxos
    Paxos {
        #[command(subcommand)]
        what: Paxos,
    },
    /// Judge a recorded history: is it linearizable
    Check(CheckArgs),
    /// Break a cluster of real processes, again and again, and judge what its clients saw
    Torture(Box<TortureArgs>),
    /// Bring back a node whose log or snapshots are damaged, as a newcomer
    Repair(RepairArgs),
    /// Make one survivor of a majority that is lost for good a cluster of its own; loses data
    Recover(RecoverArgs),
    /// Print a completion script for a shell
    Completions {
        /// For this shell
        shell: Shell,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum Bench {
    /// Drive the key-value store
    Kv(BenchArgs),
    /// Kill the leader of the local cluster, and measure how long writes stand still
    Failover(FailoverArgs),
    /// Measure what this machine can do: syncs, loopback, memory
    Machine(MachineArgs),
}

#[derive(Subcommand, Debug)]
pub(crate) enum Sim {
    /// The key-value store on a replicated log: the log's invariants, exactly-once and linearizability
    /// are judged
    #[command(alias = "raft")]
    Kv(Box<SimArgs>),
    /// The replicated logs side by side: what writes and reads cost, how soon another leads, what becomes of
    /// writing where only some hear each other
    Compare(CompareArgs),
}

#[derive(Args, Debug)]
pub(crate) struct UpArgs {
    /// How many nodes; an existing cluster keeps its own
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=9))]
    pub(crate) nodes: Option<u64>,
    /// Which replicated log a new cluster runs [default: raft]; an existing cluster keeps its own
    #[arg(long, value_enum)]
    pub(crate) engine: Option<EngineName>,
    /// Where the cluster keeps its data
    #[arg(long, default_value = "synod-data")]
    pub(crate) dir: PathBuf,
    /// The first port of a new cluster: clients from here on, peers 100 higher, HTTP 200 higher; 0
    /// takes free ports
    #[arg(long, default_value_t = 7101)]
    pub(crate) port: u16,
    /// Start nodes again that were killed
    #[arg(long)]
    pub(crate) restart: bool,
    /// Print one JSON object per event, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct NodeArgs {
    /// The node's configuration
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// Start only if the configuration names this replicated log
    #[arg(long, value_enum)]
    pub(crate) engine: Option<EngineName>,
    /// Die with this process, the parent
    #[arg(long, hide = true)]
    pub(crate) parent: Option<i32>,
}

#[derive(Args, Debug)]
pub(crate) struct RepairArgs {
    /// The node's data directory; the node must not run
    pub(crate) dir: PathBuf,
    /// Tell what is damaged and change nothing; exit code 1 if nothing is
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Give up the log and the snapshots even if nothing is damaged, or if that cannot be told
    #[arg(long)]
    pub(crate) force: bool,
    /// Join this cluster (16 hexadecimal digits, as `synod recover` told it) from now on, with --force
    #[arg(long, value_name = "ID", requires = "force", value_parser = cluster_id)]
    pub(crate) cluster: Option<ClusterId>,
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RecoverArgs {
    /// The survivor's data directory; the node must not run
    pub(crate) dir: PathBuf,
    /// Yes: what only the lost nodes knew may go
    #[arg(long)]
    pub(crate) accept_data_loss: bool,
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

fn cluster_id(text: &str) -> Result<ClusterId, String> {
    let id = Some(text).filter(|text| text.len() == 16);
    let id = id.and_then(|text| u64::from_str_radix(text, 16).ok());
    id.map(ClusterId).ok_or_else(|| "a cluster id has 16 hexadecimal digits".into())
}

/// Which cluster a command is about.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClusterArgs {
    /// A cluster.toml, or addresses `host:port,host:port`; else the cluster of the running `synod up`
    #[arg(long, value_name = "FILE|ADDRESSES", env = "SYNOD_CLUSTER", global = true)]
    pub(crate) cluster: Option<String>,
    /// How long a call may take, in milliseconds
    #[arg(long, default_value_t = 5_000, global = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout_ms: u64,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

#[derive(Args, Debug)]
pub(crate) struct MembersArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(subcommand)]
    pub(crate) what: Membering,
}

/// Each may be tried again: what is done already is not done twice.
#[derive(Subcommand, Debug)]
pub(crate) enum Membering {
    /// Print the members, and how far each has come
    List,
    /// Take in the node whose clients' address this is: as a learner and, once it has caught up, as a
    /// voter
    Add {
        /// Where the node serves clients, `host:port`
        address: String,
        /// Leave it a learner, which receives the log and has no vote
        #[arg(long)]
        learner: bool,
    },
    /// Make a learner a voter
    Promote { node: u64 },
    /// Make a voter a learner
    Demote { node: u64 },
    /// Let a member go
    Remove { node: u64 },
    /// Let the node at an address take the seat of a member: another node, or the same one after
    /// `synod repair`
    Replace {
        /// The member whose seat it is
        node: u64,
        /// Where the new node serves clients, `host:port`
        address: String,
    },
    /// Prefer a member as leader; with priority 0 it never leads
    Priority { node: u64, priority: u8 },
    /// Hand leadership over
    Lead {
        /// To this voter; else to the best one
        node: Option<u64>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct KvArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(subcommand)]
    pub(crate) operation: Operation,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
