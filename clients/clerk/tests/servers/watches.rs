//! Watches and reads at any node: what is told once and in order, whatever breaks.

use std::time::Duration;

use synod_clerk::{Clerk, Event, Reads, Span, WatchError, WatchOptions, Watcher};
use synod_kv::limits::MAX_VALUE_BYTES;

use crate::fake::{Act, Fake, World, clerk};

async fn put(clerk: &Clerk, writes: u64) {
    for number in 1..=writes {
        clerk.put("k", number.to_string()).await.unwrap();
    }
}

async fn watch(clerk: &Clerk, from: u64) -> Watcher {
    clerk.watch(WatchOptions::key("k").from(from)).await.unwrap().0
}

async fn revisions(watcher: &mut Watcher, count: usize) -> Vec<u64> {
    let mut revisions = Vec::new();
    while revisions.len() < count {
        revisions.push(watcher.next().await.unwrap().revision());
    }
    revisions
}

#[tokio::test]
async fn a_watch_is_told_what_happens_from_its_revision_on() {
    let world = World::default();
    let clerk = clerk(&[&Fake::start(&world).await]).await;
    put(&clerk, 3).await;
    let (mut now, from) = clerk.watch(WatchOptions::prefix("k")).await.unwrap();
    assert_eq!(from, 4);
    let mut past = watch(&clerk, 2).await;
    clerk.delete("k").await.unwrap();
    assert_eq!(revisions(&mut past, 3).await, [2, 3, 4]);
    let event = now.next().await.unwrap();
    assert_eq!((event.revision(), event.entry(), &event.key()[..]), (4, None, &b"k"[..]));
    assert_eq!(clerk.seen(), 4);
}

#[tokio::test]
async fn a_watch_survives_its_servers_without_a_gap_or_a_repeat() {
    let world = World::default();
    let servers = [Fake::start(&world).await, Fake::start(&world).await];
    for server in &servers {
        server.tells_at_most(4);
    }
    let clerk = clerk(&[&servers[0], &servers[1]]).await;
    let mut watcher = watch(&clerk, 1).await;
    put(&clerk, 40).await;
    assert_eq!(revisions(&mut watcher, 40).await, (1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_watch_that_is_told_nothing_goes_on_elsewhere_when_its_server_falls_silent() {
    let world = World::default();
    let clerk = clerk(&[&Fake::start(&world).await, &Fake::start(&world).await]).await;
    let mut watcher = watch(&clerk, 1).await;
    // Longer than a server may be silent: it is asked for signs of life.
    tokio::time::sleep(Duration::from_millis(400)).await;
    clerk.put("k", "v").await.unwrap();
    assert_eq!(revisions(&mut watcher, 1).await, [1]);
}

#[tokio::test]
async fn a_watch_of_what_is_forgotten_is_told_so() {
    let world = World::default();
    let clerk = clerk(&[&Fake::start(&world).await]).await;
    let value = vec![0; MAX_VALUE_BYTES];
    for _ in 0..70 {
        clerk.put("k", value.clone()).await.unwrap();
    }
    let mut watcher = watch(&clerk, 1).await;
    let ended = watcher.next().await.unwrap_err();
    assert!(matches!(ended, WatchError::Compacted { compacted: 1.. }), "{ended}");
    assert_eq!(watcher.next().await.unwrap_err(), ended, "and again");
}

#[tokio::test]
async fn a_slow_program_is_told_everything_once_it_has_time() {
    let world = World::default();
    let clerk = clerk(&[&Fake::start(&world).await]).await;
    let mut watcher = watch(&clerk, 1).await;
    let value = vec![0; MAX_VALUE_BYTES / 2];
    for _ in 0..60 {
        clerk.put("k", value.clone()).await.unwrap();
    }
    let mut next = 1;
    while next <= 60 {
        let batch = watcher.next_batch().await.unwrap();
        for event in &batch.events {
            assert_eq!(event.revision(), next);
            next += 1;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_watcher_that_is_dropped_ends_its_watch_and_a_clerk_that_is_closed_its_watchers() {
    let world = World::default();
    let clerk = clerk(&[&Fake::start(&world).await]).await;
    drop(watch(&clerk, 1).await);
    let mut watcher = watch(&clerk, 1).await;
    clerk.put("k", "v").await.unwrap();
    assert_eq!(revisions(&mut watcher, 1).await, [1]);
    clerk.close().await;
    assert_eq!(watcher.next().await.unwrap_err(), WatchError::Closed);
}

#[tokio::test]
async fn changes_can_be_asked_for_in_single_steps() {
    let world = World::default();
    let clerk = clerk(&[&Fake::start(&world).await]).await;
    put(&clerk, 5).await;
    let synod_clerk::Changes::Happened(happened) = clerk.changes(Span::all(), 2, 2).await.unwrap()
    else {
        panic!("nothing is forgotten")
    };
    let told: Vec<_> = happened.events.iter().map(Event::revision).collect();
    assert_eq!((told, happened.through), (vec![3, 4], 4));
}

#[tokio::test]
async fn a_clerk_reads_at_any_node_what_it_has_seen() {
    let world = World::default();
    let clerk = clerk(&[&Fake::start(&world).await]).await;
    clerk.put("k", "new").await.unwrap();
    assert_eq!(clerk.seen(), 1);
    for reads in [Reads::Stale, Reads::LinearizableAnywhere] {
        let entry = clerk.with_reads(reads).get("k").await.unwrap().unwrap();
        assert_eq!(entry.value, "new");
    }
}

#[tokio::test]
async fn a_server_that_has_not_come_as_far_is_left_for_one_that_has() {
    let world = World::default();
    let (behind, other) = (Fake::start(&world).await, Fake::start(&world).await);
    let clerk = clerk(&[&other, &behind]).await;
    clerk.put("k", "v").await.unwrap();
    for server in [&behind, &other] {
        server.will([Act::Behind], Act::Answer);
    }
    let stale = clerk.with_reads(Reads::Stale);
    assert_eq!(stale.get("k").await.unwrap().unwrap().value, "v");
}
