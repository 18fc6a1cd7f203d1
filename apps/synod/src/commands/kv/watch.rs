//! `synod kv watch`: what happens to keys, a line an event, until somebody ends it.

use std::io::Write;

use serde_json::json;
use synod_clerk::{Clerk, Event, Filter, Span, WatchError, WatchOptions, Watcher};

use super::args::{Only, WatchArgs};
use super::entry_as_json;
use crate::exit::{Exit, Failure, Result};
use crate::output::{bytes_as_json, tell};

pub(super) async fn run(clerk: &Clerk, args: WatchArgs, json: bool) -> Result<Exit> {
    let WatchArgs { key, prefix, rev, prev, only, count } = args;
    let keys = if prefix { Span::prefix(key) } else { Span::One(key.into()) };
    let filter = match only {
        None => Filter::All,
        Some(Only::Put) => Filter::Puts,
        Some(Only::Delete) => Filter::Deletes,
    };
    let (mut watcher, from) = clerk.watch(WatchOptions { keys, from: rev, filter, prev }).await?;
    if json {
        tell(&json!({ "watching": from }));
    } else {
        anstream::eprintln!("watching from revision {from}; Ctrl-C ends it");
    }
    tokio::select! {
        shown = show(&mut watcher, count, json) => shown,
        interrupted = tokio::signal::ctrl_c() => {
            let cannot = |error| Failure::new(Exit::Fatal, format!("cannot listen for signals: {error}"));
            interrupted.map_err(cannot).map(|()| Exit::Done)
        }
    }
}

/// Shows so many events, or all that ever come.
async fn show(watcher: &mut Watcher, count: Option<u64>, json: bool) -> Result<Exit> {
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        let event = watcher.next().await?;
        let line =
            if json { format!("{}\n", as_json(&event)).into_bytes() } else { as_line(&event) };
        // Line by line: whoever reads this waits for it. When the reader has gone, so is the reason.
        let mut out = std::io::stdout().lock();
        if out.write_all(&line).and_then(|()| out.flush()).is_err() {
            return Ok(Exit::Done);
        }
        left -= 1;
    }
    Ok(Exit::Done)
}

/// Revision, what happened, the key, the value; then, if it was asked for, what was before.
fn as_line(event: &Event) -> Vec<u8> {
    let mut line = format!("{}\t", event.revision()).into_bytes();
    line.extend_from_slice(if event.entry().is_some() { b"put\t" } else { b"delete\t" });
    line.extend_from_slice(event.key());
    if let Some(entry) = event.entry() {
        line.push(b'\t');
        line.extend_from_slice(&entry.value);
    }
    if let Some(prev) = event.prev() {
        line.extend_from_slice(b"\twas\t");
        line.extend_from_slice(&prev.value);
    }
    line.push(b'\n');
    line
}

fn as_json(event: &Event) -> serde_json::Value {
    let key = event.key();
    let mut told = match event.entry() {
        Some(entry) => {
            let mut told = entry_as_json(key, entry);
            told["event"] = json!(if event.is_create() { "create" } else { "change" });
            told
        }
        None => json!({
            "event": "delete",
            "key": bytes_as_json(key),
            "mod_revision": event.revision(),
        }),
    };
    if let Some(prev) = event.prev() {
        told["prev"] = entry_as_json(key, prev);
    }
    told
}

impl From<WatchError> for Failure {
    fn from(error: WatchError) -> Self {
        let exit = match &error {
            WatchError::Compacted { .. } => Exit::No,
            WatchError::Refused(_) => Exit::NotDone,
            WatchError::Deadline | WatchError::Closed => Exit::Unreachable,
        };
        Self::new(exit, error)
    }
}
