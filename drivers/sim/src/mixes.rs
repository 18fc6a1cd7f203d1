//! The mixes of faults that have a name.

use std::time::Duration;

use crate::faults::{Mix, Odds, Often, Span};

const MOST: u32 = 800_000;
const HALF: u32 = 500_000;
const FEW: u32 = 250_000;

/// Ends notice late that a session is over, each in its own time.
const NOTICE: Span = Span { low: Duration::ZERO, high: Duration::from_nanos(299_999_999) };
/// An attempt to begin a session; not at once, or the calmest draws would try for ever at one moment.
const RECONNECT: Span = Span { low: Duration::from_millis(1), high: Duration::from_millis(200) };

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
        notice: NOTICE,
        reconnect: RECONNECT,
        partition: Often::NEVER,
        shapes_ppm: 0,
        clog: Often::NEVER,
        swizzle: Often::NEVER,
        crash: Often::NEVER,
        pause: Often::NEVER,
        busy: Span::NONE,
        batch: (1, 1),
        drift_ppm: 0,
        beyond_ppm: 0,
        suspend_ppm: 0,
        step: Often::NEVER,
        sync: Span::micros(100, 1_000),
        stall: Often::NEVER,
        full: Often::NEVER,
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
        notice: NOTICE,
        reconnect: RECONNECT,
        partition: Often {
            runs_ppm: HALF,
            gap: Span::millis(1_000, 20_000),
            length: Span::millis(50, 8_000),
        },
        shapes_ppm: 400_000,
        clog: Often {
            runs_ppm: FEW,
            gap: Span::millis(200, 5_000),
            length: Span::millis(10, 2_000),
        },
        swizzle: Often {
            runs_ppm: FEW,
            gap: Span::millis(2_000, 20_000),
            length: Span::millis(500, 6_000),
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
        beyond_ppm: 0,
        suspend_ppm: 0,
        step: Often::NEVER,
        sync: Span::micros(50, 20_000),
        stall: Often {
            runs_ppm: FEW,
            gap: Span::millis(2_000, 20_000),
            length: Span::millis(100, 5_000),
        },
        full: Often {
            runs_ppm: FEW,
            gap: Span::millis(1_000, 20_000),
            length: Span::millis(50, 6_000),
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
        swizzle: Often { runs_ppm: HALF, ..Self::DEFAULT.swizzle },
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

    /// Disks that take long, each in its own way, stall, and are full now and then.
    pub const SLOW_DISKS: Self = Self {
        name: "slow-disks",
        sync: Span::micros(50, 200_000),
        stall: Often {
            runs_ppm: MOST,
            gap: Span::millis(500, 8_000),
            length: Span::millis(500, 6_000),
        },
        full: Often { runs_ppm: HALF, ..Self::DEFAULT.full },
        ..Self::DEFAULT
    };

    /// Clocks that run as much as a tenth too fast or too slow, in a network that parts: what leases
    /// with such a bound must survive.
    pub const DRIFTING: Self = Self {
        name: "drifting",
        drift_ppm: 100_000,
        partition: Often { runs_ppm: MOST, ..Self::LOSSY.partition },
        pause: Often { runs_ppm: HALF, ..Self::DEFAULT.pause },
        ..Self::DEFAULT
    };

    /// Clocks that jump ahead now and then: who trusts no clock must not care. Nobody may trust a lease here.
    pub const STEPPING: Self = Self {
        name: "stepping",
        step: Often {
            runs_ppm: 1_000_000,
            gap: Span::millis(300, 10_000),
            length: Span::millis(1, 60_000),
        },
        ..Self::DEFAULT
    };

    /// A planted fault: disks that say durable and lose it in a crash. It must be found.
    pub const LYING_DISK: Self = Self {
        name: "lying-disk",
        lie: Odds { runs_ppm: 1_000_000, low_ppm: 500_000, high_ppm: 1_000_000 },
        ..Self::CRASHY
    };

    /// A planted fault: clocks that run far beyond their bound, jump, and stand still in pauses. Who trusts a
    /// lease must be found; who does not must not care.
    pub const BAD_CLOCKS: Self = Self {
        name: "bad-clocks",
        beyond_ppm: 500_000,
        suspend_ppm: HALF,
        step: Often { runs_ppm: HALF, ..Self::STEPPING.step },
        pause: Often {
            runs_ppm: 1_000_000,
            gap: Span::millis(500, 5_000),
            length: Span::millis(100, 4_000),
        },
        ..Self::DRIFTING
    };

    /// All mixes that have a name.
    pub const NAMED: [Self; 9] = [
        Self::CALM,
        Self::DEFAULT,
        Self::LOSSY,
        Self::CRASHY,
        Self::SLOW_DISKS,
        Self::DRIFTING,
        Self::STEPPING,
        Self::LYING_DISK,
        Self::BAD_CLOCKS,
    ];

    /// The mix called `name`, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|mix| mix.name == name)
    }
}
