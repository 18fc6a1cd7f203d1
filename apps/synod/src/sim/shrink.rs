//! A run that failed, made small: fewer events, and as few draws as still break the same property.

use std::time::{Duration, Instant};

use synod_sim::{Attempt, Decisions, Plan};

use super::{Run, Runs};

/// How much may be spent on making a failure small.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// No more runs than this are made.
    pub runs: usize,
    /// No run begins later than this. What a budget of time leaves differs from machine to machine.
    pub time: Duration,
}

/// A failure that was made small.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The run that is left, with its decisions.
    pub run: Run,
    /// How many runs it took.
    pub tried: usize,
}

/// The smallest run found that ends as `log` says that it [ended](Decisions::ended); `None` if not even that
/// run does.
#[must_use]
pub fn shrink(log: &Decisions, budget: Budget) -> Option<Shrunk> {
    let (mut runs, seed) = Runs::from_words(&log.config)?;
    let until = Instant::now() + budget.time;
    let (mut best, mut tried) = (runs.replay(seed, log, u64::MAX)?, 0);
    let most = best.report.events;
    let mut attempt = |runs: &Runs, log: &Decisions| {
        if tried == budget.runs || Instant::now() > until {
            return Attempt::Stop;
        }
        tried += 1;
        let Some(run) = runs.replay(seed, log, most) else { return Attempt::Passes };
        let used = run.decisions.clone();
        best = run;
        used.map_or(Attempt::Passes, Attempt::Fails)
    };
    let mut log = log.clone();
    // What shows in the end only needs fewer events before it.
    let mut less = runs.max_events / 2;
    while less > 0 {
        let shorter = Runs { max_events: runs.max_events - less, ..runs.clone() };
        match attempt(&shorter, &log) {
            Attempt::Fails(used) => (runs, log) = (shorter, used),
            Attempt::Passes => less /= 2,
            Attempt::Stop => break,
        }
        less = less.min(runs.max_events - 1);
    }
    synod_sim::shrink(log, |log| attempt(&runs, log));
    Some(Shrunk { run: best, tried })
}

impl Runs {
    /// The run of these decisions, if it ends as they [ended](Decisions::ended) before, with no more events
    /// than `most`.
    fn replay(&self, seed: u64, log: &Decisions, most: u64) -> Option<Run> {
        // What comes due is an event more often than not; what goes on without any is no story.
        let give_up_after = most.saturating_mul(4).saturating_add(10_000);
        let plan = Plan { give_up_after, ..self.plan(seed).replaying(log.clone()) };
        let run = self.planted.run(self.engine, plan, &self.words(seed));
        let fits = run.report.events <= most && run.report.verdict.name() == log.ended;
        fits.then_some(run)
    }
}
