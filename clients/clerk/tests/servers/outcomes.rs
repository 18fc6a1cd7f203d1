//! How calls end when servers misbehave: done once, definitely not done, or unknown.

use std::time::{Duration, Instant};

use synod_clerk::{
    Action, Clerk, Compare, ConnectError, Entry, Expect, Options, Reason, Relation, Span, Swap,
    Target, Trouble, Txn, WriteError,
};
use synod_consensus::Refusal;
use synod_engine::{ClusterId, NodeId};
use synod_kv::limits::{MAX_COMMAND_BYTES, MAX_VALUE_BYTES};
use synod_kv::message::{Command, Rejected};

use crate::fake::{Act, CLUSTER, Fake, World, clerk, until};

const NO_LEADER: Act = Act::Refuse(Refusal::NotLeader { leader: None });
const DISK_FULL: Refusal = Refusal::DiskFull { node: NodeId(1), reserve_bytes: 7 };
const IN_A_HURRY: Duration = Duration::from_millis(300);

async fn value_of(clerk: &Clerk, key: &'static str) -> Option<Vec<u8>> {
    clerk.get(key).await.unwrap().map(|entry: Entry| entry.value.to_vec())
}

#[tokio::test]
async fn every_kind_of_call_is_answered() {
    let world = World::default();
    let clerk = clerk(&[&Fake::start(&world).await]).await;
    assert_eq!(clerk.put("a", "1").await, Ok(1));
    assert_eq!(clerk.append("a", "2").await, Ok(2));
    assert_eq!(value_of(&clerk, "a").await, Some(b"12".to_vec()));
    let stored = clerk.cas("b", Expect::Absent, "3").await;
    assert_eq!(stored, Ok(Swap::Stored { revision: 3 }));
    let differs = clerk.cas("b", Expect::Value("4".into()), "5").await;
    assert_eq!(differs, Ok(Swap::Differs { revision: Some(3) }));
    let range = clerk.range("a", None, 10).await.unwrap();
    assert_eq!(range.entries.iter().map(|(key, _)| &key[..]).collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(clerk.delete("a").await, Ok(Some(4)));
    assert_eq!(clerk.delete("a").await, Ok(None));
    assert_eq!(value_of(&clerk, "a").await, None);
    let there = Compare {
        keys: Span::One("b".into()),
        relation: Relation::Greater,
        target: Target::Version(0),
    };
    let put = Action::Put { key: "c".into(), value: "6".into(), prev: false };
    let txn = Txn { compares: vec![there], success: vec![put], failure: vec![] };
    let done = clerk.txn(txn).await.unwrap();
    assert_eq!((done.succeeded, done.revision), (true, 5));
    assert!(clerk.status().await.unwrap().is_ready);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_done_once() {
    let world = World::default();
    let server = Fake::start(&world).await;
    server.will([Act::LoseAnswer, Act::LoseAnswer, Act::Unknown { done: true }], Act::Answer);
    let clerk = clerk(&[&server]).await;
    clerk.append("k", "x").await.unwrap();
    assert_eq!(value_of(&clerk, "k").await, Some(b"x".to_vec()));
}

#[tokio::test]
async fn a_write_that_never_arrived_is_sent_again_under_its_number() {
    let world = World::default();
    let server = Fake::start(&world).await;
    let lost = [Act::LoseRequest, Act::Unknown { done: false }, NO_LEADER, Act::Babble];
    server.will(lost, Act::Answer);
    let clerk = clerk(&[&server]).await;
    clerk.append("k", "x").await.unwrap();
    assert_eq!(value_of(&clerk, "k").await, Some(b"x".to_vec()));
    let numbers = server.commands().into_iter().filter_map(|command| match command {
        Command::Write { number, .. } => Some(number),
        _ => None,
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [1; 5]);
}

#[tokio::test]
async fn a_hint_leads_to_the_leader() {
    let world = World::default();
    let (follower, leader) = (Fake::start(&world).await, Fake::start(&world).await);
    follower.will([], Act::Redirect(leader.address.clone()));
    let clerk = clerk(&[&follower]).await;
    assert_eq!(clerk.get("k").await, Ok(None));
    clerk.put("k", "v").await.unwrap();
    assert!(follower.commands().is_empty(), "the clerk stays with the leader");
}

#[tokio::test]
async fn servers_that_take_each_other_for_the_leader_do_not_trap_the_clerk() {
    let world = World::default();
    let (one, two) = (Fake::start(&world).await, Fake::start(&world).await);
    one.will([], Act::Redirect(two.address.clone()));
    two.will(vec![Act::Redirect(one.address.clone()); 6], Act::Answer);
    clerk(&[&one, &two]).await.put("k", "v").await.unwrap();
}

#[tokio::test]
async fn a_leader_that_falls_silent_is_left_for_another_server() {
    let world = World::default();
    let (suspended, next) = (Fake::start(&world).await, Fake::start(&world).await);
    suspended.will([], Act::Silence);
    let clerk = clerk(&[&suspended, &next]).await;
    clerk.append("k", "x").await.unwrap();
    assert_eq!(value_of(&clerk, "k").await, Some(b"x".to_vec()));
}

#[tokio::test]
async fn without_a_leader_a_call_is_not_done_within_its_deadline() {
    let server = Fake::start(&World::default()).await;
    server.will([], NO_LEADER);
    let clerk = clerk(&[&server]).await.with_timeout(IN_A_HURRY);
    let start = Instant::now();
    let reason = Reason::Deadline(Trouble::NoLeader);
    assert_eq!(clerk.put("k", "v").await, Err(WriteError::NotDone(reason.clone())));
    assert_eq!(clerk.get("k").await.unwrap_err().0, reason);
    assert!(start.elapsed() >= 2 * IN_A_HURRY && start.elapsed() < 4 * IN_A_HURRY);
}

#[tokio::test]
async fn without_an_answer_a_write_is_unknown_and_a_read_is_not() {
    let server = Fake::start(&World::default()).await;
    server.will([], Act::Silence);
    let clerk = clerk(&[&server]).await.with_timeout(IN_A_HURRY);
    let reason = Reason::Deadline(Trouble::Silence);
    assert_eq!(clerk.put("k", "v").await, Err(WriteError::Unknown(reason.clone())));
    assert_eq!(clerk.get("k").await.unwrap_err().0, reason);
}

/// What the kernel has not taken when a call's time is up may still be sent: the connection lives on.
#[tokio::test]
async fn a_write_that_was_only_partly_sent_when_its_time_was_up_is_unknown() {
    let server = Fake::start(&World::default()).await;
    let clerk = clerk(&[&server]).await;
    clerk.put("k", "v").await.unwrap();
    server.will([], Act::Deaf);
    let hasty = clerk.with_timeout(Duration::from_millis(100));
    let deaf = hasty.put("k", "now it reads no more").await.unwrap_err();
    assert!(matches!(deaf, WriteError::Unknown(_)), "{deaf}");
    // Far more than the sockets between take.
    let calls = (0..24).map(|_| {
        let hasty = hasty.clone();
        tokio::spawn(async move { hasty.put("k", vec![0; MAX_VALUE_BYTES]).await.unwrap_err() })
    });
    let calls: Vec<_> = calls.collect();
    let (mut unknown, mut not_done) = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            WriteError::Unknown(Reason::Deadline(_)) => unknown += 1,
            WriteError::NotDone(Reason::Deadline(_)) => not_done += 1,
            other => panic!("{other}"),
        }
    }
    // Those that were never handed over surely did nothing; those that were, even in part, may have.
    assert!(unknown > 0 && not_done > 0, "{unknown} unknown, {not_done} not done");
}

#[tokio::test]
async fn a_refusal_after_an_unanswered_copy_leaves_the_write_unknown() {
    let world = World::default();
    let server = Fake::start(&world).await;
    server.will([Act::LoseAnswer], NO_LEADER);
    let hasty = clerk(&[&server]).await.with_timeout(IN_A_HURRY);
    let unknown = WriteError::Unknown(Reason::Deadline(Trouble::NoLeader));
    assert_eq!(hasty.put("k", "v").await, Err(unknown));
    server.will([Act::LoseAnswer, Act::Refuse(DISK_FULL)], Act::Answer);
    let unknown = WriteError::Unknown(Reason::Refused(DISK_FULL));
    assert_eq!(hasty.put("k", "v").await, Err(unknown));
    server.will([Act::Refuse(DISK_FULL)], Act::Answer);
    let not_done = WriteError::NotDone(Reason::Refused(DISK_FULL));
    assert_eq!(hasty.put("k", "v").await, Err(not_done));
}

#[tokio::test]
async fn a_write_ends_at_once_where_no_session_can_be_opened() {
    let server = Fake::start(&World::default()).await;
    server.opens_no_session(DISK_FULL);
    let not_done = WriteError::NotDone(Reason::Refused(DISK_FULL));
    assert_eq!(clerk(&[&server]).await.put("k", "v").await, Err(not_done));
    assert_eq!(server.commands().len(), 1);
}

#[tokio::test]
async fn one_server_without_a_leader_is_more_to_tell_than_others_that_are_gone() {
    let (gone, lonely) = ("127.0.0.1:1".to_owned(), Fake::start(&World::default()).await);
    lonely.will([], NO_LEADER);
    let options = Options { timeout_ms: 500, ..Options::default() };
    let servers = [gone.clone(), gone, lonely.address.clone()];
    let clerk = Clerk::connect(servers, options).await.unwrap();
    for _ in 0..3 {
        assert_eq!(clerk.get("k").await.unwrap_err().0, Reason::Deadline(Trouble::NoLeader));
    }
}

#[tokio::test]
async fn a_session_that_expired_is_replaced_without_the_caller_noticing() {
    let world = World::default();
    let server = Fake::start(&world).await;
    let clerk = clerk(&[&server]).await;
    clerk.append("k", "x").await.unwrap();
    world.tick_past_every_lease();
    clerk.append("k", "y").await.unwrap();
    assert_eq!(value_of(&clerk, "k").await, Some(b"xy".to_vec()));
}

#[tokio::test]
async fn a_session_that_expired_after_an_unanswered_copy_leaves_the_write_unknown() {
    for act in [Act::LoseAnswer, Act::Unknown { done: false }] {
        let world = World::default();
        let server = Fake::start(&world).await;
        let clerk = clerk(&[&server]).await;
        clerk.put("k", "v").await.unwrap();
        let refusals = vec![NO_LEADER; 10];
        server.will([act].into_iter().chain(refusals), Act::Answer);
        let call = tokio::spawn({
            let clerk = clerk.clone();
            async move { clerk.append("k", "x").await }
        });
        until("the copy is refused", || server.commands().len() > 3).await;
        world.tick_past_every_lease();
        assert_eq!(call.await.unwrap(), Err(WriteError::Unknown(Reason::SessionLost)));
        clerk.put("k", "w").await.unwrap();
    }
}

#[tokio::test]
async fn what_the_store_rejects_is_not_done_even_when_a_copy_was_lost() {
    let world = World::default();
    let server = Fake::start(&world).await;
    server.will([Act::LoseAnswer], Act::Answer);
    let clerk = clerk(&[&server]).await;
    let max_bytes = MAX_VALUE_BYTES as u64;
    let too_long = vec![0; MAX_VALUE_BYTES + 1];
    let not_done = WriteError::NotDone(Reason::Rejected(Rejected::ValueSize { max_bytes }));
    assert_eq!(clerk.put("k", too_long).await, Err(not_done));
    let beyond_any_frame = vec![0; MAX_COMMAND_BYTES];
    let max_bytes = MAX_COMMAND_BYTES as u64;
    let not_done = WriteError::NotDone(Reason::Refused(Refusal::TooLarge { max_bytes }));
    assert_eq!(clerk.put("k", beyond_any_frame).await, Err(not_done));
    clerk.put("k", "v").await.unwrap();
}

#[tokio::test]
async fn a_connection_error_names_every_server() {
    let gone = "127.0.0.1:1".to_owned();
    let server = Fake::start(&World::default()).await;
    let options = Options { cluster: Some(ClusterId(CLUSTER.0 + 1)), ..Options::default() };
    let servers = [gone.clone(), server.address.clone()];
    let ConnectError { attempts } = Clerk::connect(servers.clone(), options).await.unwrap_err();
    assert_eq!(attempts.iter().map(|(address, _)| address.clone()).collect::<Vec<_>>(), servers);
    assert!(attempts[1].1.to_string().contains("belongs to cluster"));
}
