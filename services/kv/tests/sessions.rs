//! Exactly once, whatever is lost, repeated, reordered or late.

mod client;

use client::{Log, NO_SESSION, append, bytes, cas, put, stored};
use synod_kv::limits::{MAX_LEASE_MS, MAX_SESSIONS, MAX_TICK_MS, MAX_UNANSWERED, MIN_LEASE_MS};
use synod_kv::message::{Command, Expect, Rejected, Response, SessionId, Written};

#[test]
fn a_repeated_command_is_answered_as_the_first_time_and_changes_nothing() {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    assert_eq!(log.write(session, 1, append("k", "a")), stored(1));
    assert_eq!(log.write(session, 2, append("k", "b")), stored(2));
    assert_eq!(log.write(session, 1, append("k", "a")), stored(1));
    assert_eq!((log.value("k").as_deref(), log.store.revision()), (Some("ab"), 2));
}

#[test]
fn a_pipelined_sixth_that_commits_first_does_not_swallow_the_lost_fifth() {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    assert_eq!(log.write_above(session, 6, 5, append("k", "six")), stored(1));
    assert_eq!(log.write_above(session, 5, 5, append("k", "five")), stored(2));
    assert_eq!(log.write_above(session, 6, 5, append("k", "six")), stored(1));
    assert_eq!(log.value("k").as_deref(), Some("sixfive"));
}

#[test]
fn an_acknowledged_command_is_never_applied_again() {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    log.write(session, 1, append("k", "a"));
    log.write_above(session, 2, 2, append("k", "b"));
    let late = log.write(session, 1, append("k", "a"));
    assert_eq!(late, Response::Rejected(Rejected::AlreadyAnswered));
    assert_eq!(log.value("k").as_deref(), Some("ab"));
}

#[test]
fn a_keep_alive_acknowledges_too() {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    log.write(session, 1, put("k", "v"));
    let keep = Command::KeepAlive { session, answered_below: 2 };
    assert_eq!(log.apply(&keep), Response::Kept);
    let late = log.write(session, 1, put("k", "v"));
    assert_eq!(late, Response::Rejected(Rejected::AlreadyAnswered));
}

#[test]
fn a_failed_comparison_is_an_answer_and_is_kept() {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    log.write(session, 1, put("k", "a"));
    let swap = || cas("k", Expect::Value(bytes("b")), "c");
    let differs = Response::Written(Written::Differs { revision: Some(1) });
    assert_eq!(log.write(session, 2, swap()), differs);
    log.write(session, 3, put("k", "b"));
    assert_eq!(log.write(session, 2, swap()), differs);
    assert_eq!(log.value("k").as_deref(), Some("b"));
}

#[test]
fn an_append_that_was_too_long_once_stays_refused() {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    log.write(session, 1, put("k", &"x".repeat(1 << 20)));
    let refused = log.write(session, 2, append("k", "y"));
    assert!(matches!(refused, Response::Rejected(Rejected::ValueSize { .. })));
    log.write(session, 3, put("k", ""));
    assert_eq!(log.write(session, 2, append("k", "y")), refused);
    assert_eq!(log.value("k").as_deref(), Some(""));
}

#[test]
fn the_numbers_of_two_sessions_have_nothing_to_do_with_each_other() {
    let mut log = Log::default();
    let (one, two) = (log.open(MIN_LEASE_MS), log.open(MIN_LEASE_MS));
    assert_ne!(one, two);
    assert_eq!(log.write(one, 1, append("k", "a")), stored(1));
    assert_eq!(log.write(two, 1, append("k", "b")), stored(2));
    assert_eq!(log.value("k").as_deref(), Some("ab"));
}

