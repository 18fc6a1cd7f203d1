//! `synod paxos status`: what each node has promised, has accepted and knows.

use serde_json::json;
use tokio::time::timeout;

use super::console::{Answer, Conversation, Question, Status, unreachable};
use super::seen::{ballot_json, proposal_json, value_json};
use super::{Group, StatusArgs};
use crate::exit::{Exit, Result};
use crate::output::{say, table, tell};

pub(super) async fn run(args: StatusArgs) -> Result<Exit> {
    let group = Group::of(&args.peers)?;
    let mut statuses = Vec::new();
    for (node, address) in &group.addresses {
        statuses.push((node.0, status(*address).await));
    }
    if statuses.iter().all(|(_, status)| status.is_none()) {
        return Err(unreachable("no node can be reached").in_json(args.json));
    }
    if args.json {
        for (node, status) in statuses {
            tell(&match status {
                None => json!({ "node": node, "reachable": false }),
                Some(status) => json!({
                    "node": node,
                    "reachable": true,
                    "chosen": status.chosen.as_ref().map(value_json),
                    "promised": status.promised.map(ballot_json),
                    "accepted": status.accepted.as_ref().map(proposal_json),
                }),
            });
        }
        return Ok(Exit::Done);
    }
    let mut table = table(&["node", "state"]);
    for (node, status) in statuses {
        let words = status.map_or_else(|| "unreachable".to_owned(), |status| status.words);
        table.add_row([node.to_string(), words]);
    }
    say!("{table}");
    Ok(Exit::Done)
}

/// How the node there is, if it says so.
async fn status(address: std::net::SocketAddr) -> Option<Status> {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
    let mut conversation = Conversation::ask(address, &Question::Status).await.ok()?;
    match timeout(PATIENCE, conversation.hear()).await.ok()?.ok()?? {
        Answer::Status(status) => Some(status),
        Answer::Seen(_) | Answer::Chosen(_) | Answer::Refused(_) => None,
    }
}
