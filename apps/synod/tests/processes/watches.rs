//! Watches of a real cluster while its nodes are killed and its disks are written: every event once,
//! in order, judged against what happened.

use std::time::Duration;

use bytes::Bytes;
use synod::engines::EngineName;
use synod_check::watch::{self as judge, Told, Watched, Write, check_history, check_watch};
use synod_clerk::{Changes, Clerk, Event, Span, WatchOptions, Watcher};

use crate::cluster::{Cluster, until};

fn judged(event: &Event) -> judge::Event {
    judge::Event {
        revision: event.revision(),
        key: event.key().clone(),
        value: event.entry().map(|entry| entry.value.clone()),
        prev: event.prev().map(|entry| entry.value.clone()),
        is_create: event.is_create(),
    }
}

/// All that happened, linearizably.
async fn history(clerk: &Clerk) -> Vec<judge::Event> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        match clerk.changes(Span::all(), after, 1_000).await.unwrap() {
            Changes::Compacted { compacted } => panic!("so little is not forgotten: {compacted}"),
            Changes::Happened(happened) if happened.events.is_empty() => return events,
            Changes::Happened(happened) => {
                after = happened.through;
                events.extend(happened.events.iter().map(judged));
            }
        }
    }
}

/// Collects what a watcher is told up to a revision.
async fn told(mut watcher: Watcher, until: u64) -> Vec<Told> {
    let mut told = Vec::<Told>::new();
    while told.last().is_none_or(|last| last.through < until) {
        let batch = watcher.next_batch().await.unwrap();
        let events = batch.events.iter().map(judged).collect();
        told.push(Told { through: batch.through, events });
    }
    told
}

pub(crate) async fn watchers_are_told_everything_once_while_nodes_are_killed(engine: EngineName) {
    let mut cluster = Cluster::start_on(engine, 3, "").await;
    let clerk = cluster.clerk(Duration::from_secs(20)).await;
    let watched = [Span::all(), Span::prefix("k1"), Span::One("k3".into())];
    let mut watchers = Vec::new();
    // Each with a clerk, and so a connection, of its own: they are at different nodes.
    for keys in &watched {
        let options = WatchOptions::new(keys.clone()).from(1).with_prev();
        let other = cluster.clerk(Duration::from_secs(20)).await;
        watchers.push(other.watch(options).await.unwrap().0);
    }
    let writer = tokio::spawn({
        let clerk = clerk.clone();
        async move {
            let mut writes = Vec::new();
            for number in 0..600u64 {
                let key = Bytes::from(format!("k{}", number % 5));
                let value = Bytes::from(number.to_string());
                if number % 7 == 6 {
                    if let Some(revision) = clerk.delete(key.clone()).await.unwrap() {
                        writes.push(Write { revision, key, value: None });
                    }
                } else {
                    let revision = clerk.put(key.clone(), value.clone()).await.unwrap();
                    writes.push(Write { revision, key, value: Some(value) });
                }
            }
            writes
        }
    });
    for node in 1..=3 {
        cluster.kill(node);
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.run(node);
        cluster.ready().await;
    }
    let writes = writer.await.unwrap();
    let happened = history(&clerk).await;
    check_history(0, &happened, &writes).unwrap();
    let last = clerk.put("k1", "the end").await.unwrap();
    clerk.put("k3", "the end").await.unwrap();
    let happened = until("the end has happened", async || {
        let happened = history(&clerk).await;
        (happened.last()?.revision > last).then_some(happened)
    })
    .await;
    for (keys, watcher) in watched.iter().zip(watchers) {
        let told = told(watcher, last).await;
        let wants = |event: &judge::Event| keys.contains(&event.key);
        let watched = Watched { from: 1, wants: &wants, prev: true, told };
        check_watch(&happened, &watched).unwrap();
    }
}
