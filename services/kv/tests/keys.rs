//! What the operations do, how revisions count, and what is refused.

mod client;

use bytes::Bytes;
use client::{Log, append, bytes, cas, delete, put, stored};
use synod_codec::encode;
use synod_consensus::StateMachine;
use synod_kv::limits::{
    MAX_COMMAND_BYTES, MAX_KEY_BYTES, MAX_RANGE_BYTES, MAX_RANGE_ENTRIES, MAX_VALUE_BYTES,
    MIN_LEASE_MS,
};
use synod_kv::message::{
    Answer, Command, Expect, Op, Query, Rejected, Response, SessionId, Txn, Written,
};

/// Applies the operations as numbers 1, 2, 3 … of one session; tells the last answer.
fn log_of(ops: impl IntoIterator<Item = Op>) -> (Log, Response) {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    let mut last = Response::Ticked;
    for (number, op) in (1..).zip(ops) {
        last = log.write_above(session, number, number, op);
    }
    (log, last)
}

fn range(log: &Log, start: &str, end: Option<&str>, limit: u64) -> (Vec<String>, bool) {
    let query = Query::Range { start: bytes(start), end: end.map(bytes), limit };
    match log.store.read(&query) {
        Answer::Range { entries, more, .. } => {
            let name = |key: &Bytes| String::from_utf8_lossy(key).into_owned();
            (entries.iter().map(|(key, _)| name(key)).collect(), more)
        }
        other => panic!("not a range: {other:?}"),
    }
}

#[test]
fn an_entry_tells_when_it_was_created_and_changed_and_how_often() {
    let (log, _) = log_of([put("a", "1"), put("b", "1"), put("a", "2"), append("a", "3")]);
    let entry = log.entry("a").unwrap();
    assert_eq!(entry.value, "23");
    assert_eq!((entry.create_revision, entry.mod_revision, entry.version), (1, 4, 3));
    assert_eq!(log.store.revision(), 4);
}

#[test]
fn a_deleted_key_begins_anew() {
    let (log, _) = log_of([put("a", "1"), put("a", "2"), delete("a"), put("a", "3")]);
    let entry = log.entry("a").unwrap();
    assert_eq!((entry.create_revision, entry.mod_revision, entry.version), (4, 4, 1));
}

#[test]
fn what_changes_nothing_has_no_revision() {
    let (log, absent) = log_of([delete("a")]);
    assert_eq!((absent, log.store.revision()), (Response::Written(Written::Absent), 0));
    let (log, differs) = log_of([cas("a", Expect::Value(bytes("x")), "y")]);
    assert_eq!(differs, Response::Written(Written::Differs { revision: None }));
    assert_eq!((log.store.keys(), log.store.revision()), (0, 0));
}

#[test]
fn appending_to_an_absent_key_creates_it() {
    let (log, _) = log_of([append("a", "1"), append("a", "2")]);
    assert_eq!(log.value("a").as_deref(), Some("12"));
}

#[test]
fn compare_and_swap_compares_absence_value_or_revision() {
    let differs = |revision| Response::Written(Written::Differs { revision });
    let swaps = [
        (Expect::Absent, differs(Some(2))),
        (Expect::Value(bytes("old")), differs(Some(2))),
        (Expect::Value(bytes("new")), stored(3)),
        (Expect::Revision(1), differs(Some(2))),
        (Expect::Revision(2), stored(3)),
    ];
    for (expect, answer) in swaps {
        let (_, last) = log_of([put("a", "old"), put("a", "new"), cas("a", expect, "newer")]);
        assert_eq!(last, answer);
    }
    let (log, last) = log_of([cas("a", Expect::Absent, "first")]);
    assert_eq!((last, log.value("a").as_deref()), (stored(1), Some("first")));
}

#[test]
fn a_copy_of_the_store_keeps_its_values_when_later_ones_are_appended() {
    let (mut log, _) = log_of([put("a", "1")]);
    let frozen = log.store.freeze();
    let session = log.open(MIN_LEASE_MS);
    log.write(session, 1, append("a", "2"));
    log.write(session, 2, append("a", "3"));
    assert_eq!(log.value("a").as_deref(), Some("123"));
    assert_eq!(Log { store: frozen, index: 0 }.value("a").as_deref(), Some("1"));
}

#[test]
fn a_range_has_the_keys_from_start_to_before_end() {
    let (log, _) = log_of(["b", "d", "a", "c"].map(|key| put(key, "v")));
    assert_eq!(range(&log, "b", Some("d"), 10), (vec!["b".into(), "c".into()], false));
    assert_eq!(range(&log, "bb", None, 10), (vec!["c".into(), "d".into()], false));
    assert_eq!(range(&log, "", None, 2), (vec!["a".into(), "b".into()], true));
    assert_eq!(range(&log, "", None, 0), (vec![], true));
    assert_eq!(range(&log, "d", Some("a"), 10), (vec![], false));
    assert_eq!(range(&log, "d", Some("d"), 10), (vec![], false));
}

