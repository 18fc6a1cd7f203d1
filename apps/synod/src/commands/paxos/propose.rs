//! `synod paxos propose`: hands a value to a node, and shows what that node does with it.

use std::time::Duration;

use serde_json::json;
use synod_paxos::basic::Value;
use tokio::time::timeout;

use super::console::{Answer, Conversation, Question, ask_any};
use super::seen::value_json;
use super::{Group, ProposeArgs};
use crate::exit::{Exit, Failure, Result};
use crate::output::{say, tell};

pub(super) async fn run(args: ProposeArgs) -> Result<Exit> {
    let group = Group::of(&args.peers)?;
    let nodes = match args.node {
        Some(node) => vec![(node, group.address(node)?)],
        None => group.addresses.iter().map(|(node, address)| (node.0, *address)).collect(),
    };
    let value = Value(args.value.clone().into_bytes().into());
    let (node, conversation) = ask_any(nodes, &Question::Propose(value.clone())).await?;
    let limit = Duration::from_millis(args.timeout_ms);
    let chosen = match timeout(limit, follow(conversation, args.json)).await {
        Ok(chosen) => chosen?,
        Err(_) => {
            let what = format!(
                "node {node} did not learn the outcome within {} ms: the value may or may not be chosen \
                 later; ask again, and see with `synod paxos status` whether a majority of the nodes runs",
                args.timeout_ms
            );
            return Err(Failure::new(Exit::Unknown, what));
        }
    };
    let is_own = chosen == value;
    if args.json {
        tell(&json!({ "event": "outcome", "value": value_json(&chosen), "own": is_own }));
    } else {
        let green = anstyle::AnsiColor::Green.on_default().bold();
        let word = if is_own { "your value" } else { "another value, before yours" };
        let text = String::from_utf8_lossy(&chosen.0);
        say!("\nchosen: {green}{text}{green:#} ({word})");
    }
    Ok(if is_own { Exit::Done } else { Exit::No })
}

/// Shows what the node sees, until it knows.
async fn follow(mut conversation: Conversation, json: bool) -> Result<Value> {
    let mut since = None;
    loop {
        let answer = conversation.hear().await.map_err(lost)?;
        match answer.ok_or_else(|| lost("it ended the conversation"))? {
            Answer::Seen(seen) => {
                let since = *since.get_or_insert(seen.at_us);
                if json { tell(&seen.json()) } else { say!("{}", seen.line(since)) }
            }
            Answer::Chosen(value) => return Ok(value),
            Answer::Refused(why) => {
                let what = format!("the node refuses: {why}");
                return Err(Failure::new(Exit::NotDone, what));
            }
            Answer::Status(_) => return Err(lost("it answers another question")),
        }
    }
}

fn lost(why: impl std::fmt::Display) -> Failure {
    let what = format!(
        "the node was lost ({why}): the value may or may not be chosen; ask again, at another node if \
         this one is gone"
    );
    Failure::new(Exit::Unknown, what)
}
