//! What runs of one kind came to: how many, and how they spread.

use std::time::Duration;

use crate::report::Report;

/// Runs under one mix of faults.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// How many.
    pub runs: u64,
    /// How many were not sound.
    pub failures: u64,
    /// Events of a run.
    pub events: Spread,
    /// Messages that reached a node in a run.
    pub delivered: Spread,
    /// Virtual seconds of a run.
    pub virtual_seconds: Spread,
    /// Milliseconds that a run took.
    pub wall_ms: Spread,
}

impl Tally {
    pub(crate) fn add(&mut self, report: &Report, took: Duration) {
        self.runs += 1;
        self.failures += u64::from(!report.verdict.is_sound());
        self.events.add(report.events as f64);
        self.delivered.add(report.counts.delivered as f64);
        self.virtual_seconds.add(report.elapsed.as_secs_f64());
        self.wall_ms.add(took.as_secs_f64() * 1e3);
    }

    pub(crate) fn merge(&mut self, part: &Self) {
        self.runs += part.runs;
        self.failures += part.failures;
        self.events.merge(part.events);
        self.delivered.merge(part.delivered);
        self.virtual_seconds.merge(part.virtual_seconds);
        self.wall_ms.merge(part.wall_ms);
    }
}

/// Numbers, of which only mean and deviation are kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Spread {
    fn add(&mut self, number: f64) {
        self.merge(Self { count: 1.0, sum: number, squares: number * number });
    }

    fn merge(&mut self, part: Self) {
        self.count += part.count;
        self.sum += part.sum;
        self.squares += part.squares;
    }

    /// The mean; 0 of nothing.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sum / self.count.max(1.0)
    }

    /// The standard deviation; 0 of nothing.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        (self.squares / self.count.max(1.0) - self.mean() * self.mean()).max(0.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_knows_mean_and_deviation_however_it_was_gathered() {
        let mut parts = [Spread::default(); 2];
        for (number, part) in
            [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter().zip([0, 1].into_iter().cycle())
        {
            parts[part].add(number);
        }
        let mut all = Spread::default();
        parts.into_iter().for_each(|part| all.merge(part));
        assert_eq!((all.mean(), all.deviation()), (5.0, 2.0));
        assert_eq!((Spread::default().mean(), Spread::default().deviation()), (0.0, 0.0));
    }
}
