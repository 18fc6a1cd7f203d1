//! `synod status`: how the nodes of a cluster are.

use comfy_table::{Cell, Color};
use serde_json::json;
use synod_clerk::{NodeReport, Options, status_of};
use synod_consensus::Role;
use tokio::task::JoinSet;

use crate::cli::StatusArgs;
use crate::exit::{Exit, Failure, Result};
use crate::output::{say, table, tell};

/// What one node said, or why it said nothing.
type Said = (String, std::result::Result<NodeReport, String>);

pub(crate) async fn run(args: StatusArgs) -> Result<Exit> {
    let json = args.cluster.json;
    let target = args.cluster.target()?;
    let options = Options { open_timeout_ms: args.cluster.timeout_ms.min(1_000), ..target.options };
    let mut said = ask(target.addresses.clone(), &options).await;
    let mut known: Vec<Option<u64>> = match &target.cluster {
        Some(cluster) => cluster.nodes.iter().map(|node| Some(node.id)).collect(),
        None => vec![None; said.len()],
    };
    let (ids, addresses): (Vec<_>, Vec<_>) = members_beyond(&said).into_iter().unzip();
    said.extend(ask(addresses, &options).await);
    known.extend(ids.into_iter().map(Some));
    let commit =
        said.iter().filter_map(|(_, report)| Some(report.as_ref().ok()?.log.commit.0)).max();
    if json {
        said.iter().zip(&known).for_each(|(said, id)| tell(&as_json(said, *id, commit)));
    } else {
        say!("{}", as_table(&said, &known, commit));
    }
    verdict(&said).map_err(|failure| failure.in_json(json))
}

/// Asks all of them at once how they are.
async fn ask(addresses: Vec<String>, options: &Options) -> Vec<Said> {
    let mut asked = JoinSet::new();
    for (place, address) in addresses.into_iter().enumerate() {
        let options = options.clone();
        asked.spawn(async move {
            let report = status_of(&address, &options).await.map_err(|error| error.to_string());
            (place, (address, report))
        });
    }
    let mut said = asked.join_all().await;
    said.sort_by_key(|(place, _)| *place);
    said.into_iter().map(|(_, said)| said).collect()
}

/// The members that were not asked, as the node that knows most names them: they joined later than the
/// configuration was written.
fn members_beyond(said: &[Said]) -> Vec<(u64, String)> {
    let reports = || said.iter().filter_map(|(_, report)| report.as_ref().ok());
    let Some(newest) = reports().max_by_key(|report| (report.log.epoch, report.log.commit)) else {
        return Vec::new();
    };
    let is_asked = |node| reports().any(|report| report.log.node == node);
    let others = newest.log.members.iter().filter(|member| !is_asked(member.node));
    others
        .filter_map(|member| Some((member.node.0, member.contact.as_ref()?.client_address.clone())))
        .filter(|(_, address)| said.iter().all(|(asked, _)| asked != address))
        .collect()
}

/// Done if somebody leads.
fn verdict(said: &[Said]) -> Result<Exit> {
    let reports = || said.iter().filter_map(|(_, report)| report.as_ref().ok());
    if reports().any(|report| report.log.role == Role::Leader) {
        return Ok(Exit::Done);
    }
    if reports().next().is_some() {
        let what = "no node leads; writes and reads wait until a majority is up and connected";
        return Err(Failure::new(Exit::NotDone, what));
    }
    let what = "no node could be reached; is the cluster running? `synod up` starts one";
    Err(Failure::new(Exit::Unreachable, what))
}

fn as_table(said: &[Said], known: &[Option<u64>], commit: Option<u64>) -> comfy_table::Table {
    let mut table =
        table(&["node", "pid", "address", "role", "term", "commit", "applied", "lag", "state"]);
    for ((address, report), id) in said.iter().zip(known) {
        match report {
            Ok(report) => {
                let log = &report.log;
                let lag = commit.unwrap_or(0).saturating_sub(log.applied.0);
                let role = Cell::new(log.role);
                let leads = log.role == Role::Leader;
                table.add_row([
                    Cell::new(log.node.0),
                    Cell::new(report.pid),
                    Cell::new(address),
                    if leads { role.fg(Color::Green) } else { role },
                    Cell::new(log.epoch),
                    Cell::new(log.commit),
                    Cell::new(log.applied),
                    Cell::new(lag),
                    match report.is_ready {
                        true => Cell::new("ready"),
                        false => Cell::new("not ready").fg(Color::Yellow),
                    },
                ]);
            }
            Err(error) => {
                let mut row: Vec<Cell> = (0..9).map(|_| Cell::new("-")).collect();
                row[0] = Cell::new(id.map_or("?".to_owned(), |id| id.to_string()));
                row[2] = Cell::new(address);
                row[8] = Cell::new(format!("unreachable: {error}")).fg(Color::Red);
                table.add_row(row);
            }
        }
    }
    table
}

fn as_json((address, report): &Said, id: Option<u64>, commit: Option<u64>) -> serde_json::Value {
    match report {
        Ok(NodeReport { log, contact: _, is_ready, pid, version, uptime_ms }) => json!({
            "node": log.node.0,
            "address": address,
            "reachable": true,
            "pid": pid,
            "role": log.role.to_string(),
            "leader": log.leader.map(|node| node.0),
            "term": log.epoch.0,
            "last": log.last.0,
            "commit": log.commit.0,
            "applied": log.applied.0,
            "snapshot": log.snapshot.0,
            "lag": commit.unwrap_or(0).saturating_sub(log.applied.0),
            "ready": is_ready,
            "version": version,
            "uptime_ms": uptime_ms,
        }),
        Err(error) => {
            json!({ "node": id, "address": address, "reachable": false, "error": error })
        }
    }
}
