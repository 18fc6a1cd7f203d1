//! All chance of a run, in streams that do not disturb each other.
//!
//! Every subsystem has its own [`Dice`], so that one more draw in one leaves the others alone. Dice
//! can record their draws and replay them without drawing: see [`Decisions`](crate::Decisions). The
//! only other chance in a run is the [`Random`] that engines are lent: each life of a node gets one
//! that depends on seed, node and life alone.

use std::time::Duration;

use synod_engine::Random;

/// One stream of chance.
///
/// A draw is recorded as its distance from the calmest result: 0 is the shortest delay, the fault
/// that does not happen. A replay that asks for more than was recorded goes on with zeros.
#[derive(Debug)]
pub struct Dice {
    random: Random,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    Draw,
    Record(Vec<u64>),
    Replay { draws: Vec<u64>, next: usize },
}

impl Dice {
    /// Draws from a source that is determined by `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), mode: Mode::Draw }
    }

    /// Like [`new`](Self::new), and keeps what was drawn.
    #[must_use]
    pub fn recording(seed: u64) -> Self {
        Self { random: Random::new(seed), mode: Mode::Record(Vec::new()) }
    }

    /// Repeats `draws`.
    #[must_use]
    pub fn replaying(draws: Vec<u64>) -> Self {
        Self { random: Random::new(0), mode: Mode::Replay { draws, next: 0 } }
    }

    /// What was drawn so far, if it was kept; of a replay, what was made use of so far, but for the zeros
    /// at its end.
    #[must_use]
    pub fn recorded(&self) -> Option<&[u64]> {
        match &self.mode {
            Mode::Record(draws) => Some(draws),
            Mode::Replay { draws, next } => {
                let used = &draws[..draws.len().min(*next)];
                let calm = used.iter().rev().take_while(|draw| **draw == 0).count();
                Some(&used[..used.len() - calm])
            }
            Mode::Draw => None,
        }
    }

    /// A draw from `0..bound`.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below 0");
        match self.mode {
            Mode::Draw => self.random.below(bound),
            _ => self.slowly(|random| random.below(bound)).min(bound - 1),
        }
    }

    /// A draw from `low..=high`.
    ///
    /// # Panics
    /// If `low > high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "an empty range has no draw");
        if low == high { low } else { low + self.below((high - low).saturating_add(1)) }
    }

    /// A duration from `low..=high`, in whole nanoseconds.
    ///
    /// # Panics
    /// If `low > high`.
    pub fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_nanos(self.between(low.as_nanos() as u64, high.as_nanos() as u64))
    }

    /// True in `per_million` of a million draws; no draw is made for 0.
    pub fn chance(&mut self, per_million: u32) -> bool {
        if per_million == 0 {
            return false;
        }
        match self.mode {
            Mode::Draw => self.random.chance(per_million),
            _ => self.slowly(|random| u64::from(random.chance(per_million))) != 0,
        }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        match self.mode {
            Mode::Draw => self.random.bits(),
            _ => self.slowly(Random::bits),
        }
    }

    #[cold]
    fn slowly(&mut self, draw: impl FnOnce(&mut Random) -> u64) -> u64 {
        match &mut self.mode {
            Mode::Draw => draw(&mut self.random),
            Mode::Record(draws) => {
                let drawn = draw(&mut self.random);
                draws.push(drawn);
                drawn
            }
            Mode::Replay { draws, next } => {
                let drawn = draws.get(*next).copied().unwrap_or(0);
                *next += 1;
                drawn
            }
        }
    }
}

/// The streams of one run.
#[derive(Debug)]
pub(crate) struct Streams {
    /// Which faults this run has, and how strong.
    pub(crate) setup: Dice,
    pub(crate) network: Dice,
    pub(crate) disk: Dice,
    /// Lives, crashes, pauses, clocks, batches.
    pub(crate) process: Dice,
    /// The local users of engines.
    pub(crate) apps: Dice,
    pub(crate) clients: Dice,
}

/// Mixes two words into one that looks random.
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let mut x = (a ^ b.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(b);
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}
