//! What waits to be sent to one peer, bounded in bytes.
//!
//! Messages of lane 0 and datagrams go before the others, and wait for one slice of them at most.
//! Without a session nothing waits: a message that cannot be sent is lost, as the engine expects.

use std::sync::{Mutex, MutexGuard, PoisonError};

use synod_engine::GroupId;
use tokio::sync::Notify;

use super::lane::Lane;
use super::version::PeerVersion;

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
    session: Option<Session>,
    control: Lane,
    bulk: Lane,
    /// Bytes that the writer has taken and not yet written.
    writing: usize,
}

#[derive(Clone, Copy)]
struct Session {
    number: u64,
    version: PeerVersion,
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

    /// Queues the message of `group` that `write` appends, if `session` is the present one. The writer is
    /// woken by [`wake`](Self::wake) only.
    pub(crate) fn push(
        &self,
        session: u64,
        control: bool,
        group: GroupId,
        max_message_bytes: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Sent {
        let mut contents = self.lock();
        let Some(Session { version, .. }) = contents.session.filter(|now| now.number == session)
        else {
            return Sent::NoSession;
        };
        let lane = if control { &mut contents.control } else { &mut contents.bulk };
        let before = lane.mark();
        let bytes = lane.push(version, group, max_message_bytes, write);
        let sent = if bytes > max_message_bytes {
            Sent::TooLong
        } else if contents.bytes() > self.max_bytes {
            Sent::Full
        } else {
            return Sent::Queued;
        };
        let lane = if control { &mut contents.control } else { &mut contents.bulk };
        lane.undo(before);
        sent
    }

    /// Queues the news that this side is there, if nothing else waits.
    pub(crate) fn beat(&self, session: u64) {
        let mut contents = self.lock();
        if contents.bytes() == 0 && contents.is(session) {
            contents.control.beat();
            drop(contents);
            self.wake();
        }
    }

    /// Wakes the writer.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Begins session `number`, which speaks `version`; returns the one that it replaces, whose messages
    /// are gone.
    pub(crate) fn open(&self, number: u64, version: PeerVersion) -> Option<u64> {
        let session = Some(Session { number, version });
        let replaced =
            std::mem::replace(&mut *self.lock(), Contents { session, ..Contents::default() });
        self.changed.notify_waiters();
        self.wake.notify_one();
        replaced.session.map(|session| session.number)
    }

    /// Ends `session`, if it is the present one; what waited is gone.
    pub(crate) fn close(&self, session: u64) -> bool {
        let mut contents = self.lock();
        if !contents.is(session) {
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
        let Session { number, .. } = self.lock().session?;
        self.close(number).then_some(number)
    }

    /// Waits until `session` is no longer the present one.
    pub(crate) async fn ended(&self, session: u64) {
        loop {
            let changed = self.changed.notified();
            if !self.lock().is(session) {
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
        self.version().is_some()
    }

    /// The version that the present session speaks.
    pub(crate) fn version(&self) -> Option<PeerVersion> {
        self.lock().session.map(|session| session.version)
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().bytes() == 0
    }

    /// Waits for something to write in `session`; false if the session ended. Control messages are
    /// taken whenever there are any, others only when the load has none left.
    pub(crate) async fn take(&self, session: u64, load: &mut Load, written: &mut usize) -> bool {
        load.control.clear();
        loop {
            {
                let mut contents = self.lock();
                if !contents.is(session) {
                    return false;
                }
                contents.writing -= std::mem::take(written).min(contents.writing);
                contents.control.swap(&mut load.control);
                contents.writing += load.control.len();
                if load.bulk.is_empty() {
                    contents.bulk.swap(&mut load.bulk);
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

impl Contents {
    fn is(&self, session: u64) -> bool {
        self.session.is_some_and(|now| now.number == session)
    }

    fn bytes(&self) -> usize {
        self.writing + self.control.bytes() + self.bulk.bytes()
    }
}

#[cfg(test)]
mod tests {
    use synod_codec::frame;

    use super::*;

    const VERSION: PeerVersion = PeerVersion::OLDEST;

    /// A message that takes so many bytes with its frame.
    fn push(outbox: &Outbox, session: u64, control: bool, bytes: usize) -> Sent {
        let payload = vec![7; bytes - frame::OVERHEAD_BYTES];
        outbox.push(session, control, GroupId(1), 50, |out| out.extend(payload))
    }

    #[test]
    fn what_waits_is_bounded_and_so_is_each_message() {
        let outbox = Outbox::new(100);
        assert_eq!(push(&outbox, 1, false, 20), Sent::NoSession);
        outbox.open(1, VERSION);
        assert_eq!(push(&outbox, 1, false, 69), Sent::TooLong);
        assert!(outbox.is_empty(), "nothing of it stays");
        assert_eq!(push(&outbox, 1, false, 60), Sent::Queued);
        assert_eq!(push(&outbox, 1, true, 41), Sent::Full);
        assert_eq!(push(&outbox, 1, true, 40), Sent::Queued);
        assert_eq!(push(&outbox, 1, true, 18), Sent::Full);
    }

    #[tokio::test]
    async fn what_is_being_written_counts_until_it_is_written() {
        let outbox = Outbox::new(100);
        outbox.open(1, VERSION);
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
        outbox.open(1, VERSION);
        assert_eq!(push(&outbox, 1, false, 20), Sent::Queued);
        assert_eq!(outbox.open(2, VERSION), Some(1));
        outbox.ended(1).await;
        assert!(outbox.is_empty());
        assert!(!outbox.take(1, &mut Load::default(), &mut 0).await);
        assert_eq!(push(&outbox, 1, false, 20), Sent::NoSession, "it was meant for the old one");
        assert_eq!(push(&outbox, 2, false, 20), Sent::Queued);
        assert!(!outbox.close(1), "an old end does not end the new session");
        let ends = async {
            tokio::task::yield_now().await;
            assert!(outbox.close(2));
        };
        tokio::join!(outbox.ended(2), ends);
    }
}
