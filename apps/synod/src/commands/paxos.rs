//! `synod paxos`: Basic Paxos on sockets and disks, and every phase of it to be seen.
//!
//! `node` runs a node, `up` a few of them. `console` is how `propose` and `status` talk to a node, and
//! `seen` what a node tells of itself meanwhile.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use synod_engine::{ClusterId, NodeId};
use synod_paxos::basic::{Config, Learning};

use crate::cli::LogFormat;
use crate::commands::block_on;
use crate::config::resolve;
use crate::exit::{Exit, Failure, Result};

mod console;
mod node;
mod onlooker;
mod propose;
mod seen;
mod status;
mod up;

/// Where the nodes are that `synod paxos up` starts.
const USUAL: &str = "1=127.0.0.1:7401,2=127.0.0.1:7402,3=127.0.0.1:7403";

const ONE_DECISION: &str = "\
The nodes decide once. Every directory belongs to one decision: to decide something else, use other
directories (and ports). Whatever is proposed once a value is chosen, the answer is that value, also
after all nodes were killed and started again.";

#[derive(Subcommand, Debug)]
pub(crate) enum Paxos {
    /// Start a few nodes in this terminal, and show what they say to each other
    #[command(after_help = ONE_DECISION)]
    Up(UpArgs),
    /// Run one node, and show what it says and hears
    #[command(after_help = ONE_DECISION)]
    Node(NodeArgs),
    /// Get a value chosen, or learn which other one is, and show each phase as it happens
    ///
    /// The value is handed to one node, which proposes it; shown is what that node says, hears and
    /// writes down until the outcome is known. `1a` and `1b` are the messages of phase 1 (prepare,
    /// promise), `2a` and `2b` those of phase 2 (accept, accepted), as in "Paxos Made Simple". Propose
    /// different values at two nodes at the same time to see a duel. Exit code 1: another value is
    /// chosen.
    Propose(ProposeArgs),
    /// Show what each node has promised, has accepted and knows
    Status(StatusArgs),
}

#[derive(Args, Debug)]
pub(crate) struct UpArgs {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=9))]
    pub(crate) nodes: u64,
    /// Where they keep what they must not forget
    #[arg(long, default_value = "synod-paxos")]
    pub(crate) dir: PathBuf,
    /// The port of the first node; the others follow
    #[arg(long, default_value_t = 7401)]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) show: Show,
}

#[derive(Args, Debug)]
pub(crate) struct NodeArgs {
    /// Which of the peers this node is
    #[arg(long)]
    pub(crate) id: u64,
    #[command(flatten)]
    pub(crate) peers: Peers,
    /// Where it keeps what it must not forget; made if it is missing
    #[arg(long)]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) show: Show,
    /// Die with this process, the parent
    #[arg(long, hide = true)]
    pub(crate) parent: Option<i32>,
    /// Count time from here, in microseconds since 1970, so that nodes of one terminal agree
    #[arg(long, hide = true)]
    pub(crate) since_us: Option<u64>,
}

/// How a node behaves, and what it prints.
#[derive(Args, Clone, Debug)]
pub(crate) struct Show {
    /// How nodes learn what is chosen; the same for all nodes
    #[arg(long, value_enum, default_value_t = Way::Everyone)]
    pub(crate) learning: Way,
    /// Print one JSON object per event, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ProposeArgs {
    /// What is to be chosen, if nothing is yet
    pub(crate) value: String,
    /// The node that is to propose it; else the first that can be reached
    #[arg(long)]
    pub(crate) node: Option<u64>,
    #[command(flatten)]
    pub(crate) peers: Peers,
    /// How long to wait for the outcome, in milliseconds
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout_ms: u64,
    /// Print one JSON object per event, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) peers: Peers,
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// All nodes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Peers {
    /// All nodes: the id of each, and where it is (UDP for nodes, TCP for commands)
    #[arg(
        long,
        value_name = "ID=HOST:PORT,...",
        value_delimiter = ',',
        value_parser = peer,
        default_value = USUAL,
        env = "SYNOD_PAXOS"
    )]
    pub(crate) peers: Vec<(u64, String)>,
}

/// How nodes learn what is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Way {
    /// Every node tells every node what it has accepted
    Everyone,
    /// All tell the first node, which tells the others
    One,
    /// All tell the first two nodes, which tell the others
    Few,
}

/// Does what was typed.
pub(crate) fn run(what: Paxos, log_format: LogFormat) -> Result<Exit> {
    match what {
        Paxos::Up(args) => up::run(&args, log_format),
        Paxos::Node(args) => node::run(&args, log_format),
        Paxos::Propose(args) => {
            let json = args.json;
            block_on(propose::run(args)).map_err(|failure| failure.in_json(json))
        }
        Paxos::Status(args) => block_on(status::run(args)),
    }
}

fn peer(text: &str) -> std::result::Result<(u64, String), String> {
    let parts = text.split_once('=').and_then(|(id, address)| Some((id.parse().ok()?, address)));
    let (id, address) = parts.ok_or_else(|| format!("{text:?} is not ID=HOST:PORT"))?;
    Ok((id, address.to_owned()))
}

/// The nodes that decide together.
struct Group {
    addresses: BTreeMap<NodeId, SocketAddr>,
}

impl Group {
    fn of(peers: &Peers) -> Result<Self> {
        let mut addresses = BTreeMap::new();
        for (id, address) in &peers.peers {
            if addresses.insert(NodeId(*id), resolve(address)?).is_some() {
                return Err(Failure::usage(format!("--peers names node {id} twice")));
            }
        }
        Ok(Self { addresses })
    }

    fn address(&self, node: u64) -> Result<SocketAddr> {
        self.addresses.get(&NodeId(node)).copied().ok_or_else(|| {
            Failure::usage(format!("--peers does not name node {node}; nothing was changed"))
        })
    }

    /// How the engine of `node` behaves.
    fn config(&self, node: u64, way: Way) -> Config {
        let mut config = Config::new(NodeId(node), self.addresses.keys().copied());
        let first = |count| self.addresses.keys().copied().take(count);
        config.learning = match way {
            Way::Everyone => Learning::Everyone,
            Way::One => first(1).next().map_or(Learning::Everyone, Learning::One),
            Way::Few => Learning::Few(first(2).collect()),
        };
        config
    }

    /// What tells this group from others: who plays which role. Nodes that disagree on that do not hear
    /// each other.
    fn id(config: &Config) -> ClusterId {
        let roles = format!("{:?} {:?}", config.learners, config.learning);
        ClusterId(synod_codec::hash(roles.as_bytes()))
    }
}
