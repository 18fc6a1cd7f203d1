//! Transactions: what is compared, which branch is done, at which revision, and what is refused.

mod client;

use client::{Log, bytes, put, stored};
use synod_codec::encode;
use synod_kv::limits::{
    MAX_CHANGE_BYTES, MAX_KEPT_BYTES, MAX_TXN_ACTIONS, MAX_TXN_ANSWER_BYTES, MAX_UNANSWERED,
    MAX_VALUE_BYTES, MIN_LEASE_MS,
};
use synod_kv::message::{
    Action, Compare, Done, Op, Rejected, Relation, Response, SessionId, Span, Target, Txn, TxnDone,
    Written,
};

/// A store in which `a` was set twice and `b` once, and its session.
fn some_keys() -> (Log, SessionId) {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    for (number, op) in (1..).zip([put("a", "1"), put("b", "1"), put("a", "2")]) {
        log.write(session, number, op);
    }
    (log, session)
}

fn one(key: &str) -> Span {
    Span::One(bytes(key))
}

fn compare(keys: Span, relation: Relation, target: Target) -> Compare {
    Compare { keys, relation, target }
}

fn set(key: &str, value: &str) -> Action {
    Action::Put { key: bytes(key), value: bytes(value), prev: false }
}

fn get(key: &str) -> Action {
    Action::Get { keys: one(key), limit: 10 }
}

fn delete(keys: Span, prev: bool) -> Action {
    Action::Delete { keys, prev }
}

/// The same with nothing compared.
fn always(success: Vec<Action>) -> Txn {
    Txn { compares: vec![], success, failure: vec![] }
}

fn transact(log: &mut Log, session: SessionId, number: u64, txn: Txn) -> Result<TxnDone, Rejected> {
    match log.write(session, number, Op::Txn(txn)) {
        Response::Written(Written::Txn(done)) => Ok((*done).clone()),
        Response::Rejected(rejected) => Err(rejected),
        other => panic!("a transaction was answered {other:?}"),
    }
}

fn holds(compare: Compare) -> bool {
    let (mut log, session) = some_keys();
    let txn = Txn { compares: vec![compare], success: vec![], failure: vec![] };
    let done = transact(&mut log, session, 4, txn).expect("nothing to refuse");
    assert_eq!((done.revision, log.store.revision()), (3, 3), "nothing was changed");
    done.succeeded
}

#[test]
fn each_relation_compares_value_version_and_both_revisions() {
    let targets = |less: bool| {
        // Of `a`: value 2, version 2, created at 1, modified at 3.
        let by = u64::from(less);
        [
            Target::Value(bytes(if less { "3" } else { "2" })),
            Target::Version(2 + by),
            Target::Created(1 + by),
            Target::Modified(3 + by),
        ]
    };
    for same in targets(false) {
        for (relation, expected) in [
            (Relation::Equal, true),
            (Relation::NotEqual, false),
            (Relation::Less, false),
            (Relation::Greater, false),
        ] {
            assert_eq!(holds(compare(one("a"), relation, same.clone())), expected, "{same:?}");
        }
    }
    for greater in targets(true) {
        for (relation, expected) in [
            (Relation::Equal, false),
            (Relation::NotEqual, true),
            (Relation::Less, true),
            (Relation::Greater, false),
        ] {
            assert_eq!(holds(compare(one("a"), relation, greater.clone())), expected);
        }
    }
}

#[test]
fn an_absent_key_has_version_and_revisions_0_and_no_value() {
    use Relation::{Equal, Greater, Less, NotEqual};
    for target in [Target::Version(0), Target::Created(0), Target::Modified(0)] {
        assert!(holds(compare(one("x"), Equal, target.clone())));
        assert!(!holds(compare(one("x"), Greater, target)));
    }
    for relation in [Equal, NotEqual, Less, Greater] {
        assert!(!holds(compare(one("x"), relation, Target::Value(bytes("")))));
    }
}

#[test]
fn a_range_is_compared_key_by_key() {
    let all = |relation, target| holds(compare(Span::all(), relation, target));
    assert!(all(Relation::Greater, Target::Version(0)));
    assert!(!all(Relation::Equal, Target::Version(2)), "b has version 1");
    let none = Span::prefix("x");
    assert!(holds(compare(none, Relation::Equal, Target::Version(0))), "as an absent key");
}

#[test]
fn all_changes_of_a_transaction_have_one_revision_and_see_each_other() {
    let (mut log, session) = some_keys();
    let txn = always(vec![
        set("c", "1"),
        get("c"),
        delete(Span::prefix("a"), true),
        get("a"),
        Action::Put { key: bytes("b"), value: bytes("2"), prev: true },
    ]);
    let done = transact(&mut log, session, 4, txn).unwrap();
    assert_eq!((done.revision, done.succeeded, log.store.revision()), (4, true, 4));
    let [Done::Put { prev: None }, Done::Get { entries: c, .. }, gone, empty, before] =
        &done.results[..]
    else {
        panic!("{done:?}")
    };
    assert_eq!((&c[0].1.value[..], c[0].1.mod_revision), (&b"1"[..], 4));
    let Done::Delete { deleted: 1, prev } = gone else { panic!("{gone:?}") };
    assert_eq!((&prev[0].0[..], prev[0].1.version), (&b"a"[..], 2));
    assert_eq!(*empty, Done::Get { entries: vec![], more: false });
    let Done::Put { prev: Some(before) } = before else { panic!("{before:?}") };
    assert_eq!((before.mod_revision, log.entry("b").unwrap().version), (2, 2));
    let events: Vec<_> = log.store.events_after(3).collect();
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event.revision() == 4));
}

