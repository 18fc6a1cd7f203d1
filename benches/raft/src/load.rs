//! The clients, the same for both sides: each is one async task that writes, waits for the answer,
//! and writes again until it is told to stop.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};

use crate::tally::Tally;

/// What one run asks for.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) clients: usize,
    pub(crate) value_bytes: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) by: By,
}

/// By which clock the commits are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The clock on the wall, as a user would.
    Wall,
    /// The time for which this process had a core: steadier where others are at work too, and fair
    /// only between runs of one thread.
    Cpu,
}

impl By {
    fn now(self) -> Duration {
        let clock = match self {
            Self::Wall => ClockId::Monotonic,
            Self::Cpu => ClockId::ProcessCPUTime,
        };
        clock_gettime(clock).try_into().expect("clocks do not run before 0")
    }
}

/// What one run found.
pub(crate) struct Found {
    /// Commits that their clients heard of, per second of the measured time.
    pub(crate) per_second: f64,
    /// All commits that clients heard of, the warm-up's too.
    pub(crate) answered: u64,
    /// The state machines of the three nodes, after all was applied everywhere.
    pub(crate) states: Vec<Tally>,
}

/// Counts a client's answers, apart from those of the warm-up.
pub(crate) struct Clock {
    measuring: AtomicBool,
    stop: AtomicBool,
}

impl Clock {
    /// Whether the client should write once more.
    pub(crate) fn runs(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Commits per second, and commits in all, of `shape.clients` tasks that `spawn` starts. Each calls
/// `write` in a loop as long as [`Clock::runs`], and returns how many answers it got in the warm-up and
/// how many later.
pub(crate) async fn measure<T>(
    shape: Shape,
    mut spawn: impl FnMut(usize, Arc<Clock>) -> T,
) -> (f64, u64)
where
    T: Future<Output = (u64, u64)>,
{
    let clock = Arc::new(Clock { measuring: AtomicBool::new(false), stop: AtomicBool::new(false) });
    let clients: Vec<_> = (0..shape.clients).map(|client| spawn(client, clock.clone())).collect();
    tokio::time::sleep(shape.warm_up).await;
    clock.measuring.store(true, Ordering::Relaxed);
    let begin = shape.by.now();
    tokio::time::sleep(shape.measured).await;
    clock.stop.store(true, Ordering::Relaxed);
    let (mut warm, mut counted) = (0, 0);
    for client in clients {
        let (before, after) = client.await;
        (warm, counted) = (warm + before, counted + after);
    }
    // The last answers, one for each client, came after the stop and count with their time.
    (counted as f64 / (shape.by.now() - begin).as_secs_f64(), warm + counted)
}

/// One client: writes fresh values until the clock stops.
pub(crate) async fn client<W>(
    client: usize,
    value_bytes: usize,
    clock: Arc<Clock>,
    mut write: impl FnMut(Bytes) -> W,
) -> (u64, u64)
where
    W: Future<Output = ()>,
{
    let mut answers = [0, 0];
    let mut value = vec![client as u8; value_bytes];
    while clock.runs() {
        let count = answers[0] + answers[1];
        value.iter_mut().zip(u64::to_le_bytes(count)).for_each(|(place, byte)| *place = byte);
        // A value of its own for each write, as a client that reads from a socket would have.
        write(Bytes::copy_from_slice(&value)).await;
        answers[usize::from(clock.measuring.load(Ordering::Relaxed))] += 1;
    }
    (answers[0], answers[1])
}
