//! What waits to be sent to one peer, bounded in bytes.
//!
//! Messages of lane 0 and datagrams go before the others, and wait for one slice of them at most.
//! Without a session nothing waits: a message that cannot be sent is lost, as the engine expects.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The outbox of one peer.
pub(crate) struct Outbox {
    contents: Mutex<Contents>,
    wake: Notify,
    /// The session ended, or another began.
    changed: Notify,
    max_bytes: usize,
}

#[derive(Default)]
struct Contents {
    session: Option<u64>,
    control: Vec<u8>,
    bulk: Vec<u8>,
    /// Bytes that the writer has taken and not yet written.
    writing: usize,
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sent {
    /// It waits.
    Queued,
    /// That session is not open, or not any more.
    NoSession,
    /// There is no room; nothing was queued.
    Full,
    /// It is longer than a message may be; nothing was queued.
    TooLong,
}

/// What a writer writes.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) control: Vec<u8>,
    pub(crate) bulk: Vec<u8>,
}

impl Outbox {
    pub(crate) fn new(max_bytes: usize) -> Self {
        let (wake, changed) = (Notify::new(), Notify::new());
        Self { contents: Mutex::default(), wake, changed, max_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the frame that `write` appends, if `session` is the present one. The writer is woken by
    /// [`wake`](Self::wake) only.
    pub(crate) fn push(
        &self,
        session: u64,
        control: bool,
        max_frame_bytes: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Sent {
        let mut contents = self.lock();
        if contents.session != Some(session) {
            return Sent::NoSession;
        }
        let others = contents.writing + contents.control.len() + contents.bulk.len();
        let lane = if control { &mut contents.control } else { &mut contents.bulk };
        let before = lane.len();
        write(lane);
        let bytes = lane.len() - before;
        let sent = if bytes > max_frame_bytes {
            Sent::TooLong
        } else if others + bytes > self.max_bytes {
            Sent::Full
        } else {
            return Sent::Queued;
        };
        lane.truncate(before);
        sent
    }

    /// Wakes the writer.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Begins `session`; returns the one that it replaces, whose messages are gone.
    pub(crate) fn open(&self, session: u64) -> Option<u64> {
        let mut contents = self.lock();
        let replaced = contents.session.take();
        *contents = Contents { session: Some(session), ..Contents::default() };
        drop(contents);
        self.changed.notify_waiters();
        self.wake.notify_one();
        replaced
    }

    /// Ends `session`, if it is the present one; what waited is gone.
    pub(crate) fn close(&self, session: u64) -> bool {
        let mut contents = self.lock();
        if contents.session != Some(session) {
            return false;
        }
        *contents = Contents::default();
        drop(contents);
        self.changed.notify_waiters();
        self.wake.notify_one();
        true
    }

    /// Ends the present session, if there is one.
    pub(crate) fn close_any(&self) -> Option<u64> {
        let session = self.lock().session?;
        self.close(session).then_some(session)
    }

    /// Waits until `session` is no longer the present one.
    pub(crate) async fn ended(&self, session: u64) {
        loop {
            let changed = self.changed.notified();
            if self.lock().session != Some(session) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until no session is open.
    pub(crate) async fn closed(&self) {
        loop {
            let changed = self.changed.notified();
            if self.lock().session.is_none() {
                return;
            }
            changed.await;
        }
    }

    /// Whether a session is open.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().session.is_some()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        let contents = self.lock();
        contents.writing + contents.control.len() + contents.bulk.len() == 0
    }

    /// Waits for something to write in `session`; false if the session ended. Control messages are
    /// taken whenever there are any, others only when the load has none left.
    pub(crate) async fn take(&self, session: u64, load: &mut Load, written: &mut usize) -> bool {
        load.control.clear();
        loop {
            {
                let mut contents = self.lock();
                if contents.session != Some(session) {
                    return false;
                }
                contents.writing -= std::mem::take(written).min(contents.writing);
                std::mem::swap(&mut contents.control, &mut load.control);
                contents.writing += load.control.len();
                if load.bulk.is_empty() {
                    std::mem::swap(&mut contents.bulk, &mut load.bulk);
                    contents.writing += load.bulk.len();
                }
            }
            if !load.control.is_empty() || !load.bulk.is_empty() {
                return true;
            }
            self.wake.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(outbox: &Outbox, session: u64, control: bool, bytes: usize) -> Sent {
        outbox.push(session, control, 64, |out| out.extend(vec![7; bytes]))
    }

    #[test]
    fn what_waits_is_bounded_and_so_is_each_message() {
        let outbox = Outbox::new(100);
        assert_eq!(push(&outbox, 1, false, 10), Sent::NoSession);
        outbox.open(1);
        assert_eq!(push(&outbox, 1, false, 65), Sent::TooLong);
        assert!(outbox.is_empty(), "nothing of it stays");
        assert_eq!(push(&outbox, 1, false, 60), Sent::Queued);
        assert_eq!(push(&outbox, 1, true, 41), Sent::Full);
        assert_eq!(push(&outbox, 1, true, 40), Sent::Queued);
        assert_eq!(push(&outbox, 1, true, 1), Sent::Full);
    }

    #[tokio::test]
    async fn what_is_being_written_counts_until_it_is_written() {
        let outbox = Outbox::new(100);
        outbox.open(1);
        let (mut load, mut written) = (Load::default(), 0);
        assert_eq!(push(&outbox, 1, false, 60), Sent::Queued);
        assert!(outbox.take(1, &mut load, &mut written).await);
        assert_eq!(push(&outbox, 1, false, 41), Sent::Full);
        assert_eq!(push(&outbox, 1, false, 40), Sent::Queued);
        written = load.bulk.len();
        load.bulk.clear();
        assert!(outbox.take(1, &mut load, &mut written).await);
        assert_eq!((load.bulk.len(), written), (40, 0));
        assert_eq!(push(&outbox, 1, false, 60), Sent::Queued);
    }

    #[tokio::test]
    async fn a_session_that_ends_takes_its_messages_and_its_writer_along() {
        let outbox = Outbox::new(100);
        outbox.open(1);
        assert_eq!(push(&outbox, 1, false, 10), Sent::Queued);
        assert_eq!(outbox.open(2), Some(1));
        outbox.ended(1).await;
        assert!(outbox.is_empty());
        assert!(!outbox.take(1, &mut Load::default(), &mut 0).await);
        assert_eq!(push(&outbox, 1, false, 10), Sent::NoSession, "it was meant for the old one");
        assert_eq!(push(&outbox, 2, false, 10), Sent::Queued);
        assert!(!outbox.close(1), "an old end does not end the new session");
        let ends = async {
            tokio::task::yield_now().await;
            assert!(outbox.close(2));
        };
        tokio::join!(outbox.ended(2), ends);
    }
}
