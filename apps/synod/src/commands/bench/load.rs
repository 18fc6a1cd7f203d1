//! What drives the cluster: one task for each request that may be under way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use synod_clerk::{Clerk, WriteError};
use synod_engine::Random;
use tokio::task::JoinSet;

use super::BenchArgs;
use super::keys::{Keys, share};
use super::schedule::Schedule;
use crate::exit::{Failure, Result};
use crate::place::Target;

/// Longest latency that is told apart, in nanoseconds: a minute.
const LONGEST_NS: u64 = 60_000_000_000;

/// How long a task of the closed load waits after a request that failed, at first and at most: what is
/// refused at once would otherwise be asked again at once, and the load would be one of refusals.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// When everything happens, for all threads alike.
#[derive(Clone, Debug)]
pub(super) struct Times {
    /// When measuring begins.
    pub(super) begin: Instant,
    /// When it ends.
    pub(super) end: Instant,
    /// Whose requests are due when; `None` for a closed load.
    pub(super) schedule: Option<Arc<Schedule>>,
}

/// Where threads wait for each other, so that nothing begins before all are connected.
pub(super) struct Start {
    ready: Barrier,
    failed: AtomicBool,
    times: OnceLock<Times>,
}

impl Start {
    /// For so many threads that [`wait`](Self::wait).
    pub(super) fn new(threads: usize) -> Self {
        Self {
            ready: Barrier::new(threads),
            failed: AtomicBool::new(false),
            times: OnceLock::new(),
        }
    }

    /// Waits for all others; `None` if one of them failed.
    pub(super) fn wait(&self, args: &BenchArgs, is_well: bool) -> Option<Times> {
        self.failed.fetch_or(!is_well, Ordering::Relaxed);
        self.ready.wait();
        if self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let times = self.times.get_or_init(|| {
            let now = Instant::now();
            let begin = now + Duration::from_secs_f64(args.warm_up_seconds);
            let end = begin + Duration::from_secs_f64(args.seconds);
            let schedule = args.rate.map(|rate| Arc::new(Schedule::new(now, rate)));
            Times { begin, end, schedule }
        });
        Some(times.clone())
    }
}

/// One thread's part of the load.
pub(super) struct Load<'a> {
    pub(super) args: &'a BenchArgs,
    pub(super) target: &'a Target,
    pub(super) keys: &'a Keys,
    pub(super) thread: u32,
    pub(super) threads: u32,
    pub(super) start: &'a Start,
}

/// What became of the requests that ended while measuring.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) reads: Histogram<u64>,
    pub(super) writes: Histogram<u64>,
    pub(super) not_done: u64,
    pub(super) unknown: u64,
    /// Requests of an open load for which no place was free before the end.
    pub(super) dropped: u64,
    /// By how many the epoch rose meanwhile: each is an election that nobody asked for.
    pub(super) elections: u64,
    pub(super) last_error: Option<String>,
}

impl Tally {
    pub(super) fn new() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("the bounds are sound");
        let (reads, writes) = (histogram(), histogram());
        Self { reads, writes, not_done: 0, unknown: 0, dropped: 0, elections: 0, last_error: None }
    }

    /// Requests that were done.
    pub(super) fn done(&self) -> u64 {
        self.reads.len() + self.writes.len()
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.reads.add(&other.reads).expect("both have the same bounds");
        self.writes.add(&other.writes).expect("both have the same bounds");
        self.not_done += other.not_done;
        self.unknown += other.unknown;
        self.last_error = other.last_error.clone().or(self.last_error.take());
    }
}

