//! The sync thread: while it makes one batch of records durable, the core gathers the next.
//!
//! Next: [`Journal`], the core's end of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use synod_engine::{GroupId, Position, Record};
use synod_wal::{Batch, Kind, Log, SyncError};
use tracing::warn;

/// How long a full disk is given before the next attempt. Votes wait with everything else.
const FULL_PAUSE: Duration = Duration::from_millis(200);

/// How often groups are asked for snapshots while the log is too large, and how many at a time: their
/// snapshots are written one after the other, and the next time others are the largest.
const CROWDED_PAUSE: Duration = Duration::from_millis(250);
const MAX_ASKED: usize = 16;

/// Where the core leaves a batch for the sync thread.
pub(crate) struct Desk {
    papers: Mutex<Papers>,
    changed: Condvar,
    undurable_bytes: AtomicUsize,
}

struct Papers {
    next: Option<(Batch, Position)>,
    spare: Vec<Batch>,
    closed: bool,
}

/// The core's end: records go in, and leave for the disk when the disk is ready for more.
pub(crate) struct Journal {
    filling: Batch,
    position: Position,
    /// A record was refused: no later one may become durable, or it would seem that this one is.
    refused: bool,
    desk: Arc<Desk>,
}

/// Why the journal did not take a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// The log cannot take one of this size: the node must stop.
    TooLarge(String),
    /// An earlier one was refused, and the node stops.
    Before,
}

impl Journal {
    /// A journal that fills `filling` first and `spare` then.
    pub(crate) fn new(filling: Batch, spare: Vec<Batch>) -> Self {
        let desk = Desk {
            papers: Mutex::new(Papers { next: None, spare, closed: false }),
            changed: Condvar::new(),
            undurable_bytes: AtomicUsize::new(0),
        };
        Self { filling, position: Position::default(), refused: false, desk: Arc::new(desk) }
    }

    /// What the sync thread works at.
    pub(crate) fn desk(&self) -> Arc<Desk> {
        self.desk.clone()
    }

    /// Adds the record that is the `position`-th of this life.
    ///
    /// # Errors
    /// [`Refused`]; from then on it takes none.
    pub(crate) fn append<T: Record + Serialize>(
        &mut self,
        group: GroupId,
        position: Position,
        record: &T,
    ) -> Result<(), Refused> {
        if self.refused {
            return Err(Refused::Before);
        }
        let kind = record.checkpoint().map_or(Kind::Fact, |keeps| Kind::Checkpoint { keeps });
        let before = self.filling.size_bytes();
        let encode = |out: &mut Vec<u8>| synod_codec::encode(record, out);
        if let Err(error) = self.filling.append_with(group, kind, encode) {
            self.refused = true;
            return Err(Refused::TooLarge(error.to_string()));
        }
        let bytes = self.filling.size_bytes() - before;
        self.desk.undurable_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.position = position;
        Ok(())
    }

    /// Takes no more records: one that must not become durable comes next.
    pub(crate) fn refuse(&mut self) {
        self.refused = true;
    }

    /// Bytes of records that are not durable yet.
    pub(crate) fn undurable_bytes(&self) -> usize {
        self.desk.undurable_bytes.load(Ordering::Relaxed)
    }

    /// Gives what was gathered to the sync thread, unless one batch waits there already: then it is
    /// given in a later turn, and there is one once that batch is durable.
    pub(crate) fn hand_over(&mut self) {
        if self.filling.is_empty() {
            return;
        }
        let mut papers = self.desk.papers.lock().unwrap_or_else(PoisonError::into_inner);
        if papers.next.is_some() {
            return;
        }
        let Some(empty) = papers.spare.pop() else { return };
        let full = std::mem::replace(&mut self.filling, empty);
        papers.next = Some((full, self.position));
        drop(papers);
        self.desk.changed.notify_one();
    }
}

