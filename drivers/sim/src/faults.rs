//! What may go wrong: [`Mix`]es to draw from, and the [`Faults`] drawn for one run.

use std::time::Duration;

use crate::Dice;

/// A range of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The shortest.
    pub low: Duration,
    /// The longest.
    pub high: Duration,
}

impl Span {
    /// No time.
    pub const NONE: Self = Self::micros(0, 0);

    /// From `low` to `high` microseconds.
    #[must_use]
    pub const fn micros(low: u64, high: u64) -> Self {
        Self { low: Duration::from_micros(low), high: Duration::from_micros(high) }
    }

    /// From `low` to `high` milliseconds.
    #[must_use]
    pub const fn millis(low: u64, high: u64) -> Self {
        Self { low: Duration::from_millis(low), high: Duration::from_millis(high) }
    }

    /// A time from this range, in nanoseconds.
    pub(crate) fn draw(self, dice: &mut Dice) -> u64 {
        dice.between(self.low.as_nanos() as u64, self.high.as_nanos() as u64)
    }
}

/// A fault that may strike any message or sync: in which share of runs at all, and how likely then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Odds {
    /// In how many of a million runs it is possible.
    pub runs_ppm: u32,
    /// The least likelihood in such a run, in millionths.
    pub low_ppm: u32,
    /// The greatest likelihood in such a run, in millionths.
    pub high_ppm: u32,
}

impl Odds {
    /// Never.
    pub const NEVER: Self = Self { runs_ppm: 0, low_ppm: 0, high_ppm: 0 };

    fn draw(self, dice: &mut Dice) -> u32 {
        if dice.chance(self.runs_ppm) {
            dice.between(u64::from(self.low_ppm), u64::from(self.high_ppm)) as u32
        } else {
            0
        }
    }
}

/// A fault that comes again and again and lasts: in which share of runs, how often, how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Often {
    /// In how many of a million runs it comes.
    pub runs_ppm: u32,
    /// The mean time between two of them in the whole cluster, itself drawn per run.
    pub gap: Span,
    /// How long each lasts.
    pub length: Span,
}

impl Often {
    /// Never.
    pub const NEVER: Self = Self { runs_ppm: 0, gap: Span::NONE, length: Span::NONE };

    fn draw(self, dice: &mut Dice) -> Option<Recurring> {
        dice.chance(self.runs_ppm).then(|| Recurring {
            gap: Duration::from_nanos(self.gap.draw(dice)),
            length: self.length,
        })
    }
}

/// A recurring fault of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recurring {
    /// The mean time between two of them.
    pub gap: Duration,
    /// How long each lasts.
    pub length: Span,
}

/// A named mix of faults, from which each run draws its own: many classes are off in many runs,
/// since a fault that is always there hides what happens without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Its name.
    pub name: &'static str,
    /// The usual delay of a link, drawn per link and direction.
    pub delay: Span,
    /// How much longer any message may take, drawn per run.
    pub jitter: Span,
    /// Messages that come late, overtaken by others unless they are ordered.
    pub late: Odds,
    /// How late, at most; drawn per run.
    pub late_by: Span,
    /// Datagrams, and words of clients, that are lost.
    pub loss: Odds,
    /// Datagrams that come twice.
    pub duplicate: Odds,
    /// Ordered messages that are lost, and end their session.
    pub session_loss: Odds,
    /// Partitions: a random split or one node alone, in both directions or one.
    pub partition: Often,
    /// Links that hold everything back for a while, in one direction.
    pub clog: Often,
    /// Crashes; the length is the time until the restart.
    pub crash: Often,
    /// Nodes that stand still.
    pub pause: Often,
    /// How long a batch of inputs keeps a node busy, at most; drawn per run.
    pub busy: Span,
    /// How many inputs a batch has, at most; drawn per run.
    pub batch: (u32, u32),
    /// How far clocks run fast or slow, at most, in parts per million.
    pub drift_ppm: u32,
    /// The usual time of a sync, drawn per node.
    pub sync: Span,
    /// Disks that stall.
    pub stall: Often,
    /// Syncs that fail, and stop their node.
    pub failing_sync: Odds,
    /// Syncs that report success and are lost in a crash: no protocol survives this.
    pub lie: Odds,
}

