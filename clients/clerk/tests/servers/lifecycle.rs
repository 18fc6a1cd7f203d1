//! Many calls at once, calls that are given up, sessions that are kept and closed.

use std::sync::Arc;
use std::time::Duration;

use synod_clerk::{Clerk, Options, Reason, Trouble, WriteError};
use synod_kv::message::Command;
use synod_kv::wire::OLDEST_PROTOCOL;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::fake::{Act, Fake, World, clerk, until};

#[tokio::test]
async fn a_thousand_calls_at_once_are_each_done_once_whatever_is_lost() {
    let world = World::default();
    let (one, two) = (Fake::start(&world).await, Fake::start(&world).await);
    let trouble = |seed: usize| {
        let acts = [Act::LoseAnswer, Act::LoseRequest, Act::Unknown { done: true }, Act::Answer];
        (0..6_000).map(move |n| match (n * 31 + seed) % 397 {
            pick @ 0..3 => acts[pick].clone(),
            _ => Act::Answer,
        })
    };
    one.will(trouble(0), Act::Answer);
    two.will(trouble(200), Act::Answer);
    let clerk = clerk(&[&one, &two]).await;
    let mut calls = JoinSet::new();
    for n in 0..1_000 {
        let clerk = clerk.clone();
        calls.spawn(async move {
            for round in 0..3 {
                clerk.append(format!("key {n}"), format!("{round}.")).await.unwrap();
            }
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    for n in 0..1_000 {
        let entry = clerk.get(format!("key {n}")).await.unwrap().unwrap();
        assert_eq!(&entry.value[..], b"0.1.2.");
    }
}

#[tokio::test]
async fn a_clerk_goes_on_at_members_of_whom_it_was_told() {
    let world = World::default();
    let (given, member) = (Fake::start(&world).await, Fake::start(&world).await);
    given.names(&[&given, &member]);
    let clerk = clerk(&[&given]).await;
    clerk.put("k", "v").await.unwrap();
    given.will([], Act::LoseRequest);
    clerk.put("k", "w").await.unwrap();
    assert_eq!(&clerk.get("k").await.unwrap().unwrap().value[..], b"w");
}

#[tokio::test]
async fn a_server_that_knows_only_the_older_version_is_spoken_to_in_it() {
    let world = World::default();
    let server = Fake::start(&world).await;
    server.speaks(OLDEST_PROTOCOL);
    let clerk = clerk(&[&server]).await;
    clerk.put("k", "v").await.unwrap();
    assert_eq!(&clerk.get("k").await.unwrap().unwrap().value[..], b"v");
}

#[tokio::test]
async fn dropping_a_call_breaks_nothing_and_its_number_is_not_waited_for() {
    let world = World::default();
    let server = Fake::start(&world).await;
    let clerk = clerk(&[&server]).await;
    clerk.put("k", "0").await.unwrap();
    for n in 0..20 {
        server.will([Act::Silence], Act::Answer);
        let dropped = timeout(Duration::from_millis(5), clerk.put("k", format!("dropped {n}")));
        assert!(dropped.await.is_err());
        clerk.put("k", format!("kept {n}")).await.unwrap();
    }
    assert_eq!(&clerk.get("k").await.unwrap().unwrap().value[..], b"kept 19");
    let waited_for = || {
        let window = |command: &Command| match command {
            Command::Write { number, answered_below, .. } => Some(number - answered_below),
            _ => None,
        };
        server.commands().iter().rev().find_map(window)
    };
    while waited_for() != Some(0) {
        clerk.put("k", "last").await.unwrap();
    }
}

#[tokio::test]
async fn a_call_waits_for_a_place_no_longer_than_its_deadline() {
    let server = Fake::start(&World::default()).await;
    server.will([], Act::Silence);
    let options = Options { max_in_flight: 1, timeout_ms: 300, ..Options::default() };
    let clerk = Clerk::connect([server.address.clone()], options).await.unwrap();
    let patient = clerk.with_timeout(Duration::from_secs(2));
    let (first, second) = tokio::join!(patient.put("a", "1"), clerk.put("b", "2"));
    assert_eq!(first, Err(WriteError::Unknown(Reason::Deadline(Trouble::Silence))));
    assert_eq!(second, Err(WriteError::NotDone(Reason::Deadline(Trouble::Busy))));
}

#[tokio::test]
async fn extreme_options_do_no_harm() {
    let server = Fake::start(&World::default()).await;
    let (timeout_ms, stall_timeout_ms, open_timeout_ms) = (u64::MAX, u64::MAX, u64::MAX);
    let (max_in_flight, lease_ms) = (usize::MAX, u64::MAX);
    let cluster = None;
    let options =
        Options { cluster, timeout_ms, open_timeout_ms, stall_timeout_ms, max_in_flight, lease_ms };
    let clerk = Clerk::connect([server.address.clone()], options).await.unwrap();
    assert_eq!(clerk.with_timeout(Duration::MAX).put("k", "v").await, Ok(1));
    clerk.close().await;
    let options = Options { max_in_flight: 0, lease_ms: 0, ..Options::default() };
    let clerk = Clerk::connect([server.address.clone()], options).await.unwrap();
    assert_eq!(clerk.put("k", "v").await, Ok(2));
}

#[tokio::test]
async fn an_idle_session_is_kept_alive() {
    let server = Fake::start(&World::default()).await;
    server.tells_lease_ms(60);
    let clerk = clerk(&[&server]).await;
    clerk.put("k", "v").await.unwrap();
    let keeps = || {
        let is_keep =
            |command: &Command| matches!(command, Command::KeepAlive { answered_below: 2, .. });
        server.commands().iter().filter(|command| is_keep(command)).count()
    };
    until("it was kept alive three times", || keeps() >= 3).await;
}

#[tokio::test]
async fn closing_ends_the_session_after_the_calls_under_way() {
    let world = World::default();
    let server = Fake::start(&world).await;
    let clerk = clerk(&[&server]).await;
    clerk.put("k", "0").await.unwrap();
    server.will([Act::LoseAnswer], Act::Answer);
    let call = tokio::spawn({
        let clerk = clerk.clone();
        async move { clerk.append("k", "1").await }
    });
    until("the write is under way", || server.commands().len() > 2).await;
    clerk.clone().close().await;
    assert_eq!((call.await.unwrap(), world.sessions()), (Ok(2), 0));
    let closed = clerk.put("k", "2").await;
    assert_eq!(closed, Err(WriteError::NotDone(Reason::Closed)));
}

#[tokio::test]
async fn a_clerk_that_nobody_holds_ends_its_session() {
    let world = World::default();
    let server = Fake::start(&world).await;
    let clerk = clerk(&[&server]).await;
    clerk.put("k", "v").await.unwrap();
    assert_eq!(world.sessions(), 1);
    drop(clerk);
    until("the session is closed", || world.sessions() == 0).await;
}

#[tokio::test]
async fn a_clerk_that_only_reads_opens_no_session() {
    let world = World::default();
    let server = Fake::start(&world).await;
    let clerk = Arc::new(clerk(&[&server]).await);
    assert_eq!(clerk.get("k").await, Ok(None));
    assert_eq!((world.sessions(), server.commands().len()), (0, 0));
}
