//! The thread that reads old log for followers that are late: never the core's, and never the one that
//! syncs.
//!
//! What waits is bounded by the engines: each has one read under way per follower. What was read is
//! handed to the core and dropped once it is sent.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use synod_consensus::{Batch, LogRecord, Output, ReplicatedLog};
use synod_engine::{GroupId, TaskId};
use synod_wal::Reader;
use tracing::warn;

use crate::groups::Place;
use crate::inbox::{Control, Inbox, Stop};

/// The reads that wait.
#[derive(Default)]
pub(crate) struct OldLog {
    row: Mutex<Row>,
    changed: Condvar,
}

#[derive(Default)]
struct Row {
    waiting: VecDeque<Wanted>,
    closed: bool,
}

/// Records that a group wants, as its engine counts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    pub(crate) place: Place,
    pub(crate) id: TaskId,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// A group's name, and the position in the log of the record before the first that its engine counts.
pub(crate) type Counted = (GroupId, u64);

impl OldLog {
    /// A group wants to read.
    pub(crate) fn ask(&self, wanted: Wanted) {
        self.row().waiting.push_back(wanted);
        self.changed.notify_one();
    }

    /// A group wants that no more.
    pub(crate) fn abort(&self, place: Place, id: TaskId) {
        self.row().waiting.retain(|wanted| (wanted.place, wanted.id) != (place, id));
    }

    /// The thread ends; what waits is not read.
    pub(crate) fn close(&self) {
        self.row().closed = true;
        self.changed.notify_one();
    }

    fn row(&self) -> MutexGuard<'_, Row> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Wanted> {
        let mut row = self.row();
        loop {
            if row.closed {
                return None;
            }
            if let Some(wanted) = row.waiting.pop_front() {
                return Some(wanted);
            }
            row = self.changed.wait(row).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The thread; `groups` are place by place. A panic stops the node.
pub(crate) fn run<L>(wishes: &OldLog, reader: &mut Reader, groups: &[Counted], inbox: &Inbox<L>)
where
    L: ReplicatedLog,
    L::Record: DeserializeOwned,
{
    let serve = AssertUnwindSafe(|| {
        while let Some(wanted) = wishes.next() {
            let (group, before) = groups[wanted.place.0];
            let (first, last) = (before + wanted.first, before + wanted.last);
            let output = read::<L>(reader, group, first, last).unwrap_or_else(|why| {
                warn!(%group, first, last, "old log could not be read: {why}");
                Output::LogFailed
            });
            let Wanted { place, id, .. } = wanted;
            let done = Control::TaskDone { place, id, output, claim: None };
            inbox.put(|arrivals| arrivals.control.push_back(done));
        }
    });
    if catch_unwind(serve).is_err() {
        inbox.stop(Stop::Fatal("the thread that reads old log panicked: a bug".into()));
    }
}

fn read<L>(reader: &mut Reader, group: GroupId, first: u64, last: u64) -> Result<Output, String>
where
    L: ReplicatedLog,
    L::Record: DeserializeOwned,
{
    let payloads = reader.read(group, first, last).map_err(|error| error.to_string())?;
    let Some(payloads) = payloads else { return Ok(Output::LogFailed) };
    let batch = |payload: Vec<u8>| -> Result<Option<Batch>, String> {
        let record: L::Record = synod_codec::decode(&payload).map_err(|error| error.to_string())?;
        Ok(record.entries().cloned())
    };
    let batches = payloads.into_iter().map(batch).filter_map(Result::transpose);
    batches.collect::<Result<Vec<_>, _>>().map(Output::Log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_that_was_given_up_is_not_read_and_nothing_is_once_it_is_closed() {
        let wishes = OldLog::default();
        let wanted = |place, id| Wanted { place: Place(place), id: TaskId(id), first: 1, last: 2 };
        for (place, id) in [(0, 1), (0, 2), (1, 1), (1, 2)] {
            wishes.ask(wanted(place, id));
        }
        wishes.abort(Place(0), TaskId(1));
        wishes.abort(Place(1), TaskId(7));
        assert_eq!(wishes.next(), Some(wanted(0, 2)));
        assert_eq!(wishes.next(), Some(wanted(1, 1)));
        wishes.close();
        assert_eq!(wishes.next(), None);
    }
}
