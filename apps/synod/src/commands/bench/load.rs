//! What drives the cluster: one task for each request under way.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use hdrhistogram::Histogram;
use synod_clerk::{Clerk, WriteError};
use synod_engine::Random;
use tokio::task::JoinSet;

use super::BenchArgs;
use super::keys::{Keys, share};
use crate::exit::{Failure, Result};
use crate::place::Target;

/// Longest latency that is told apart, in nanoseconds: a minute.
const LONGEST_NS: u64 = 60_000_000_000;

/// One thread's part of the load.
pub(super) struct Load<'a> {
    pub(super) args: &'a BenchArgs,
    pub(super) target: &'a Target,
    pub(super) keys: &'a Keys,
    pub(super) thread: u32,
    pub(super) threads: u32,
    /// When measuring begins.
    pub(super) begin: Instant,
    /// When it ends.
    pub(super) end: Instant,
}

/// What became of the requests that ended while measuring.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) reads: Histogram<u64>,
    pub(super) writes: Histogram<u64>,
    pub(super) not_done: u64,
    pub(super) unknown: u64,
    pub(super) last_error: Option<String>,
}

impl Tally {
    pub(super) fn new() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("the bounds are sound");
        let (reads, writes) = (histogram(), histogram());
        Self { reads, writes, not_done: 0, unknown: 0, last_error: None }
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
        let tally = Arc::new(Mutex::new(Tally::new()));
        let BenchArgs { connections, in_flight, seed, .. } = *self.args;
        let value = value(self.args.value_bytes, seed);
        let mut clerks = Vec::new();
        for connection in (self.thread..connections).step_by(self.threads as usize) {
            let target = self.target;
            let clerk = Clerk::connect(target.addresses.clone(), target.options.clone()).await?;
            clerks.push((connection, clerk));
        }
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
                    begin: self.begin,
                    end: self.end,
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
}

/// One request after the other.
struct Lane {
    clerk: Clerk,
    keys: Keys,
    value: Bytes,
    read_share: f64,
    random: Random,
    tally: Arc<Mutex<Tally>>,
    begin: Instant,
    end: Instant,
}

impl Lane {
    async fn run(mut self) {
        loop {
            let key = self.keys.draw(&mut self.random);
            let is_read = self.read_share > 0.0 && share(&mut self.random) < self.read_share;
            let asked = Instant::now();
            let failed = if is_read {
                self.clerk.get(key).await.err().map(|error| (false, error.to_string()))
            } else {
                let written = self.clerk.put(key, self.value.clone()).await;
                written
                    .err()
                    .map(|error| (matches!(error, WriteError::Unknown(_)), error.to_string()))
            };
            let now = Instant::now();
            if now >= self.end {
                return;
            }
            if now < self.begin {
                continue;
            }
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            match failed {
                None => {
                    let histogram = if is_read { &mut tally.reads } else { &mut tally.writes };
                    histogram.saturating_record((now - asked).as_nanos() as u64);
                }
                Some((true, error)) => {
                    tally.unknown += 1;
                    tally.last_error = Some(error);
                }
                Some((false, error)) => {
                    tally.not_done += 1;
                    tally.last_error = Some(error);
                }
            }
        }
    }
}

/// A value of so many random bytes.
pub(super) fn value(bytes: u64, seed: u64) -> Bytes {
    let mut random = Random::new(seed);
    (0..bytes).map(|_| random.bits() as u8).collect()
}
