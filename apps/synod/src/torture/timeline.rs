//! What happened when: how many operations ended in each second and how long they took, and which faults
//! were under way.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::faults::Kind;

/// How an operation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Done,
    NotDone,
    Unknown,
}

/// One second.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Second {
    /// Which one, since the begin of the torture, its pauses left out.
    pub(super) at: u64,
    pub(super) done: u32,
    pub(super) not_done: u32,
    pub(super) unknown: u32,
    /// Latencies of what was done, in microseconds; 0 if nothing was.
    pub(super) p50_us: u32,
    pub(super) p99_us: u32,
    pub(super) max_us: u32,
}

/// A fault, from its begin to the moment in which everything that it broke was mended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(super) kind: Kind,
    pub(super) what: String,
    pub(super) from_ms: u64,
    /// `None` while it is under way.
    pub(super) until_ms: Option<u64>,
}

/// The time in which no write was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Gap {
    pub(crate) from_ms: u64,
    pub(crate) ms: u64,
}

/// All that happened.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) seconds: Vec<Second>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) longest_gap: Gap,
}

/// Keeps the record while time passes. Clones keep the same.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    begin: Instant,
    /// The time of earlier runs.
    before: Duration,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    record: Record,
    now: Second,
    latencies: Vec<u32>,
    /// When the last write was done, while clients write.
    wrote_ms: Option<u64>,
}

impl Timeline {
    /// Goes on behind `record`, of which so much time has passed.
    pub(super) fn resume(record: Record, before: Duration) -> Self {
        let shared = Arc::new(Mutex::new(Shared { record, ..Shared::default() }));
        Self { begin: Instant::now(), before, shared }
    }

    /// The time that has passed.
    pub(crate) fn now(&self) -> Duration {
        self.before + self.begin.elapsed()
    }

    /// An operation ended, so long after it was asked for.
    pub(super) fn note(&self, end: End, is_write: bool, latency: Duration) {
        let now_ms = self.now().as_millis() as u64;
        let mut shared = self.lock();
        shared.turn(now_ms / 1_000);
        match end {
            End::Done => {
                shared.now.done += 1;
                shared.latencies.push(latency.as_micros().try_into().unwrap_or(u32::MAX));
                if is_write {
                    shared.wrote(now_ms);
                }
            }
            End::NotDone => shared.now.not_done += 1,
            End::Unknown => shared.now.unknown += 1,
        }
    }

    /// Clients write from now on.
    pub(super) fn open(&self) {
        let now_ms = self.now().as_millis() as u64;
        self.lock().wrote_ms = Some(now_ms);
    }

    /// Clients write no more.
    pub(super) fn close(&self) {
        let now_ms = self.now().as_millis() as u64;
        let mut shared = self.lock();
        shared.wrote(now_ms);
        shared.wrote_ms = None;
        shared.turn(now_ms / 1_000 + 1);
    }

    /// A fault begins; it ends when what is returned is dropped.
    pub(super) fn fault(&self, kind: Kind, what: String) -> UnderWay {
        let from_ms = self.now().as_millis() as u64;
        let mut shared = self.lock();
        shared.record.faults.push(Fault { kind, what, from_ms, until_ms: None });
        UnderWay { timeline: self.clone(), place: shared.record.faults.len() - 1 }
    }

    /// How many operations were done in the last second that is over, and which faults are under way.
    pub(crate) fn glance(&self) -> (u32, Vec<Kind>) {
        let shared = self.lock();
        let done = shared.record.seconds.last().map_or(0, |second| second.done);
        let faults = shared.record.faults.iter().filter(|fault| fault.until_ms.is_none());
        (done, faults.map(|fault| fault.kind).collect())
    }

    /// What happened so far.
    pub(super) fn record(&self) -> Record {
        self.lock().record.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    /// How many faults of each kind there were.
    pub(crate) fn counts(&self) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        for fault in &self.faults {
            *counts.entry(fault.kind).or_default() += 1;
        }
        counts
    }
}

impl Shared {
    /// Closes the second that is open if it is over.
    fn turn(&mut self, second: u64) {
        if self.now.at != second {
            let ended = mem::replace(&mut self.now, Second { at: second, ..Second::default() });
            let mut latencies = mem::take(&mut self.latencies);
            if ended.done + ended.not_done + ended.unknown > 0 {
                latencies.sort_unstable();
                let at = |share: f64| {
                    let place = (latencies.len() as f64 * share) as usize;
                    latencies.get(place.min(latencies.len().saturating_sub(1))).copied()
                };
                let [p50_us, p99_us, max_us] =
                    [0.5, 0.99, 1.0].map(|share| at(share).unwrap_or_default());
                self.record.seconds.push(Second { p50_us, p99_us, max_us, ..ended });
            }
        }
    }

    fn wrote(&mut self, now_ms: u64) {
        if let Some(from_ms) = self.wrote_ms.replace(now_ms) {
            let ms = now_ms - from_ms;
            if ms > self.record.longest_gap.ms {
                self.record.longest_gap = Gap { from_ms, ms };
            }
        }
    }
}

/// A fault that has not ended.
#[derive(Debug)]
pub(super) struct UnderWay {
    timeline: Timeline,
    place: usize,
}

impl UnderWay {
    /// What else is to be said of it.
    pub(super) fn add(&self, words: &str) {
        self.timeline.lock().record.faults[self.place].what.push_str(words);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let now_ms = self.timeline.now().as_millis() as u64;
        self.timeline.lock().record.faults[self.place].until_ms = Some(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_what_ended_in_it() {
        let mut shared = Shared::default();
        shared.now.done = 4;
        shared.latencies = vec![40, 10, 30, 20];
        shared.turn(1);
        shared.turn(3);
        let second = Second { done: 4, p50_us: 30, p99_us: 40, max_us: 40, ..Second::default() };
        assert_eq!(shared.record.seconds, [second], "seconds without an end are left out");
    }

    #[test]
    fn the_longest_gap_is_between_two_writes_of_one_stretch() {
        let mut shared = Shared { wrote_ms: Some(100), ..Shared::default() };
        [150, 400, 410].into_iter().for_each(|now_ms| shared.wrote(now_ms));
        shared.wrote_ms = None;
        shared.wrote(9_000);
        assert_eq!(shared.record.longest_gap, Gap { from_ms: 150, ms: 250 });
    }
}