#[test]
fn a_range_answer_is_bounded_in_entries_and_bytes() {
    let count = MAX_RANGE_ENTRIES + 1;
    let (log, _) = log_of((0..count).map(|key| put(&format!("{key:05}"), "")));
    let (keys, more) = range(&log, "", None, u64::MAX);
    assert_eq!((keys.len(), more), (MAX_RANGE_ENTRIES, true));

    let large = "x".repeat(MAX_VALUE_BYTES);
    let (log, _) = log_of(["a", "b"].map(|key| put(key, &large)));
    assert!(large.len() + 1 > MAX_RANGE_BYTES);
    assert_eq!(range(&log, "", None, 10), (vec!["a".into()], true));
    assert_eq!(range(&log, "b", None, 10), (vec!["b".into()], false));
}

#[test]
fn keys_and_values_are_bounded() {
    let longest_key = "k".repeat(MAX_KEY_BYTES);
    let longest_value = "v".repeat(MAX_VALUE_BYTES);
    let key_size = Response::Rejected(Rejected::KeySize { max_bytes: MAX_KEY_BYTES as u64 });
    let value_size = Response::Rejected(Rejected::ValueSize { max_bytes: MAX_VALUE_BYTES as u64 });
    let cases = [
        (put(&longest_key, &longest_value), stored(1)),
        (cas(&longest_key, Expect::Absent, &longest_value), stored(1)),
        (put(&(longest_key.clone() + "k"), ""), key_size.clone()),
        (delete(""), key_size),
        (put("k", &(longest_value.clone() + "v")), value_size.clone()),
        (append("k", &(longest_value.clone() + "v")), value_size.clone()),
        (cas("k", Expect::Absent, &(longest_value.clone() + "v")), value_size.clone()),
    ];
    for (op, answer) in cases {
        assert_eq!(log_of([op]).1, answer);
    }
    let (log, last) = log_of([put("k", &longest_value), append("k", "v")]);
    assert_eq!((last, log.store.revision()), (value_size, 1));
}

#[test]
fn the_largest_sensible_command_fits_the_bound_of_commands() {
    let (mut log, _) = log_of([]);
    let largest = "x".repeat(MAX_VALUE_BYTES);
    let key = "k".repeat(MAX_KEY_BYTES);
    let swap = cas(&key, Expect::Value(bytes(&largest)), &largest);
    let session = log.open(MIN_LEASE_MS);
    assert_eq!(log.write(session, 1, put(&key, &largest)), stored(1));
    let number = synod_kv::limits::MAX_UNANSWERED;
    let swap = Command::Write { session, number, answered_below: 1, op: swap };
    assert_eq!(log.apply(&swap), stored(2));
}

#[test]
fn bytes_that_are_no_command_change_nothing_and_never_panic() {
    let (mut log, _) = log_of([put("a", "1")]);
    let before = log.store.clone();
    let mut write = Vec::new();
    let session = SessionId(1);
    let command = Command::Write { session, number: 2, answered_below: 2, op: put("a", "2") };
    encode(&command, &mut write);
    let truncated = (0..write.len()).map(|length| write[..length].to_vec());
    let others = [vec![0xff; 40], vec![0; MAX_COMMAND_BYTES + 1], [&write[..], &[0]].concat()];
    for bad in truncated.chain(others) {
        assert_eq!(log.apply_bytes(&bad), Response::Rejected(Rejected::Malformed));
        assert!(log.store == before);
    }
}

/// What is brief may be applied by the thread that decides, so it must take no time in any state.
#[test]
fn only_writes_of_one_key_and_of_little_are_brief() {
    let log = Log::default();
    let is_brief = |command: &Command| {
        let mut encoded = Vec::new();
        encode(command, &mut encoded);
        log.store.is_brief(&encoded)
    };
    let write = |op| Command::Write {
        session: SessionId(u64::MAX),
        number: 1 << 20,
        answered_below: 300,
        op,
    };
    let brief = [put("a", "1"), delete("a"), cas("a", Expect::Absent, "1")];
    assert!(brief.into_iter().all(|op| is_brief(&write(op))));
    let long = [put("a", &"1".repeat(5_000)), append("a", "1"), Op::Txn(Txn::default())];
    assert!(!long.into_iter().any(|op| is_brief(&write(op))));
    let session = SessionId(1);
    let others = [
        Command::Open { lease_ms: 1 },
        Command::KeepAlive { session, answered_below: 1 },
        Command::Close { session },
        Command::Tick { elapsed_ms: 1 },
    ];
    assert!(!others.iter().any(is_brief));
    assert!(!log.store.is_brief(&[]) && !log.store.is_brief(&[3, 0x80]));
    assert!(log.store.is_brief_query(&Query::Get { key: bytes("a") }));
    assert!(!log.store.is_brief_query(&Query::Range { start: bytes("a"), end: None, limit: 9 }));
}
