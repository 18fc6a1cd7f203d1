//! One call on its way, and the only places where it ends.

use synod_kv::message::{Answer, Op, Query, Revision, SessionId, Written};
use synod_kv::wire::NodeReport;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::error::{ReadError, Reason, WriteError};

/// What a caller asked for, and where the result goes.
#[derive(Debug)]
pub(crate) enum Work {
    Write {
        op: Op,
        result: oneshot::Sender<Result<Written, WriteError>>,
    },
    Read {
        query: Query,
        /// For a stale read: the revision that the answer must have at least.
        stale: Option<Revision>,
        result: oneshot::Sender<Result<Answer, ReadError>>,
    },
    Status {
        result: oneshot::Sender<Result<NodeReport, ReadError>>,
    },
}

/// A call that somebody waits for.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) work: Work,
    pub(crate) deadline: Instant,
    /// The session and number under which its command is sent, once it has them.
    pub(crate) number: Option<(SessionId, u64)>,
    /// Whether a copy was sent whose fate is not known.
    pub(crate) in_doubt: bool,
    /// Its place among the calls under way, given back when it ends.
    _place: OwnedSemaphorePermit,
}

impl Call {
    pub(crate) fn new(work: Work, deadline: Instant, place: OwnedSemaphorePermit) -> Self {
        Self { work, deadline, number: None, in_doubt: false, _place: place }
    }

    /// Retries by rising number, then new calls in the order of their arrival.
    pub(crate) fn order(&self) -> (SessionId, u64) {
        self.number.unwrap_or((SessionId(u64::MAX), u64::MAX))
    }

    /// Whether nobody waits for it any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        match &self.work {
            Work::Write { result, .. } => result.is_closed(),
            Work::Read { result, .. } => result.is_closed(),
            Work::Status { result } => result.is_closed(),
        }
    }

    /// Ends it without success: unknown if a copy may still take effect or did.
    pub(crate) fn fail(self, reason: Reason) {
        let in_doubt = self.in_doubt;
        self.end_in_error(reason, in_doubt);
    }

    /// Ends it without success, where the reason itself proves that no copy took or will take effect.
    pub(crate) fn fail_for_certain(self, reason: Reason) {
        self.end_in_error(reason, false);
    }

    // Sending fails only when the caller has gone, who then does not care.
    fn end_in_error(self, reason: Reason, in_doubt: bool) {
        match self.work {
            Work::Write { result, .. } if in_doubt => {
                result.send(Err(WriteError::Unknown(reason))).ok();
            }
            Work::Write { result, .. } => {
                result.send(Err(WriteError::NotDone(reason))).ok();
            }
            Work::Read { result, .. } => {
                result.send(Err(ReadError(reason))).ok();
            }
            Work::Status { result } => {
                result.send(Err(ReadError(reason))).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn a_failure_is_unknown_only_while_a_copy_is_in_doubt() {
        let op = Op::Delete { key: Bytes::new() };
        for (in_doubt, expected) in [
            (false, WriteError::NotDone(Reason::Closed)),
            (true, WriteError::Unknown(Reason::Closed)),
        ] {
            let (result, mut waiting) = oneshot::channel();
            let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            let work = Work::Write { op: op.clone(), result };
            let mut call = Call::new(work, Instant::now(), place);
            call.in_doubt = in_doubt;
            call.fail(Reason::Closed);
            assert_eq!(waiting.try_recv(), Ok(Err(expected)));
        }
    }
}
