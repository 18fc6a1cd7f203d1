//! `synod kv`: operations on keys, one at a time; transactions (`txn`, written as `script` says);
//! watches.

use std::io::Read;

use bytes::Bytes;
use serde_json::json;
use synod_clerk::{Clerk, Entry, Expect, Reads, Span, Swap};

use crate::cli::KvArgs;
use crate::exit::{Exit, Failure, Result};
use crate::output::{bytes_as_json, say, tell, write_bytes, write_raw};

pub(crate) use args::Operation;
use args::{ExpectArgs, Level};

mod args;
mod script;
mod txn;
mod watch;

pub(crate) async fn run(args: KvArgs) -> Result<Exit> {
    let json = args.cluster.json;
    let target = args.cluster.target()?;
    let told = async {
        let clerk = Clerk::connect(target.addresses, target.options).await?;
        let exit = operate(&clerk, args.operation, json).await;
        if exit.is_ok() {
            clerk.close().await;
        }
        exit
    };
    told.await.map_err(|failure: Failure| failure.in_json(json))
}

async fn operate(clerk: &Clerk, operation: Operation, json: bool) -> Result<Exit> {
    match operation {
        Operation::Get { key, raw, reads } => {
            let entry = clerk.with_reads(reads.into()).get(key.clone()).await?;
            match &entry {
                Some(entry) if raw => write_raw(&entry.value),
                _ => return Ok(show_entry(&key, entry.as_ref(), json)),
            }
            Ok(Exit::Done)
        }
        Operation::Put { key, value } => {
            let revision = clerk.put(key, read_value(value)?).await?;
            Ok(show_revision(revision, json))
        }
        Operation::Append { key, value } => {
            let revision = clerk.append(key, read_value(value)?).await?;
            Ok(show_revision(revision, json))
        }
        Operation::Delete { key } => Ok(match clerk.delete(key.clone()).await? {
            Some(revision) => show_revision(revision, json),
            None => show_entry(&key, None, json),
        }),
        Operation::Cas { key, value, expect } => {
            let swap = clerk.cas(key.clone(), expected(expect), read_value(value)?).await?;
            Ok(match swap {
                Swap::Stored { revision } => show_revision(revision, json),
                Swap::Differs { revision } => show_difference(&key, revision, json),
            })
        }
        Operation::Txn { file } => txn::run(clerk, &file, json).await,
        Operation::Watch(args) => watch::run(clerk, args, json).await,
        Operation::Range { start, end, prefix, limit, reads } => {
            let (start, end) = match prefix.map(Span::prefix) {
                Some(Span::Range { start, end }) => (start, end),
                Some(Span::One(_)) | None => (start.into(), end.map(Bytes::from)),
            };
            let range = clerk.with_reads(reads.into()).range(start, end, limit).await?;
            for (key, entry) in &range.entries {
                if json {
                    tell(&entry_as_json(key, entry));
                } else {
                    write_bytes(&[&key[..], b"\t", &entry.value].concat());
                }
            }
            if range.more {
                anstream::eprintln!(
                    "there are more: --limit or the bound on the size of an answer cut it; go on from the last key"
                );
            }
            Ok(Exit::Done)
        }
    }
}

fn expected(args: ExpectArgs) -> Expect {
    match args {
        ExpectArgs { expect: Some(value), .. } => Expect::Value(value.into()),
        ExpectArgs { revision: Some(revision), .. } => Expect::Revision(revision),
        ExpectArgs { .. } => Expect::Absent,
    }
}

/// `-` stands for standard input.
fn read_value(value: String) -> Result<Bytes> {
    if value != "-" {
        return Ok(value.into());
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|error| Failure::usage(format!("cannot read the value: {error}")))?;
    Ok(bytes.into())
}

fn show_revision(revision: u64, json: bool) -> Exit {
    if json {
        tell(&json!({ "revision": revision }));
    } else {
        say!("revision {revision}");
    }
    Exit::Done
}

fn show_entry(key: &str, entry: Option<&Entry>, json: bool) -> Exit {
    match entry {
        Some(entry) if json => tell(&entry_as_json(key.as_bytes(), entry)),
        Some(entry) => write_bytes(&entry.value),
        None if json => tell(&json!({ "key": key, "value": null })),
        None => anstream::eprintln!("there is no key {key:?}"),
    }
    if entry.is_some() { Exit::Done } else { Exit::No }
}

fn show_difference(key: &str, revision: Option<u64>, json: bool) -> Exit {
    match revision {
        _ if json => tell(&json!({ "swapped": false, "mod_revision": revision })),
        Some(revision) => {
            anstream::eprintln!(
                "{key:?} differs: changed last by revision {revision}; not swapped"
            );
        }
        None => anstream::eprintln!("there is no key {key:?}; not swapped"),
    }
    Exit::No
}

fn entry_as_json(key: &[u8], entry: &Entry) -> serde_json::Value {
    json!({
        "key": bytes_as_json(key),
        "value": bytes_as_json(&entry.value),
        "create_revision": entry.create_revision,
        "mod_revision": entry.mod_revision,
        "version": entry.version,
    })
}

impl From<Level> for Reads {
    fn from(level: Level) -> Self {
        match level {
            Level::Leader => Self::Linearizable,
            Level::Any => Self::LinearizableAnywhere,
            Level::Stale => Self::Stale,
        }
    }
}