const MOST: u32 = 800_000;
const HALF: u32 = 500_000;
const FEW: u32 = 250_000;

impl Mix {
    /// Nothing goes wrong; delays and disks differ a little.
    pub const CALM: Self = Self {
        name: "calm",
        delay: Span::micros(100, 2_000),
        jitter: Span::micros(0, 500),
        late: Odds::NEVER,
        late_by: Span::NONE,
        loss: Odds::NEVER,
        duplicate: Odds::NEVER,
        session_loss: Odds::NEVER,
        partition: Often::NEVER,
        clog: Often::NEVER,
        crash: Often::NEVER,
        pause: Often::NEVER,
        busy: Span::NONE,
        batch: (1, 1),
        drift_ppm: 0,
        sync: Span::micros(100, 1_000),
        stall: Often::NEVER,
        failing_sync: Odds::NEVER,
        lie: Odds::NEVER,
    };

    /// A little of everything that a sound protocol survives.
    pub const DEFAULT: Self = Self {
        name: "default",
        delay: Span::micros(50, 15_000),
        jitter: Span::micros(0, 20_000),
        late: Odds { runs_ppm: HALF, low_ppm: 100, high_ppm: 50_000 },
        late_by: Span::millis(1, 2_000),
        loss: Odds { runs_ppm: HALF, low_ppm: 100, high_ppm: 100_000 },
        duplicate: Odds { runs_ppm: HALF, low_ppm: 100, high_ppm: 100_000 },
        session_loss: Odds { runs_ppm: HALF, low_ppm: 10, high_ppm: 10_000 },
        partition: Often {
            runs_ppm: HALF,
            gap: Span::millis(1_000, 20_000),
            length: Span::millis(50, 8_000),
        },
        clog: Often {
            runs_ppm: FEW,
            gap: Span::millis(200, 5_000),
            length: Span::millis(10, 2_000),
        },
        crash: Often {
            runs_ppm: HALF,
            gap: Span::millis(500, 15_000),
            length: Span::millis(1, 4_000),
        },
        pause: Often {
            runs_ppm: FEW,
            gap: Span::millis(500, 15_000),
            length: Span::millis(10, 4_000),
        },
        busy: Span::micros(0, 300),
        batch: (1, 32),
        drift_ppm: 200,
        sync: Span::micros(50, 20_000),
        stall: Often {
            runs_ppm: FEW,
            gap: Span::millis(2_000, 20_000),
            length: Span::millis(100, 5_000),
        },
        failing_sync: Odds { runs_ppm: FEW / 2, low_ppm: 10, high_ppm: 1_000 },
        lie: Odds::NEVER,
    };

    /// Links that lose, repeat, delay and part; nodes that mostly live.
    pub const LOSSY: Self = Self {
        name: "lossy",
        late: Odds { runs_ppm: MOST, low_ppm: 1_000, high_ppm: 200_000 },
        loss: Odds { runs_ppm: MOST, low_ppm: 10_000, high_ppm: 300_000 },
        duplicate: Odds { runs_ppm: MOST, low_ppm: 10_000, high_ppm: 500_000 },
        session_loss: Odds { runs_ppm: MOST, low_ppm: 1_000, high_ppm: 50_000 },
        partition: Often {
            runs_ppm: MOST,
            gap: Span::millis(300, 8_000),
            length: Span::millis(50, 6_000),
        },
        clog: Often { runs_ppm: HALF, ..Self::DEFAULT.clog },
        crash: Often { runs_ppm: FEW, ..Self::DEFAULT.crash },
        ..Self::DEFAULT
    };

