//! `synod kv txn`: a transaction from a file or standard input, and what it did.

use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};
use synod_clerk::{Action, Clerk, Done, TxnDone};

use super::{entry_as_json, script};
use crate::exit::{Exit, Failure, Result};
use crate::output::{bytes_as_json, say, tell, write_bytes};

pub(super) async fn run(clerk: &Clerk, file: &Path, json: bool) -> Result<Exit> {
    let text = read(file)?;
    let txn = script::parse(&text).map_err(|error| {
        Failure::usage(format!("{}: {error}; nothing was changed", file.display()))
    })?;
    let branches = (txn.success.clone(), txn.failure.clone());
    let done = clerk.txn(txn).await?;
    let actions = if done.succeeded { branches.0 } else { branches.1 };
    if json {
        tell(&as_json(&done));
    } else {
        show(&done, &actions);
    }
    Ok(if done.succeeded { Exit::Done } else { Exit::No })
}

/// Whether `txn` can be read from `file`, before a cluster is asked for.
pub(super) fn read(file: &Path) -> Result<String> {
    let cannot = |error| Failure::usage(format!("cannot read {}: {error}", file.display()));
    if file != Path::new("-") {
        return std::fs::read_to_string(file).map_err(cannot);
    }
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text).map_err(cannot)?;
    Ok(text)
}

fn show(done: &TxnDone, actions: &[Action]) {
    let branch = if done.succeeded { "then" } else { "else" };
    say!("{branch}, revision {}", done.revision);
    for (action, result) in actions.iter().zip(&done.results) {
        match (action, result) {
            (Action::Put { key, .. }, Done::Put { prev }) => {
                say!("put {}", String::from_utf8_lossy(key));
                if let Some(prev) = prev {
                    write_bytes(&[b"was\t", &prev.value[..]].concat());
                }
            }
            (_, Done::Put { .. }) => {}
            (_, Done::Get { entries, more }) => {
                for (key, entry) in entries {
                    write_bytes(&[&key[..], b"\t", &entry.value].concat());
                }
                if *more {
                    anstream::eprintln!("there are more");
                }
            }
            (_, Done::Delete { deleted, prev }) => {
                say!("deleted {deleted}");
                for (key, entry) in prev {
                    write_bytes(&[b"was\t", &key[..], b"\t", &entry.value].concat());
                }
            }
        }
    }
}

fn as_json(done: &TxnDone) -> Value {
    let entries = |entries: &[(bytes::Bytes, synod_clerk::Entry)]| -> Vec<Value> {
        entries.iter().map(|(key, entry)| entry_as_json(key, entry)).collect()
    };
    let results = done.results.iter().map(|result| match result {
        Done::Put { prev: None } => json!({ "put": {} }),
        Done::Put { prev: Some(prev) } => {
            json!({ "put": { "was": bytes_as_json(&prev.value), "version": prev.version } })
        }
        Done::Get { entries: found, more } => {
            json!({ "get": { "entries": entries(found), "more": more } })
        }
        Done::Delete { deleted, prev } => {
            json!({ "delete": { "deleted": deleted, "was": entries(prev) } })
        }
    });
    json!({
        "succeeded": done.succeeded,
        "revision": done.revision,
        "results": results.collect::<Vec<_>>(),
    })
}