impl Load<'_> {
    /// Runs until the end.
    pub(super) async fn drive(self) -> Result<Tally> {
        let clerks = self.connect().await;
        let times = self.start.wait(self.args, clerks.is_ok());
        let (clerks, tally) = (clerks?, Arc::new(Mutex::new(Tally::new())));
        // If another thread failed, it says why.
        let Some(times) = times else { return Ok(Tally::new()) };
        let BenchArgs { connections, in_flight, seed, .. } = *self.args;
        let value = value(self.args.value_bytes, seed);
        let mut requests = JoinSet::new();
        for (connection, clerk) in &clerks {
            for lane in (*connection..in_flight).step_by(connections as usize) {
                let lane = Lane {
                    clerk: clerk.clone(),
                    keys: self.keys.clone(),
                    value: value.clone(),
                    read_share: self.args.read_share,
                    random: Random::new(seed.wrapping_mul(1 << 20).wrapping_add(lane.into())),
                    tally: tally.clone(),
                    times: times.clone(),
                };
                requests.spawn(lane.run());
            }
        }
        while let Some(ended) = requests.join_next().await {
            ended.map_err(Failure::usage)?;
        }
        for (_, clerk) in clerks {
            clerk.close().await;
        }
        let tally = Arc::into_inner(tally).expect("all requests have ended");
        Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// This thread's share of the connections.
    async fn connect(&self) -> Result<Vec<(u32, Clerk)>> {
        let mut clerks = Vec::new();
        for connection in (self.thread..self.args.connections).step_by(self.threads as usize) {
            let target = self.target;
            let clerk = Clerk::connect(target.addresses.clone(), target.options.clone()).await?;
            clerks.push((connection, clerk));
        }
        Ok(clerks)
    }
}

/// One request after the other.
struct Lane {
    clerk: Clerk,
    keys: Keys,
    value: Bytes,
    read_share: f64,
    random: Random,
    tally: Arc<Mutex<Tally>>,
    times: Times,
}

/// How a request ended that was not done.
struct Failed {
    is_unknown: bool,
    error: String,
}

impl Lane {
    async fn run(self) {
        match self.times.schedule.clone() {
            None => self.run_closed().await,
            Some(schedule) => self.run_open(&schedule).await,
        }
    }

    /// Asks again as soon as it was answered. What ends while measuring counts.
    async fn run_closed(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let asked = Instant::now();
            let (is_read, ended) = self.ask().await;
            let now = Instant::now();
            if now >= self.times.end {
                return;
            }
            let is_done = ended.is_ok();
            if now >= self.times.begin {
                self.note(is_read, ended, now - asked);
            }
            if is_done {
                pause = FIRST_PAUSE;
            } else {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Asks what is due. What was due while measuring counts, whenever it ends.
    async fn run_open(mut self, schedule: &Schedule) {
        while let Some(due) = schedule.next().await {
            let (is_read, ended) = self.ask().await;
            if due >= self.times.begin {
                self.note(is_read, ended, due.elapsed());
            }
        }
    }

    /// Makes one request, a read or a put.
    async fn ask(&mut self) -> (bool, std::result::Result<(), Failed>) {
        let key = self.keys.draw(&mut self.random);
        let is_read = self.read_share > 0.0 && share(&mut self.random) < self.read_share;
        let ended = if is_read {
            let read = self.clerk.get(key).await;
            read.err().map(|error| Failed { is_unknown: false, error: error.to_string() })
        } else {
            let written = self.clerk.put(key, self.value.clone()).await;
            written.err().map(|error| Failed {
                is_unknown: matches!(error, WriteError::Unknown(_)),
                error: error.to_string(),
            })
        };
        (is_read, ended.map_or(Ok(()), Err))
    }

    fn note(&self, is_read: bool, ended: std::result::Result<(), Failed>, latency: Duration) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match ended {
            Ok(()) => {
                let histogram = if is_read { &mut tally.reads } else { &mut tally.writes };
                histogram.saturating_record(latency.as_nanos() as u64);
            }
            Err(Failed { is_unknown, error }) => {
                *(if is_unknown { &mut tally.unknown } else { &mut tally.not_done }) += 1;
                tally.last_error = Some(error);
            }
        }
    }
}

/// A value of so many random bytes.
pub(super) fn value(bytes: u64, seed: u64) -> Bytes {
    let mut random = Random::new(seed);
    (0..bytes).map(|_| random.bits() as u8).collect()
}
