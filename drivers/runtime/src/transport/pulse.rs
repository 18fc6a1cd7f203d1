//! Whether the other end of a session is still there.
//!
//! A peer that died with its machine, that is paused, or that a cut network hides in one direction, may
//! leave a connection that looks sound for minutes. So either side says something a few times in
//! `link_timeout_ms`, if only that it is there, and ends a session in which it hears nothing for that
//! long. Groups that have nothing to say may then be silent altogether: the link tells them when a peer
//! is gone.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::outbox::Outbox;

/// Something is said so often in the time after which silence counts.
const BEATS: u32 = 4;

/// What was heard and said in a session since the last beat.
#[derive(Default)]
pub(crate) struct Pulse {
    heard: AtomicBool,
    said: AtomicBool,
    is_deaf: AtomicBool,
}

impl Pulse {
    /// Something arrived.
    pub(crate) fn heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Something was written.
    pub(crate) fn said(&self) {
        self.said.store(true, Ordering::Relaxed);
    }

    /// Whether this side does not listen for now, so that silence means nothing.
    pub(crate) fn deaf(&self, is_deaf: bool) {
        self.is_deaf.store(is_deaf, Ordering::Relaxed);
    }

    /// Beats for as long as the session lives. Ends when nothing was heard for `patience`, in as many
    /// beats: a node that was paused itself first listens to what has arrived meanwhile.
    pub(crate) async fn beat(
        &self,
        outbox: &Outbox,
        session: u64,
        patience: Duration,
    ) -> io::Result<()> {
        let mut silent = 0;
        while silent < BEATS {
            sleep(patience / BEATS).await;
            let heard = self.heard.swap(false, Ordering::Relaxed);
            silent = if heard || self.is_deaf.load(Ordering::Relaxed) { 0 } else { silent + 1 };
            let said = self.said.swap(false, Ordering::Relaxed);
            if !said {
                outbox.beat(session);
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("silent for {patience:?}")))
    }
}

#[cfg(test)]
mod tests {
    use synod_codec::frame;

    use super::super::outbox::Load;
    use super::super::version::PeerVersion;
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(80);

    fn opened() -> Outbox {
        let outbox = Outbox::new(1 << 10);
        outbox.open(1, PeerVersion::NEWEST);
        outbox
    }

    #[tokio::test]
    async fn a_session_in_which_nothing_is_heard_ends() {
        let (outbox, pulse) = (opened(), Pulse::default());
        let ended = pulse.beat(&outbox, 1, PATIENCE).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_session_goes_on_while_something_is_heard_or_nobody_listens() {
        let (outbox, pulse) = (opened(), Pulse::default());
        let listens = async {
            for _ in 0..20 {
                sleep(PATIENCE / 8).await;
                pulse.heard();
            }
            pulse.deaf(true);
            sleep(3 * PATIENCE).await;
        };
        tokio::select! {
            ended = pulse.beat(&outbox, 1, PATIENCE) => panic!("{ended:?}"),
            () = listens => {}
        }
    }

    #[tokio::test]
    async fn who_has_nothing_to_say_says_that_it_is_there() {
        let (outbox, pulse) = (opened(), Pulse::default());
        let (mut load, mut written) = (Load::default(), 0);
        tokio::select! {
            ended = pulse.beat(&outbox, 1, PATIENCE) => panic!("{ended:?}"),
            more = outbox.take(1, &mut load, &mut written) => assert!(more),
        }
        assert_eq!(load.control.len(), frame::OVERHEAD_BYTES);
        let _ended = pulse.beat(&outbox, 1, PATIENCE).await;
        assert!(!outbox.is_empty(), "what is being written counts");
    }
}
