//! What may go wrong: [`Mix`]es to draw from, and the [`Faults`] drawn for one run. The mixes that have
//! a name are in `mixes.rs`.

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
    /// How long it takes until an end notices that its session is over.
    pub notice: Span,
    /// How long an attempt to begin a session takes.
    pub reconnect: Span,
    /// Partitions: a random split or one node alone, in both directions or one.
    pub partition: Often,
    /// Of a million partitions, how many have another shape: a chain, a star around one node that does
    /// not lead, a star around a node that was cut off before (Omni-Paxos, section 2).
    pub shapes_ppm: u32,
    /// Links that hold everything back for a while, in one direction.
    pub clog: Often,
    /// Some links, chosen anew each time, are clogged one by one and let go in another order.
    pub swizzle: Often,
    /// Crashes; the length is the time until the restart.
    pub crash: Often,
    /// Nodes that stand still.
    pub pause: Often,
    /// How long a batch of inputs keeps a node busy, at most; drawn per run.
    pub busy: Span,
    /// How many inputs a batch has, at most; drawn per run.
    pub batch: (u32, u32),
    /// How far clocks run fast or slow, at most, in parts per million. Half of them go all the way, and
    /// a pause may change the pace.
    pub drift_ppm: u32,
    /// How much further than that they really go. No lease survives this.
    pub beyond_ppm: u32,
    /// Of a million pauses, in how many the clock stands still too, as on a machine that is suspended.
    /// No lease survives this.
    pub suspend_ppm: u32,
    /// Clocks that jump ahead, as far as the length says. No lease survives this.
    pub step: Often,
    /// The usual time of a sync, drawn per node.
    pub sync: Span,
    /// Disks that stall.
    pub stall: Often,
    /// Disks that fill up and have space again.
    pub full: Often,
    /// Syncs that fail, and stop their node.
    pub failing_sync: Odds,
    /// Syncs that report success and are lost in a crash: no protocol survives this.
    pub lie: Odds,
}

impl Mix {
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
            notice: self.notice,
            reconnect: self.reconnect,
            partition: self.partition.draw(dice),
            shapes_ppm: self.shapes_ppm,
            clog: self.clog.draw(dice),
            swizzle: self.swizzle.draw(dice),
            crash: self.crash.draw(dice),
            pause: self.pause.draw(dice),
            busy: self.busy.draw(dice),
            batch: dice.between(u64::from(self.batch.0), u64::from(self.batch.1)) as u32,
            drift_ppm: self.drift_ppm + self.beyond_ppm,
            suspend_ppm: self.suspend_ppm,
            step: self.step.draw(dice),
            sync: self.sync,
            stall: self.stall.draw(dice),
            failing_sync_ppm: self.failing_sync.draw(dice),
            lie_ppm: self.lie.draw(dice),
            full: self.full.draw(dice),
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
    pub(crate) notice: Span,
    pub(crate) reconnect: Span,
    pub(crate) partition: Option<Recurring>,
    pub(crate) shapes_ppm: u32,
    pub(crate) clog: Option<Recurring>,
    pub(crate) swizzle: Option<Recurring>,
    pub(crate) crash: Option<Recurring>,
    pub(crate) pause: Option<Recurring>,
    pub(crate) busy: u64,
    pub(crate) batch: u32,
    pub(crate) drift_ppm: u32,
    pub(crate) suspend_ppm: u32,
    pub(crate) step: Option<Recurring>,
    pub(crate) sync: Span,
    pub(crate) stall: Option<Recurring>,
    pub(crate) full: Option<Recurring>,
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
        self.swizzle = None;
        self.step = None;
        self.crash = None;
        self.pause = None;
        self.stall = None;
        self.full = None;
        self.failing_sync_ppm = 0;
        self.lie_ppm = 0;
    }
}