impl Desk {
    /// No more batches will come: the thread ends after what waits, or at once if that is `lost`.
    pub(crate) fn close(&self, lost: bool) {
        let mut papers = self.papers.lock().unwrap_or_else(PoisonError::into_inner);
        papers.closed = true;
        if lost {
            papers.next = None;
        }
        drop(papers);
        self.changed.notify_one();
    }

    fn next(&self) -> Option<(Batch, Position)> {
        let mut papers = self.papers.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(next) = papers.next.take() {
                return Some(next);
            }
            if papers.closed {
                return None;
            }
            papers = self.changed.wait(papers).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_closed(&self) -> bool {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner).closed
    }

    fn give_back(&self, batch: Batch) {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner).spare.push(batch);
    }
}

/// What the sync thread tells the core.
pub(crate) enum News {
    /// The disk has no space; the batch waits for some.
    Full,
    /// A batch is durable.
    Durable(Synced),
    /// Nothing more will be durable: the node must stop, for this reason.
    Failed(String),
}

/// A batch that is durable.
pub(crate) struct Synced {
    /// Everything up to here is.
    pub(crate) position: Position,
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) took: Duration,
    /// Whether the disk was full meanwhile.
    pub(crate) waited: bool,
    /// Groups whose checkpoints would make the log shorter, which is too long.
    pub(crate) crowding: Vec<GroupId>,
}

/// The thread: ends when the desk is closed or a sync failed, which stops the node; so does a panic.
pub(crate) fn run(log: &mut Log, desk: &Desk, tell: impl Fn(News)) {
    let synced = catch_unwind(AssertUnwindSafe(|| sync_all(log, desk, &tell)));
    if synced.is_err() {
        tell(News::Failed("the sync thread panicked: a bug; nothing more is durable".into()));
    }
}

fn sync_all(log: &mut Log, desk: &Desk, tell: &impl Fn(News)) {
    let mut asked: Option<Instant> = None;
    while let Some((mut batch, position)) = desk.next() {
        let (records, bytes) = (batch.records(), batch.size_bytes());
        let begin = Instant::now();
        let mut waited = false;
        loop {
            match log.sync(&mut batch) {
                Ok(()) => break,
                Err(SyncError::Full(error)) if !desk.is_closed() => {
                    warn!("the log waits for space: {error}");
                    tell(News::Full);
                    waited = true;
                    thread::sleep(FULL_PAUSE);
                }
                Err(error) => {
                    tell(News::Failed(format!(
                        "the log could not be made durable: {error}; what was not acknowledged may \
                         be lost; check the disk, then start the node again"
                    )));
                    return;
                }
            }
        }
        let took = begin.elapsed();
        desk.undurable_bytes.fetch_sub(bytes, Ordering::Relaxed);
        desk.give_back(batch);
        let may_ask = asked.is_none_or(|asked| asked.elapsed() >= CROWDED_PAUSE);
        let crowding = if may_ask { log.crowding_groups(MAX_ASKED) } else { Vec::new() };
        if !crowding.is_empty() {
            asked = Some(Instant::now());
        }
        tell(News::Durable(Synced { position, records, bytes, took, waited, crowding }));
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use synod_wal::Options;

    use super::*;

    #[derive(Clone, Debug, Serialize)]
    struct Text(String);

    impl fmt::Display for Text {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }
    }

    impl Record for Text {}

    #[test]
    fn after_a_refused_record_the_journal_takes_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { max_record_bytes: 1000, ..Options::default() };
        let (log, _) = Log::open(dir.path(), options).unwrap();
        let mut journal = Journal::new(log.batch(), vec![log.batch()]);
        let mut append = |position, length| {
            journal.append(GroupId(0), Position(position), &Text("x".repeat(length)))
        };
        assert_eq!(append(1, 10), Ok(()));
        assert!(matches!(append(2, 2000), Err(Refused::TooLarge(_))));
        // Were it taken, its sync would seem to cover the second as well.
        assert_eq!(append(3, 10), Err(Refused::Before));
        let desk = journal.desk();
        journal.hand_over();
        let (batch, position) = desk.next().unwrap();
        assert_eq!((batch.records(), position), (1, Position(1)));
    }
}
