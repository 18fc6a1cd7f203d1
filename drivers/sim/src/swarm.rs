//! Many runs on many threads, and what they came to together.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use synod_engine::Sometimes;

use crate::report::{Counts, Kind, Report};
use crate::tally::Tally;

/// A batch of runs, one per seed.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// Which seeds.
    pub seeds: Range<u64>,
    /// On how many threads.
    pub jobs: NonZeroUsize,
    /// No new run begins after so many failures.
    pub max_failures: usize,
    /// No new run begins after this moment.
    pub until: Option<Instant>,
}

impl Swarm {
    /// All of these seeds on as many threads as the machine has, but no more than 10 failures.
    #[must_use]
    pub fn new(seeds: Range<u64>) -> Self {
        let jobs = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { seeds, jobs, max_failures: 10, until: None }
    }

    /// Makes the runs. `run` makes the one of a seed, in whatever thread calls it.
    pub fn run(&self, run: impl Fn(u64) -> Report + Sync) -> Summary {
        let next = AtomicU64::new(self.seeds.start);
        let whole = Mutex::new(Summary::default());
        let work = || {
            let mut part = Summary::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                let begin = Instant::now();
                if seed >= self.seeds.end || self.until.is_some_and(|until| begin >= until) {
                    break;
                }
                let report = run(seed);
                if !report.verdict.is_sound() {
                    let mut whole = whole.lock().expect("merging does not panic");
                    whole.failures.push(report.clone());
                    if whole.failures.len() >= self.max_failures {
                        next.store(self.seeds.end, Ordering::Relaxed);
                    }
                }
                part.add(&report, begin.elapsed());
            }
            whole.lock().expect("merging does not panic").merge(&part);
        };
        std::thread::scope(|scope| (0..self.jobs.get()).for_each(|_| drop(scope.spawn(work))));
        let mut whole = whole.into_inner().expect("merging does not panic");
        whole.failures.sort_by_key(|report| report.seed);
        whole
    }
}

/// What many runs came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many runs were made.
    pub runs: u64,
    /// How much happened in all of them.
    pub events: u64,
    /// The runs that were not sound, by seed.
    pub failures: Vec<Report>,
    /// How often the interesting points were reached.
    pub sometimes: Sometimes,
    /// What went wrong how often.
    pub counts: Counts,
    /// How the runs of each mix spread, by its name.
    pub mixes: BTreeMap<&'static str, Tally>,
}

impl Summary {
    /// Those of `points` that no run reached: what this batch has not tested.
    #[must_use]
    pub fn missed<'a>(&self, points: &[&'a str]) -> Vec<&'a str> {
        points.iter().copied().filter(|point| self.sometimes.count(point) == 0).collect()
    }

    /// The worst that happened.
    #[must_use]
    pub fn worst(&self) -> Kind {
        self.failures.iter().map(|report| report.verdict.kind()).max().unwrap_or(Kind::Ok)
    }

    fn add(&mut self, report: &Report, took: Duration) {
        self.mixes.entry(report.mix).or_default().add(report, took);
        self.runs += 1;
        self.events += report.events;
        self.sometimes.merge(&report.sometimes);
        self.counts.merge(&report.counts);
    }

    fn merge(&mut self, part: &Self) {
        self.runs += part.runs;
        self.events += part.events;
        self.sometimes.merge(&part.sometimes);
        self.counts.merge(&part.counts);
        for (mix, tally) in &part.mixes {
            self.mixes.entry(mix).or_default().merge(tally);
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, events, failures, .. } = self;
        writeln!(f, "{runs} runs, {events} events, {} failures", failures.len())?;
        for report in failures {
            writeln!(f, "  {report}")?;
        }
        for (name, count) in self.counts.fields() {
            writeln!(f, "  {count:>12} {name}")?;
        }
        for (point, count) in self.sometimes.iter() {
            writeln!(f, "  {count:>12} times: {point}")?;
        }
        Ok(())
    }
}