#[test]
fn a_full_window_refuses_what_is_above_and_takes_the_lowest() {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    for number in 2..=MAX_UNANSWERED {
        log.write(session, number, append("k", "x"));
    }
    let full = Response::Rejected(Rejected::WindowFull { max_unanswered: MAX_UNANSWERED });
    assert_eq!(log.write(session, MAX_UNANSWERED + 1, append("k", "y")), full);
    assert_eq!(log.write(session, u64::MAX, append("k", "y")), full);
    assert_eq!(log.write(session, 1, append("k", "z")), stored(MAX_UNANSWERED));
    let next = log.write_above(session, MAX_UNANSWERED + 1, 2, append("k", "y"));
    assert_eq!(next, stored(MAX_UNANSWERED + 1));
    assert_eq!(log.value("k").unwrap().len() as u64, MAX_UNANSWERED + 1);
}

#[test]
fn a_command_of_a_session_that_never_was_or_is_closed_is_refused() {
    let mut log = Log::default();
    assert_eq!(log.write(SessionId(9), 1, put("k", "v")), NO_SESSION);
    let session = log.open(MIN_LEASE_MS);
    assert_eq!(log.apply(&Command::Close { session }), Response::Closed);
    assert_eq!(log.write(session, 1, put("k", "v")), NO_SESSION);
    assert_eq!(log.apply(&Command::KeepAlive { session, answered_below: 1 }), NO_SESSION);
    assert_eq!(log.apply(&Command::Close { session }), NO_SESSION);
    assert_eq!((log.value("k"), log.store.revision()), (None, 0));
}

#[test]
fn a_session_expires_when_its_lease_has_passed_and_not_before() {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    log.pass_ms(MIN_LEASE_MS - 1);
    assert_eq!(log.write(session, 1, put("k", "v")), stored(1));
    log.pass_ms(MIN_LEASE_MS);
    assert_eq!(log.write(session, 2, put("k", "w")), NO_SESSION);
    assert_eq!(log.write(session, 1, put("k", "v")), NO_SESSION);
    assert_eq!(log.store.sessions(), 0);
}

#[test]
fn every_command_renews_its_session_even_a_repeated_or_refused_one() {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    log.write(session, 1, put("k", "v"));
    let commands = [
        Command::Write { session, number: 1, answered_below: 1, op: put("k", "v") },
        Command::Write { session, number: u64::MAX, answered_below: 1, op: put("k", "v") },
        Command::Write { session, number: 2, answered_below: 1, op: put("", "v") },
        Command::KeepAlive { session, answered_below: 1 },
    ];
    for command in commands {
        log.pass_ms(MIN_LEASE_MS - 1);
        assert_ne!(log.apply(&command), NO_SESSION);
    }
}

#[test]
fn one_tick_moves_time_no_further_than_its_bound() {
    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    for _ in 0..2 {
        log.apply(&Command::Tick { elapsed_ms: u64::MAX });
    }
    assert_eq!(log.store.clock_ms(), 2 * MAX_TICK_MS);
    assert_eq!(log.write(session, 1, put("k", "v")), stored(1));
}

#[test]
fn a_lease_is_clamped_and_the_client_is_told() {
    let mut log = Log::default();
    for (asked, given) in [(0, MIN_LEASE_MS), (20_000, 20_000), (u64::MAX, MAX_LEASE_MS)] {
        let opened = log.apply(&Command::Open { lease_ms: asked });
        let session = SessionId(log.index);
        assert_eq!(opened, Response::Opened { session, lease_ms: given });
    }
}

#[test]
fn the_number_of_sessions_is_bounded_and_expiry_makes_room() {
    let mut log = Log::default();
    for _ in 0..MAX_SESSIONS {
        log.open(MIN_LEASE_MS);
    }
    let full = Rejected::TooManySessions { max_sessions: MAX_SESSIONS as u64 };
    let refused = log.apply(&Command::Open { lease_ms: MIN_LEASE_MS });
    assert_eq!(refused, Response::Rejected(full));
    log.pass_ms(MIN_LEASE_MS);
    assert_eq!(log.store.sessions(), 0);
    log.open(MIN_LEASE_MS);
}