#[test]
fn the_other_branch_is_done_if_a_comparison_fails() {
    let (mut log, session) = some_keys();
    let txn = Txn {
        compares: vec![compare(one("x"), Relation::NotEqual, Target::Version(0))],
        success: vec![set("a", "success")],
        failure: vec![set("a", "failure")],
    };
    let done = transact(&mut log, session, 4, txn).unwrap();
    assert!(!done.succeeded);
    assert_eq!(log.value("a").as_deref(), Some("failure"));
}

#[test]
fn a_transaction_that_only_reads_has_no_revision_of_its_own() {
    let (mut log, session) = some_keys();
    let txn = always(vec![get("a"), delete(one("x"), true)]);
    let done = transact(&mut log, session, 4, txn).unwrap();
    assert_eq!((done.revision, log.store.revision()), (3, 3));
}

#[test]
fn a_repeated_transaction_is_answered_as_the_first_time() {
    let (mut log, session) = some_keys();
    let txn = || always(vec![Action::Put { key: bytes("a"), value: bytes("x"), prev: true }]);
    let first = transact(&mut log, session, 4, txn());
    log.write(session, 5, put("a", "later"));
    assert_eq!(transact(&mut log, session, 4, txn()), first);
    assert_eq!(log.value("a").as_deref(), Some("later"));
}

#[test]
fn what_makes_no_sense_is_refused_by_name_and_changes_nothing() {
    let many = |count| always((0..count).map(|key| set(&key.to_string(), "")).collect());
    let value = "v".repeat(MAX_VALUE_BYTES + 1);
    let cases = [
        (always(vec![set("k", "1"), set("k", "2")]), Rejected::SetTwice),
        (always(vec![set("k", "1"), delete(Span::prefix("k"), false)]), Rejected::SetTwice),
        (always(vec![delete(one("k"), false), set("k", "1")]), Rejected::SetTwice),
        (many(MAX_TXN_ACTIONS + 1), Rejected::TxnSize { max_actions: MAX_TXN_ACTIONS as u64 }),
        (always(vec![set("", "")]), Rejected::KeySize { max_bytes: 4096 }),
        (always(vec![set("k", &value)]), Rejected::ValueSize { max_bytes: 1 << 20 }),
        (always(vec![get("")]), Rejected::KeySize { max_bytes: 4096 }),
    ];
    for (txn, expected) in cases {
        let (mut log, session) = some_keys();
        let before = log.store.clone();
        let refused = transact(&mut log, session, 4, txn.clone());
        assert_eq!(refused, Err(expected));
        // Also in the branch that is not done: which one that is may depend on the keys.
        let compares = vec![compare(one("x"), Relation::Equal, Target::Version(0))];
        let other = Txn { compares, success: vec![], failure: txn.success };
        assert_eq!(transact(&mut log, session, 4, other), Err(expected));
        assert_eq!(log.store.revision(), before.revision());
        assert_eq!(log.value("k"), None);
    }
    let (mut log, session) = some_keys();
    assert!(transact(&mut log, session, 4, many(MAX_TXN_ACTIONS)).is_ok());
}

#[test]
fn a_transaction_that_exceeds_a_bound_half_way_is_taken_back_whole() {
    let (mut log, session) = some_keys();
    let large = "x".repeat(MAX_VALUE_BYTES);
    for number in 0..5 {
        assert_eq!(
            log.write(session, 4 + number, put(&format!("l{number}"), &large)),
            stored(4 + number)
        );
    }
    let before = log.store.clone();
    let change = Rejected::ChangeSize { max_bytes: MAX_CHANGE_BYTES as u64 };
    let too_much =
        always(vec![set("a", "changed"), set("new", ""), delete(Span::prefix("l"), false)]);
    assert_eq!(transact(&mut log, session, 9, too_much), Err(change));
    let answer = Rejected::AnswerSize { max_bytes: MAX_TXN_ANSWER_BYTES as u64 };
    let gets = ["l0", "l1", "l2"].map(get);
    let too_long = always([vec![delete(one("a"), false), set("b", "2")], gets.to_vec()].concat());
    assert_eq!(transact(&mut log, session, 10, too_long), Err(answer));
    assert_eq!(log.entry("a").unwrap().version, 2);
    assert_eq!((log.value("new"), log.value("b").as_deref()), (None, Some("1")));
    assert_eq!(log.store.revision(), before.revision());
    let events = |log: &Log| log.store.events_after(0).cloned().collect::<Vec<_>>();
    assert_eq!(events(&log), events(&Log { store: before, index: 0 }));
    // In pieces it can be done.
    for (number, key) in (11..).zip(["l0", "l1", "l2", "l3", "l4"]) {
        transact(&mut log, session, number, always(vec![delete(one(key), false)])).unwrap();
    }
    assert_eq!(log.store.keys(), 2);
}

#[test]
fn large_answers_fill_the_window_of_a_session_and_the_lowest_command_opens_it_again() {
    let (mut log, session) = some_keys();
    log.write(session, 4, put("l", &"x".repeat(MAX_VALUE_BYTES)));
    let full = Err(Rejected::WindowFull { max_unanswered: MAX_UNANSWERED });
    let read = || always(vec![get("l")]);
    let fitting = (6..).take_while(|number| transact(&mut log, session, *number, read()) != full);
    assert_eq!(fitting.count(), MAX_KEPT_BYTES / MAX_VALUE_BYTES);
    assert_eq!(log.write_above(session, 5, 5, put("a", "lowest")), stored(5));
    let mut command = Vec::new();
    let (number, answered_below) = (10, 10);
    let op = Op::Txn(read());
    encode(
        &synod_kv::message::Command::Write { session, number, answered_below, op },
        &mut command,
    );
    assert!(matches!(log.apply_bytes(&command), Response::Written(Written::Txn(_))));
}
