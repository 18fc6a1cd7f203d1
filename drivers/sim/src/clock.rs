//! What a node's monotonic clock shows.

use std::time::Duration;

use synod_engine::Instant;

/// The clock of one life: starts anywhere, runs a little too fast or too slow. Its pace may change, and
/// it may have stood still or jumped ahead; it never goes back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// Virtual time at which this pace began: that of the life, unless it was changed.
    pub(crate) born: u64,
    /// What the clock showed then, and how far it jumped since.
    pub(crate) offset: u64,
    /// Parts per million by which it runs fast.
    pub(crate) drift_ppm: i32,
}

impl Clock {
    /// What it shows at virtual time `now`.
    pub(crate) fn shows(&self, now: u64) -> Instant {
        let passed = now.saturating_sub(self.born);
        Instant::from_nanos(self.offset + scale(passed, self.rate(), MILLION))
    }

    /// The first virtual time at which `after` has passed on this clock since `now`.
    pub(crate) fn after(&self, now: u64, after: Duration) -> u64 {
        let after = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        now.max(self.born).saturating_add(match self.drift_ppm {
            0 => after,
            _ => scale(after, MILLION, self.rate()).saturating_add(2),
        })
    }

    /// From `now` on it runs at this pace.
    pub(crate) fn set_pace(&mut self, now: u64, drift_ppm: i32) {
        let (born, offset) = (now.max(self.born), self.shows(now).as_nanos());
        *self = Self { born, offset, drift_ppm };
    }

    /// It stands still from `now` on, for this long.
    pub(crate) fn stand_still(&mut self, now: u64, length: u64) {
        self.set_pace(now, self.drift_ppm);
        self.born = self.born.max(now.saturating_add(length));
    }

    /// It jumps ahead by this.
    pub(crate) fn jump(&mut self, by: u64) {
        self.offset = self.offset.saturating_add(by);
    }

    /// How far it moves in a million nanoseconds.
    fn rate(&self) -> u64 {
        MILLION.saturating_add_signed(i64::from(self.drift_ppm))
    }
}

const MILLION: u64 = 1_000_000;

/// `nanos * times / by`, for factors near a million, without wider numbers.
fn scale(nanos: u64, times: u64, by: u64) -> u64 {
    (nanos / by).saturating_mul(times).saturating_add(nanos % by * times / by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_never_fires_early_by_its_own_clock() {
        for drift_ppm in [-500, -3, 0, 7, 900] {
            let clock = Clock { born: 17, offset: 5, drift_ppm };
            for now in (17..3_000_000_000).step_by(77_777_777) {
                let after = Duration::from_nanos(123_456_789);
                let at = clock.after(now, after);
                assert!(clock.shows(at).since(clock.shows(now)) >= after, "{drift_ppm} {now}");
            }
        }
    }

    #[test]
    fn a_clock_keeps_what_it_showed_when_its_pace_changes_or_it_stands_still() {
        let mut clock = Clock { born: 100, offset: 7, drift_ppm: 1_000 };
        let second = 1_000_000_000;
        let before = clock.shows(100 + second);
        clock.set_pace(100 + second, -1_000);
        assert_eq!(clock.shows(100 + second), before);
        assert_eq!(clock.shows(100 + 2 * second).since(before), Duration::from_millis(999));
        clock.stand_still(100 + 2 * second, 5 * second);
        let stopped = clock.shows(100 + 2 * second);
        assert_eq!(clock.shows(100 + 7 * second), stopped);
        assert_eq!(clock.shows(100 + 8 * second).since(stopped), Duration::from_millis(999));
        let at = clock.after(100 + 3 * second, Duration::from_secs(1));
        assert!(clock.shows(at).since(stopped) >= Duration::from_secs(1));
    }
}
