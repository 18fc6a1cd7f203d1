//! What becomes of calls whose session is over.

use std::sync::Arc;

use synod_kv::message::{Op, Written};
use tokio::sync::{Semaphore, oneshot};

use super::*;
use crate::error::WriteError;

type Result = std::result::Result<Written, WriteError>;

fn call(number: Option<(SessionId, u64)>, in_doubt: bool) -> (Call, oneshot::Receiver<Result>) {
    let (result, answer) = oneshot::channel();
    let work = Work::Write { op: Op::Delete { key: "k".into() }, result };
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let mut call = Call::new(work, Instant::now(), place);
    (call.number, call.in_doubt) = (number, in_doubt);
    (call, answer)
}

fn desk_with_session(id: SessionId) -> Desk {
    let mut desk = Desk::new(60_000);
    desk.session = SessionState::Open(Session::new(id, Duration::from_secs(60), Instant::now()));
    desk
}

/// With its old number it would have stood before all others and waited for a place in a window that
/// only those behind it could open.
#[test]
fn a_call_with_a_number_of_an_earlier_session_does_not_stand_before_the_others() {
    let (old, new) = (SessionId(3), SessionId(9));
    let mut desk = desk_with_session(new);
    let (retry, _retrying) = call(Some((new, 1)), true);
    desk.requeue(retry);
    let (late, _waiting) = call(Some((old, 7)), false);
    desk.requeue(late);
    let numbers: Vec<_> = desk.writes.iter().map(|call| call.number).collect();
    assert_eq!(numbers, [Some((new, 1)), None]);
}

#[test]
fn a_call_in_doubt_whose_session_is_over_ends_as_unknown_at_once() {
    let (old, new) = (SessionId(3), SessionId(9));
    let mut desk = desk_with_session(new);
    let (late, mut answer) = call(Some((old, 7)), true);
    desk.requeue(late);
    assert_eq!(answer.try_recv(), Ok(Err(WriteError::Unknown(Reason::SessionLost))));
    assert_eq!(desk.writes.len(), 0);
}

#[test]
fn calls_that_wait_when_their_session_is_lost_are_sorted_out() {
    let session = SessionId(3);
    let mut desk = desk_with_session(session);
    let (doubtful, mut unknown) = call(Some((session, 1)), true);
    let (refused, _waiting) = call(Some((session, 2)), false);
    desk.requeue(doubtful);
    desk.requeue(refused);
    desk.lose_session(session);
    assert_eq!(unknown.try_recv(), Ok(Err(WriteError::Unknown(Reason::SessionLost))));
    assert_eq!(desk.writes.iter().map(|call| call.number).collect::<Vec<_>>(), [None]);
}