    /// Nodes that crash and pause all the time.
    pub const CRASHY: Self = Self {
        name: "crashy",
        crash: Often {
            runs_ppm: 1_000_000,
            gap: Span::millis(100, 4_000),
            length: Span::millis(1, 2_000),
        },
        pause: Often { runs_ppm: HALF, ..Self::DEFAULT.pause },
        failing_sync: Odds { runs_ppm: HALF, low_ppm: 100, high_ppm: 5_000 },
        ..Self::DEFAULT
    };

    /// Disks that take long, each in its own way, and stall.
    pub const SLOW_DISKS: Self = Self {
        name: "slow-disks",
        sync: Span::micros(50, 200_000),
        stall: Often {
            runs_ppm: MOST,
            gap: Span::millis(500, 8_000),
            length: Span::millis(500, 6_000),
        },
        ..Self::DEFAULT
    };

    /// A planted fault: disks that say durable and lose it in a crash. It must be found.
    pub const LYING_DISK: Self = Self {
        name: "lying-disk",
        lie: Odds { runs_ppm: 1_000_000, low_ppm: 500_000, high_ppm: 1_000_000 },
        ..Self::CRASHY
    };

    /// All mixes that have a name.
    pub const NAMED: [Self; 6] =
        [Self::CALM, Self::DEFAULT, Self::LOSSY, Self::CRASHY, Self::SLOW_DISKS, Self::LYING_DISK];

    /// The mix called `name`, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|mix| mix.name == name)
    }

    /// The faults of one run.
    pub(crate) fn draw(&self, dice: &mut Dice) -> Faults {
        Faults {
            delay: self.delay,
            delay_salt: dice.bits(),
            jitter: self.jitter.draw(dice),
            late_ppm: self.late.draw(dice),
            late_by: self.late_by.draw(dice),
            loss_ppm: self.loss.draw(dice),
            duplicate_ppm: self.duplicate.draw(dice),
            session_loss_ppm: self.session_loss.draw(dice),
            partition: self.partition.draw(dice),
            clog: self.clog.draw(dice),
            crash: self.crash.draw(dice),
            pause: self.pause.draw(dice),
            busy: self.busy.draw(dice),
            batch: dice.between(u64::from(self.batch.0), u64::from(self.batch.1)) as u32,
            drift_ppm: self.drift_ppm,
            sync: self.sync,
            stall: self.stall.draw(dice),
            failing_sync_ppm: self.failing_sync.draw(dice),
            lie_ppm: self.lie.draw(dice),
        }
    }
}

/// What may go wrong in one run. Plain times are in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) delay: Span,
    pub(crate) delay_salt: u64,
    pub(crate) jitter: u64,
    pub(crate) late_ppm: u32,
    pub(crate) late_by: u64,
    pub(crate) loss_ppm: u32,
    pub(crate) duplicate_ppm: u32,
    pub(crate) session_loss_ppm: u32,
    pub(crate) partition: Option<Recurring>,
    pub(crate) clog: Option<Recurring>,
    pub(crate) crash: Option<Recurring>,
    pub(crate) pause: Option<Recurring>,
    pub(crate) busy: u64,
    pub(crate) batch: u32,
    pub(crate) drift_ppm: u32,
    pub(crate) sync: Span,
    pub(crate) stall: Option<Recurring>,
    pub(crate) failing_sync_ppm: u32,
    pub(crate) lie_ppm: u32,
}

impl Faults {
    /// From here on nothing goes wrong any more.
    pub(crate) fn stop(&mut self) {
        self.late_ppm = 0;
        self.loss_ppm = 0;
        self.duplicate_ppm = 0;
        self.session_loss_ppm = 0;
        self.partition = None;
        self.clog = None;
        self.crash = None;
        self.pause = None;
        self.stall = None;
        self.failing_sync_ppm = 0;
        self.lie_ppm = 0;
    }
}
