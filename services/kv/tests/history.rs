//! What the store remembers of what happened, and what it has forgotten.

mod client;

use client::{Log, append, bytes, delete, put, snapshot};
use synod_consensus::StateMachine;
use synod_kv::Store;
use synod_kv::limits::{MAX_HISTORY_BYTES, MAX_VALUE_BYTES, MIN_LEASE_MS};
use synod_kv::message::{Action, Answer, Event, Op, Query, SessionId, Span, Txn};

fn changes(log: &Log, keys: Span, after: u64, limit: u64) -> (u64, Vec<Event>) {
    match log.store.read(&Query::Changes { keys, after, limit }) {
        Answer::Changes { through, events, .. } => (through, events),
        other => panic!("not what happened: {other:?}"),
    }
}

fn log_of(ops: impl IntoIterator<Item = Op>) -> (Log, SessionId) {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    for (number, op) in (1..).zip(ops) {
        log.write_above(session, number, number, op);
    }
    (log, session)
}

/// A store that has forgotten its beginning, with what was written first.
fn forgetful() -> (Log, SessionId, u64) {
    let (mut log, session) = log_of([]);
    let value = "x".repeat(MAX_VALUE_BYTES);
    let mut number = 0;
    while log.store.compacted() == 0 {
        number += 1;
        log.write_above(session, number, number, put(&format!("k{}", number % 3), &value));
    }
    (log, session, number)
}

#[test]
fn an_event_tells_what_the_key_holds_and_what_it_held() {
    let (log, _) = log_of([put("a", "1"), append("a", "2"), delete("a"), put("a", "3")]);
    let (through, events) = changes(&log, Span::all(), 0, 10);
    let told = events.iter().map(|event| {
        let value = |entry: &synod_kv::message::Entry| entry.value.clone();
        (event.revision(), event.entry().map(value), event.prev().map(value), event.is_create())
    });
    let value = |text: &str| Some(bytes(text));
    assert_eq!(through, 4);
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (1, value("1"), None, true),
            (2, value("12"), value("1"), false),
            (3, None, value("12"), false),
            (4, value("3"), None, true),
        ]
    );
}

#[test]
fn changes_are_those_of_the_keys_after_the_revision() {
    let (log, _) = log_of([put("a1", ""), put("b", ""), put("a2", ""), delete("b")]);
    let revisions = |keys, after| {
        let (through, events) = changes(&log, keys, after, 10);
        (through, events.iter().map(Event::revision).collect::<Vec<_>>())
    };
    assert_eq!(revisions(Span::prefix("a"), 0), (4, vec![1, 3]));
    assert_eq!(revisions(Span::One(bytes("b")), 2), (4, vec![4]));
    assert_eq!(revisions(Span::all(), 4), (4, vec![]));
    assert_eq!(revisions(Span::all(), 9), (9, vec![]), "nothing from before the future is told");
}

#[test]
fn a_limit_never_cuts_a_revision() {
    let both = Op::Txn(Txn {
        success: ["a", "b", "c"]
            .map(|key| Action::Put { key: bytes(key), value: bytes("1"), prev: false })
            .to_vec(),
        ..Txn::default()
    });
    let (log, _) = log_of([put("a", "0"), both, put("b", "2")]);
    let told = |after, limit| {
        let (through, events) = changes(&log, Span::all(), after, limit);
        (through, events.len())
    };
    assert_eq!(told(0, 1), (1, 1));
    assert_eq!(told(1, 1), (2, 3));
    assert_eq!(told(0, 2), (2, 4));
    assert_eq!(told(2, 0), (3, 1));
}

#[test]
fn an_event_can_be_silent_about_what_was_before() {
    let (log, _) = log_of([put("a", "1"), delete("a")]);
    for event in log.store.events_after(0) {
        let silent = event.without_prev();
        let mut bytes = Vec::new();
        synod_codec::encode(&silent, &mut bytes);
        let told: Event = synod_codec::decode(&bytes).unwrap();
        assert_eq!((told.key(), told.entry(), told.prev()), (event.key(), event.entry(), None));
        bytes.clear();
        synod_codec::encode(event, &mut bytes);
        assert_eq!(synod_codec::decode::<Event>(&bytes).as_ref(), Ok(event));
    }
}

#[test]
fn the_history_is_bounded_and_says_what_it_has_forgotten() {
    let (mut log, session, mut number) = forgetful();
    for _ in 0..50 {
        let remembered: Vec<_> = log.store.events_after(log.store.compacted()).collect();
        let bytes: usize = remembered.iter().map(|event| event.size_bytes()).sum();
        assert!(bytes <= MAX_HISTORY_BYTES && bytes > MAX_HISTORY_BYTES / 2);
        assert_eq!(remembered[0].revision(), log.store.compacted() + 1, "nothing is missing");
        assert_eq!(remembered.last().unwrap().revision(), log.store.revision());
        number += 1;
        log.write_above(session, number, number, put("k", &"y".repeat(MAX_VALUE_BYTES)));
    }
    let (compacted, revision) = (log.store.compacted(), log.store.revision());
    let after = |after| Query::Changes { keys: Span::all(), after, limit: 1 };
    let forgotten = Answer::Compacted { revision, compacted };
    assert_eq!(log.store.read(&after(compacted - 1)), forgotten);
    assert!(matches!(log.store.read(&after(compacted)), Answer::Changes { .. }));
}

/// etcd lost the deletion at the compaction revision to a watcher that was resumed exactly there
/// (etcd#18089, etcd#19179).
#[test]
fn a_delete_event_at_the_compaction_revision_is_told_or_compacted_never_skipped() {
    let (mut log, session, mut number) = forgetful();
    let mut deleted_at = Vec::new();
    for round in 0..200 {
        number += 1;
        let op =
            if round % 2 == 0 { put("d", &"z".repeat(MAX_VALUE_BYTES / 2)) } else { delete("d") };
        log.write_above(session, number, number, op);
        if round % 2 == 1 {
            deleted_at.push(log.store.revision());
        }
        for at in &deleted_at {
            match log.store.read(&Query::Changes {
                keys: Span::One(bytes("d")),
                after: at - 1,
                limit: 1,
            }) {
                Answer::Compacted { compacted, .. } => assert!(*at <= compacted),
                Answer::Changes { events, .. } => {
                    assert_eq!((events[0].revision(), events[0].entry()), (*at, None));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(deleted_at[0] <= log.store.compacted(), "the compaction has passed deletions");
}

#[test]
fn a_restored_store_remembers_and_forgets_the_same() {
    let (mut log, session, number) = forgetful();
    let mut restored = Log {
        store: Store::new().restore(snapshot(&log.store).into_iter()).unwrap(),
        index: log.index,
    };
    assert!(restored.store == log.store);
    for more in 1..=100 {
        let op = put(&format!("k{}", more % 7), &"x".repeat(MAX_VALUE_BYTES));
        let number = number + more;
        let answer = log.write_above(session, number, number, op.clone());
        assert_eq!(restored.write_above(session, number, number, op), answer);
        assert_eq!(restored.store.compacted(), log.store.compacted());
    }
    assert!(restored.store == log.store);
    assert_eq!(snapshot(&restored.store), snapshot(&log.store));
}
